// What would make a step shorter, each answered by placing the changed graph: data that stays where it is read, pins
// that are dropped. And what it would cost to move whole islands.
#include <algorithm>
#include <map>

#include <fmt/core.h>

#include "command.h"
#include "flip_search.h"
#include "placement_report.h"
#include "placewright/passes/placement_sensitivity.h"

namespace placewright::tools {
namespace {

// Re-solves are counted, never timed: reports of one graph are the same everywhere.
constexpr size_t most_resolves = 12;
constexpr size_t most_resolved_ops = 60'000;

// The largest share of a step that no estimate tells apart.
constexpr double least_share = 1e-6;

class HintMaker {
 public:
  explicit HintMaker(const PlacementReport& report)
      : report_(report),
        placed_(report.placed),
        left_(std::min(most_resolves, most_resolved_ops / std::max<size_t>(1, report.function().ops.size()))) {
    if (is_simulated(placed_.plan)) {
      forecast_ = step_seconds(placed_.plan, true);
      return;
    }
    for (const OpPlacement& op : placed_.plan.ops) forecast_ += op.seconds;
    for (const PlannedTransfer& copy : placed_.transfers)
      if (!copy.at_load) forecast_ += copy.seconds;
    if (placed_.plan.solved) forecast_ += static_cast<double>(placed_.plan.solved->relief) * 1e-9;
    forecast_ += read_back_seconds(placed_.plan);
  }

  std::vector<PinPrice> prices() {
    std::map<std::pair<SourceSite, DeviceId>, PinPrice> pins;
    for (const Op& op : report_.function().ops) {
      if (!op.pin) continue;
      PinPrice& pin =
          pins.try_emplace({op.pin->site, op.pin->device}, PinPrice{op.pin->site, op.pin->device, 0, {}}).first->second;
      ++pin.ops;
    }
    std::vector<PinPrice> prices;
    for (auto& [key, pin] : pins) {
      if (left_ == 0) break;
      Graph without = placed_.planned;
      for (Op& op : without.main().ops)
        if (op.pin && op.pin->site == pin.site && op.pin->device == pin.device) op.pin.reset();
      if (std::optional<double> seconds = resolve(without)) pin.seconds = forecast_ - *seconds;
      prices.push_back(pin);
    }
    std::stable_sort(prices.begin(), prices.end(), [](const PinPrice& a, const PinPrice& b) {
      return a.seconds.value_or(0) > b.seconds.value_or(0);
    });
    return prices;
  }

  std::vector<PlacementHint> hints(const std::vector<PinPrice>& prices) {
    std::vector<PlacementHint> hints;
    for (const PinPrice& pin : prices)
      if (is_worth(pin.seconds.value_or(0)))
        hints.push_back(
            {fmt::format("drop the pin to {} at {} ({}): a step then takes {}", pin.device.to_string(),
                         pin.site.to_string(), plural(pin.ops, "op"), duration_text(forecast_ - *pin.seconds)),
             *pin.seconds});
    for (const PlannedTransfer* copy : largest_arguments()) {
      if (left_ == 0) break;
      Graph kept = placed_.planned;
      kept.main().ops[copy->value.op].pin = Pin{copy->to, copy->site};
      std::optional<double> seconds = resolve(kept);
      if (seconds && is_worth(forecast_ - *seconds))
        hints.push_back({fmt::format("{} is copied to {} in every step ({}, {} of {}): {} there, and a step takes {}",
                                     copy->what, copy->to.to_string(), bytes_text(copy->bytes),
                                     duration_text(copy->seconds), duration_text(forecast_),
                                     input_kind(report_.function(), copy->value) == InputKind::argument
                                         ? "keep the data that it comes from"
                                         : "place it",
                                     duration_text(*seconds)),
                         forecast_ - *seconds});
    }
    std::stable_sort(hints.begin(), hints.end(),
                     [](const PlacementHint& a, const PlacementHint& b) { return a.seconds > b.seconds; });
    return hints;
  }

 private:
  bool is_worth(double seconds) const { return seconds > least_share * forecast_; }

  // What a step takes; nothing if the changed graph has no placement.
  std::optional<double> resolve(const Graph& changed) {
    --left_;
    try {
      return step_seconds(placed_.replan(changed), is_simulated(placed_.plan));
    } catch (const NoPlacement&) {
      return {};
    }
  }

  std::vector<const PlannedTransfer*> largest_arguments() const {
    std::vector<const PlannedTransfer*> copies;
    for (const PlannedTransfer& copy : placed_.transfers) {
      const Op& made = report_.function().op(copy.value);
      if (!copy.at_load && made.is("input") && !made.pin && report_.function().tensor(copy.value).rank() > 0)
        copies.push_back(&copy);
    }
    std::stable_sort(copies.begin(), copies.end(), [](const auto* a, const auto* b) { return a->bytes > b->bytes; });
    return copies;
  }

  const PlacementReport& report_;
  const GraphPlacement& placed_;
  size_t left_;
  double forecast_ = 0;  // what re-solves are compared with: forecasts too
};

}  // namespace

void find_hints(PlacementReport& report) {
  HintMaker maker(report);
  if (report.placed.plan.seconds <= 0) {  // nothing to weigh
    for (const std::string& hint : report.placed.plan.hints) report.hints.push_back({hint, 0});
    return;
  }
  report.pins = maker.prices();
  report.hints = maker.hints(report.pins);
}

void find_radius(PlacementReport& report) {
  constexpr size_t most_deciding = 8;
  if (!report.placed.plan.solved) return;
  const SolvedPlacement& solved = *report.placed.plan.solved;
  if (solved.is_limited || report.proof->is_simulated) return;  // rivals may not fit; another objective
  std::optional<Radius> found = error_radius(solved.problem, solved.labels);
  if (!found || found->rival.empty()) return;
  PlacementRadius radius{found->relative(), found->is_proven, {}, {}};
  // Of a group, the op that takes longest.
  std::vector<int32_t> costliest(solved.labels.size(), -1);
  const std::vector<OpPlacement>& ops = report.placed.plan.ops;
  for (size_t i = 0; i < solved.group_of.size(); ++i) {
    int32_t& known = costliest[solved.group_of[i]];
    if (known < 0 || ops[i].seconds > ops[known].seconds) known = static_cast<int32_t>(i);
  }
  for (int group : found->groups)
    if (costliest[group] >= 0 && radius.ops.size() < most_deciding) radius.ops.push_back(costliest[group]);
  for (int value : found->values)
    if (radius.copied.size() < most_deciding) radius.copied.push_back(solved.sources[value].op);
  report.radius = std::move(radius);
}

void find_islands(PlacementReport& report) {
  constexpr size_t most = 50;
  if (!report.placed.plan.solved || report.proof->is_simulated) return;  // islands are priced by sums
  const SolvedPlacement& solved = *report.placed.plan.solved;
  const PlacementProblem& problem = solved.problem;
  std::vector<Island> found = placewright::find_islands(problem, solved.labels);
  std::vector<std::vector<int32_t>> ops(solved.labels.size());
  for (size_t i = 0; i < solved.group_of.size(); ++i) ops[solved.group_of[i]].push_back(static_cast<int32_t>(i));
  const std::vector<std::vector<int>> values_of = values_of_groups(problem);
  for (const Island& island : found) {
    PlacementIsland row{solved.devices[island.label], {}, {}};
    for (int group : island.groups) row.ops.insert(row.ops.end(), ops[group].begin(), ops[group].end());
    std::sort(row.ops.begin(), row.ops.end());
    if (row.ops.size() < 2) continue;  // an op alone says itself what it would cost elsewhere
    for (int label = 0; label < problem.labels; ++label) {
      if (label == island.label) continue;
      const bool runs = std::any_of(island.groups.begin(), island.groups.end(), [&](int group) {
        return problem.costs[group][label] < PlacementProblem::unrunnable;
      });
      if (runs)
        row.elsewhere.emplace_back(
            solved.devices[label],
            static_cast<double>(flip_cost(problem, values_of, solved.labels, island.groups, label)) * 1e-9);
    }
    if (!row.elsewhere.empty()) report.islands.push_back(std::move(row));
  }
  std::stable_sort(report.islands.begin(), report.islands.end(),
                   [](const PlacementIsland& a, const PlacementIsland& b) { return a.ops.size() > b.ops.size(); });
  if (report.islands.size() > most) report.islands.resize(most);
}

}  // namespace placewright::tools
