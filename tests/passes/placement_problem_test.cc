// The solver of placements against all placements, on small random problems.
#include "placewright/passes/placement_problem.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "random_problem.h"

namespace placewright {
namespace {

TEST(PlacementProblem, TwoDevicesAreExact) {
  std::mt19937 random(7);
  for (int i = 0; i < (full_counts() ? 100000 : 2000); ++i) {
    PlacementProblem problem = random_problem(random, 2, i % 100 == 99 ? 14 : 1 + i % 10);
    Solution solution = solve_placement(problem);
    ASSERT_EQ(solution.energy, energy(problem, solution.labels));
    ASSERT_EQ(solution.energy, cheapest_of_all(problem)) << "problem " << i;
    ASSERT_TRUE(solution.is_optimal);
  }
}

// The proof is checked by its own definition: what flows into a group flows out, within what its costs and moves allow.
bool proves(const PlacementProblem& problem, const Certificate& proof) {
  constexpr int64_t most = PlacementProblem::unrunnable;
  std::vector<int64_t> net(problem.costs.size(), 0);
  if (proof.flows.size() != problem.values.size()) return false;
  for (size_t v = 0; v < problem.values.size(); ++v) {
    const PlacementProblem::Value& value = problem.values[v];
    int64_t out = 0, back = 0, to_others = most, from_others = most;
    if (proof.flows[v].size() != value.consumers.size()) return false;
    for (size_t i = 0; i < value.consumers.size(); ++i) {
      int64_t flow = proof.flows[v][i];
      (flow > 0 ? out : back) += std::abs(flow);
      net[value.producer] += flow;
      net[value.consumers[i]] -= flow;
    }
    for (int other = 0; other < problem.labels; ++other)
      if (other != proof.around) {
        to_others = std::min(to_others, value.moves[proof.around * problem.labels + other]);
        from_others = std::min(from_others, value.moves[other * problem.labels + proof.around]);
      }
    if (out > to_others || back > from_others) return false;
  }
  int64_t sum = 0;
  for (int g = 0; g < problem.groups(); ++g) {
    int64_t elsewhere = most, here = problem.costs[g][proof.around];
    for (int other = 0; other < problem.labels; ++other)
      if (other != proof.around) elsewhere = std::min(elsewhere, problem.costs[g][other]);
    if (net[g] > elsewhere || -net[g] > here) return false;
    sum += std::min(elsewhere, here + net[g]);
  }
  return sum == proof.bound;
}

TEST(PlacementProblem, AFlowProvesTwoDevicesOptimalAndBoundsMore) {
  std::mt19937 random(17);
  for (int i = 0; i < 600; ++i) {
    int labels = 2 + i % 3;
    PlacementProblem problem = random_problem(random, labels, 1 + i % 7);
    Certificate proof = certify(problem);
    ASSERT_TRUE(proves(problem, proof));
    int64_t best = cheapest_of_all(problem);
    ASSERT_LE(proof.bound, best);
    ASSERT_TRUE(labels > 2 || proof.bound == best);
  }
}

TEST(PlacementProblem, ADamagedProofIsNone) {
  std::mt19937 random(19);
  for (int i = 0; i < 500; ++i) {
    PlacementProblem problem = random_problem(random, 2 + i % 2, 2 + i % 7);
    const Certificate proof = certify(problem);
    ASSERT_TRUE(proves(problem, proof));
    for (int change : {-1, 1}) {
      Certificate other = proof;
      other.bound += change;
      EXPECT_FALSE(proves(problem, other));
    }
    for (size_t v = 0; v < problem.values.size(); ++v) {
      Certificate other = proof;
      if (problem.values[v].consumers.empty()) continue;
      const std::vector<int64_t>& moves = problem.values[v].moves;
      other.flows[v][0] += 2 * *std::max_element(moves.begin(), moves.end()) + 1;
      EXPECT_FALSE(proves(problem, other));
      other.flows[v].pop_back();
      EXPECT_FALSE(proves(problem, other));
    }
  }
}

TEST(PlacementProblem, ThreeDevicesAreNearlyAlwaysOptimal) {
  std::mt19937 random(7);
  int problems = full_counts() ? 20000 : 1000, optimal = 0;
  for (int i = 0; i < problems; ++i) {
    const bool is_large = full_counts() || i % 20 == 19;
    PlacementProblem problem = random_problem(random, 3, 1 + i % (is_large ? 10 : 8));
    optimal += solve_placement(problem).energy == cheapest_of_all(problem);
  }
  EXPECT_GE(optimal, problems * 0.995) << optimal << " of " << problems;
  RecordProperty("optimal", optimal);
}

TEST(PlacementProblem, AFlipCostsWhatTheEnergyGrowsBy) {
  std::mt19937 random(11);
  for (int i = 0; i < 200; ++i) {
    PlacementProblem problem = random_problem(random, 3, 6);
    Labels labels;
    for (int g = 0; g < 6; ++g) labels.push_back(static_cast<int>(random() % 3));
    Labels flipped = labels;
    int group = static_cast<int>(random() % 6), to = static_cast<int>(random() % 3);
    flipped[group] = to;
    EXPECT_EQ(flip_cost(problem, values_of_groups(problem), labels, group, to),
              energy(problem, flipped) - energy(problem, labels));
  }
}

// Values that one group reads, some, and nearly all: a learning rate is read by every update.
TEST(PlacementProblem, NoSingleMoveImprovesASolution) {
  std::mt19937 random(12);
  for (int i = 0; i < 60; ++i) {
    const int labels = 3 + i % 3, groups = 30;
    PlacementProblem problem = random_problem(random, labels, groups);
    for (PlacementProblem::Value& value : problem.values)
      if (random() % 4 == 0) std::erase_if(value.consumers, [&](int group) { return group % 9 != 0; });
    PlacementProblem::Value rate{static_cast<int>(random() % groups), {}, {}};
    for (int g = 0; g < groups; ++g)
      if (g != rate.producer) rate.consumers.push_back(g);
    for (int from = 0; from < labels; ++from)
      for (int to = 0; to < labels; ++to) rate.moves.push_back(from == to ? 0 : draw(random, 1, 30));
    problem.values.push_back(rate);
    const Solution solution = solve_placement(problem);
    EXPECT_EQ(solution.energy, energy(problem, solution.labels));
    const std::vector<std::vector<int>> values_of = values_of_groups(problem);
    for (int g = 0; g < groups; ++g)
      for (int to = 0; to < labels; ++to) EXPECT_GE(flip_cost(problem, values_of, solution.labels, g, to), 0);
  }
}

TEST(PlacementProblem, TiesGoToTheFirstDevice) {
  PlacementProblem problem{2, {{5, 5}, {5, 5}}, {{0, {1}, {0, 3, 3, 0}}}};
  EXPECT_EQ(solve_placement(problem).labels, (Labels{0, 0}));
}

TEST(PlacementProblem, ACopyIsPaidOnceForAllItsReaders) {
  // The first group runs on device 0 only; its three readers gain 4 each on device 1, and the copy costs 10.
  constexpr int64_t no = PlacementProblem::unrunnable;
  PlacementProblem problem{2, {{0, no}, {4, 0}, {4, 0}, {4, 0}}, {{0, {1, 2, 3}, {0, 10, 10, 0}}}};
  EXPECT_EQ(solve_placement(problem).labels, (Labels{0, 1, 1, 1}));
  EXPECT_EQ(solve_placement(problem).energy, 10);
}

}  // namespace
}  // namespace placewright
