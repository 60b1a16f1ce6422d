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

// The plan and its rivals, compiled.
class Judge {
 public:
  explicit Judge(const JudgedCase& judged);
  ~Judge();

  // The plan first.
  const std::vector<std::string>& names() const { return names_; }
  // What the planner thinks of each, in seconds: the sum of all times.
  const std::vector<double>& predicted() const { return predicted_; }
  // Of one step in its steady state, on the virtual clock of the machine with that seed.
  std::vector<double> seconds(uint64_t seed) const;

 private:
  struct Runner;
  std::vector<std::string> names_;
  std::vector<double> predicted_;
  std::vector<std::unique_ptr<Runner>> runners_;
};

}  // namespace placewright::testing
