// What our kernels reach of a device's limits: elementwise, row kernels and transposes by the copy bandwidth measured
// beside them, products by the published rate: by our kernels, and by whatever is faster where a library is allowed.
// Each case is first held against the evaluator at a small size.
//
//   device_bench [--devices cuda] [--elements N] [--rounds N]     a line of JSON a case; exit code 1 if a result is
//   wrong
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "count_argument.h"
#include "formula.h"
#include "placewright/base/error.h"
#include "placewright/codegen/code_target.h"
#include "placewright/codegen/compile_program.h"
#include "placewright/ir/builder.h"
#include "placewright/ir/evaluate.h"
#include "placewright/placewright.h"
#include "placewright/run_graph.h"
#include "placewright/runtime/device_kinds.h"
#include "placewright/runtime/executable.h"
#include "placewright/runtime/profiler.h"

namespace placewright {
namespace {

struct Options {
  std::string kind = "cuda";
  int64_t elements = int64_t{1} << 26;
  int rounds = 15;
};

// f(inputs) = result, of about `elements` numbers.
struct Case {
  std::string name;
  std::vector<Sizes> inputs;
  std::function<Value(FunctionBuilder&, const std::vector<Value>&)> body;
  double flops = 0;  // of products; 0: what counts is bytes
  // Of the difference: f32 sums of 1,024 numbers in another order, and other libraries' tanh and exp; TF32's factors.
  double allowed = 1e-4;
  Precision precision = Precision::f32;  // of products
};

int64_t power_below(double limit) {
  int64_t power = 1;
  while (static_cast<double>(power * 2) <= limit) power *= 2;
  return power;
}

std::vector<Case> cases(int64_t elements) {
  using Values = std::vector<Value>;
  const int64_t row = std::min<int64_t>(1024, power_below(std::sqrt(static_cast<double>(elements)))),
                rows = elements / row, side = std::max<int64_t>(16, power_below(std::sqrt(elements / 4.0)));
  const Sizes matrix{rows, row};
  auto dim = [](int64_t d) { return Sizes{d}; };
  auto product = [=](const char* precision) {
    return [=](FunctionBuilder& b, const Values& x) {
      return b("dot_general", {x[0], x[1]},
               {{"lhs_contracting", dim(1)}, {"rhs_contracting", dim(0)}, {"precision", std::string(precision)}});
    };
  };
  const double products = 2.0 * static_cast<double>(side) * static_cast<double>(side) * static_cast<double>(side);
  return {
      {"relu", {matrix}, [](FunctionBuilder& b, const Values& x) { return b("relu", {x[0]}); }},
      {"add", {matrix, matrix}, [](FunctionBuilder& b, const Values& x) { return b("add", {x[0], x[1]}); }},
      {"tanh_mul_add",
       {matrix, matrix},
       [](FunctionBuilder& b, const Values& x) { return b("add", {b("mul", {b("tanh", {x[0]}), x[1]}), x[0]}); }},
      {"softmax",
       {matrix},
       [](FunctionBuilder& b, const Values& x) { return b("softmax", {x[0]}, {{"dim", int64_t{1}}}); }},
      {"layer_norm",
       {matrix, {row}, {row}},
       [](FunctionBuilder& b, const Values& x) {
         return b("layer_norm", {x[0], x[1], x[2]}, {{"normalised_dims", int64_t{1}}});
       }},
      {"sum_of_rows",
       {matrix},
       [=](FunctionBuilder& b, const Values& x) { return b("reduce_sum", {x[0]}, {{"dims", dim(1)}}); }},
      {"sum_of_columns",
       {matrix},
       [=](FunctionBuilder& b, const Values& x) { return b("reduce_sum", {x[0]}, {{"dims", dim(0)}}); }},
      {"transpose",
       {matrix},
       [](FunctionBuilder& b, const Values& x) { return b("transpose", {x[0]}, {{"permutation", Sizes{1, 0}}}); }},
      {"transpose_add",
       {matrix, {row, rows}},
       [](FunctionBuilder& b, const Values& x) {
         return b("add", {b("transpose", {x[0]}, {{"permutation", Sizes{1, 0}}}), x[1]});
       }},
      {"product", {{side, side}, {side, side}}, product("f32"), products},
      {"product_tf32", {{side, side}, {side, side}}, product("tf32"), products, 1e-2, Precision::tf32},
  };
}

Graph make_graph(const Case& each, const DeviceId& device) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  builder.pin = Pin{device, {}};
  std::vector<Value> inputs;
  for (const Sizes& sizes : each.inputs)
    inputs.push_back(builder.input(fmt::format("x{}", inputs.size()), InputKind::argument,
                                   Type(DType::f32, Shape(sizes.begin(), sizes.end()))));
  builder.function().results = {each.body(builder, inputs)};
  return graph;
}

// Numbers in [-1, 1) that differ from row to row.
std::vector<HostTensor> make_inputs(const Case& each) {
  std::vector<HostTensor> inputs;
  uint32_t stream = 0;
  for (const Sizes& sizes : each.inputs) {
    HostTensor tensor(DType::f32, sizes);
    uint32_t index = 0;
    for (float& value : tensor.data<float>()) value = static_cast<float>(formula::unit(stream, index++));
    inputs.push_back(std::move(tensor));
    ++stream;
  }
  return inputs;
}

// What the kernels of a run take on the device, and who ran them: "kernel", or a library by name and version.
struct Measurement {
  double seconds = 0;
  std::string performer = "kernel";
};

class DeviceBench {
 public:
  DeviceBench(const Options& options, bool use_libraries) : options_(options) {
    std::vector<std::shared_ptr<Device>> devices;
    std::vector<AbsentDevice> absent;
    for (const DeviceKind& kind : device_kinds()) {
      if (!kind.is_host && kind.name != options.kind) continue;
      OpenedDevices opened = kind.open(
          {1, 0, devices.empty() ? nullptr : &devices.front()->spec(), {}, {use_libraries, nullptr, toolkit_folders}});
      devices.insert(devices.end(), opened.devices.begin(), opened.devices.end());
      absent.insert(absent.end(), opened.absent.begin(), opened.absent.end());
    }
    if (devices.size() < 2)
      throw Error(fmt::format("device_bench: there is no {}:0{}", options.kind,
                              absent.empty() ? "" : ": " + absent.front().cause + "; " + absent.front().fix));
    device_ = devices.back();
    set_ = DeviceSet(std::move(devices), {});
    compile_.target = host_cpu_target();
    for (const std::shared_ptr<Device>& each : set_.devices())
      compile_.targets[each->id()] =
          make_code_target(each->spec().target, compile_.target, {}, each->latest_compiler());
  }

  // Bytes a second that copies within the device read and write; the best of the rounds.
  double copy_bandwidth() {
    const int64_t bytes = options_.elements * 4;
    DeviceMemory from(device_, bytes, 256, "source"), to(device_, bytes, 256, "destination");
    int stream = device_->open_stream();
    double best = 0;
    for (int round = 0; round < options_.rounds + 1; ++round) {
      constexpr int copies = 4;
      double begin = device_->finish(device_->record(stream));
      for (int i = 0; i < copies; ++i) device_->copy(stream, to.view(), from.view(), bytes, "copy");
      double seconds = device_->finish(device_->record(stream)) - begin;
      if (round > 0) best = std::max(best, 2.0 * copies * static_cast<double>(bytes) / std::max(seconds, 1e-9));
    }
    device_->close_stream(stream);
    return best;
  }

  // The largest difference between the device's result and the evaluator's, relative to 1 + |expected|.
  double difference(const Case& each) {
    const Graph graph = make_graph(each, device_->id());
    const std::vector<HostTensor> inputs = make_inputs(each);
    Bound bound(*this, graph, inputs);
    bound.run(nullptr);
    const HostTensor found = bound.context->read_result(0), expected = evaluate(graph, inputs).results.at(0);
    double largest = 0;
    for (int64_t i = 0; i < expected.elements(); ++i) {
      const double off = std::abs(found.number(i) - expected.number(i)) / (1 + std::abs(expected.number(i)));
      largest = std::isnan(off) ? HUGE_VAL : std::max(largest, off);
    }
    return largest;
  }

  // The median of the rounds. What a library is tried for is tried in a run before.
  Measurement measure(const Case& each) {
    Bound bound(*this, make_graph(each, device_->id()), make_inputs(each));
    bound.run(nullptr);
    Measurement measured;
    std::vector<double> all;
    for (int round = 0; round < options_.rounds; ++round) {
      Profiler profiler;
      bound.run(&profiler);
      double sum = 0;
      for (const Profiler::Record& record : profiler.records()) {
        if (record.track == "steps" || record.bytes != 0) continue;
        sum += record.end - record.begin;
        if (!record.performer.empty()) measured.performer = record.performer;
      }
      all.push_back(std::max(sum, 1e-9));
    }
    std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2), all.end());
    measured.seconds = all[all.size() / 2];
    return measured;
  }

  const DeviceSpec& spec() const { return device_->spec(); }

 private:
  struct Bound {
    Bound(DeviceBench& bench, const Graph& graph, const std::vector<HostTensor>& inputs)
        : executable(Executable::bind(compile_program(place_graph(graph).compiled, bench.compile_), bench.set_,
                                      std::make_shared<StateStore>(bench.set_.host()))),
          context(executable->make_context()) {
      for (size_t i = 0; i < inputs.size(); ++i) {
        BufferView source{bench.set_.host().get(), const_cast<uint8_t*>(inputs[i].raw()), inputs[i].bytes()};
        memory.emplace_back(bench.device_, source.bytes, 256, "input");
        copy_now(memory.back().view(), source, source.bytes, "input");
        views.push_back(memory.back().view());
      }
    }
    void run(Profiler* profiler) {
      context->set_profiler(profiler);
      executable->run(*context, views);
    }
    std::shared_ptr<const Executable> executable;
    std::unique_ptr<Context> context;
    std::vector<DeviceMemory> memory;
    std::vector<BufferView> views;
  };

  Options options_;
  std::shared_ptr<Device> device_;
  DeviceSet set_;
  CompileProgramOptions compile_;
};

// Operands and result once each.
double least_bytes(const Case& each) {
  double bytes = 0;
  for (const Sizes& sizes : each.inputs) bytes += 4.0 * static_cast<double>(element_count(sizes));
  const Graph graph = make_graph(each, {"cpu", 0});
  return bytes + static_cast<double>(graph.main().tensor(graph.main().results[0]).bytes());
}

// One line. `small`: the same at the size at which it is checked. Whether it is right.
bool report(DeviceBench& bench, const std::string& name, const Case& small, const Case& each, double bandwidth) {
  const double difference = bench.difference(small);
  const Measurement measured = bench.measure(each);
  const bool is_product = each.flops > 0, right = difference <= small.allowed;
  const double rate = (is_product ? each.flops : least_bytes(each)) / measured.seconds;
  const double limit = is_product ? bench.spec().rate("contraction", DType::f32, each.precision) : bandwidth;
  const std::string kind = is_product ? fmt::format("published rate of {}", placewright::name(each.precision))
                                      : std::string("measured copies");
  fmt::print(
      "{{\"case\": \"{}\", \"performer\": \"{}\", \"microseconds\": {:.3f}, \"{}\": {:.6g}, \"of_limit\": {:.4g}, "
      "\"limit\": \"{}\", \"difference\": {:.2e}, \"right\": {}}}\n",
      name, measured.performer, measured.seconds * 1e6, is_product ? "flops_per_second" : "bytes_per_second", rate,
      rate / limit, kind, std::min(difference, 1e300), right);
  std::fflush(stdout);
  return right;
}

int run(const Options& options) {
  constexpr int64_t small = 4096;
  configure({.devices = "cpu," + options.kind + ":1", .use_cache = false, .use_calibration = false});
  DeviceBench bench(options, false), with_libraries(options, true);
  const double bandwidth = bench.copy_bandwidth();
  fmt::print("{{\"case\": \"copy\", \"device\": \"{}\", \"elements\": {}, \"bytes_per_second\": {:.6g}}}\n",
             bench.spec().id.to_string(), options.elements, bandwidth);
  std::fflush(stdout);
  bool right = true;
  const std::vector<Case> checked = cases(small), measured = cases(options.elements);
  for (size_t i = 0; i < measured.size(); ++i) {
    const std::string& name = measured[i].name;
    right = report(bench, name, checked[i], measured[i], bandwidth) && right;
    if (measured[i].flops > 0)
      right = report(with_libraries, name + "_with_libraries", checked[i], measured[i], bandwidth) && right;
  }
  return right ? 0 : 1;
}

}  // namespace
}  // namespace placewright

int main(int argc, char** argv) {
  using namespace placewright;
  const char* usage = "device_bench [--devices KIND] [--elements N (4096 and more)] [--rounds N]";
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (option == "--devices")
      options.kind = value;
    else if (option == "--elements")
      options.elements = std::max(4096, count_argument(value, usage));
    else if (option == "--rounds")
      options.rounds = count_argument(value, usage);
    else {
      fmt::print(stderr, "usage: {}; found '{}'\n", usage, option);
      return 2;
    }
  }
  try {
    return run(options);
  } catch (const Error& error) {
    fmt::print(stderr, "device_bench: {}\n", error.what());
    return 2;
  }
}
