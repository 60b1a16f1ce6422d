#include "placewright/passes/step_time.h"

#include <optional>

#include "placewright/base/checked.h"
#include "placewright/base/duration.h"
#include "placewright/ir/op_table.h"
#include "placewright/ir/profile.h"

namespace placewright {
namespace {

double copy_seconds(const Graph& compiled, const PassContext& context, const Op& op) {
  if (!op.is("transfer") || op.attributes.get<bool>("at_load")) return 0;
  const TensorType& from = compiled.main().tensor(op.operands[0]);
  const Where &source = from.where, &target = op.results[0].tensor().where;
  if (!source.is_single() || !target.is_single()) return 0;
  return transfer_seconds(context, source.devices[0], target.devices[0], op.results[0].tensor().bytes());
}

}  // namespace

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

int64_t price_step(const Graph& compiled, const PassContext& context) {
  int64_t sum = 0;
  const std::vector<Op>& ops = compiled.main().ops;
  for (int32_t number = 0; number < static_cast<int32_t>(ops.size()); ++number) {
    const double seconds =
        price_launch(compiled, number, context).value_or(0) + copy_seconds(compiled, context, ops[number]);
    sum = checked_add(sum, nanoseconds(seconds));
  }
  return sum;
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
