#include <algorithm>
#include <array>

#include "flip_search.h"
#include "what_if.h"

namespace placewright::tools {
namespace {

// Every number is planned where that takes no more than so many ops altogether: counted, never timed.
constexpr int64_t most_planned_ops = 60'000;

// The placement of the beginning of a range, whatever the graph is elsewhere.
struct Standing {
  std::string fault;
  std::vector<DeviceId> devices;          // of each op
  std::map<std::string, size_t> numbers;  // of ops, by key
  std::shared_ptr<const SolvedPlacement> solved;
};

// What a step takes at the ends of a range, by sums and by simulation.
struct Ends {
  std::array<double, 2> from{}, to{};
};

class RangeFinder {
 public:
  explicit RangeFinder(const Axis& axis) : axis_(axis) {}

  WhatIf run() {
    WhatIf answer;
    answer.axis = axis_;
    const PlanAt first = plan_at(axis_.low);
    const int64_t ops = first.forecast ? static_cast<int64_t>(first.forecast->planned.main().ops.size()) : 1000;
    answer.is_exhaustive = (axis_.high - axis_.low + 1) * ops <= most_planned_ops;
    PlanAt before;
    for (int64_t from = axis_.low; from <= axis_.high; from = answer.ranges.back().to + 1) {
      PlanAt now = plan_at(from);
      if (from > axis_.low) answer.borders.push_back(border(from, before, now));
      const Standing standing = stand(now);
      const int64_t to = answer.is_exhaustive ? walk(from, standing) : gallop(from, standing);
      answer.ranges.push_back(range(from, to, now));
      before = std::move(now);
    }
    answer.plans = plans_;
    answer.is_simulated = is_simulated_;
    for (size_t r = 0; r < ends_.size(); ++r) {
      answer.ranges[r].seconds_from = ends_[r].from[is_simulated_ ? 1 : 0];
      answer.ranges[r].seconds_to = ends_[r].to[is_simulated_ ? 1 : 0];
    }
    return answer;
  }

 private:
  PlanAt plan_at(int64_t index) {
    ++plans_;
    return axis_.plan_at(index);
  }

  static Standing stand(const PlanAt& at) {
    Standing standing{at.fault, {}, {}, {}};
    if (!at.forecast) return standing;
    for (const OpPlacement& op : at.forecast->plan.ops) {
      standing.numbers.emplace(op.key, standing.devices.size());
      standing.devices.push_back(op.where.devices.front());
    }
    standing.solved = at.forecast->plan.solved;
    return standing;
  }

  // Where ops of the graph at another number stand by this placement; what it does not know stands where it is.
  static std::vector<DeviceId> carried(const Standing& standing, const PlacementPlan& plan) {
    std::vector<DeviceId> devices;
    for (const OpPlacement& op : plan.ops) {
      auto at = standing.numbers.find(op.key);
      devices.push_back(at == standing.numbers.end() ? op.where.devices.front() : standing.devices[at->second]);
    }
    return devices;
  }

  bool is_optimal_at(int64_t index, const Standing& standing) {
    const PlanAt at = plan_at(index);
    if (!at.forecast || !standing.fault.empty()) return !at.forecast && !standing.fault.empty();
    const PlacementPlan& plan = at.forecast->plan;
    const std::vector<DeviceId> devices = carried(standing, plan);
    bool is_same = true;
    for (size_t op = 0; op < devices.size(); ++op)
      is_same = is_same && devices[op] == plan.ops[op].where.devices.front();
    if (is_same) return true;
    if (!plan.solved || plan.solved->is_limited || is_simulated(plan)) return false;
    // Another placement that costs the same is no reason for a border.
    const SolvedPlacement& solved = *plan.solved;
    Labels labels = solved.labels;
    for (size_t op = 0; op < devices.size(); ++op)
      labels[solved.group_of[op]] = static_cast<int>(
          std::find(solved.devices.begin(), solved.devices.end(), devices[op]) - solved.devices.begin());
    for (size_t group = 0; group < labels.size(); ++group)
      if (labels[group] >= solved.problem.labels ||
          solved.problem.costs[group][labels[group]] >= PlacementProblem::unrunnable)
        return false;
    return energy(solved.problem, labels) <= solved.energy;
  }

  int64_t walk(int64_t from, const Standing& standing) {
    int64_t last = from;
    while (last < axis_.high && is_optimal_at(last + 1, standing)) ++last;
    return last;
  }

  int64_t gallop(int64_t from, const Standing& standing) {
    int64_t good = from, bad = axis_.high + 1;
    for (int64_t step = 1; bad > axis_.high && good < axis_.high; step *= 2) {
      const int64_t next = step < axis_.high - good ? good + step : axis_.high;
      (is_optimal_at(next, standing) ? good : bad) = next;
    }
    while (good + 1 < bad) {
      const int64_t middle = good + (bad - good) / 2;
      (is_optimal_at(middle, standing) ? good : bad) = middle;
    }
    return good;
  }

  PlacementRange range(int64_t from, int64_t to, const PlanAt& begin) {
    PlacementRange range{from, to, begin.fault, 0, 0, {}};
    Ends& ends = ends_.emplace_back();
    if (!begin.forecast) return range;
    for (const OpPlacement& op : begin.forecast->plan.ops) {
      RangeOps& counted = range.devices[op.where.devices.front()];
      ++(op.seconds > 0 ? counted.ops : counted.others);
    }
    ends.from = ends.to = step_of(begin);
    if (to > from)
      if (const PlanAt end = plan_at(to); end.forecast) ends.to = step_of(end);
    return range;
  }

  // If one plan was chosen by simulation, all are compared by it.
  std::array<double, 2> step_of(const PlanAt& at) {
    const PlacementPlan& plan = at.forecast->plan;
    is_simulated_ = is_simulated_ || is_simulated(plan);
    return {step_seconds(plan, false), step_seconds(plan, true)};
  }

  static Border border(int64_t at, const PlanAt& before, const PlanAt& now) {
    Border border{at, {}, 0, 0};
    if (!before.forecast || !now.forecast) return border;
    const Standing standing = stand(before);
    size_t known = 0;
    for (const OpPlacement& op : now.forecast->plan.ops) {
      auto was = standing.numbers.find(op.key);
      if (was == standing.numbers.end()) {
        ++border.appeared;
        continue;
      }
      ++known;
      const DeviceId &from = standing.devices[was->second], &to = op.where.devices.front();
      if (from == to) continue;
      auto move = std::find_if(border.moves.begin(), border.moves.end(),
                               [&](const BorderMove& row) { return row.from == from && row.to == to; });
      if (move == border.moves.end()) move = border.moves.insert(move, {from, to, {}, 0});
      if (op.seconds > 0)
        move->ops.push_back(op.key);
      else
        ++move->others;
    }
    border.gone = standing.devices.size() - known;
    return border;
  }

  const Axis& axis_;
  int plans_ = 0;
  std::vector<Ends> ends_;  // of each range
  bool is_simulated_ = false;
};

}  // namespace

WhatIf find_ranges(const Axis& axis) { return RangeFinder(axis).run(); }

}  // namespace placewright::tools
