// Where the ops of one graph would run with other links or memories, asked again and again.
#pragma once

#include <memory>
#include <vector>

#include "placewright/passes/pass.h"

namespace placewright {

class CompiledPlacements;

class PlacementProbe {
 public:
  PlacementProbe();
  ~PlacementProbe();
  // The device of each op of the entry function, as plan_placement has it, without its reasons and ledger. All calls
  // are of one graph and of equal targets: what placements are compiled to is kept between them. NoPlacement.
  std::vector<DeviceId> places(const Graph& graph, const PassContext& context);

 private:
  std::unique_ptr<CompiledPlacements> compiled_;
};

}  // namespace placewright
