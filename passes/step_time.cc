#include "placewright/passes/step_time.h"

#include "placewright/ir/op_table.h"
#include "placewright/ir/profile.h"

namespace placewright {

std::optional<double> price_launch(const Graph& compiled, int32_t number, const PassContext& context) {
  const Op& op = compiled.main().ops[number];
  const bool runs = op.is("fused") || op.is("relayout") || (can_lower(*op.entry) && !op.entry->traits.view);
  if (!runs || op.results.empty()) return {};
  auto model = context.targets.find(op.results[0].tensor().where.devices.at(0));
  if (model == context.targets.end()) return {};
  return model->second->cost(compiled, compiled.main(), {number});
}

std::vector<LaunchTime> price_launches(const Graph& compiled, const PassContext& context) {
  std::vector<LaunchTime> launches;
  const Function& function = compiled.main();
  for (int32_t number = 0; number < static_cast<int32_t>(function.ops.size()); ++number)
    if (std::optional<double> seconds = price_launch(compiled, number, context))
      launches.push_back({number, value_name(compiled, function, {number, 0}),
                          function.ops[number].results[0].tensor().where.devices[0], *seconds});
  return launches;
}

StepTime estimate_step(const Graph& compiled, const PlacementPlan& plan, const PassContext& context) {
  StepTime time;
  if (context.profile) time.call_seconds = context.profile->call_seconds;
  time.launches = price_launches(compiled, context);
  for (const LaunchTime& launch : time.launches) time.launch_seconds += launch.seconds;
  for (const PlannedTransfer& transfer : plan.transfers)
    if (!transfer.at_load)
      time.transfer_seconds += transfer_seconds(context, transfer.from, transfer.to, transfer.bytes);
  return time;
}

}  // namespace placewright
