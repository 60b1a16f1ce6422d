// Placement by what ops take as fused. What an op takes depends on what shares its launch, so on the placement itself:
// the first prices are those with all ops on one device, then what was found is priced as it would be compiled and
// solved again. Internal to passes.
#pragma once

#include <vector>

#include "fused_prices.h"
#include "memory_fit.h"
#include "placewright/passes/placement_problem.h"

namespace placewright {

// What is left to choose.
struct PlacementChoice {
  std::vector<DeviceId> devices;  // of each label, the host first
  std::vector<int> group_of;      // of each op; one more group, the last, is the host, which reads the results
  PlacementProblem problem;       // costs are 0, or `unrunnable` where a group may not stand
  std::vector<Value> sources;     // of each of problem.values
  std::vector<bool> is_remade;    // of each of problem.values: made again where it is read, never copied
};

struct TriedPlacement {
  Labels labels;
  int64_t done = 0;  // as `FusedPrices` has it
  int64_t sum = 0;   // launches and copies
};

struct FusedPlacement {
  PlacementProblem problem;  // with prices: of what was chosen its own, of all else the best known
  FittedPlacement fitted;
  FusedPrices prices;                      // of what was chosen; without relief
  std::vector<TriedPlacement> tried = {};  // all whose prices were asked for on the way to the least sum
  int priced = 0;                          // placements whose prices as fused were asked for

  // When the last device is done, relief included.
  int64_t done() const { return fitted.relieved_done > 0 ? fitted.relieved_done : prices.done; }
};

// Never dearer, as fused, than the first placement found, nor than all that can on any one device, where that fits. In
// small problems never dearer than any other placement that fits, in somewhat larger ones than those that move one
// group. What relief takes counts.
// `known`: as price_as_fused has it.
FusedPlacement place_as_fused(const Graph& graph, const PassContext& context, const PlacementChoice& choice,
                              CompiledPlacements* known);

// As fused, with `labels` of the groups; they become what the problem says of that placement.
FusedPrices price_placement(const Graph& graph, const PassContext& context, const PlacementChoice& choice,
                            const Labels& labels, PlacementProblem& problem, CompiledPlacements* known);

}  // namespace placewright
