// Answers to "what would change the plan" against trying everything on small random problems.
#include "placewright/passes/placement_sensitivity.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "random_problem.h"

namespace placewright {
namespace {

constexpr int64_t unrunnable = PlacementProblem::unrunnable;

// Each cost times whole + e, where |e| <= parts is drawn for each; at the rim, e = +-parts.
PlacementProblem perturbed(std::mt19937& random, const PlacementProblem& problem, int64_t parts, int64_t whole,
                           bool at_rim) {
  auto factor = [&] {
    if (at_rim) return whole + (random() % 2 ? parts : -parts);
    return whole - parts + static_cast<int64_t>(random() % static_cast<uint64_t>(2 * parts + 1));
  };
  PlacementProblem other = problem;
  for (std::vector<int64_t>& costs : other.costs)
    for (int64_t& cost : costs) cost = cost >= unrunnable ? unrunnable : cost * factor();
  for (PlacementProblem::Value& value : other.values)
    for (int64_t& move : value.moves) move *= factor();
  return other;
}

TEST(PlacementSensitivity, NothingInsideTheRadiusBeatsThePlan) {
  std::mt19937 random(3);
  int wanted = full_counts() ? 100000 : 10000, done = 0, finite = 0;
  for (int i = 0; done < wanted; ++i) {
    PlacementProblem problem = random_problem(random, 2, 2 + i % 6);
    Solution solution = solve_placement(problem);
    std::optional<Radius> radius = error_radius(problem, solution.labels);
    ASSERT_TRUE(radius && radius->is_proven);
    finite += !radius->rival.empty();
    for (int k = 0; k < 20; ++k, ++done) {
      PlacementProblem other = perturbed(random, problem, radius->parts, radius->whole, k % 2);
      ASSERT_EQ(energy(other, solution.labels), cheapest_of_all(other)) << "problem " << i;
    }
  }
  EXPECT_GT(finite, wanted / 40);
}

TEST(PlacementSensitivity, OnePartOutsideTheRadiusTheRivalWins) {
  std::mt19937 random(5);
  int finite = 0;
  for (int i = 0; i < (full_counts() ? 100000 : 2000); ++i) {
    PlacementProblem problem = random_problem(random, 2, 2 + i % 6);
    Labels labels = solve_placement(problem).labels;
    Radius radius = *error_radius(problem, labels);
    if (radius.rival.empty()) continue;
    ++finite;
    ASSERT_FALSE(radius.groups.empty() && radius.values.empty());
    // The errors that are worst for the plan, made here from what each placement uses.
    PlacementProblem worst = problem;
    int64_t up = radius.whole + radius.parts + 1, down = radius.whole - radius.parts - 1;
    for (int g = 0; g < problem.groups(); ++g)
      for (int label = 0; label < 2; ++label) {
        int64_t& cost = worst.costs[g][label];
        if (cost < unrunnable) cost *= labels[g] == label ? up : down;
      }
    for (PlacementProblem::Value& value : worst.values) {
      int from = labels[value.producer], to = 1 - from;
      bool copied = std::any_of(value.consumers.begin(), value.consumers.end(), [&](int g) { return labels[g] == to; });
      value.moves[from * 2 + to] *= copied ? up : down;
      value.moves[to * 2 + from] *= down;
    }
    ASSERT_LT(energy(worst, radius.rival), energy(worst, labels)) << "problem " << i;
  }
  EXPECT_GT(finite, 500);
}

TEST(PlacementSensitivity, APlacementThatIsNotOptimalHasNoRadius) {
  PlacementProblem problem{2, {{5, 3}, {5, 3}}, {}};
  EXPECT_FALSE(error_radius(problem, {0, 0}));
  std::optional<Radius> radius = error_radius(problem, {1, 1});
  ASSERT_TRUE(radius);
  EXPECT_EQ(radius->parts, radius->whole / 4);  // 3 * 1.25 = 5 * 0.75
}

TEST(PlacementSensitivity, AnIslandCostsWhatTheEnergyGrowsBy) {
  std::mt19937 random(9);
  for (int i = 0; i < 500; ++i) {
    PlacementProblem problem = random_problem(random, 3, 7);
    Labels labels = solve_placement(problem).labels;
    std::vector<std::vector<int>> values_of = values_of_groups(problem);
    size_t groups = 0;
    for (const Island& island : find_islands(problem, labels)) {
      groups += island.groups.size();
      for (int to = 0; to < 3; ++to) {
        Labels moved = labels;
        for (int g : island.groups) {
          ASSERT_EQ(labels[g], island.label);
          if (problem.costs[g][to] < unrunnable) moved[g] = to;
        }
        ASSERT_EQ(flip_cost(problem, values_of, labels, island.groups, to),
                  energy(problem, moved) - energy(problem, labels));
      }
    }
    ASSERT_EQ(groups, labels.size());
  }
}

// Costs that grow linearly with a batch size, faster on the first device; copies have a latency.
ParametricProblem random_batch(std::mt19937& random, int groups) {
  PlacementProblem base = random_problem(random, 2, groups), slope = base;
  for (std::vector<int64_t>& costs : slope.costs) costs = {draw(random, 0, 9), draw(random, 0, 3)};
  for (PlacementProblem::Value& value : slope.values) value.moves = {0, draw(random, 0, 3), draw(random, 0, 3), 0};
  return [base, slope](int64_t batch) {
    PlacementProblem problem = base;
    for (size_t g = 0; g < problem.costs.size(); ++g)
      for (size_t label = 0; label < 2; ++label)
        if (problem.costs[g][label] < unrunnable) problem.costs[g][label] += batch * slope.costs[g][label];
    for (size_t v = 0; v < problem.values.size(); ++v)
      for (size_t move = 0; move < 4; ++move) problem.values[v].moves[move] += batch * slope.values[v].moves[move];
    return problem;
  };
}

TEST(PlacementSensitivity, TheFirstNumberAtWhichAGroupMovesIsWhereTryingEverythingPutsIt) {
  std::mt19937 random(17);
  int moves = 0;
  for (int i = 0; i < (full_counts() ? 1000 : 100); ++i) {
    ParametricProblem problem_at = random_batch(random, 2 + i % 6);
    constexpr int64_t high = 300;
    const int group = i % 2, there = 1 - solve_placement(problem_at(1)).labels[group];
    auto is_there = [&](const Labels& labels) { return labels[group] == there; };
    std::optional<int64_t> first;
    for (int64_t at = 1; at <= high && !first; ++at) {
      PlacementProblem problem = problem_at(at);
      const int64_t least = cheapest_of_all(problem);
      problem.costs[group][there] = unrunnable;
      if (cheapest_of_all(problem) > least) first = at;  // all that cost least have it there
    }
    const std::optional<int64_t> found = find_first(problem_at, 1, high, is_there);
    ASSERT_GE(found.has_value(), first.has_value()) << "problem " << i;
    if (!found) continue;
    ++moves;
    ASSERT_LE(*found, first.value_or(high)) << "problem " << i;
    // With ties the best placement may have it there before.
    PlacementProblem problem = problem_at(*found);
    const int64_t least = cheapest_of_all(problem);
    problem.costs[group][1 - there] = unrunnable;
    ASSERT_EQ(cheapest_of_all(problem), least) << "problem " << i;
  }
  EXPECT_GT(moves, 10);
}

}  // namespace
}  // namespace placewright
