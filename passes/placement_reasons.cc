#include "placement_reasons.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/core.h>

#include "placement_solver.h"
#include "placewright/base/duration.h"
#include "placewright/base/join.h"
#include "placewright/passes/placement_makespan.h"

namespace placewright {

FlipPrice price_flip(const PlacementProblem& problem, const std::vector<std::vector<int>>& values_of,
                     const ReaderCounts& readers, const Labels& labels, int group, int to) {
  FlipPrice price;
  price.running = problem.costs[group][to] - problem.costs[group][labels[group]];
  for (int v : values_of[group]) {
    const int64_t growth = readers.growth(v, group, to);
    price.copying += growth;
    if (growth <= price.dearest_copy) continue;
    price.dearest = v;
    price.dearest_copy = growth;
  }
  return price;
}

RejectedDevice PlacementSolver::later(const PlacementProblem& problem, const MakespanSolution& chosen, int group,
                                      int label, const std::vector<int>& order, const SourceSite& site) const {
  constexpr int few_groups = 256;  // more are not simulated one by one
  const std::string why = "the devices work at once";
  if (problem.groups() > few_groups)
    return {devices_[label], RejectionKind::dearer,
            why + ": of the placements that were tried none ends earlier; it was not tried alone there", site, 0};
  Labels labels = chosen.labels;
  labels[group] = label;
  int64_t growth = simulate(problem, labels, order, host_label).makespan - chosen.makespan;
  double seconds = static_cast<double>(growth) * 1e-9;
  if (growth < 0)
    return {devices_[label], RejectionKind::dearer,
            fmt::format("{}: by its price a step would end {} earlier if it alone ran there, but no placement with it "
                        "there was found that ends earlier as fused",
                        why, duration_text(-seconds)),
            site, 0};
  if (growth == 0) return {devices_[label], RejectionKind::same_cost, why + ": a step would end no earlier", site, 0};
  return {devices_[label], RejectionKind::dearer,
          fmt::format("{}: a step would end {} later if it alone ran there", why, duration_text(seconds)), site,
          seconds};
}

RejectedDevice PlacementSolver::no_room(const std::vector<int32_t>& group, const DeviceId& device, int64_t peak,
                                        int64_t cap) const {
  std::set<Value> held;  // with what it reads
  for (int32_t op : group) {
    for (size_t r = 0; r < function_.ops[op].results.size(); ++r) held.insert({op, static_cast<int32_t>(r)});
    held.insert(function_.ops[op].operands.begin(), function_.ops[op].operands.end());
  }
  int64_t needed = 0;
  for (Value value : held) needed += function_.tensor(value).bytes();
  return {device, RejectionKind::memory,
          fmt::format("needs {} bytes with what it reads; of {}, {} are free at the fullest moment", needed, cap,
                      std::max<int64_t>(0, cap - peak)),
          site(group.front()), 0};
}

// What keeps ops that stay together off a device: the first of them that it cannot run.
RejectedDevice PlacementSolver::refusal_of_group(const std::vector<int32_t>& group, const DeviceId& device) const {
  for (int32_t op : group) {
    std::string cause = refusal(op, device);
    if (cause.empty()) continue;
    if (group.size() > 1) cause = fmt::format("{} must be on the same device: {}", describe(op), cause);
    return refused(op, device, cause);
  }
  return {device, RejectionKind::no_kernel, "no finite cost there", site(group.front()), 0};
}

RejectedDevice PlacementSolver::dearer(const FlipPrice& price, Value dearest, const DeviceId& device,
                                       const SourceSite& site) const {
  auto text = [](int64_t nanoseconds) { return duration_text(std::abs(static_cast<double>(nanoseconds)) * 1e-9); };
  auto change = [&](int64_t growth, const char* what) {
    return fmt::format("{} {} to {}", text(growth), growth < 0 ? "less" : "more", what);
  };
  if (price.total() < 0)
    return {device, RejectionKind::dearer,
            fmt::format("it alone would take {} less there by its price, but no placement with it there was found that "
                        "is shorter as fused",
                        text(price.total())),
            site, 0};
  if (price.total() == 0) return {device, RejectionKind::same_cost, "costs the same", site, 0};
  std::vector<std::string> changes;
  if (price.running != 0) changes.push_back(change(price.running, "run"));
  if (price.copying != 0) changes.push_back(change(price.copying, "copy"));
  std::string cause = fmt::format("dearer by {} if it alone ran there: {}", text(price.total()), join(changes, ", "));
  if (price.copying > 0 && price.dearest >= 0)
    cause += fmt::format(", above all {} bytes of {}", function_.tensor(dearest).bytes(), describe(dearest.op));
  return {device, RejectionKind::dearer, cause, site, static_cast<double>(price.total()) * 1e-9};
}

}  // namespace placewright
