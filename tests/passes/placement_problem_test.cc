// The solver of placements against all placements, on small random problems.
#include "placewright/passes/placement_problem.h"

#include <cstdlib>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace placewright {
namespace {

PlacementProblem random_problem(std::mt19937& random, int labels, int groups) {
  auto draw = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  PlacementProblem problem{labels, {}, {}};
  int scale = draw(0, 1) ? 4 : 1000;  // few distinct costs make ties
  for (int g = 0; g < groups; ++g) {
    std::vector<int64_t> costs;
    for (int label = 0; label < labels; ++label) costs.push_back(draw(0, scale));
    if (draw(0, 5) == 0) costs[draw(0, labels - 1)] = PlacementProblem::unrunnable;
    problem.costs.push_back(costs);
  }
  for (int v = draw(0, 3 * groups); v-- > 0;) {
    PlacementProblem::Value value{draw(0, groups - 1), {}, {}};
    for (int from = 0; from < labels; ++from)
      for (int to = 0; to < labels; ++to) value.moves.push_back(from == to ? 0 : draw(0, scale));
    for (int g = 0; g < groups; ++g)
      if (g != value.producer && draw(0, 3) == 0) value.consumers.push_back(g);
    problem.values.push_back(value);
  }
  return problem;
}

int64_t cheapest(const PlacementProblem& problem) {
  int64_t best = std::numeric_limits<int64_t>::max();
  Labels labels(problem.costs.size(), 0);
  while (true) {
    best = std::min(best, energy(problem, labels));
    size_t g = 0;
    while (g < labels.size() && ++labels[g] == problem.labels) labels[g++] = 0;
    if (g == labels.size()) return best;
  }
}

bool full_counts() { return std::getenv("PLACEWRIGHT_FULL_COUNTS") != nullptr; }

TEST(PlacementProblem, TwoDevicesAreExact) {
  std::mt19937 random(7);
  for (int i = 0; i < (full_counts() ? 100000 : 2000); ++i) {
    PlacementProblem problem = random_problem(random, 2, 1 + i % 10);
    Solution solution = solve_placement(problem);
    ASSERT_EQ(solution.energy, energy(problem, solution.labels));
    ASSERT_EQ(solution.energy, cheapest(problem)) << "problem " << i;
    ASSERT_TRUE(solution.is_optimal);
  }
}

// The proof is checked by its own definition: what flows into a group flows out, within what its costs and moves allow.
void expect_proof(const PlacementProblem& problem, const Certificate& proof) {
  constexpr int64_t most = PlacementProblem::unrunnable;
  std::vector<int64_t> net(problem.costs.size(), 0);
  ASSERT_EQ(proof.flows.size(), problem.values.size());
  for (size_t v = 0; v < problem.values.size(); ++v) {
    const PlacementProblem::Value& value = problem.values[v];
    int64_t out = 0, back = 0, to_others = most, from_others = most;
    ASSERT_EQ(proof.flows[v].size(), value.consumers.size());
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
    EXPECT_LE(out, to_others);
    EXPECT_LE(back, from_others);
  }
  int64_t sum = 0;
  for (int g = 0; g < problem.groups(); ++g) {
    int64_t elsewhere = most, here = problem.costs[g][proof.around];
    for (int other = 0; other < problem.labels; ++other)
      if (other != proof.around) elsewhere = std::min(elsewhere, problem.costs[g][other]);
    EXPECT_LE(net[g], elsewhere);
    EXPECT_LE(-net[g], here);
    sum += std::min(elsewhere, here + net[g]);
  }
  EXPECT_EQ(sum, proof.bound);
}

TEST(PlacementProblem, AFlowProvesTwoDevicesOptimalAndBoundsMore) {
  std::mt19937 random(17);
  for (int i = 0; i < 600; ++i) {
    int labels = 2 + i % 3;
    PlacementProblem problem = random_problem(random, labels, 1 + i % 7);
    Certificate proof = certify(problem);
    expect_proof(problem, proof);
    int64_t best = cheapest(problem);
    ASSERT_LE(proof.bound, best);
    ASSERT_TRUE(labels > 2 || proof.bound == best);
  }
}

TEST(PlacementProblem, ThreeDevicesAreNearlyAlwaysOptimal) {
  std::mt19937 random(7);
  int problems = full_counts() ? 20000 : 1000, optimal = 0;
  for (int i = 0; i < problems; ++i) {
    PlacementProblem problem = random_problem(random, 3, 1 + i % 8);
    optimal += solve_placement(problem).energy == cheapest(problem);
  }
  EXPECT_GE(optimal, problems * 0.995);
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
