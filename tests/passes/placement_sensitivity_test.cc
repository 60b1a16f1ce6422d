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

TEST(PlacementSensitivity, APinIsWorthWhatTheBestPlacementWithoutItGains) {
  std::mt19937 random(13);
  for (int i = 0; i < 500; ++i) {
    PlacementProblem free = random_problem(random, 2, 6), pinned = free;
    int group = draw(random, 0, 5), other = draw(random, 0, 1);
    pinned.costs[group][other] = unrunnable;
    if (free.costs[group][1 - other] >= unrunnable) continue;
    ASSERT_EQ(price(pinned, solve_placement(pinned).energy, {{group, free.costs[group]}}),
              cheapest_of_all(pinned) - cheapest_of_all(free));
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

TEST(PlacementSensitivity, BordersAlongAParameterAreWhereTryingEverythingPutsThem) {
  std::mt19937 random(17);
  size_t borders = 0;
  for (int i = 0; i < (full_counts() ? 1000 : 40); ++i) {
    ParametricProblem problem_at = random_batch(random, 2 + i % 6);
    constexpr int64_t high = 300;
    int64_t next = 1;
    for (const OptimalRange& range : find_borders(problem_at, 1, high)) {
      ASSERT_EQ(range.from, next);
      next = range.to + 1;
      for (int64_t at = range.from; at <= range.to; ++at)
        ASSERT_EQ(energy(problem_at(at), range.labels), cheapest_of_all(problem_at(at)));
      if (next > high) continue;
      ++borders;
      ASSERT_GT(energy(problem_at(next), range.labels), cheapest_of_all(problem_at(next)));
    }
    ASSERT_EQ(next, high + 1);
  }
  EXPECT_GT(borders, 20U);
}

TEST(PlacementSensitivity, AGroupFlipsAtTheNumberThatIsNamedAndNotBefore) {
  // A launch costs 400 on device 1, and 2 a row; 6 a row on device 0; the copies 1 a row, 50 each at least.
  ParametricProblem problem_at = [](int64_t rows) {
    return PlacementProblem{2,
                            {{0, unrunnable}, {6 * rows, 400 + 2 * rows}, {0, unrunnable}},
                            {{0, {1}, {0, 50 + rows, 50 + rows, 0}}, {1, {2}, {0, 50 + rows, 50 + rows, 0}}}};
  };
  EXPECT_EQ(find_flip(problem_at, 1, 0, 1, 4096), 251);  // 6 n > 500 + 4 n
  EXPECT_EQ(find_flip(problem_at, 1, 1, 4096, 1), 249);
  EXPECT_EQ(find_flip(problem_at, 1, 0, 1, 250), std::nullopt);
  EXPECT_EQ(find_flip(problem_at, 1, 0, 1000, 4096), 1000);
}

}  // namespace
}  // namespace placewright
