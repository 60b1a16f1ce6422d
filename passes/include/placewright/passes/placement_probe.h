// Where the ops of one graph would run with other links, memories or speeds, asked again and again.
#pragma once

#include <map>
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
  // are of one graph and of targets that are equal but for `durations`, by which what all takes on some devices is
  // multiplied there: what placements are compiled to is kept between them. NoPlacement.
  std::vector<DeviceId> places(const Graph& graph, const PassContext& context,
                               const std::map<DeviceId, double>& durations = {});

 private:
  std::unique_ptr<CompiledPlacements> compiled_;
  std::map<DeviceId, double> durations_;  // of the last call
};

}  // namespace placewright
