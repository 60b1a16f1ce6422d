// A launch of a compiled graph once more, for some of its results. Internal to passes.
#pragma once

#include <vector>

#include "placewright/passes/relief.h"

namespace placewright {

// What running `op` again for the wanted results reads, as values of its function: of a fused op what those depend on.
struct RelaunchReads {
  bool is_allowed = false;  // else the op may not run twice
  std::vector<Value> values;
};
RelaunchReads reads_of(const Graph& graph, const Op& op, const Relaunch& launch);

// The op that does it, with the operands that reads_of says; adds a body to the graph where only a part of a fused op's
// runs. Its results are launch.results in their order, or all of the op's if it is whole.
struct MadeRelaunch {
  Op op;
  bool is_whole = false;
};
MadeRelaunch make_relaunch(Graph& graph, Op op, const Relaunch& launch);

// Seconds that it takes on its device; 0 without a model.
double relaunch_seconds(const Graph& graph, const PassContext& context, const Relaunch& launch);

}  // namespace placewright
