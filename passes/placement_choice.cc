// What pins leave open is decided by cost: the undecided groups of ops and the decided ones that they exchange values
// with, as a placement problem, solved as a whole.
#include <algorithm>
#include <set>

#include "movement.h"
#include "place_as_fused.h"
#include "placement_reasons.h"
#include "placement_solver.h"
#include "placewright/base/duration.h"
#include "placewright/passes/placement_makespan.h"
#include "placewright/passes/return_islands.h"
#include "rewrite.h"

namespace placewright {
namespace {

// Of all placements that are asked for to return what gains nothing; in large graphs that would take too long.
constexpr size_t most_op_prices = 16000, least_tried = 4;

size_t most_prices(const Function& function) { return most_op_prices / std::max<size_t>(1, function.ops.size()); }

// That it is done earlier, by so much that it counts.
bool is_worth(int64_t makespan, int64_t than) {
  constexpr double worth = 1.03;
  return static_cast<double>(makespan) * worth <= static_cast<double>(than);
}

// What is done at once is only as sure as the prices of all that is done, which err by a tenth.
int64_t weighed(int64_t done, int64_t sum) { return done + sum / 10; }

int64_t weighed(const FusedPlacement& placed) {
  return weighed(placed.done(), energy(placed.problem, placed.fitted.labels) + placed.fitted.relief);
}

bool is_worth(const FusedPlacement& placed, const FusedPlacement& than) {
  return is_worth(placed.done(), than.done()) && weighed(placed) < weighed(than);
}

// With other labels and what they take as fused.
FusedPlacement repriced(const Graph& graph, const PassContext& context, const PlacementChoice& choice,
                        const FusedPlacement& placed, const Labels& labels, CompiledPlacements* known) {
  FusedPlacement other = placed;
  other.prices = price_placement(graph, context, choice, labels, other.problem, known);
  other.fitted.labels = labels;
  other.fitted.relief = other.fitted.relieved_done = 0;  // it fits
  return other;
}

// By the prices of what was chosen, what has the least sum would seem to take more or less than it does: what only it
// has elsewhere says the difference. What that cannot say is in launches of groups that both have in one place, dearer
// with those that differ: it becomes the price of these.
void keep_price(PlacementProblem& problem, const Labels& chosen, const Labels& least_sum, int64_t its_energy) {
  int64_t missing = its_energy - energy(problem, least_sum);
  std::vector<int64_t*> only_there, only_chosen, in_both;
  for (int g = 0; g < problem.groups(); ++g) {
    const bool differs = least_sum[g] != chosen[g];
    (differs ? only_chosen : in_both).push_back(&problem.costs[g][chosen[g]]);
    if (differs) only_there.push_back(&problem.costs[g][least_sum[g]]);
  }
  std::sort(only_there.begin(), only_there.end(), [](const int64_t* a, const int64_t* b) { return *a < *b; });
  for (size_t i = 0; i < only_there.size(); ++i) {
    const int64_t part = std::max(missing / static_cast<int64_t>(only_there.size() - i), -*only_there[i]);
    *only_there[i] += part;
    missing -= part;
  }
  for (size_t i = 0; i < in_both.size() && missing < 0 && !only_chosen.empty(); ++i) {
    const int64_t part = std::min(*in_both[i], -missing);
    *in_both[i] -= part;
    *only_chosen.front() += part;
    missing += part;
  }
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
  const PlacementChoice choice = make_choice(std::move(group_of), static_cast<int>(roots.size()));
  FusedPlacement placed = place_as_fused(graph_, context_, choice, compiled_);
  const LeastSum least_sum{placed.fitted.energy + placed.fitted.relief, placed.fitted.bound, placed.done()};
  std::optional<MakespanSolution> at_once = choose_by_makespan(choice, placed);
  explain(choice, placed, at_once ? &*at_once : nullptr, roots);
  done_ = placed.done();
  prices_ = std::move(placed.prices);
  solved_ = std::make_shared<SolvedPlacement>(SolvedPlacement{
      std::move(placed.problem), devices_, choice.group_of, choice.sources, std::move(placed.fitted.labels),
      placed.fitted.energy, placed.fitted.bound, placed.fitted.is_limited, placed.fitted.relief, at_once.has_value(),
      at_once ? at_once->bound : 0, placed.priced, least_sum});
}

// Decides the groups that are not, each with what keeps it off the other devices.
void PlacementSolver::explain(const PlacementChoice& choice, const FusedPlacement& placed,
                              const MakespanSolution* at_once, const std::vector<int32_t>& roots) {
  const PlacementProblem& problem = placed.problem;
  const FittedPlacement& fitted = placed.fitted;
  if (compiled_) {  // nobody asks for reasons
    for (size_t g = 0; g < roots.size(); ++g)
      if (!decided(roots[g])) decide(roots[g], {devices_[fitted.labels[g]], PlacementCause::cheapest, -1, false, {}});
    return;
  }
  const std::vector<int> order = at_once ? program_order(choice.group_of, choice.problem.groups()) : std::vector<int>{};
  // An op that pays off there only together with others says nothing by its own price.
  const Labels with_room = fitted.is_limited ? solve_placement(problem).labels : Labels{};
  std::vector<std::vector<int>> values_of = values_of_groups(problem);
  const ReaderCounts readers(problem, fitted.labels);
  std::vector<std::vector<int32_t>> members(roots.size());
  for (size_t i = 0; i < function_.ops.size(); ++i) members[choice.group_of[i]].push_back(static_cast<int32_t>(i));
  for (size_t g = 0; g < roots.size(); ++g) {
    if (decided(roots[g])) continue;
    std::map<DeviceId, RejectedDevice> rejected;
    for (int label = 0; label < problem.labels; ++label) {
      if (label == fitted.labels[g]) continue;
      const DeviceId& device = devices_[label];
      if (problem.costs[g][label] >= PlacementProblem::unrunnable) {
        rejected[device] = refusal_of_group(members[g], device);
        continue;
      }
      if (at_once) {
        rejected[device] = later(problem, *at_once, static_cast<int>(g), label, order, site(roots[g]));
        continue;
      }
      FlipPrice price = price_flip(problem, values_of, readers, fitted.labels, static_cast<int>(g), label);
      if (fitted.is_limited && (price.total() < 0 || with_room[g] == label)) {
        rejected[device] = no_room(members[g], device, fitted.peaks[label], fitted.caps[label]);
        continue;
      }
      Value dearest = price.dearest < 0 ? Value{} : choice.sources[price.dearest];
      rejected[device] = dearer(price, dearest, device, site(roots[g]));
    }
    decide(roots[g], {devices_[fitted.labels[g]], PlacementCause::cheapest, -1, false, std::move(rejected)});
  }
}

bool PlacementSolver::fits(const PlacementChoice& choice, const FusedPlacement& placed, const Labels& labels) const {
  if (placed.fitted.peaks.empty()) return true;
  std::vector<int64_t> peaks =
      memory_peaks(graph_, context_, placed.problem, choice.group_of, devices_, labels, compiled_);
  return std::equal(peaks.begin(), peaks.end(), placed.fitted.caps.begin(), std::less_equal<>());
}

// With `labels`. Group by group a step may seem done earlier than it is launch by launch, which is what counts: what
// was moved away from where the sum has it, and has no step done so much earlier that it is worth it, is put back.
FusedPlacement PlacementSolver::without_idle_moves(const PlacementChoice& choice, const FusedPlacement& least_sum,
                                                   const Labels& labels) const {
  FusedPlacement given = repriced(graph_, context_, choice, least_sum, labels, compiled_);
  const size_t most_tried = most_prices(function_);
  if (most_tried < least_tried) return given;
  std::optional<FusedPlacement> found;  // beside what was given, by whose prices islands are looked for
  return_islands(given.problem, labels, least_sum.fitted.labels, most_tried, [&](const Labels& returned) {
    const FusedPlacement& best = found ? *found : given;
    FusedPlacement other = repriced(graph_, context_, choice, best, returned, compiled_);
    const bool is_no_worse = weighed(other) <= weighed(best) && fits(choice, least_sum, returned);
    if (is_no_worse) found = std::move(other);
    return is_no_worse;
  });
  return std::move(found ? *found : given);
}

// Devices that work at once, the host and one accelerator too, and copies that hide behind launches: only for a gain
// that is worth other reasons, more copies, and a sum that is no longer proven the least. Replaces `placed` by what is
// done earlier.
std::optional<MakespanSolution> PlacementSolver::choose_by_makespan(const PlacementChoice& choice,
                                                                    FusedPlacement& placed) {
  bool has_choice = false;
  for (size_t i = 0; i < function_.ops.size() && !has_choice; ++i) has_choice = !decided(static_cast<int32_t>(i));
  if (!has_choice) return {};
  MakespanOptions options;
  options.order = program_order(choice.group_of, choice.problem.groups());
  options.host = host_label;
  MakespanSolution found;
  std::optional<FusedPlacement> best;
  auto offer = [&](const Labels& labels, const std::string& by) {
    FusedPlacement other = without_idle_moves(choice, placed, labels);
    if (!is_worth(other, placed) || (best && weighed(other) >= weighed(*best))) return;
    if (!fits(choice, placed, labels)) return;
    found.labels = other.fitted.labels;
    found.found_by = by;
    best = std::move(other);
  };
  const int64_t by_sum = simulate(placed.problem, placed.fitted.labels, options.order, host_label).makespan;
  if (is_worth(makespan_bound(placed.problem, options.order), by_sum)) {
    MakespanSolution searched = solve_makespan(placed.problem, placed.fitted.labels, options);
    if (is_worth(searched.makespan, by_sum)) offer(searched.labels, searched.found_by);
    // What is earliest group by group need not be so as compiled.
    if (most_prices(function_) < least_tried) searched.candidates.clear();
    for (const MakespanSolution::Candidate& candidate : searched.candidates)
      if (is_worth(candidate.makespan, by_sum) && candidate.labels != searched.labels)
        offer(candidate.labels, candidate.found_by);
    found.simulations = searched.simulations;
  }
  // Others that were priced on the way may be done earlier still. Where memory decides, what fits counts.
  int64_t least = weighed(best ? *best : placed);
  const TriedPlacement* least_tried = nullptr;
  for (const TriedPlacement& tried : placed.tried)
    if (!placed.fitted.is_limited && is_worth(tried.done, placed.done()) && weighed(tried.done, tried.sum) < least &&
        fits(choice, placed, tried.labels)) {
      least_tried = &tried;
      least = weighed(tried.done, tried.sum);
    }
  if (least_tried) offer(least_tried->labels, "tried for its prices");
  if (!best) return {};
  keep_price(best->problem, found.labels, placed.fitted.labels, placed.fitted.energy);
  best->fitted.energy = energy(best->problem, found.labels);
  best->fitted.bound = certify(best->problem).bound;
  found.makespan = simulate(best->problem, found.labels, options.order, host_label).makespan;
  found.bound = std::min(best->done(), makespan_bound(best->problem, options.order));
  placed = std::move(*best);
  return found;
}

namespace {

// All copies of a step together cost less than one impossible place: else a cut would rather pay for that.
void bound_copies(PlacementProblem& problem) {
  const auto most_copies = static_cast<int64_t>(problem.values.size()) * std::max(1, problem.labels - 1);
  const int64_t most = PlacementProblem::unrunnable / 2 / std::max<int64_t>(1, most_copies);
  for (PlacementProblem::Value& value : problem.values)
    for (int64_t& move : value.moves) move = std::min(move, most);
}

// Of each value, the groups that read it.
using Readers = std::map<Value, std::set<int>>;

// What is made again on a device has there made again whatever it comes from: that is needed wherever one of its
// readers' readers is. Of an op's results the first stands for all. Bounded by a count, for chains as long as programs.
void add_readers_of_remade(const Function& function, const std::vector<bool>& replicable, Readers& readers) {
  size_t left = 16 * function.ops.size() + 4096;
  for (auto i = static_cast<int32_t>(function.ops.size()) - 1; i >= 0; --i) {
    if (!replicable[i]) continue;
    std::set<int>& of_op = readers[{i, 0}];
    for (int32_t r = 1; r < static_cast<int32_t>(function.ops[i].results.size()); ++r)
      if (auto of_result = readers.extract({i, r})) of_op.merge(of_result.mapped());
    for (Value operand : function.ops[i].operands) {
      if (of_op.size() > left) return;
      left -= of_op.size();
      readers[operand].insert(of_op.begin(), of_op.end());
    }
  }
}

}  // namespace

// Decided groups stand where they are; results go to the host, which is one more group.
PlacementChoice PlacementSolver::make_choice(std::vector<int> group_of, int groups) {
  auto labels = static_cast<int>(devices_.size());
  PlacementChoice choice{devices_, std::move(group_of), {labels, {}, {}}, {}, {}};
  std::vector<std::vector<int64_t>>& costs = choice.problem.costs;
  costs.assign(static_cast<size_t>(groups) + 1, std::vector<int64_t>(static_cast<size_t>(labels), 0));
  auto fix = [&](int group, const DeviceId& device) {
    for (int label = 0; label < labels; ++label)
      costs[group][label] = devices_[label] == device ? 0 : PlacementProblem::unrunnable;
  };
  fix(groups, host_);
  for (size_t i = 0; i < function_.ops.size(); ++i) {
    auto op = static_cast<int32_t>(i);
    if (decided(op)) {
      fix(choice.group_of[i], decisions_[root(op)]->device);
      continue;
    }
    for (int label = 0; label < labels; ++label)
      if (!refusal(op, devices_[label]).empty()) costs[choice.group_of[i]][label] = PlacementProblem::unrunnable;
  }
  std::vector<bool> fixed = find_fixed(function_), replicable = find_replicable(function_);
  Readers readers;
  for (size_t i = 0; i < function_.ops.size(); ++i)
    for (Value operand : function_.ops[i].operands) readers[operand].insert(choice.group_of[i]);
  for (Value result : function_.results)
    if (!replicable[result.op]) readers[result].insert(groups);
  for (const Update& update : function_.updates) readers[update.value].insert(choice.group_of[update.state.op]);
  add_readers_of_remade(function_, replicable, readers);
  for (auto& [value, consumers] : readers) {
    consumers.erase(choice.group_of[value.op]);
    if (consumers.empty() || (fixed[value.op] && !replicable[value.op])) continue;
    PlacementProblem::Value made{choice.group_of[value.op], {consumers.begin(), consumers.end()}, {}};
    made.bytes = function_.tensor(value).bytes();
    made.is_given = function_.op(value).is("input");
    for (const DeviceId& from : devices_)
      for (const DeviceId& to : devices_)
        made.moves.push_back(nanoseconds(transfer_seconds(context_, from, to, made.bytes)));
    choice.problem.values.push_back(std::move(made));
    choice.sources.push_back(value);
    choice.is_remade.push_back(replicable[value.op]);
  }
  bound_copies(choice.problem);
  return choice;
}

double PlacementSolver::seconds(int32_t op) const {
  return prices_.shares.empty() ? 0 : static_cast<double>(prices_.of(op)) * 1e-9;
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
