#include "placewright/passes/step_time.h"

#include "placewright/ir/op_table.h"
#include "placewright/ir/profile.h"

namespace placewright {

StepTime estimate_step(const Graph& compiled, const PlacementPlan& plan, const PassContext& context) {
  StepTime time;
  if (context.profile) time.call_seconds = context.profile->call_seconds;
  const Function& function = compiled.main();
  for (int32_t number = 0; number < static_cast<int32_t>(function.ops.size()); ++number) {
    const Op& op = function.ops[number];
    bool runs = op.is("fused") || op.is("relayout") || (can_lower(*op.entry) && !op.entry->traits.view);
    if (!runs || op.results.empty()) continue;
    const DeviceId& device = op.results[0].tensor().where.devices.at(0);
    auto model = context.targets.find(device);
    if (model == context.targets.end()) continue;
    double seconds = model->second->cost(compiled, function, {number});
    time.launches.push_back({number, value_name(compiled, function, {number, 0}), device, seconds});
    time.launch_seconds += seconds;
  }
  for (const PlannedTransfer& transfer : plan.transfers)
    if (!transfer.at_load)
      time.transfer_seconds += transfer_seconds(context, transfer.from, transfer.to, transfer.bytes);
  return time;
}

}  // namespace placewright
