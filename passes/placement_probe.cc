#include "placewright/passes/placement_probe.h"

#include "fused_prices.h"
#include "placement_solver.h"

namespace placewright {

PlacementProbe::PlacementProbe() : compiled_(std::make_unique<CompiledPlacements>()) {}
PlacementProbe::~PlacementProbe() = default;

std::vector<DeviceId> PlacementProbe::places(const Graph& graph, const PassContext& context,
                                             const std::map<DeviceId, double>& durations) {
  if (durations != durations_) compiled_->change_speeds();
  durations_ = durations;
  std::vector<DeviceId> places;
  for (const Decision& decision : PlacementSolver(graph, context, compiled_.get()).solve())
    places.push_back(decision.device);
  return places;
}

}  // namespace placewright
