#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "placewright/base/duration.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/launch_order.h"
#include "placewright/passes/placement_memory.h"
#include "placewright/passes/relief.h"
#include "placewright/passes/step_time.h"
#include "relief_candidates.h"
#include "relief_rounds.h"
#include "surely_fits.h"

namespace placewright {
namespace {

constexpr int most_rounds = 64;
// Memory plans, as the judge, of one search: fewer of large graphs, ops counted that are planned.
constexpr int64_t most_plans = 160, fewest_plans = 16, most_planned = 60000;
constexpr int most_stalled = 16;     // memory plans one after the other with which the device lacks no less
constexpr size_t most_moments = 24;  // that one round looks at
// A round frees at most such a part of what is in use at the fullest moment: then the next looks anew.
constexpr int64_t coarse = 4, fine = 32;
constexpr int most_floors = 4;

class ReliefFinder {
 public:
  ReliefFinder(Graph compiled, const PassContext& context) : context_(context) { relief_.graph = std::move(compiled); }

  // As it is: then there is nothing to search.
  bool fits() {
    if (surely_fits(relief_.graph, context_) || !has_single_places()) return true;
    relief_.need = measure_need(relief_.graph, context_);
    return relief_.need.excess() == 0;
  }

  const Graph& graph() const { return relief_.graph; }
  Relief take() { return std::move(relief_); }

  // Where it does not fit. `in_vain`: even where it is clear that nothing makes it; what frees more than it must is
  // kept then.
  Relief search(bool in_vain) {
    if (!in_vain && !may_fit()) return settle(std::move(relief_));
    without_relief_ = price_step(relief_.graph, context_);
    try_order(false);
    if (relief_.need.excess() == 0) return settle(std::move(relief_));
    const Relief ordered = relief_;
    search_values(false);
    if (!in_vain) prune(ordered);
    Relief best = std::exchange(relief_, ordered);
    // In parts the launches free more, at a price.
    const bool has_parts = try_order(true);
    const Relief base = relief_;
    if (best.need.excess() == 0 && (!has_parts || base.seconds >= best.seconds)) return settle(std::move(best));
    if (has_parts) {
      search_values(false);
      if (!in_vain) prune(base);
      take_better(best);
    }
    if (best.need.excess() > 0) {
      relief_ = base;
      search_values(true);
      if (!in_vain) prune(base);
      take_better(best);
    }
    return settle(std::move(best));
  }

  // What another search found for the same graph, without what is superfluous within this one's limits.
  Relief pruned(Relief found) {
    without_relief_ = price_step(relief_.graph, context_);
    Relief base;
    for (const ReliefStep& step : found.steps) {
      if (step.kind != ReliefKind::reordered) break;
      base.steps.push_back(step);
      base.seconds += step.seconds;
    }
    base.graph = apply_relief(std::move(relief_.graph), context_, base.steps);
    relief_ = std::move(found);
    prune(base);
    return settle(std::move(relief_));
  }

 private:
  static Relief settle(Relief relief) {
    relief.fits = relief.need.excess() == 0;
    return relief;
  }

  void take_better(Relief& best) {
    const int64_t excess = relief_.need.excess(), least = best.need.excess();
    if (excess < least || (excess == least && relief_.seconds < best.seconds)) best = std::move(relief_);
  }

  bool may_fit() const {
    return std::all_of(relief_.need.devices.begin(), relief_.need.devices.end(),
                       [](const DeviceNeed& device) { return device.least <= device.capacity; });
  }

  // What is still split over devices has no memory plan yet.
  bool has_single_places() const {
    for (const Op& op : relief_.graph.main().ops)
      for (const Type& type : op.results)
        if (!type.tensor().where.is_single()) return false;
    return true;
  }

  static int64_t room_of(const DeviceNeed& need) { return std::max<int64_t>(0, need.capacity - need.beside); }

  // Bytes above what there is room for, over all moments: falls where one of several full moments is relieved.
  int64_t area(const Graph& graph, const MemoryNeed& need) const {
    ReliefCandidates view(graph, context_, need);
    int64_t sum = 0;
    for (const DeviceNeed& device : need.devices)
      if (device.excess() > 0)
        for (int64_t alive : view.alive_on(device.device))
          sum = checked_add(sum, std::max<int64_t>(0, alive - room_of(device)));
    return sum;
  }

  const DeviceNeed& tightest() const {
    return *std::max_element(relief_.need.devices.begin(), relief_.need.devices.end(),
                             [](const DeviceNeed& a, const DeviceNeed& b) { return a.excess() < b.excess(); });
  }

  static int64_t count_launches(const Function& function) {
    return std::count_if(function.ops.begin(), function.ops.end(),
                         [](const Op& op) { return !op.is("input") && !op.is("constant") && !op.entry->traits.view; });
  }

  // Another order of the launches on the device that lacks most, if that helps; `in_parts`: of their parts.
  bool try_order(bool in_parts) {
    const DeviceNeed before = tightest();
    ReliefStep step;
    step.kind = ReliefKind::reordered;
    step.device = before.device;
    if (in_parts) {
      cut_launches(relief_.graph, relief_.need.plan, step.device, step.cut);
      if (step.cut == 0) return false;
    }
    Graph changed = apply_relief(relief_.graph, context_, {step});
    MemoryNeed need = measure_need(changed, context_);
    if (need.excess() >= relief_.need.excess()) return false;
    const Function& old = relief_.graph.main();
    step.what = fmt::format("{} launches", count_launches(old));
    step.because = fmt::format("the step needed {} bytes as it stood", before.bytes);
    for (const DeviceMemoryPlan& memory : relief_.need.plan.devices)
      if (memory.device == step.device) {
        const auto fullest = std::min<int32_t>(memory.peak_at, static_cast<int32_t>(old.ops.size()) - 1);
        step.reader = value_name(relief_.graph, old, {fullest, 0});
        step.site = site_near(relief_.graph, fullest);
      }
    for (const DeviceNeed& device : need.devices)
      if (device.device == step.device) step.bytes = before.bytes - device.bytes;
    relief_.graph = std::move(changed);
    relief_.need = std::move(need);
    take_steps({std::move(step)});
    return true;
  }

  // Value by value, or stretches of launches first, as far as they help.
  void search_values(bool by_stretches) {
    plans_ = stalled_ = 0;
    for (int round = 1; round < most_rounds && relief_.need.excess() > 0; ++round) {
      const int64_t before = area(relief_.graph, relief_.need);
      if (by_stretches && take(choose_stretches(), round, before)) continue;
      if (!take(choose(coarse), round, before) && !take(choose(fine), round, before)) break;
    }
  }

  bool take(std::vector<ReliefStep> steps, int round, int64_t area_before) {
    for (ReliefStep& step : steps) step.round = round;
    return accept_any(steps, area_before);
  }

  // Together, else the half that is dearer to keep, else the other: what frees nothing holds the rest up no longer.
  bool accept_any(const std::vector<ReliefStep>& steps, int64_t area_before) {
    if (steps.empty()) return false;
    if (accept(steps, area_before)) return true;
    if (steps.size() == 1) return false;
    auto middle = steps.begin() + static_cast<std::ptrdiff_t>(steps.size() / 2);
    return accept_any({steps.begin(), middle}, area_before) || accept_any({middle, steps.end()}, area_before);
  }

  bool accept(const std::vector<ReliefStep>& steps, int64_t area_before) {
    const auto ops = static_cast<int64_t>(relief_.graph.main().ops.size());
    if (++plans_ > std::clamp<int64_t>(most_planned / ops, fewest_plans, most_plans) || ++stalled_ > most_stalled)
      return false;
    // Only the entry function is copied: the others are what launches run, to which steps add their own.
    Function entry = relief_.graph.main();
    const size_t functions = relief_.graph.functions.size();
    relief_.graph = apply_relief(std::move(relief_.graph), context_, steps);
    MemoryNeed need = measure_need(relief_.graph, context_);
    int64_t excess = need.excess(), before = relief_.need.excess();
    if (excess > before || (excess == before && area(relief_.graph, need) >= area_before)) {
      relief_.graph.functions.resize(functions);
      relief_.graph.main() = std::move(entry);
      return false;
    }
    if (excess < before) stalled_ = 0;
    relief_.need = std::move(need);
    take_steps(steps);
    return true;
  }

  // Small steps that were taken first may be superfluous behind larger ones. `base`: before all rounds.
  void prune(const Relief& base) {
    const size_t before = relief_.steps.size();
    if (relief_.need.excess() > 0 || before < base.steps.size() + 2) return;
    ReliefRounds rounds;
    for (size_t i = base.steps.size(); i < before; ++i) {
      if (rounds.empty() || rounds.back().front().round != relief_.steps[i].round) rounds.emplace_back();
      rounds.back().push_back(relief_.steps[i]);
    }
    rounds = drop_superfluous(base.graph, context_, std::move(rounds));
    size_t after = base.steps.size();
    for (const std::vector<ReliefStep>& round : rounds) after += round.size();
    if (after == before) return;
    relief_ = base;
    for (const std::vector<ReliefStep>& round : rounds) {
      if (round.empty()) continue;
      relief_.graph = apply_round(std::move(relief_.graph), round);
      take_steps(round);
    }
    relief_.need = measure_need(relief_.graph, context_);
    PW_CHECK(relief_.need.excess() == 0, "what is left of the steps is too little");
  }

  // What they were thought to take shares out what the step does take longer with them, as it is compiled now.
  void take_steps(const std::vector<ReliefStep>& steps) {
    int64_t left = price_step(relief_.graph, context_) - without_relief_;
    for (const ReliefStep& step : relief_.steps) left -= nanoseconds(step.seconds);
    left = std::max<int64_t>(0, left);
    double weight = 0;
    for (const ReliefStep& step : steps) weight += step.seconds;
    relief_.seconds += static_cast<double>(left) * 1e-9;
    for (const ReliefStep& step : steps) {
      const bool is_last = &step == &steps.back();
      const int64_t share =
          is_last || weight <= 0 ? left : std::llround(static_cast<double>(left) * (step.seconds / weight));
      weight -= step.seconds;
      left -= share;
      relief_.steps.push_back(step);
      relief_.steps.back().seconds = static_cast<double>(share) * 1e-9;
    }
  }

  // What is in use on the device that lacks most, as the steps of a round are taken one by one.
  struct Usage {
    DeviceId device;
    std::vector<int64_t> alive;  // by op
    int64_t room = 0;
    std::set<Value> gone, kept;
    std::vector<ReliefStep> steps;
    double seconds = 0;

    int64_t fullest() const { return *std::max_element(alive.begin(), alive.end()); }
    int32_t fullest_moment() const {
      return static_cast<int32_t>(std::max_element(alive.begin(), alive.end()) - alive.begin());
    }
    void take(ReliefCandidate& found, int32_t moment) {
      if (!may_take(found, gone, kept) || alive[found.step.before] + found.transient >= alive[moment]) return;
      for (Value value : found.step.values) gone.insert(value);
      kept.insert(found.kept.begin(), found.kept.end());
      for (int32_t i = found.step.after + 1; i < found.step.before; ++i) alive[i] -= found.step.bytes;
      alive[found.step.before] += found.transient;
      seconds += found.step.seconds;
      steps.push_back(std::move(found.step));
    }
  };

  Usage usage(const ReliefCandidates& candidates) const {
    const DeviceNeed& device = tightest();
    Usage usage{device.device, candidates.alive_on(device.device), room_of(device), {}, {}, {}, 0};
    const int64_t fullest = usage.fullest();
    if (fullest <= usage.room) usage.room = fullest - device.excess();  // gaps between what is alive are too much
    return usage;
  }

  // Of the device that lacks most, moment by moment, fullest first, until by estimate all fits, or `part` of it less.
  std::vector<ReliefStep> choose(int64_t part) {
    ReliefCandidates candidates(relief_.graph, context_, relief_.need);
    Usage usage = this->usage(candidates);
    const int64_t fullest = usage.fullest();
    usage.room = std::max(usage.room, fullest - fullest / part);
    std::vector<bool> given_up(usage.alive.size(), false);
    for (size_t looked = 0; looked < most_moments; ++looked) {
      int32_t moment = -1;
      for (size_t i = 0; i < usage.alive.size(); ++i)
        if (!given_up[i] && usage.alive[i] > usage.room && (moment < 0 || usage.alive[i] > usage.alive[moment]))
          moment = static_cast<int32_t>(i);
      if (moment < 0) break;
      given_up[moment] = true;
      for (ReliefCandidate& found : candidates.at(usage.device, moment, usage.gone)) {
        if (usage.alive[moment] <= usage.room) break;
        usage.take(found, moment);
      }
    }
    return std::move(usage.steps);
  }

  // Short stretches hand on more, long ones need more while they run again: of several lengths the cheapest with which
  // all fits by estimate, or the one that comes nearest.
  std::vector<ReliefStep> choose_stretches() {
    ReliefCandidates candidates(relief_.graph, context_, relief_.need);
    const Usage before = usage(candidates);
    const int32_t moment = before.fullest_moment();
    if (moment >= static_cast<int32_t>(relief_.graph.main().ops.size())) return {};
    const int64_t waiting = candidates.waiting_bytes(before.device, moment);
    Usage best = before;
    int64_t best_fullest = before.fullest();
    for (int64_t count : {2, 3, 4, 6, 8, 12, 16, 24, 32, 48}) {
      Usage trial = before;
      std::vector<ReliefCandidate> found = candidates.stretches(before.device, moment, waiting / count);
      sort_by_worth(found);
      for (ReliefCandidate& stretch : found) {
        if (trial.fullest() <= trial.room) break;
        trial.take(stretch, moment);
      }
      const int64_t fullest = trial.fullest();
      const bool fits = fullest <= before.room, has_fit = best_fullest <= before.room;
      if (fits && has_fit ? trial.seconds >= best.seconds : fullest >= best_fullest) continue;
      best = std::move(trial);
      best_fullest = fullest;
    }
    return std::move(best.steps);
  }

  static bool may_take(const ReliefCandidate& found, const std::set<Value>& gone, const std::set<Value>& kept) {
    return std::none_of(found.step.values.begin(), found.step.values.end(),
                        [&](Value value) { return gone.contains(value) || kept.contains(value); }) &&
           std::none_of(found.kept.begin(), found.kept.end(), [&](Value value) { return gone.contains(value); });
  }

  const PassContext& context_;
  Relief relief_;
  int64_t without_relief_ = 0;  // nanoseconds of the step
  int plans_ = 0, stalled_ = 0;
};

}  // namespace

Relief try_relief(Graph compiled, const PassContext& context) {
  ReliefFinder finder(std::move(compiled), context);
  return finder.fits() ? finder.take() : finder.search(false);
}

Relief find_least(const Graph& compiled, const PassContext& context, const DeviceId& device) {
  Machine machine = *context.machine;
  PassContext limited = context;
  limited.machine = &machine;
  Relief lowest;
  int64_t goal = 1;
  for (int i = 0; i < most_floors; ++i) {
    for (DeviceSpec& spec : machine.devices)
      if (spec.id == device) spec.memory_bytes = goal;
    ReliefFinder finder(compiled, limited);
    Relief found = finder.fits() ? finder.take() : finder.search(true);
    found.need = measure_need(found.graph, context);
    int64_t needed = 0;
    for (const DeviceNeed& need : found.need.devices)
      if (need.device == device) needed = need.bytes;
    if (i > 0 && needed > goal) break;
    lowest = std::move(found);
    goal = needed - 1;
  }
  lowest.fits = lowest.need.excess() == 0;
  return lowest.fits ? ReliefFinder(compiled, context).pruned(std::move(lowest)) : lowest;
}

Relief find_relief(Graph compiled, const PassContext& context) {
  ReliefFinder finder(std::move(compiled), context);
  if (finder.fits()) return finder.take();
  const Graph before = finder.graph();
  Relief relief = finder.search(false);
  return relief.fits ? std::move(relief) : find_least(before, context, lacking_device(relief.need));
}

std::string describe(const ReliefStep& step) {
  const std::string site = step.site.file.empty() ? "" : " (" + step.site.to_string() + ")";
  const std::string price =
      fmt::format("frees {} bytes of {} for {}{}", step.bytes, step.device.to_string(), duration_text(step.seconds),
                  step.because.empty() ? "" : ", because " + step.because);
  if (step.kind == ReliefKind::reordered)
    return fmt::format("{} in another order{}, fullest at {}{}: {}", step.what,
                       step.cut > 0 ? fmt::format(", {} of them in parts", step.cut) : "", step.reader, site, price);
  const std::string more = step.values.size() > 1 ? fmt::format(" and {} more", step.values.size() - 1) : "";
  std::string how(name(step.kind));
  if (step.kind == ReliefKind::recomputed && step.launches.size() > 1)
    how = fmt::format("recomputed by {} launches", step.launches.size());
  if (step.kind == ReliefKind::offloaded) how = "waits on " + step.waits_on.to_string();
  return fmt::format("{}{}{} {} before {}: {}", step.what, site, more, how, step.reader, price);
}

}  // namespace placewright
