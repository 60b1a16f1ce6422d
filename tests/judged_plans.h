// Plans judged from outside: the plan and others that no optimiser made run on the same runtime, on simulated machines
// that are not quite what the planner was told. Only time passes there: nothing is computed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "placewright/ir/graph.h"
#include "placewright/ir/machine.h"
#include "placewright/passes/plan_file.h"
#include "placewright/run_graph.h"
#include "placewright/runtime/executable.h"

namespace placewright::testing {

struct JudgedCase {
  std::string program, machine_name;
  Graph graph;
  Machine machine;
};

// Training steps: (c) to (e); with `all` a transformer of twelve blocks and a mixture, too. Each on a host with an
// accelerator that is seldom worth its launches, with one that mostly is, and with two different ones; the mixture
// where the accelerators have no kernels for sums.
std::vector<JudgedCase> judged_cases(bool all);

// The same graph with other labels for what costs may decide, as a plan file that placement follows.
PlanFile plan_with(const GraphPlacement& placed, const Graph& graph, const Labels& labels);

struct Rival {
  std::string name;
  Labels labels;
};
// What does without the optimiser: all on each device (what it cannot run on the next one), each op on the first of the
// accelerators that runs it, and HEFT.
std::vector<Rival> rivals(const SolvedPlacement& solved);

// A placed graph, compiled and bound to devices, with arguments and states of small positive numbers.
class CompiledStep {
 public:
  // `names_only`: for devices on which only time passes.
  CompiledStep(const Graph& graph, const GraphPlacement& placed, const DeviceSet& devices, bool names_only);

  // Copies what the plan's ledger has, to the byte, or fails.
  void run() const;
  HostTensor result(int i) const { return context_->read_result(i); }

 private:
  std::vector<HostTensor> arguments_;
  std::shared_ptr<const Executable> executable_;
  std::unique_ptr<Context> context_;
  int64_t planned_bytes_;
};

// The plan and its rivals on a simulated machine.
class Judge {
 public:
  explicit Judge(const JudgedCase& judged);
  ~Judge();

  // The plan first.
  const std::vector<std::string>& names() const { return names_; }
  // What the planner thinks of each, in seconds: the sum of all times.
  const std::vector<double>& predicted() const { return predicted_; }
  // Until the last device is done, by the planner's simulation.
  const std::vector<double>& simulated() const { return simulated_; }
  // Of one step in its steady state, on the virtual clock of the machine with that seed.
  std::vector<double> seconds(uint64_t seed) const;

 private:
  struct Runner;
  std::vector<std::string> names_;
  std::vector<double> predicted_, simulated_;
  std::vector<std::unique_ptr<Runner>> runners_;
};

}  // namespace placewright::testing
