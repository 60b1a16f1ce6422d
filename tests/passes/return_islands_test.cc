// What was moved away and gains nothing is put back: the most expensive first, as often as allowed.
#include "placewright/passes/return_islands.h"

#include <gtest/gtest.h>

namespace placewright {
namespace {

// Groups 0 to 4, of which 1 reads 0 and 3 reads 2; group 4 stands alone. A copy takes 10.
PlacementProblem two_chains() {
  PlacementProblem problem{2, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 5}}, {}};
  for (auto [from, to] : {std::pair(0, 1), {2, 3}}) {
    PlacementProblem::Value value{from, {to}, {}};
    value.moves = {0, 10, 10, 0};
    problem.values.push_back(value);
  }
  return problem;
}

TEST(ReturnIslands, ThoseThatSaveMostAreAskedForFirst) {
  std::vector<Labels> asked;
  return_islands(two_chains(), {0, 1, 0, 1, 1}, {0, 0, 0, 0, 0}, 9, [&](const Labels& labels) {
    asked.push_back(labels);
    return labels[3] == 1;  // what 3 does there pays
  });
  // A copy less saves 10, group 4 saves 4.
  EXPECT_EQ(asked, (std::vector<Labels>{{0, 0, 0, 1, 1}, {0, 0, 0, 0, 1}, {0, 0, 0, 1, 0}}));
}

TEST(ReturnIslands, AnIslandReturnsAsAWhole) {
  // 1 and 2 stand elsewhere and hand on a value: without one of them as much is copied.
  PlacementProblem problem{2, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 5}}, {}};
  for (int g : {0, 1, 2}) {
    PlacementProblem::Value value{g, {g + 1}, {}};
    value.moves = {0, 10, 10, 0};
    problem.values.push_back(value);
  }
  std::vector<Labels> asked;
  auto accept = [&](const Labels& labels) {
    asked.push_back(labels);
    return true;
  };
  // All back is the base itself, which was judged before.
  return_islands(problem, {0, 1, 1, 0, 1}, {0, 0, 0, 0, 0}, 9, accept);
  EXPECT_EQ(asked, (std::vector<Labels>{{0, 0, 0, 0, 1}}));
}

TEST(ReturnIslands, AsOftenAsAllowedAndOnlyWhatSaves) {
  int asked = 0;
  auto refuse = [&](const Labels&) {
    ++asked;
    return false;
  };
  const Labels chosen{0, 1, 0, 1, 1};
  return_islands(two_chains(), chosen, {0, 0, 0, 0, 0}, 2, refuse);
  EXPECT_EQ(asked, 2);
  return_islands(two_chains(), chosen, {0, 0, 0, 0, 0}, 0, refuse);
  EXPECT_EQ(asked, 2);
}

}  // namespace
}  // namespace placewright
