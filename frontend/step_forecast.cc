#include "placewright/step_forecast.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "placewright/codegen/launch_costs.h"

namespace placewright {
namespace {

class Forecast {
 public:
  explicit Forecast(const GraphPlacement& placed) : graph_(placed.compiled), step_(placed.simulate(placed.compiled)) {
    auto facts = std::make_shared<OpFactsTable>();
    for (const DeviceSpec& spec : placed.machine.devices) costs_.emplace(spec.id, LaunchCosts(spec, nullptr, facts));
  }

  // Back from the event that ends last: each begins when the one before it has ended.
  StepForecast run() {
    int32_t at = -1;
    for (int32_t event = 0; event < static_cast<int32_t>(step_.events.size()); ++event)
      if (at < 0 || step_.events[event].end > step_.events[at].end) at = event;
    for (; at >= 0; at = step_.events[at].cause) add(step_.events[at]);
    StepForecast forecast{static_cast<double>(step_.done) * 1e-9, {}};
    for (const auto& [key, seconds] : sums_)
      if (seconds > 0) forecast.shares.push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), seconds});
    std::stable_sort(forecast.shares.begin(), forecast.shares.end(),
                     [](const StepShare& a, const StepShare& b) { return a.seconds > b.seconds; });
    return forecast;
  }

 private:
  void add(const StepEvent& event) {
    const double seconds = static_cast<double>(event.end - event.begin) * 1e-9;
    if (event.device != event.to) {
      sums_[{StepLimit::link, event.device, event.to}] += seconds;
      return;
    }
    const LaunchParts parts = costs_.at(event.device).parts(graph_, graph_.main(), {event.op});
    const double scale = parts.seconds() > 0 ? seconds / parts.seconds() : 0;
    sums_[{StepLimit::launches, event.device, {}}] += parts.overhead * scale;
    sums_[{StepLimit::arithmetic, event.device, {}}] += parts.arithmetic * scale;
    sums_[{StepLimit::memory_traffic, event.device, {}}] += parts.traffic * scale;
  }

  const Graph& graph_;
  StepTimeline step_;
  std::map<DeviceId, LaunchCosts> costs_;
  std::map<std::tuple<StepLimit, DeviceId, DeviceId>, double> sums_;
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
  }
  return "";
}

StepForecast forecast_step(const GraphPlacement& placed) { return Forecast(placed).run(); }

}  // namespace placewright
