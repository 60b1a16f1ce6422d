// What pins leave open is decided by cost: the undecided groups of ops and the decided ones that they exchange values
// with, as a placement problem, solved as a whole.
#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/core.h>

#include "memory_fit.h"
#include "movement.h"
#include "placement_reasons.h"
#include "placement_solver.h"
#include "placewright/base/join.h"
#include "placewright/passes/placement_makespan.h"
#include "placewright/passes/placement_problem.h"
#include "rewrite.h"

namespace placewright {
namespace {

int64_t nanoseconds(double seconds) {
  double count = std::round(seconds * 1e9);
  return count < static_cast<double>(PlacementProblem::unrunnable) ? static_cast<int64_t>(count)
                                                                   : PlacementProblem::unrunnable;
}

// Of each group, the position of its last op: what comes first in it is mostly given.
std::vector<int> program_order(const std::vector<int>& group_of) {
  std::vector<int> order(static_cast<size_t>(*std::max_element(group_of.begin(), group_of.end())) + 2, 0);
  for (size_t op = 0; op < group_of.size(); ++op) order[group_of[op]] = static_cast<int>(op);
  order.back() = static_cast<int>(group_of.size());
  return order;
}

}  // namespace

void PlacementSolver::choose_by_cost() {
  std::vector<int> group_of(function_.ops.size(), -1);
  std::vector<int32_t> roots;
  for (size_t i = 0; i < function_.ops.size(); ++i) {
    int32_t group = root(static_cast<int32_t>(i));
    if (group_of[group] < 0) {
      group_of[group] = static_cast<int>(roots.size());
      roots.push_back(group);
    }
    group_of[i] = group_of[group];
  }
  std::vector<Value> sources;
  PlacementProblem problem = make_problem(group_of, static_cast<int>(roots.size()), sources);
  FittedPlacement solution = place_within_memory(graph_, context_, problem, group_of, devices_);
  PlacementProblem timed;
  std::optional<MakespanSolution> at_once = choose_by_makespan(problem, group_of, solution, timed);
  if (at_once) {
    solution.labels = at_once->labels;
    solution.energy = energy(problem, solution.labels);
  }
  const std::vector<int> order = at_once ? program_order(group_of) : std::vector<int>{};
  std::vector<std::vector<int>> values_of = values_of_groups(problem);
  std::vector<std::vector<int32_t>> members(roots.size());
  for (size_t i = 0; i < function_.ops.size(); ++i) members[group_of[i]].push_back(static_cast<int32_t>(i));
  for (size_t g = 0; g < roots.size(); ++g) {
    if (decided(roots[g])) continue;
    std::map<DeviceId, RejectedDevice> rejected;
    for (int label = 0; label < problem.labels; ++label) {
      if (label == solution.labels[g]) continue;
      const DeviceId& device = devices_[label];
      if (problem.costs[g][label] >= PlacementProblem::unrunnable) {
        rejected[device] = refusal_of_group(members[g], device);
        continue;
      }
      if (at_once) {
        rejected[device] = later(timed, *at_once, static_cast<int>(g), label, order, site(roots[g]));
        continue;
      }
      FlipPrice price = price_flip(problem, values_of, solution.labels, static_cast<int>(g), label);
      if (price.total() < 0 && solution.is_limited) {
        rejected[device] = no_room(members[g], device, solution.peaks[label], solution.caps[label]);
        continue;
      }
      Value dearest = price.dearest < 0 ? Value{} : sources[price.dearest];
      rejected[device] = dearer(price, dearest, device, site(roots[g]));
    }
    decide(roots[g], {devices_[solution.labels[g]], PlacementCause::cheapest, -1, false, std::move(rejected)});
  }
  solved_ = std::make_shared<SolvedPlacement>(
      SolvedPlacement{std::move(problem), devices_, std::move(group_of), std::move(sources), std::move(solution.labels),
                      solution.energy, solution.bound, solution.is_limited, at_once ? at_once->makespan : 0,
                      at_once ? at_once->bound : 0});
}

// With two or more accelerators, which work at once: only for a gain that is worth other reasons and more copies.
// `timed`: the problem with the times of ops whose place is given, too, which the sum need not know.
std::optional<MakespanSolution> PlacementSolver::choose_by_makespan(const PlacementProblem& problem,
                                                                    const std::vector<int>& group_of,
                                                                    const FittedPlacement& fitted,
                                                                    PlacementProblem& timed) {
  bool has_choice = false;
  for (size_t i = 0; i < function_.ops.size() && !has_choice; ++i) has_choice = !decided(static_cast<int32_t>(i));
  if (problem.labels < 3 || !has_choice) return {};
  timed = problem;
  for (size_t i = 0; i < function_.ops.size(); ++i)
    if (auto op = static_cast<int32_t>(i); decided(op)) {
      int label = fitted.labels[group_of[i]];
      timed.costs[group_of[i]][label] += nanoseconds(op_seconds(op, devices_[label]));
    }
  MakespanOptions options{program_order(group_of), {}, 0};
  int64_t by_sum = simulate(timed, fitted.labels, options.order).makespan;
  MakespanSolution found = solve_makespan(timed, fitted.labels, options);
  constexpr double worth = 1.03;
  if (static_cast<double>(found.makespan) * worth > static_cast<double>(by_sum)) return {};
  if (fitted.peaks.empty()) return found;
  std::vector<int64_t> peaks = memory_peaks(graph_, context_, problem, group_of, devices_, found.labels);
  for (size_t label = 0; label < peaks.size(); ++label)
    if (peaks[label] > fitted.caps[label]) return {};
  return found;
}

RejectedDevice PlacementSolver::later(const PlacementProblem& problem, const MakespanSolution& chosen, int group,
                                      int label, const std::vector<int>& order, const SourceSite& site) const {
  constexpr int few_groups = 256;  // more are not simulated one by one
  const std::string why = "the devices work at once";
  if (problem.groups() > few_groups)
    return {devices_[label], RejectionKind::dearer, why + ", and a step ends earlier with this on the other", site, 0};
  Labels labels = chosen.labels;
  labels[group] = label;
  int64_t growth = simulate(problem, labels, order).makespan - chosen.makespan;
  double seconds = static_cast<double>(growth) * 1e-9;
  if (growth <= 0) return {devices_[label], RejectionKind::same_cost, why + ": a step would end no earlier", site, 0};
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
  if (price.total() == 0) return {device, RejectionKind::same_cost, "costs the same", site, 0};
  std::vector<std::string> changes;
  if (price.running != 0) changes.push_back(change(price.running, "run"));
  if (price.copying != 0) changes.push_back(change(price.copying, "copy"));
  std::string cause = fmt::format("dearer by {} if it alone ran there: {}", text(price.total()), join(changes, ", "));
  if (price.copying > 0 && price.dearest >= 0)
    cause += fmt::format(", above all {} bytes of {}", function_.tensor(dearest).bytes(), describe(dearest.op));
  return {device, RejectionKind::dearer, cause, site, static_cast<double>(price.total()) * 1e-9};
}

// Decided groups stand where they are; results go to the host, which is one more group.
PlacementProblem PlacementSolver::make_problem(const std::vector<int>& group_of, int groups,
                                               std::vector<Value>& sources) {
  auto labels = static_cast<int>(devices_.size());
  PlacementProblem problem{labels, {}, {}};
  problem.costs.assign(static_cast<size_t>(groups) + 1, std::vector<int64_t>(static_cast<size_t>(labels), 0));
  auto fix = [&](int group, const DeviceId& device) {
    for (int label = 0; label < labels; ++label)
      problem.costs[group][label] = devices_[label] == device ? 0 : PlacementProblem::unrunnable;
  };
  fix(groups, host_);
  for (size_t i = 0; i < function_.ops.size(); ++i) {
    auto op = static_cast<int32_t>(i);
    if (decided(op)) {
      fix(group_of[i], decisions_[root(op)]->device);
      continue;
    }
    for (int label = 0; label < labels; ++label) {
      int64_t& cost = problem.costs[group_of[i]][label];
      cost = refusal(op, devices_[label]).empty()
                 ? std::min(cost + nanoseconds(op_seconds(op, devices_[label])), PlacementProblem::unrunnable)
                 : PlacementProblem::unrunnable;
    }
  }
  std::vector<bool> fixed = find_fixed(function_), replicable = find_replicable(function_);
  std::map<Value, std::set<int>> readers;
  for (size_t i = 0; i < function_.ops.size(); ++i)
    for (Value operand : function_.ops[i].operands) readers[operand].insert(group_of[i]);
  for (Value result : function_.results) readers[result].insert(groups);
  for (auto& [value, consumers] : readers) {
    consumers.erase(group_of[value.op]);
    if (consumers.empty() || fixed[value.op] || replicable[value.op]) continue;
    PlacementProblem::Value made{group_of[value.op], {consumers.begin(), consumers.end()}, {}};
    made.bytes = function_.tensor(value).bytes();
    made.is_given = function_.op(value).is("input");
    for (const DeviceId& from : devices_)
      for (const DeviceId& to : devices_)
        made.moves.push_back(nanoseconds(transfer_seconds(context_, from, to, function_.tensor(value).bytes())));
    problem.values.push_back(std::move(made));
    sources.push_back(value);
  }
  return problem;
}

double PlacementSolver::op_seconds(int32_t op, const DeviceId& device) const {
  const Op& made = function_.ops[op];
  auto at = context_.targets.find(device);
  if (at == context_.targets.end() || made.entry->is_structural() || made.entry->traits.view) return 0;
  if (!made.entry->realised_as<Decompose>() || at->second->refuses(graph_, function_, made).empty())
    return at->second->cost(graph_, function_, {op});
  const Graph& whole = parts(op);
  double sum = 0;
  for (size_t i = 0; i < whole.main().ops.size(); ++i)
    if (!whole.main().ops[i].entry->is_structural() && !whole.main().ops[i].entry->traits.view)
      sum += at->second->cost(whole, whole.main(), {static_cast<int32_t>(i)});
  return sum;
}

// What a composite decomposes to, in a graph of its own.
const Graph& PlacementSolver::parts(int32_t op) const {
  auto [at, is_new] = parts_.try_emplace(op);
  if (!is_new) return at->second;
  Graph& scratch = at->second;
  FunctionBuilder builder(scratch, add_function(scratch, "scratch"));
  std::vector<Value> operands;
  for (Value operand : function_.ops[op].operands)
    operands.push_back(builder.input("operand" + std::to_string(operands.size()), InputKind::argument,
                                     Type(function_.tensor(operand).dtype, function_.tensor(operand).shape)));
  Op copy = function_.ops[op];
  copy.origin = 0;
  builder.function().results = expand_composite(builder, copy, operands);
  scratch = decompose(std::move(scratch), {});
  return scratch;
}

}  // namespace placewright
