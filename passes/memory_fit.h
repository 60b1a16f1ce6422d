// Placement by cost within the machine's memories. Internal to passes. What ops need while they run is known only from
// a memory plan of the graph as it will be compiled, so solving and planning take turns until all fits.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "fused_prices.h"
#include "placewright/passes/placement_problem.h"

namespace placewright {

struct FittedPlacement {
  Labels labels;
  int64_t energy = 0;
  int64_t bound = 0;                // no placement that fits costs less
  bool is_limited = false;          // without the caps another placement would cost less
  std::vector<int64_t> caps = {};   // [label]; unlimited_memory where the machine says nothing
  std::vector<int64_t> peaks = {};  // [label]: what a step needs; empty if it was clear that all fits
  int64_t relief = 0;               // nanoseconds, besides `energy`, that what has to be recomputed or offloaded takes
  int64_t relieved_done = 0;        // when the last device is done with all that; 0: nothing has to be
};

// What launches and copies of a placement take as compiled, in nanoseconds.
using StepPrice = std::function<int64_t(const Labels&, const TracedGraph&)>;

// `group_of`: of each op of the entry function. `known`: as price_as_fused has it. Of what fits, the least by `price`
// and what relief takes, which the problem's costs only guess. Error if nothing fits: needed, available, largest
// holders.
FittedPlacement place_within_memory(const Graph& graph, const PassContext& context, const PlacementProblem& problem,
                                    const std::vector<int>& group_of, const std::vector<DeviceId>& devices,
                                    const StepPrice& price, CompiledPlacements* known);

// The peaks of a placement on each label, by a memory plan of what would be compiled.
std::vector<int64_t> memory_peaks(const Graph& graph, const PassContext& context, const PlacementProblem& problem,
                                  const std::vector<int>& group_of, const std::vector<DeviceId>& devices,
                                  const Labels& labels, CompiledPlacements* known);

}  // namespace placewright
