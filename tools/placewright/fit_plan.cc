// One plan of `placewright fit`: what is placed, what it holds, what it takes.
#include "fit.h"
#include "placewright/base/error.h"

namespace placewright::tools {

bool FitPlan::fits() const {
  if (!is_made()) return false;
  for (const DeviceMemory& device : memory)
    if (device.capacity_bytes > 0 && device.needed_bytes > device.capacity_bytes) return false;
  return true;
}

std::string_view name(FitVerdict verdict) {
  switch (verdict) {
    case FitVerdict::fits:
      return "fits";
    case FitVerdict::squeezed:
      return "fits squeezed";
    case FitVerdict::too_large:
      return "does not fit";
    case FitVerdict::refused:
      return "cannot run";
  }
  return "";
}

FitPlan FitProbe::plan(const FitVersion& version, const Machine& machine) const {
  FitPlan plan;
  try {
    const auto [graph, symbols] = model_.version(version);
    GraphPlacement placed = place_graph(graph, machine, symbols);
    placed.machine = machine_;
    plan.step = forecast_step(placed);
    plan.is_limited = placed.plan.solved && placed.plan.solved->is_limited;
    plan.bytes_per_step = placed.plan.bytes_per_step;
    plan.relief = placed.plan.relief;
    for (const OpPlacement& op : placed.plan.ops) plan.homes.push_back(op.where.devices.front());
    try {
      plan.memory = find_memory(placed);
    } catch (const Error& error) {  // values on several devices at once
      plan.unplanned_memory = error.what();
    }
  } catch (const Error& error) {
    plan.fault = error.what();
  }
  return plan;
}

}  // namespace placewright::tools
