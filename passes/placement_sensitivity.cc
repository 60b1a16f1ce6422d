#include "placewright/passes/placement_sensitivity.h"

#include <algorithm>
#include <numeric>

#include "placewright/base/error.h"

namespace placewright {
namespace {

constexpr int64_t unrunnable = PlacementProblem::unrunnable;

// What of the energy both placements pay for the same kernels and copies.
int64_t common_energy(const PlacementProblem& problem, const Labels& one, const Labels& other) {
  int64_t sum = 0;
  for (int g = 0; g < problem.groups(); ++g)
    if (one[g] == other[g]) sum += problem.costs[g][one[g]];
  for (const PlacementProblem::Value& value : problem.values)
    if (one[value.producer] == other[value.producer])
      sum += copy_cost(problem, value, one[value.producer], copied_to(value, one) & copied_to(value, other));
  return sum;
}

int64_t scaled(int64_t cost, int64_t factor) { return cost >= unrunnable / factor ? unrunnable : cost * factor; }

// The worst errors of this size for a placement: all that it pays is dearer, all else is cheaper. `whole` times as
// large.
PlacementProblem against(const PlacementProblem& problem, const Labels& labels, int64_t parts, int64_t whole) {
  PlacementProblem worst = problem;
  for (int g = 0; g < problem.groups(); ++g)
    for (int label = 0; label < problem.labels; ++label) {
      int64_t& cost = worst.costs[g][label];
      if (cost < unrunnable) cost = scaled(cost, label == labels[g] ? whole + parts : whole - parts);
    }
  for (PlacementProblem::Value& value : worst.values) {
    uint64_t paid = copied_to(value, labels);
    for (int from = 0; from < problem.labels; ++from)
      for (int to = 0; to < problem.labels; ++to) {
        bool is_paid = from == labels[value.producer] && (paid >> to & 1);
        int64_t& move = value.moves[from * problem.labels + to];
        move = scaled(move, is_paid ? whole + parts : whole - parts);
      }
  }
  return worst;
}

// How finely errors are counted, so that all sums stay below what no device can run.
int64_t finest_whole(int64_t energy) {
  int64_t whole = 1000000;
  while (whole > 1 && energy >= unrunnable / (2 * whole)) whole /= 10;
  return whole;
}

void name_deciders(const PlacementProblem& problem, const Labels& labels, Radius& radius) {
  auto weight = [&](int g) { return std::max(problem.costs[g][labels[g]], problem.costs[g][radius.rival[g]]); };
  for (int g = 0; g < problem.groups(); ++g)
    if (labels[g] != radius.rival[g] && weight(g) > 0) radius.groups.push_back(g);
  std::stable_sort(radius.groups.begin(), radius.groups.end(), [&](int a, int b) { return weight(a) > weight(b); });
  std::vector<int64_t> difference;
  for (size_t v = 0; v < problem.values.size(); ++v) {
    const PlacementProblem::Value& value = problem.values[v];
    int here = labels[value.producer], there = radius.rival[value.producer];
    uint64_t ours = copied_to(value, labels), theirs = copied_to(value, radius.rival);
    uint64_t both = here == there ? ours & theirs : 0;
    difference.push_back(
        std::max(copy_cost(problem, value, here, ours & ~both), copy_cost(problem, value, there, theirs & ~both)));
    if (difference.back() > 0) radius.values.push_back(static_cast<int>(v));
  }
  std::stable_sort(radius.values.begin(), radius.values.end(),
                   [&](int a, int b) { return difference[a] > difference[b]; });
}

}  // namespace

std::vector<Island> find_islands(const PlacementProblem& problem, const Labels& labels) {
  std::vector<int> parents(labels.size());
  std::iota(parents.begin(), parents.end(), 0);
  auto root = [&](int g) {
    while (parents[g] != g) g = parents[g] = parents[parents[g]];
    return g;
  };
  for (const PlacementProblem::Value& value : problem.values)
    for (int consumer : value.consumers)
      if (labels[consumer] == labels[value.producer]) {
        int a = root(value.producer), b = root(consumer);
        parents[std::max(a, b)] = std::min(a, b);
      }
  std::vector<Island> islands;
  std::vector<int> number(labels.size(), -1);
  for (int g = 0; g < problem.groups(); ++g) {
    int first = root(g);
    if (number[first] < 0) {
      number[first] = static_cast<int>(islands.size());
      islands.push_back({labels[g], {}});
    }
    islands[number[first]].groups.push_back(g);
  }
  return islands;
}

int64_t flip_cost(const PlacementProblem& problem, const std::vector<std::vector<int>>& values_of, const Labels& labels,
                  const std::vector<int>& groups, int to) {
  Labels moved = labels;
  int64_t growth = 0;
  std::vector<int> touched;
  for (int g : groups) {
    if (problem.costs[g][to] >= unrunnable) continue;
    growth += problem.costs[g][to] - problem.costs[g][labels[g]];
    moved[g] = to;
    touched.insert(touched.end(), values_of[g].begin(), values_of[g].end());
  }
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  for (int v : touched) {
    const PlacementProblem::Value& value = problem.values[v];
    growth += copy_cost(problem, value, moved) - copy_cost(problem, value, labels);
  }
  return growth;
}

// By Dinkelbach's method (1967), doi:10.1287/mnsc.13.7.492: each rival gives the error at which it draws level, and the
// next rival is the best at that error.
std::optional<Radius> error_radius(const PlacementProblem& problem, const Labels& labels) {
  int64_t own = energy(problem, labels);
  Radius radius;
  radius.whole = finest_whole(own);
  radius.parts = radius.whole - 1;
  while (true) {
    PlacementProblem worst = against(problem, labels, radius.parts, radius.whole);
    int64_t at_worst = energy(worst, labels);
    Solution best = solve_placement(worst);
    if (best.energy >= at_worst) {
      radius.is_proven = best.is_optimal || certify(worst).bound >= at_worst;
      break;
    }
    int64_t common = common_energy(problem, labels, best.labels);
    int64_t here = own - common, there = energy(problem, best.labels) - common;
    if (there < here) return {};
    radius.rival = std::move(best.labels);
    auto level = static_cast<int64_t>(static_cast<unsigned __int128>(there - here) *
                                      static_cast<unsigned __int128>(radius.whole) /
                                      static_cast<unsigned __int128>(there + here));
    PW_CHECK(level < radius.parts, "a rival that wins draws level earlier");
    radius.parts = level;
  }
  if (!radius.rival.empty()) name_deciders(problem, labels, radius);
  return radius;
}

namespace {

bool is_optimal_at(const ParametricProblem& problem_at, int64_t parameter, const Labels& labels) {
  PlacementProblem problem = problem_at(parameter);
  return energy(problem, labels) <= solve_placement(problem).energy;
}

// The last number up to `high` for which `labels`, best at `from`, stays so.
int64_t last_optimal(const ParametricProblem& problem_at, int64_t from, int64_t high, const Labels& labels) {
  int64_t good = from, bad = high + 1;  // the last number known to be in the range, the first known to be outside
  for (int64_t step = 1; bad > high && good < high; step *= 2) {
    int64_t next = step < high - good ? good + step : high;
    (is_optimal_at(problem_at, next, labels) ? good : bad) = next;
  }
  while (good + 1 < bad) {
    int64_t middle = good + (bad - good) / 2;
    (is_optimal_at(problem_at, middle, labels) ? good : bad) = middle;
  }
  return good;
}

}  // namespace

std::optional<int64_t> find_first(const ParametricProblem& problem_at, int64_t low, int64_t high,
                                  const std::function<bool(const Labels&)>& wanted, int most) {
  for (int64_t from = low; from <= high && most > 0; --most) {
    Labels labels = solve_placement(problem_at(from)).labels;
    if (wanted(labels)) return from;
    from = last_optimal(problem_at, from, high, labels) + 1;
  }
  return {};
}

}  // namespace placewright
