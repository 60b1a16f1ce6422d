// Programs whose branches gain by running on two accelerators at once are planned by when the last device is done.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/ir/builder.h"
#include "placewright/passes/placement.h"
#include "test_machine.h"

namespace placewright {
namespace {

// Chains of `length` ops over 4 MB each, of one input or each of its own; every op takes 9 us on an accelerator, and a
// copy 410 us.
Graph chains(int count, int length) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  Value x = builder.input("x", InputKind::argument, Type(DType::f32, {1000, 1000}));
  for (int c = 0; c < count; ++c) {
    Value h = x;
    for (int i = 0; i < length; ++i) h = builder(i % 2 == c ? "exp" : "tanh", {h});
    builder.function().results.push_back(h);
  }
  return graph;
}

TEST(PlaceAtOnce, TwoChainsRunOnTwoAccelerators) {
  TestMachine machine;
  PlacementPlan plan = plan_placement(chains(2, 100), machine.context);
  EXPECT_THAT(plan.objective, testing::HasSubstr("time until the last device is done"));
  EXPECT_GE(plan.done, plan.solved->done_bound);
  EXPECT_LT(plan.done, 410000 + 2 * 900000 + 410000);  // what one accelerator takes at least
  EXPECT_NE(plan.ops[1].where, plan.ops[101].where);
  bool is_later = false;
  for (const OpPlacement& op : plan.ops)
    for (const RejectedDevice& rejected : op.rejected) {
      is_later = is_later || (rejected.kind == RejectionKind::dearer && rejected.seconds > 0);
      EXPECT_GE(rejected.seconds, 0);
    }
  EXPECT_TRUE(is_later);
  PlacementPlan again = plan_placement(chains(2, 100), machine.context);
  EXPECT_EQ(print_plan(plan), print_plan(again));
}

// The host and one accelerator, as fast as each other: the sum of all times has no use for the second. Products do not
// share launches: a chain takes 1.8 ms.
TEST(PlaceAtOnce, TwoChainsOfProductsRunOnTheHostAndItsAccelerator) {
  constexpr int length = 200;
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  const Value x = builder.input("x", InputKind::argument, Type(DType::f32, {1000, 1000}));
  for (int c = 0; c < 2; ++c) {
    Value h = builder(c == 0 ? "exp" : "tanh", {x});
    for (int i = 0; i < length; ++i)
      h = builder("dot_general", {h, h}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}});
    builder.function().results.push_back(h);
  }
  TestMachine machine;
  machine.context.targets = {{{"cpu", 0}, &machine.accelerator}, {{"sim", 0}, &machine.accelerator}};
  const PlacementPlan plan = plan_placement(graph, machine.context);
  EXPECT_THAT(plan.objective, testing::HasSubstr("time until the last device is done"));
  EXPECT_NE(plan.ops[1].where, plan.ops[length + 2].where);
  const SolvedPlacement& solved = *plan.solved;
  EXPECT_EQ(solved.least_sum.bound, solved.least_sum.sum);
  EXPECT_LT(solved.least_sum.sum, solved.energy);  // there and back is a copy each
  EXPECT_EQ(solved.bound, solved.least_sum.sum);
  EXPECT_LT(plan.done, solved.least_sum.done * 3 / 4);
}

TEST(PlaceAtOnce, OneChainStaysTogether) {
  TestMachine machine;
  PlacementPlan plan = plan_placement(chains(1, 100), machine.context);
  EXPECT_FALSE(plan.solved->is_simulated);
  EXPECT_THAT(plan.objective, testing::HasSubstr("sum of launch times"));
  for (size_t i = 2; i < plan.ops.size(); ++i) EXPECT_EQ(plan.ops[i].where, plan.ops[1].where);
}

}  // namespace
}  // namespace placewright
