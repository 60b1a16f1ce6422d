#include <algorithm>
#include <set>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "placewright/ir/machine.h"
#include "placewright/passes/placement_memory.h"
#include "placewright/passes/relief.h"
#include "relief_candidates.h"

namespace placewright {
namespace {

constexpr int most_rounds = 64;
constexpr int most_plans = 160;      // memory plans, as the judge
constexpr size_t most_moments = 24;  // that one round looks at

class ReliefFinder {
 public:
  ReliefFinder(Graph compiled, const PassContext& context) : context_(context) { relief_.graph = std::move(compiled); }

  Relief run() {
    if (surely_fits() || !has_single_places()) return std::move(relief_);
    relief_.need = measure_need(relief_.graph, context_);
    for (int round = 0; round < most_rounds && relief_.need.excess() > 0; ++round)
      if (!try_round(round)) break;
    relief_.fits = relief_.need.excess() == 0;
    return std::move(relief_);
  }

 private:
  // A device holds each value at most once, a few times what results do, and workspaces for parts of launches.
  bool surely_fits() const {
    int64_t room = unlimited_memory;
    if (context_.machine)
      for (const DeviceSpec& spec : context_.machine->devices)
        if (spec.memory_bytes > 0) room = std::min(room, spec.memory_bytes);
    if (room == unlimited_memory) return true;
    int64_t sum = 0;
    for (const Function& function : relief_.graph.functions)
      for (const Op& op : function.ops)
        for (const Type& type : op.results) sum = checked_add(sum, type.tensor().bytes());
    return sum <= room / 8;
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

  bool try_round(int round) {
    std::vector<ReliefStep> steps = choose();
    for (ReliefStep& step : steps) step.round = round;
    return accept_any(steps, area(relief_.graph, relief_.need));
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
    if (++plans_ > most_plans) return false;
    Graph changed = apply_relief(relief_.graph, steps);
    MemoryNeed need = measure_need(changed, context_);
    int64_t excess = need.excess(), before = relief_.need.excess();
    if (excess > before || (excess == before && area(changed, need) >= area_before)) return false;
    relief_.graph = std::move(changed);
    relief_.need = std::move(need);
    for (const ReliefStep& step : steps) {
      relief_.steps.push_back(step);
      relief_.seconds += step.seconds;
    }
    return true;
  }

  // Of the device that lacks most, moment by moment, fullest first, until by estimate all fits.
  std::vector<ReliefStep> choose() {
    const DeviceNeed& device =
        *std::max_element(relief_.need.devices.begin(), relief_.need.devices.end(),
                          [](const DeviceNeed& a, const DeviceNeed& b) { return a.excess() < b.excess(); });
    ReliefCandidates candidates(relief_.graph, context_, relief_.need);
    std::vector<int64_t> alive = candidates.alive_on(device.device);
    int64_t room = room_of(device), fullest = *std::max_element(alive.begin(), alive.end());
    if (fullest <= room) room = fullest - device.excess();  // gaps between what is alive are what is too much
    std::vector<ReliefStep> steps;
    std::set<Value> gone, kept;
    std::vector<bool> given_up(alive.size(), false);
    for (size_t looked = 0; looked < most_moments; ++looked) {
      int32_t moment = -1;
      for (size_t i = 0; i < alive.size(); ++i)
        if (!given_up[i] && alive[i] > room && (moment < 0 || alive[i] > alive[moment]))
          moment = static_cast<int32_t>(i);
      if (moment < 0) break;
      given_up[moment] = true;
      for (ReliefCandidate& found : candidates.at(device.device, moment, gone)) {
        if (alive[moment] <= room) break;
        if (!may_take(found, gone, kept) || alive[found.step.before] + found.transient >= alive[moment]) continue;
        for (Value value : found.step.values) gone.insert(value);
        kept.insert(found.kept.begin(), found.kept.end());
        for (int32_t i = found.step.after + 1; i < found.step.before; ++i) alive[i] -= found.step.bytes;
        alive[found.step.before] += found.transient;
        steps.push_back(std::move(found.step));
      }
    }
    return steps;
  }

  static bool may_take(const ReliefCandidate& found, const std::set<Value>& gone, const std::set<Value>& kept) {
    return std::none_of(found.step.values.begin(), found.step.values.end(),
                        [&](Value value) { return gone.contains(value) || kept.contains(value); }) &&
           std::none_of(found.kept.begin(), found.kept.end(), [&](Value value) { return gone.contains(value); });
  }

  const PassContext& context_;
  Relief relief_;
  int plans_ = 0;
};

std::string seconds_text(double seconds) {
  return seconds >= 1e-3 ? fmt::format("{:.3g} ms", seconds * 1e3) : fmt::format("{:.3g} us", seconds * 1e6);
}

}  // namespace

Relief find_relief(Graph compiled, const PassContext& context) {
  return ReliefFinder(std::move(compiled), context).run();
}

std::string describe(const ReliefStep& step) {
  std::string site = step.site.file.empty() ? "" : " (" + step.site.to_string() + ")";
  std::string how;
  switch (step.kind) {
    case ReliefKind::recomputed:
      how = step.launches.size() > 1 ? fmt::format("recomputed by {} launches", step.launches.size()) : "recomputed";
      break;
    case ReliefKind::copied_again:
      how = "copied again";
      break;
    case ReliefKind::offloaded:
      how = "waits on " + step.waits_on.to_string();
      break;
  }
  return fmt::format("{}{} {} before {}: frees {} bytes of {} for {}", step.what, site, how, step.reader, step.bytes,
                     step.device.to_string(), seconds_text(step.seconds));
}

}  // namespace placewright
