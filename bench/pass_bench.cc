// What a compile takes without code generation: all passes, the plan, its ledger, the plan of memory, and the program
// without kernels' code, on synthetic graphs for machines of one, two and three devices, or for a machine file.
//   pass_bench [--shape NAME] [--devices N | --machine FILE] [--ops N,N...] [--runs N] [--passes]
// A line a graph: its ops where `place` looks at them, seconds of processor time in all (nothing here uses a second
// thread, and what else runs on the machine does not count), the least of some runs (3), how many times those of the
// graph before, of half as many ops, and the process's largest memory so far; with --passes, the seconds of each part
// in that run. Exit code 1 if 10,000 ops take 2 s or more, or all sizes of a shape, each twice the one before, in the
// mean more than 2.5 times as long a doubling: one step between two sizes is noise, where a cache happens to end.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <sys/resource.h>

#include "placewright/base/file.h"
#include "placewright/codegen/compile_program.h"
#include "placewright/codegen/machine_target_model.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/plan_memory.h"
#include "placewright/passes/pass.h"
#include "placewright/passes/placement.h"
#include "synthetic_graphs.h"
#include "transformer_graph.h"

namespace {

using namespace placewright;

Machine machine_of(int devices) {
  Machine machine;
  for (int i = 0; i < devices; ++i) {
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
      for (DType dtype : {DType::f32, DType::f64, DType::i64, DType::boolean})
        spec.rates.push_back({op_class, dtype, i == 0 ? 50e9 : 2e12 * i});
    machine.devices.push_back(spec);
  }
  for (const DeviceSpec& from : machine.devices)
    for (const DeviceSpec& to : machine.devices)
      if (from.id != to.id) machine.links.push_back({from.id, to.id, 6e-6, 12e9});
  return machine;
}

struct Devices {
  explicit Devices(Machine given) : machine(std::move(given)) {
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
    std::clock_t begin = std::clock();  // of the processor
    auto made = work();
    times.push_back({what, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC});
    return made;
  }
  std::vector<PassTime> times;
};

struct Compiled {
  size_t ops = 0;
  std::vector<PassTime> times;
};

Compiled compile(Graph graph, const PassContext& context) {
  Stopwatch timed;
  PassHooks hooks;
  hooks.verify = false;
  PlacementPlan plan;
  Compiled compiled;
  for (const Pass& pass : pipeline()) {
    if (pass.name != "place") {
      graph = timed(pass.name, [&] { return run_pass(pass, std::move(graph), context, hooks); });
      continue;
    }
    compiled.ops = graph.main().ops.size();
    plan = timed("plan", [&] { return plan_placement(graph, context); });
    graph = timed("apply", [&] { return apply_placement(std::move(graph), plan); });
  }
  timed("ledger", [&] { return settle_ledger(plan, graph, context), 0; });
  timed("verify", [&] { return verify_graph(graph), 0; });
  timed("memory", [&] { return plan_memory(graph, 0); });
  timed("program", [&] {
    CompileProgramOptions options;
    options.target = host_cpu_target();
    options.emit.names_only = true;
    return compile_program(graph, options);
  });
  compiled.times = std::move(timed.times);
  return compiled;
}

struct Wanted {
  std::string shape;  // empty: all
  int devices = 0;    // 0: one, two and three
  std::string machine_file;
  std::vector<int> ops{6250, 12500, 25000, 50000};
  int runs = 3;
  bool passes = false;
};

constexpr double most_seconds = 2, most_growth = 2.5;

void print_parts(const std::map<std::string_view, double>& parts, const std::map<std::string_view, double>& before) {
  for (const auto& [pass, seconds] : parts) {
    if (seconds <= 0.005) continue;
    std::printf("    %-18.*s %7.3f s", static_cast<int>(pass.size()), pass.data(), seconds);
    if (auto at = before.find(pass); at != before.end() && at->second > 0) std::printf("  x%.2f", seconds / at->second);
    std::printf("\n");
  }
}

bool measure(const std::string& shape, Graph (*make)(int), const Devices& devices, const Wanted& wanted) {
  bool good = true;
  double before = 0, growth = 1;
  int doublings = 0;
  std::map<std::string_view, double> parts_before;
  for (size_t i = 0; i < wanted.ops.size(); ++i) {
    const int ops = wanted.ops[i];
    Compiled compiled;
    double sum = 0;
    for (int run = 0; run < wanted.runs; ++run) {
      Compiled tried = compile(make(ops), devices.context);
      double seconds = 0;
      for (const PassTime& time : tried.times) seconds += time.seconds;
      if (run > 0 && seconds >= sum) continue;
      sum = seconds;
      compiled = std::move(tried);
    }
    std::map<std::string_view, double> parts;
    for (const PassTime& time : compiled.times) parts[time.pass] += time.seconds;
    std::printf("%-11s %zu devices %6zu ops %7.3f s", shape.c_str(), devices.machine.devices.size(), compiled.ops, sum);
    const bool doubled = i > 0 && ops == 2 * wanted.ops[i - 1];
    if (doubled) {
      std::printf("  x%.2f", sum / before);
      growth *= sum / before;
      ++doublings;
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    std::printf("  %ld MB\n", usage.ru_maxrss / 1024);
    if (!doubled) parts_before.clear();
    if (wanted.passes) print_parts(parts, parts_before);
    std::fflush(stdout);
    good = good && (ops > 10000 || sum < most_seconds);
    before = sum;
    parts_before = std::move(parts);
  }
  return good && growth <= std::pow(most_growth, doublings);
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
    } else if (option == "--runs") {
      wanted.runs = std::atoi(value.c_str());
    } else if (option == "--machine") {
      wanted.machine_file = value;
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
  return wanted.devices >= 0 && wanted.devices <= 8 && wanted.runs > 0;
}

}  // namespace

int main(int count, char** arguments) {
  Wanted wanted;
  if (!parse(count, arguments, wanted)) {
    std::fprintf(
        stderr,
        "usage: pass_bench [--shape NAME] [--devices N | --machine FILE] [--ops N,N...] [--runs N] [--passes]\n");
    return 2;
  }
  bool good = true;
  try {
    std::vector<Machine> machines;
    if (!wanted.machine_file.empty())
      machines.push_back(parse_machine(read_text_file(wanted.machine_file), wanted.machine_file));
    else
      for (int devices : {1, 2, 3})
        if (wanted.devices == 0 || wanted.devices == devices) machines.push_back(machine_of(devices));
    for (const auto& [shape, make] : {std::pair<std::string, Graph (*)(int)>("chain", synthetic::chain),
                                      {"parameters", synthetic::parameters},
                                      {"reads", synthetic::reads},
                                      {"training", synthetic::training},
                                      {"wide", synthetic::wide},
                                      {"transformer", synthetic::transformer}})
      for (const Machine& machine : machines)
        if (wanted.shape.empty() || wanted.shape == shape)
          good = measure(shape, make, Devices(machine), wanted) && good;
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
  return good ? 0 : 1;
}
