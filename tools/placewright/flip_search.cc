#include "flip_search.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/core.h>

#include "command.h"
#include "three_digits.h"

namespace placewright::tools {
namespace {

constexpr double step = 1.5;  // from one plan of a search outwards to the next
// Plans are counted, never timed: answers are the same everywhere.
constexpr int64_t most_planned_ops = 400'000;

}  // namespace

double read_back_seconds(const PlacementPlan& plan) {
  if (!plan.solved) return 0;
  const PlacementProblem& problem = plan.solved->problem;
  const Labels& labels = plan.solved->labels;
  const int host = problem.groups() - 1;  // the group that reads the results
  int64_t nanoseconds = 0;
  for (const PlacementProblem::Value& value : problem.values) {
    bool is_result = false, is_there = labels[value.producer] == labels[host];
    for (int consumer : value.consumers) {
      is_result = is_result || consumer == host;
      is_there = is_there || (consumer != host && labels[consumer] == labels[host]);
    }
    if (is_result && !is_there) nanoseconds += value.moves[labels[value.producer] * problem.labels + labels[host]];
  }
  return static_cast<double>(nanoseconds) * 1e-9;
}

bool is_simulated(const PlacementPlan& plan) { return plan.solved && plan.solved->is_simulated; }

double step_seconds(const PlacementPlan& plan, bool by_simulation) {
  if (!by_simulation || !plan.solved) return plan.seconds + read_back_seconds(plan);
  return static_cast<double>(plan.done) * 1e-9;
}

FlipSearch::FlipSearch(const GraphPlacement& placed, int32_t op)
    : placed_(placed), op_(op), now_(placed.replan(placed.planned)) {}

std::optional<PlacementPlan> FlipSearch::resolve(const Graph& graph, const MachineFigures& figures) {
  ++solved_again_;
  try {
    return placed_.replan_with(graph, figures);
  } catch (const NoPlacement&) {
    return {};
  }
}

bool FlipSearch::flips(const MachineFigures& figures, const Alike& devices) {
  ++solved_again_;
  try {
    const DeviceId there = placed_.probe(placed_.planned, figures)[static_cast<size_t>(op_)];
    return std::find(devices.begin(), devices.end(), there) != devices.end();
  } catch (const NoPlacement&) {
    return false;
  }
}

bool FlipSearch::is_on(const std::optional<PlacementPlan>& plan, int32_t op, const Alike& devices) {
  return plan && std::find(devices.begin(), devices.end(), plan->ops[op].where.devices.front()) != devices.end();
}

std::optional<FlipSearch::Found> FlipSearch::smallest(const Figure& figure, double now, const Alike& devices) {
  gave_up_ = false;
  const int first = index_above(now), last = index_from(now * most_times);
  std::map<int, bool> known;
  auto flips = [&](int index) {
    auto [at, is_new] = known.try_emplace(index);
    if (is_new) at->second = this->flips(figure.at(three_digits(index)), devices);
    return at->second;
  };
  const std::optional<int> guess = by_problem(figure, first, last, devices);
  std::optional<int> index;
  const int most_plans = static_cast<int>(std::log(most_times) / std::log(step)) + 12;
  if (most_plans * static_cast<int64_t>(placed_.planned.main().ops.size()) <= most_planned_ops)
    index = outwards(now, first, last, guess, flips);
  else if (guess)
    index = near(*guess, first - 1, last, flips);
  else
    gave_up_ = true;
  if (!index) return {};
  const double number = three_digits(*index);
  return Found{number, placed_.replan_with(placed_.planned, figure.at(number))};
}

// By prices as they are now, which follow from what shares a launch: a good guess, until plans confirm it.
std::optional<int> FlipSearch::by_problem(const Figure& figure, int first, int last, const Alike& devices) const {
  if (!figure.problem_at) return {};
  const int group = solved()->group_of[op_];
  std::optional<int64_t> found = find_first(figure.problem_at, first, last, [&](const Labels& labels) {
    return std::find(devices.begin(), devices.end(), solved()->devices[labels[group]]) != devices.end();
  });
  return found ? std::optional<int>(static_cast<int>(*found)) : std::nullopt;
}

// The number of a guess, or a few beside it, that flips while the one before does not.
std::optional<int> FlipSearch::near(int guess, int without, int with, const std::function<bool(int)>& flips) {
  constexpr int beside = 4;
  int index = guess;
  for (int i = 0; i < beside && index < with && !flips(index); ++i) ++index;
  for (int i = 0; i < beside && index - 1 > without && flips(index - 1); ++i) --index;
  if (flips(index) && (index - 1 == without || !flips(index - 1))) return index;
  return {};
}

// Between the last number without and the first with.
std::optional<int> FlipSearch::outwards(double now, int first, int last, std::optional<int> guess,
                                        const std::function<bool(int)>& flips) {
  int without = first - 1, with = first;
  for (double number = now * step; !flips(with); number *= step) {
    if (with == last) return {};
    without = with;
    with = std::min(last, std::max(with + 1, index_above(number)));
  }
  if (guess && without < *guess && *guess <= with)
    if (std::optional<int> index = near(*guess, without, with, flips)) return index;
  while (without + 1 < with) {
    const int middle = without + (with - without) / 2;
    (flips(middle) ? with : without) = middle;
  }
  return with;
}

std::string FlipSearch::how() const {
  std::string text = fmt::format(
      "Each answer is a plan made again ({}). A number has three digits: with it the op flips, with the one below it "
      "not; "
      "it was looked for outwards in steps of a half, in which an op that flips and flips back is missed.",
      plural(static_cast<size_t>(solved_again_), "plan"));
  if (is_simulated(now_))
    text += " Devices work at once here: plans are the best that simulation found, which nothing proves best.";
  else if (solved() && solved()->is_limited)
    text += " Memory limits the plan: others within it are found as it was, which is not always the best.";
  return text;
}

}  // namespace placewright::tools
