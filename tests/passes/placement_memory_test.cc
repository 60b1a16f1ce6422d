// Placement under memory caps against trying everything, and with its certified gap where that is not possible.
#include "placewright/passes/placement_memory.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "random_problem.h"

namespace placewright {
namespace {

constexpr int64_t unrunnable = PlacementProblem::unrunnable;

struct Limited {
  PlacementProblem problem;
  MemoryLimits limits;
};

// Memory use from its definition.
bool fits(const Limited& given, const Labels& labels) {
  for (int label = 0; label < given.problem.labels; ++label) {
    int64_t held = 0, largest = 0;
    for (int g = 0; g < given.problem.groups(); ++g)
      if (labels[g] == label) held += given.limits.bytes[g][label];
    for (const PlacementProblem::Value& value : given.problem.values)
      if (value.is_given && labels[value.producer] != label)
        for (int consumer : value.consumers)
          if (labels[consumer] == label) largest = std::max(largest, value.bytes);
    if (held + 2 * largest > given.limits.caps[label]) return false;
  }
  return true;
}

Limited random_limited(std::mt19937& random, int labels, int groups, int capped) {
  Limited made{random_problem(random, labels, groups), {}};
  for (PlacementProblem::Value& value : made.problem.values) {
    value.bytes = draw(random, 0, 12);
    value.is_given = draw(random, 0, 3) == 0;
  }
  for (int g = 0; g < groups; ++g) {
    std::vector<int64_t> bytes;
    for (int label = 0; label < labels; ++label) bytes.push_back(draw(random, 0, 2) ? draw(random, 0, 40) : 0);
    made.limits.bytes.push_back(bytes);
  }
  for (int label = 0; label < labels; ++label)
    made.limits.caps.push_back(label >= labels - capped ? draw(random, 0, 15 * groups) : unlimited_memory);
  return made;
}

// The least energy of what fits and runs; unrunnable if nothing does.
int64_t cheapest_that_fits(const Limited& given) {
  int64_t best = unrunnable;
  for_all_placements(given.problem, [&](const Labels& labels) {
    int64_t cost = energy(given.problem, labels);
    if (cost < best && fits(given, labels)) best = cost;
  });
  return best;
}

TEST(PlacementMemory, SmallProblemsAreExact) {
  std::mt19937 random(21);
  int tight = 0, short_of = 0;
  for (int i = 0; i < (full_counts() ? 100000 : 2000); ++i) {
    int labels = 2 + i % 2;
    Limited given = random_limited(random, labels, 1 + i % 7, 1 + i % labels);
    CappedSolution solution = solve_with_memory(given.problem, given.limits);
    int64_t best = cheapest_that_fits(given);
    if (best >= unrunnable) {
      ASSERT_TRUE(solution.shortage) << "problem " << i;
      ASSERT_TRUE(solution.shortage->is_proven);
      ++short_of;
      continue;
    }
    ASSERT_FALSE(solution.shortage) << "problem " << i;
    ASSERT_TRUE(fits(given, solution.labels));
    ASSERT_EQ(solution.used, memory_use(given.problem, given.limits, solution.labels));
    ASSERT_EQ(solution.energy, energy(given.problem, solution.labels));
    ASSERT_EQ(solution.energy, best) << "problem " << i;
    ASSERT_LE(solution.bound, best);
    tight += !fits(given, solve_placement(given.problem).labels);
  }
  EXPECT_GT(tight, 400);
  EXPECT_GT(short_of, 100);
}

// More than twelve groups have a choice: priced, filled, and bounded.
TEST(PlacementMemory, ThePricedAnswerFitsAndItsBoundHolds) {
  std::mt19937 random(23);
  double worst = 0, sum = 0;
  int problems = full_counts() ? 400 : 40, solved = 0, missed = 0;
  for (int i = 0; i < problems; ++i) {
    Limited given = random_limited(random, 2, 15, 1);
    for (std::vector<int64_t>& costs : given.problem.costs)
      for (int64_t& cost : costs)
        if (cost >= unrunnable) cost = 500;
    CappedSolution solution = solve_with_memory(given.problem, given.limits);
    int64_t best = cheapest_that_fits(given);
    ASSERT_LE(solution.bound, best);
    if (solution.shortage) {
      missed += best < unrunnable;
      continue;
    }
    ASSERT_TRUE(fits(given, solution.labels));
    ++solved;
    double above = static_cast<double>(solution.energy - best) / static_cast<double>(std::max<int64_t>(best, 1));
    worst = std::max(worst, above);
    sum += above;
  }
  EXPECT_EQ(missed, 0);
  EXPECT_GT(solved, problems / 2);
  EXPECT_LT(sum / solved, 0.05) << "worst " << worst;
}

// A chain of layers on a host and `accelerators` devices: parameters, their readers forward and backward, updates.
Limited training_chain(std::mt19937& random, int layers, int accelerators, double room) {
  int labels = 1 + accelerators;
  Limited made{{labels, {}, {}}, {}};
  std::vector<int64_t> total(1, 0);
  auto add_value = [&](int producer, std::vector<int> consumers, int64_t bytes, bool is_given) {
    PlacementProblem::Value value{producer, std::move(consumers), {}, bytes, is_given};
    for (int from = 0; from < labels; ++from)
      for (int to = 0; to < labels; ++to)
        value.moves.push_back(from == to ? 0 : 7000 + bytes / (from && to ? 200 : 25));
    made.problem.values.push_back(value);
  };
  for (int layer = 0; layer < layers; ++layer)
    for (int part = 0; part < 3; ++part) {  // parameter and its update, forward, backward
      int64_t work = part ? draw(random, 20000, 2000000) : draw(random, 1000, 20000);
      int64_t bytes = part ? 0 : draw(random, 100000, 4000000);
      made.problem.costs.emplace_back(1, work);
      made.limits.bytes.emplace_back(1, bytes);
      for (int a = 0; a < accelerators; ++a) {
        made.problem.costs.back().push_back(4000 + work / 12);
        made.limits.bytes.back().push_back(bytes);
      }
      made.limits.folded_order.push_back(layer);
      total[0] += bytes;
    }
  for (int layer = 0; layer < layers; ++layer) {
    int parameter = 3 * layer, forward = parameter + 1, backward = parameter + 2;
    add_value(parameter, {forward, backward}, made.limits.bytes[parameter][0], true);
    add_value(backward, {parameter}, made.limits.bytes[parameter][0], false);
    std::vector<int> readers{backward};
    if (layer + 1 < layers) readers.push_back(forward + 3);
    add_value(forward, readers, draw(random, 10000, 1000000), false);
    if (layer > 0) add_value(backward, {backward - 3}, draw(random, 10000, 1000000), false);
  }
  made.limits.caps.assign(static_cast<size_t>(labels), unlimited_memory);
  for (int a = 1; a < labels; ++a)
    made.limits.caps[a] = static_cast<int64_t>(room * static_cast<double>(total[0]) / accelerators);
  return made;
}

TEST(PlacementMemory, LargeProblemsHaveAGapBelowOnePercent) {
  std::mt19937 random(27);
  for (double room : {0.2, 0.5, 0.8, 0.97}) {
    Limited given = training_chain(random, 1700, 1, room);
    CappedSolution solution = solve_with_memory(given.problem, given.limits);
    ASSERT_FALSE(solution.shortage);
    EXPECT_TRUE(fits(given, solution.labels));
    EXPECT_LE(solution.gap(), 0.01) << room;
    EXPECT_GT(solution.energy, solve_placement(given.problem).energy);
  }
}

TEST(PlacementMemory, AlikeDevicesShareAProgramInContiguousParts) {
  std::mt19937 random(29);
  Limited given = training_chain(random, 400, 4, 1.1);
  CappedSolution solution = solve_with_memory(given.problem, given.limits);
  ASSERT_FALSE(solution.shortage);
  EXPECT_TRUE(fits(given, solution.labels));
  EXPECT_LE(solution.gap(), 0.01);
  int changes = 0;
  for (int g = 3; g < given.problem.groups(); g += 3) changes += solution.labels[g] != solution.labels[g - 3];
  EXPECT_GE(changes, 3);
  EXPECT_LE(changes, 12);
}

TEST(PlacementMemory, AShortageNamesWhatIsNeededAndWhoHoldsMost) {
  // Three groups run on device 1 only: 10 + 30 + 20 bytes, where 50 are free.
  PlacementProblem problem{2, {{unrunnable, 1}, {unrunnable, 1}, {unrunnable, 1}, {1, 1}}, {}};
  MemoryLimits limits{{unlimited_memory, 59}, {{0, 10}, {0, 30}, {0, 20}, {5, 5}}, {}};
  CappedSolution solution = solve_with_memory(problem, limits);
  ASSERT_TRUE(solution.shortage);
  EXPECT_EQ(solution.shortage->label, 1);
  EXPECT_EQ(solution.shortage->needed, 60);
  EXPECT_EQ(solution.shortage->available, 59);
  EXPECT_EQ(solution.shortage->holders, (std::vector<int>{1, 2, 0}));
  EXPECT_TRUE(solution.shortage->is_proven);
  limits.caps[1] = 60;
  EXPECT_FALSE(solve_with_memory(problem, limits).shortage);
}

TEST(PlacementMemory, AParameterThatDoesNotFitIsStreamedThroughTwoBuffers) {
  // Each reader gains 90 on device 1; a copy of its parameter, of 40 and 10 bytes, costs 30.
  PlacementProblem problem{2, {{0, 0}, {0, 0}, {100, 10}, {100, 10}}, {}};
  problem.values.push_back({0, {2}, {0, 30, 30, 0}, 40, true});
  problem.values.push_back({1, {3}, {0, 30, 30, 0}, 10, true});
  MemoryLimits limits{{unlimited_memory, 50}, {{40, 40}, {10, 10}, {0, 0}, {0, 0}}, {}};
  EXPECT_EQ(solve_with_memory(problem, limits).labels, (Labels{1, 1, 1, 1}));
  // 40 bytes at home and two buffers of 10 would be 60, so that the second reader stays; so it does with 20 bytes,
  // where only the second parameter fits, at home or streamed.
  for (int64_t cap : {49, 20}) {
    limits.caps[1] = cap;
    EXPECT_EQ(solve_with_memory(problem, limits).energy, 110);
  }
  limits.caps[1] = 9;
  EXPECT_EQ(solve_with_memory(problem, limits).energy, 200);
  // With a third one of 11 bytes (10 a copy), the largest stays at home and both others are streamed, in turn.
  problem.costs.insert(problem.costs.end(), {{0, 0}, {100, 10}});
  problem.values.push_back({4, {5}, {0, 30, 30, 0}, 10, true});
  limits.bytes.insert(limits.bytes.end(), {{11, 11}, {0, 0}});
  limits.caps[1] = 60;
  CappedSolution solution = solve_with_memory(problem, limits);
  EXPECT_EQ(solution.labels, (Labels{1, 0, 1, 1, 0, 1}));
  EXPECT_EQ(solution.energy, 90);
  EXPECT_EQ(solution.used[1], 60);
}

}  // namespace
}  // namespace placewright
