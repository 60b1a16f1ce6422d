// Launches in an order, and in parts, that hold less: what they compute stays the same, and states are overwritten
// behind the last reader of their old values.
#include "placewright/passes/launch_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/ir/evaluate.h"
#include "placewright/ir/plan_memory.h"
#include "placewright/passes/relief.h"
#include "test_machine.h"

namespace placewright {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

const DeviceId sim{"sim", 0};
constexpr int64_t bytes = 64 * 64 * 4;

std::vector<std::string> launches(const Graph& graph) {
  std::vector<std::string> names;
  for (const Op& op : graph.main().ops)
    if (!op.is("input")) names.emplace_back(op.name());
  return names;
}

int64_t arena(const Graph& graph) { return plan_memory(graph, 0).devices.front().arena_bytes; }

void expect_same(const Graph& before, const Graph& after) {
  verify_graph(after);
  check_memory_plan(after, 0, plan_memory(after, 0));
  std::vector<HostTensor> inputs;
  for (Value input : before.main().inputs) {
    HostTensor& x = inputs.emplace_back(DType::f32, Sizes{64, 64});
    for (int64_t i = 0; i < x.elements(); ++i) x.set_number(i, static_cast<double>((i + input.op) % 7) / 10);
  }
  const Evaluation expected = evaluate(before, inputs), found = evaluate(after, inputs);
  ASSERT_EQ(found.results.size(), expected.results.size());
  for (size_t i = 0; i < expected.results.size(); ++i)
    EXPECT_TRUE(found.results[i].same_bytes(expected.results[i])) << "result " << i;
}

// Two values that one reduction each reads: the second is made before the first is read.
Graph both_made_first() {
  return parse_graph(R"(graph v1
function "main"(%0) {
  %0 = input() {kind="argument", name="x"} : f32[64,64]@[sim:0]
  %1 = exp(%0) : f32[64,64]@[sim:0]
  %2 = tanh(%0) : f32[64,64]@[sim:0]
  %3 = reduce_sum(%1) {dims=[0]} : f32[64]@[sim:0]
  %4 = reduce_max(%2) {dims=[0]} : f32[64]@[sim:0]
  return %3, %4
}
)",
                     "test");
}

TEST(LaunchOrder, WhatFreesMemoryRunsAtOnce) {
  const Graph graph = both_made_first();
  const Graph ordered = order_for_memory(graph, plan_memory(graph, 0), sim);
  EXPECT_THAT(launches(ordered), ElementsAre("exp", "reduce_sum", "tanh", "reduce_max"));
  EXPECT_EQ(arena(graph), 2 * bytes);
  EXPECT_EQ(arena(ordered), bytes);
  expect_same(graph, ordered);
}

TEST(LaunchOrder, JoinedWorkIsCutWhereOneWaitsForWhatTheOtherDoesNotRead) {
  const Graph graph = parse_graph(R"(graph v1
function "main"(%0) {
  %0 = input() {kind="argument", name="x"} : f32[64,64]@[sim:0]
  %1 = exp(%0) : f32[64,64]@[sim:0]
  %2 = tanh(%0) : f32[64,64]@[sim:0]
  %3 = fused @1(%1, %2) : (f32[64]@[sim:0], f32[64]@[sim:0])
  return %3.0, %3.1
}
function "fused_1"(%0, %1) {
  %0 = input() {kind="argument", name="in0"} : f32[64,64]@[sim:0]
  %1 = input() {kind="argument", name="in1"} : f32[64,64]@[sim:0]
  %2 = reduce_sum(%0) {dims=[0]} : f32[64]@[sim:0]
  %3 = reduce_max(%1) {dims=[0]} : f32[64]@[sim:0]
  return %2, %3
}
)",
                                  "test");
  int cut = 0;
  const Graph parts = cut_launches(graph, plan_memory(graph, 0), sim, cut);
  EXPECT_EQ(cut, 1);
  EXPECT_THAT(launches(parts), ElementsAre("exp", "fused", "tanh", "fused"));
  EXPECT_EQ(arena(parts), bytes);
  expect_same(graph, parts);
}

TEST(LaunchOrder, OldValuesOfStatesAreReadFirst) {
  const Graph graph = parse_graph(R"(graph v1
function "main"(%0, %1) {
  %0 = input() {kind="argument", name="x"} : f32[64,64]@[sim:0]
  %1 = input() {kind="state", name="w"} : f32[64,64]@[sim:0]
  %2 = exp(%0) : f32[64,64]@[sim:0]
  %3 = tanh(%0) : f32[64,64]@[sim:0]
  %4 = mul(%1, %3) : f32[64,64]@[sim:0]
  %5 = reduce_sum(%4) {dims=[0]} : f32[64]@[sim:0]
  %6 = sub(%1, %2) : f32[64,64]@[sim:0]
  update %1 = %6
  return %5
}
)",
                                  "test");
  const MemoryPlan plan = plan_memory(graph, 0);
  ASSERT_THAT(plan.updated_in_place, ElementsAre(true));
  const Graph ordered = order_for_memory(graph, plan, sim);
  EXPECT_THAT(plan_memory(ordered, 0).updated_in_place, ElementsAre(true));
  expect_same(graph, ordered);
}

// The pass takes the order alone where that is enough, and says so.
TEST(LaunchOrder, ReliefBeginsWithTheOrder) {
  const Graph graph = both_made_first();
  TestMachine test;
  const int64_t needed = measure_need(graph, test.context).devices.front().bytes;
  for (DeviceSpec& spec : test.machine.devices)
    if (spec.id == sim) spec.memory_bytes = needed - 1;
  const Relief relief = find_relief(graph, test.context);
  EXPECT_TRUE(relief.fits);
  ASSERT_THAT(relief.steps, SizeIs(1));
  EXPECT_EQ(relief.steps[0].kind, ReliefKind::reordered);
  EXPECT_EQ(relief.steps[0].bytes, bytes);
  EXPECT_EQ(relief.steps[0].seconds, 0);
  expect_same(graph, relief.graph);
}

}  // namespace
}  // namespace placewright
