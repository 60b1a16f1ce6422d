// What a compile takes without code generation: all passes, the plan, its ledger, the plan of memory, and the program
// without kernels' code, on synthetic graphs for machines of one, two and three devices.
//   pass_bench [--shape chain|parameters|reads|training] [--devices N] [--ops N,N...] [--passes]
// A line a graph: seconds in all and how many times those of the graph before, of half as many ops; with --passes, the
// seconds of each part. Exit code 1 if 10,000 ops take 2 s or more, or twice the ops more than 2.5 times as long.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "placewright/codegen/compile_program.h"
#include "placewright/codegen/machine_target_model.h"
#include "placewright/ir/builder.h"
#include "placewright/ir/plan_memory.h"
#include "placewright/passes/pass.h"
#include "placewright/passes/placement.h"

namespace {

using namespace placewright;

// An origin for every op, as captured programs have them.
class Writer {
 public:
  Writer() : builder_(graph_, add_function(graph_, "main")) {}

  Value input(const std::string& name, InputKind kind, Shape shape) {
    builder_.origin = 0;
    return builder_.input(name, kind, TensorType{DType::f32, std::move(shape), {}, {}});
  }
  Value op(Role role, const std::string& module, std::string_view name, std::vector<Value> operands,
           Attributes attributes = {}) {
    Origin origin;
    origin.role = role;
    origin.module_path = module;
    origin.ordinal = ordinals_[{role, module}]++;
    origin.frames = {{"model.py", static_cast<int>(graph_.origins.size() % 500) + 1}};
    builder_.origin = graph_.origins.intern(std::move(origin));
    return builder_(name, std::move(operands), std::move(attributes));
  }
  Value product(Role role, const std::string& module, Value lhs, Value rhs, int64_t lhs_dim, int64_t rhs_dim) {
    return op(role, module, "dot_general", {lhs, rhs},
              {{"lhs_contracting", Sizes{lhs_dim}}, {"rhs_contracting", Sizes{rhs_dim}}});
  }
  int ops() const { return static_cast<int>(builder_.function().ops.size()); }
  Function& function() { return builder_.function(); }
  Graph take() { return std::move(graph_); }

 private:
  Graph graph_;
  FunctionBuilder builder_;
  std::map<std::pair<Role, std::string>, int> ordinals_;
};

Graph chain(int ops) {
  Writer w;
  Value x = w.input("x", InputKind::argument, {64, 64}), weight = w.input("w", InputKind::state, {64, 64});
  for (int layer = 0; w.ops() < ops; ++layer) {
    std::string module = "layers." + std::to_string(layer);
    x = w.product(Role::forward, module, x, weight, 1, 0);
    for (const char* name : {"tanh", "neg", "exp", "abs"}) x = w.op(Role::forward, module, name, {x});
  }
  w.function().results = {x};
  return w.take();
}

// Each parameter is read once and updated.
Graph parameters(int ops) {
  Writer w;
  Value x = w.input("x", InputKind::argument, {64, 64}), sum = x;
  for (int i = 0; w.ops() < ops; ++i) {
    std::string module = "layers." + std::to_string(i);
    Value weight = w.input(module + ".weight", InputKind::state, {64, 64});
    Value read = w.op(Role::forward, module, "mul", {weight, x});
    sum = w.op(Role::forward, module, "add", {sum, read});
    w.function().updates.push_back({weight, w.op(Role::update, module, "sub", {weight, read})});
  }
  w.function().results = {sum};
  return w.take();
}

// Each op reads two of all earlier values: most are alive for long.
Graph reads(int ops) {
  Writer w;
  std::mt19937 random(5);
  std::vector<Value> values{w.input("x", InputKind::argument, {16, 16})};
  std::vector<bool> is_read(1, false);
  while (w.ops() < 3 * ops / 4) {
    size_t a = random() % values.size(), b = random() % values.size();
    is_read[a] = is_read[b] = true;
    is_read.push_back(false);
    std::string module = "layers." + std::to_string(w.ops() / 20);
    if (random() % 4 == 0)
      values.push_back(w.product(Role::forward, module, values[a], values[b], 1, 0));
    else
      values.push_back(w.op(Role::forward, module, random() % 2 ? "add" : "max", {values[a], values[b]}));
  }
  Value sum = values.back();
  for (size_t i = 0; i + 1 < values.size(); ++i)
    if (!is_read[i]) sum = w.op(Role::forward, "", "add", {sum, values[i]});
  w.function().results = {sum};
  return w.take();
}

// Forward, backward and update of a stack of layers.
Graph training(int ops) {
  Writer w;
  const int layers = std::max(1, ops / 14);
  Value x = w.input("x", InputKind::argument, {64, 128});
  std::vector<Value> weights, inputs, hidden, active;
  for (int i = 0; i < layers; ++i)
    weights.push_back(w.input("layers." + std::to_string(i) + ".weight", InputKind::state, {128, 128}));
  for (int i = 0; i < layers; ++i) {
    std::string module = "layers." + std::to_string(i);
    inputs.push_back(x);
    hidden.push_back(w.product(Role::forward, module, x, weights[static_cast<size_t>(i)], 1, 0));
    active.push_back(w.op(Role::forward, module, "tanh", {hidden.back()}));
    x = w.op(Role::forward, module, "add", {x, active.back()});
  }
  w.function().results = {x};
  Value gradient = x;
  for (int i = layers - 1; i >= 0; --i) {
    std::string module = "layers." + std::to_string(i);
    auto at = static_cast<size_t>(i);
    Value squares = w.op(Role::backward, module, "mul", {active[at], active[at]});
    Value bent = w.op(Role::backward, module, "mul", {gradient, squares});
    Value through = w.op(Role::backward, module, "sub", {gradient, bent});
    Value change = w.product(Role::backward, module, inputs[at], through, 0, 0);
    Value back = w.product(Role::backward, module, through, weights[at], 1, 1);
    gradient = w.op(Role::backward, module, "add", {gradient, back});
    Value step = w.op(Role::update, module, "mul", {change, change});
    Value root = w.op(Role::update, module, "tanh", {step});
    w.function().updates.push_back({weights[at], w.op(Role::update, module, "sub", {weights[at], root})});
  }
  return w.take();
}

struct Devices {
  explicit Devices(int count) {
    for (int i = 0; i < count; ++i) {
      DeviceSpec spec;
      spec.id = i == 0 ? DeviceId{"cpu", 0} : DeviceId{"sim", i - 1};
      spec.name = spec.id.to_string();
      spec.target = "none";
      spec.host_memory = i == 0;
      spec.memory_bytes = int64_t{64} << 30;
      spec.memory_bandwidth = i == 0 ? 20e9 : 500e9 * i;
      spec.launch_seconds = i == 0 ? 50e-9 : 4e-6;
      for (const char* op_class :
           {"contraction", "convolution", "elementwise", "reduction", "movement", "gather", "scatter"})
        spec.rates.push_back({op_class, DType::f32, i == 0 ? 50e9 : 2e12 * i});
      machine.devices.push_back(spec);
    }
    for (const DeviceSpec& from : machine.devices)
      for (const DeviceSpec& to : machine.devices)
        if (from.id != to.id) machine.links.push_back({from.id, to.id, 6e-6, 12e9});
    auto facts = std::make_shared<OpFactsTable>();
    for (const DeviceSpec& spec : machine.devices) {
      models.push_back(make_machine_target_model(spec, nullptr, facts));
      context.targets[spec.id] = models.back().get();
    }
    context.machine = &machine;
  }
  Machine machine;
  std::vector<std::unique_ptr<TargetModel>> models;
  PassContext context;
};

// Runs the parts one after the other and keeps their times.
class Stopwatch {
 public:
  template <typename Work>
  auto operator()(std::string_view what, Work work) {
    auto begin = std::chrono::steady_clock::now();
    auto made = work();
    times.push_back({what, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()});
    return made;
  }
  std::vector<PassTime> times;
};

std::vector<PassTime> compile(Graph graph, const PassContext& context) {
  Stopwatch timed;
  PassHooks hooks;
  hooks.verify = false;
  hooks.times = &timed.times;
  graph = run_passes(std::move(graph), context, hooks, {}, "shard");
  PlacementPlan plan = timed("plan", [&] { return plan_placement(graph, context); });
  graph = timed("apply", [&] { return apply_placement(std::move(graph), plan); });
  graph = run_passes(std::move(graph), context, hooks, "insert_transfers");
  timed("ledger", [&] { return settle_ledger(plan, graph, context), 0; });
  timed("verify", [&] { return verify_graph(graph), 0; });
  timed("memory", [&] { return plan_memory(graph, 0); });
  timed("program", [&] {
    CompileProgramOptions options;
    options.target = host_cpu_target();
    options.emit.names_only = true;
    return compile_program(graph, options);
  });
  return std::move(timed.times);
}

struct Wanted {
  std::string shape;  // empty: all
  int devices = 0;    // 0: one, two and three
  std::vector<int> ops{6250, 12500, 25000, 50000};
  bool passes = false;
};

constexpr double most_seconds = 2, most_growth = 2.5;

bool measure(const std::string& shape, Graph (*make)(int), int count, const Wanted& wanted) {
  bool good = true;
  double before = 0;
  std::map<std::string_view, double> parts_before;
  const Devices devices(count);
  for (size_t i = 0; i < wanted.ops.size(); ++i) {
    const int ops = wanted.ops[i];
    std::vector<PassTime> times = compile(make(ops), devices.context);
    std::map<std::string_view, double> parts;
    double sum = 0;
    for (const PassTime& time : times) {
      parts[time.pass] += time.seconds;
      sum += time.seconds;
    }
    std::printf("%-10s %d devices %6d ops %7.3f s", shape.c_str(), count, ops, sum);
    const bool doubled = i > 0 && ops == 2 * wanted.ops[i - 1];
    if (doubled) std::printf("  x%.2f", sum / before);
    std::printf("\n");
    for (const auto& [pass, seconds] : parts)
      if (wanted.passes && seconds > 0.005)
        std::printf(
            "    %-18.*s %7.3f s%s\n", static_cast<int>(pass.size()), pass.data(), seconds,
            doubled ? ("  x" + std::to_string(seconds / std::max(parts_before[pass], 1e-9)).substr(0, 4)).c_str() : "");
    std::fflush(stdout);
    good = good && (ops > 10000 || sum < most_seconds) && (!doubled || sum < most_growth * before);
    before = sum;
    parts_before = std::move(parts);
  }
  return good;
}

bool parse(int count, char** arguments, Wanted& wanted) {
  for (int i = 1; i < count; ++i) {
    const std::string option = arguments[i];
    if (option == "--passes") {
      wanted.passes = true;
      continue;
    }
    if (i + 1 == count) return false;
    const std::string value = arguments[++i];
    if (option == "--shape") {
      wanted.shape = value;
    } else if (option == "--devices") {
      wanted.devices = std::atoi(value.c_str());
    } else if (option == "--ops") {
      wanted.ops.clear();
      for (size_t at = 0; at != std::string::npos; at = value.find(',', at)) {
        at += at > 0;
        wanted.ops.push_back(std::atoi(value.c_str() + at));
        if (wanted.ops.back() < 100) return false;
      }
    } else {
      return false;
    }
  }
  return wanted.devices >= 0 && wanted.devices <= 8;
}

}  // namespace

int main(int count, char** arguments) {
  Wanted wanted;
  if (!parse(count, arguments, wanted)) {
    std::fprintf(stderr, "usage: pass_bench [--shape NAME] [--devices N] [--ops N,N...] [--passes]\n");
    return 2;
  }
  bool good = true;
  try {
    for (const auto& [shape, make] : {std::pair<std::string, Graph (*)(int)>("chain", chain),
                                      {"parameters", parameters},
                                      {"reads", reads},
                                      {"training", training}})
      for (int devices : {1, 2, 3})
        if ((wanted.shape.empty() || wanted.shape == shape) && (wanted.devices == 0 || wanted.devices == devices))
          good = measure(shape, make, devices, wanted) && good;
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
  return good ? 0 : 1;
}
