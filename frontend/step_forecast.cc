#include "placewright/step_forecast.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "placewright/codegen/launch_costs.h"
#include "placewright/ir/op_table.h"
#include "placewright/ir/profile.h"

namespace placewright {
namespace {

struct Event {
  double end = 0;
  int32_t before = -1;  // the event that it had to wait for last
  std::vector<StepShare> parts;
};

class Forecast {
 public:
  Forecast(const GraphPlacement& placed, const Profile* profile) : placed_(placed), profile_(profile) {
    auto facts = std::make_shared<OpFactsTable>();
    for (const DeviceSpec& spec : placed.machine.devices) costs_.emplace(spec.id, LaunchCosts(spec, profile, facts));
    context_.machine = &placed.machine;
    context_.profile = profile;
  }

  StepForecast run() {
    const Function& function = placed_.compiled.main();
    made_by_.resize(function.ops.size(), -1);
    for (int32_t op = 0; op < static_cast<int32_t>(function.ops.size()); ++op) made_by_[op] = event_of(op);
    return walk_back();
  }

 private:
  static const DeviceId& device_of(const Function& function, Value value) {
    return function.tensor(value).where.devices.at(0);
  }

  bool runs(const Op& op) const {
    return !op.results.empty() &&
           (op.is("fused") || op.is("relayout") || (can_lower(*op.entry) && !op.entry->traits.view));
  }

  // The event that is over when the op's results are there; -1: they are there before the step.
  int32_t event_of(int32_t number) {
    const Function& function = placed_.compiled.main();
    const Op& op = function.ops[number];
    int32_t ready = -1;
    for (Value operand : op.operands) ready = later(ready, made_by_[operand.op]);
    if (op.is("transfer")) {
      if (op.attributes.get<bool>("at_load")) return -1;
      const DeviceId &from = device_of(function, op.operands[0]), &to = device_of(function, {number, 0});
      const double seconds = transfer_seconds(context_, from, to, function.tensor({number, 0}).bytes());
      return append({from, to}, ready, {{StepLimit::link, from, to, seconds}});
    }
    if (!runs(op)) return ready;
    const DeviceId& device = device_of(function, {number, 0});
    auto costs = costs_.find(device);
    if (costs == costs_.end()) return ready;
    const LaunchParts parts = costs->second.parts(placed_.compiled, function, {number});
    return append({device, device}, ready,
                  {{StepLimit::launches, device, {}, parts.overhead},
                   {StepLimit::arithmetic, device, {}, parts.arithmetic},
                   {StepLimit::memory_traffic, device, {}, parts.traffic}});
  }

  int32_t later(int32_t a, int32_t b) const { return b < 0 || (a >= 0 && events_[a].end >= events_[b].end) ? a : b; }

  // Behind what stands on the track already, and when what it reads is `ready`.
  int32_t append(const std::pair<DeviceId, DeviceId>& track, int32_t ready, std::vector<StepShare> parts) {
    int32_t& last = last_.try_emplace(track, -1).first->second;
    Event event;
    event.before = later(last, ready);
    event.end = event.before < 0 ? 0 : events_[event.before].end;
    for (const StepShare& part : parts) event.end += part.seconds;
    event.parts = std::move(parts);
    events_.push_back(std::move(event));
    return last = static_cast<int32_t>(events_.size()) - 1;
  }

  StepForecast walk_back() const {
    using Key = std::tuple<StepLimit, DeviceId, DeviceId>;
    std::map<Key, double> sums;
    int32_t at = -1;
    for (int32_t event = 0; event < static_cast<int32_t>(events_.size()); ++event) at = later(at, event);
    StepForecast forecast;
    if (at >= 0) forecast.seconds = events_[at].end;
    for (; at >= 0; at = events_[at].before)
      for (const StepShare& part : events_[at].parts) sums[{part.limit, part.device, part.to}] += part.seconds;
    if (profile_ && profile_->call_seconds > 0) {
      forecast.seconds += profile_->call_seconds;
      sums[{StepLimit::call, {}, {}}] = profile_->call_seconds;
    }
    for (const auto& [key, seconds] : sums)
      if (seconds > 0) forecast.shares.push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), seconds});
    std::stable_sort(forecast.shares.begin(), forecast.shares.end(),
                     [](const StepShare& a, const StepShare& b) { return a.seconds > b.seconds; });
    return forecast;
  }

  const GraphPlacement& placed_;
  const Profile* profile_;
  PassContext context_;
  std::map<DeviceId, LaunchCosts> costs_;
  std::vector<Event> events_;
  std::vector<int32_t> made_by_;                           // of each op
  std::map<std::pair<DeviceId, DeviceId>, int32_t> last_;  // event of each track; a device's is from it to itself
};

}  // namespace

std::string_view name(StepLimit limit) {
  switch (limit) {
    case StepLimit::arithmetic:
      return "arithmetic";
    case StepLimit::memory_traffic:
      return "memory traffic";
    case StepLimit::launches:
      return "launches";
    case StepLimit::link:
      return "link";
    case StepLimit::call:
      return "call";
  }
  return "";
}

StepForecast forecast_step(const GraphPlacement& placed, const Profile* profile) {
  return Forecast(placed, profile).run();
}
}  // namespace placewright
