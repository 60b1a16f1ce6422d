#include "launch_tasks.h"

#include <algorithm>

#include "movement.h"
#include "placewright/base/duration.h"
#include "placewright/passes/step_time.h"

namespace placewright {
namespace {

const DeviceId& device_of(const Op& op) { return op.results[0].tensor().where.devices.at(0); }

bool is_task(const Op& op) { return !op.results.empty() && !op.is("input") && !op.is("constant"); }

int64_t copy_time(const Function& function, const Op& op, const PassContext& context) {
  const TensorType& from = function.tensor(op.operands[0]);
  if (op.attributes.get<bool>("at_load") || !from.where.is_single()) return 0;
  return nanoseconds(transfer_seconds(context, from.where.devices[0], device_of(op), from.bytes()));
}

}  // namespace

int LaunchTasks::number_of(const DeviceId& device) const {
  auto at = std::lower_bound(devices.begin(), devices.end(), device);
  return at == devices.end() || *at != device ? -1 : static_cast<int>(at - devices.begin());
}

std::vector<std::optional<double>> price_each(const Graph& compiled, const PassContext& context) {
  std::vector<std::optional<double>> seconds;
  seconds.reserve(compiled.main().ops.size());
  for (int32_t op = 0; op < static_cast<int32_t>(compiled.main().ops.size()); ++op)
    seconds.push_back(price_launch(compiled, op, context));
  return seconds;
}

LaunchTasks launch_tasks(const Graph& compiled, const PassContext& context,
                         const std::vector<std::optional<double>>& seconds) {
  const Function& function = compiled.main();
  const DeviceId host = host_device(context);
  LaunchTasks made;
  made.devices.push_back(host);
  for (const Op& op : function.ops)
    for (const Type& type : op.results)
      for (const DeviceId& device : type.tensor().where.devices)
        if (std::find(made.devices.begin(), made.devices.end(), device) == made.devices.end())
          made.devices.push_back(device);
  std::sort(made.devices.begin(), made.devices.end());
  made.host = made.number_of(host);
  made.task_of.assign(function.ops.size(), -1);
  std::vector<int> needs;
  for (int32_t number = 0; number < static_cast<int32_t>(function.ops.size()); ++number) {
    const Op& op = function.ops[number];
    if (!is_task(op)) continue;
    needs.clear();
    for (Value operand : op.operands)
      if (made.task_of[operand.op] >= 0) needs.push_back(made.task_of[operand.op]);
    const int device = made.number_of(device_of(op));
    if (!op.is("transfer")) {
      made.task_of[number] =
          made.tasks.add(device, StepStream::launches, -1, nanoseconds(seconds[number].value_or(0)), needs);
    } else {
      const int from = made.number_of(function.tensor(op.operands[0]).where.devices.at(0));
      const int link = from * static_cast<int>(made.devices.size()) + device;
      const bool is_out = device == made.host;
      made.task_of[number] =
          made.tasks.add(is_out ? from : device, is_out ? StepStream::copies_out : StepStream::copies_in, link,
                         copy_time(function, op, context), needs);
    }
    made.op_of.push_back(number);
  }
  return made;
}

}  // namespace placewright
