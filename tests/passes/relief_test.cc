// Values leave a memory that is too small and come back: the way that costs least, the same results, and an error where
// nothing helps.
#include "placewright/passes/relief.h"

#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/ir/builder.h"
#include "placewright/ir/evaluate.h"
#include "placewright/ir/plan_memory.h"
#include "placewright/passes/launch_order.h"
#include "placewright/passes/placement.h"
#include "placewright/passes/step_time.h"
#include "test_machine.h"

namespace placewright {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

const DeviceId sim{"sim", 0};
constexpr int64_t side = 64;
constexpr int64_t bytes = side * side * 4;

Value dot(FunctionBuilder& builder, Value a, Value b) {
  return builder("dot_general", {a, b}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}});
}

// x, then `early` products in a row, of which the last is `waiting`; then three products that need it no more and what
// is fullest; then a product that reads both ends.
Graph with_a_late_reader(int early) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  builder.pin = Pin{sim, {"train.cc", 7}};
  Type type(DType::f32, {side, side});
  Value x = builder.input("x", InputKind::argument, type), waiting = x;
  builder.origin = graph.origins.intern({{{"train.cc", 9}}, "", Role::forward, 0, {}});
  for (int i = 0; i < early; ++i) waiting = dot(builder, waiting, x);
  Value h = waiting;
  for (int i = 0; i < 3; ++i) h = dot(builder, h, x);
  Value wide = builder("concat", {h, h, h}, {{"dim", int64_t{0}}});
  Value narrow = builder("reduce_sum", {wide}, {{"dims", Sizes{0}}});
  Value rows = builder("broadcast", {narrow}, {{"shape", type.tensor().shape}, {"dims", Sizes{1}}});
  builder.function().results = {dot(builder, waiting, rows), narrow};
  return graph;
}

class ReliefTest : public ::testing::Test {
 protected:
  // In an order that cannot be bettered, so that values must leave.
  Graph compile(const Graph& graph) {
    Graph compiled = run_passes(graph, machine_.context, {}, "", "overlap");
    const MemoryPlan plan = measure_need(compiled, machine_.context).plan;
    return order_for_memory(std::move(compiled), plan, sim);
  }

  int64_t need(const Graph& compiled) {
    for (const DeviceNeed& device : measure_need(compiled, machine_.context).devices)
      if (device.device == sim) return device.bytes;
    return 0;
  }

  void limit(int64_t memory) {
    for (DeviceSpec& spec : machine_.machine.devices)
      if (spec.id == sim) spec.memory_bytes = memory;
  }

  // The same results, and the need within the limit.
  Relief relieved(const Graph& compiled) {
    Relief relief = find_relief(compiled, machine_.context);
    EXPECT_TRUE(relief.fits);
    verify_graph(relief.graph);
    check_memory_plan(relief.graph, 0, plan_memory(relief.graph, 0));
    EXPECT_EQ(print_graph(apply_relief(compiled, machine_.context, relief.steps)), print_graph(relief.graph));
    int64_t price = 0;
    for (const ReliefStep& step : relief.steps) price += std::llround(step.seconds * 1e9);
    EXPECT_EQ(price, price_step(relief.graph, machine_.context) - price_step(compiled, machine_.context));
    HostTensor x(DType::f32, {side, side});
    for (int64_t i = 0; i < x.elements(); ++i) x.set_number(i, static_cast<double>(i % 7) / 100);
    const std::vector<HostTensor> inputs{x};
    Evaluation before = evaluate(compiled, inputs), after = evaluate(relief.graph, inputs);
    for (size_t i = 0; i < before.results.size(); ++i)
      EXPECT_TRUE(before.results[i].same_bytes(after.results[i])) << "result " << i;
    return relief;
  }

  TestMachine machine_;
};

TEST_F(ReliefTest, WhatFitsStaysAsItIs) {
  Graph compiled = compile(with_a_late_reader(1));
  limit(need(compiled));
  Relief relief = find_relief(compiled, machine_.context);
  EXPECT_THAT(relief.steps, SizeIs(0));
  EXPECT_EQ(print_graph(relief.graph), print_graph(compiled));
}

TEST_F(ReliefTest, RecomputesWhatOneLaunchMakes) {
  Graph compiled = compile(with_a_late_reader(1));
  limit(need(compiled) - 1);
  Relief relief = relieved(compiled);
  ASSERT_THAT(relief.steps, SizeIs(1));
  const ReliefStep& step = relief.steps[0];
  EXPECT_EQ(step.kind, ReliefKind::recomputed);
  EXPECT_EQ(step.bytes, bytes);
  EXPECT_THAT(step.launches, SizeIs(1));
  EXPECT_NEAR(step.seconds, 5e-6 + static_cast<double>(bytes) / 1e12, 1e-9);
  EXPECT_EQ(need(relief.graph), need(compiled) - bytes);
  EXPECT_THAT(describe(step), HasSubstr("dot_general (train.cc:9) recomputed before dot_general: frees 16384 bytes"));
}

// Two copies cost 23 us, three launches 15 us and more.
TEST_F(ReliefTest, RecomputesAChainWhereThatIsCheaperThanTheLinkAndElseOffloads) {
  Graph compiled = compile(with_a_late_reader(3));
  limit(need(compiled) - 1);
  Relief chain = relieved(compiled);
  ASSERT_THAT(chain.steps, SizeIs(1));
  EXPECT_EQ(chain.steps[0].kind, ReliefKind::recomputed);
  EXPECT_THAT(chain.steps[0].launches, SizeIs(3));

  compiled = compile(with_a_late_reader(6));
  limit(need(compiled) - 1);
  Relief link = relieved(compiled);
  ASSERT_THAT(link.steps, SizeIs(1));
  EXPECT_EQ(link.steps[0].kind, ReliefKind::offloaded);
  EXPECT_EQ(link.steps[0].waits_on, (DeviceId{"cpu", 0}));
  EXPECT_NEAR(link.steps[0].seconds, 2 * (10e-6 + static_cast<double>(bytes) / 1e10), 1e-9);
}

// Half as many bytes for a third of the time are taken first; behind what frees all that is needed they are
// superfluous.
TEST_F(ReliefTest, WhatALargerStepMakesSuperfluousIsDropped) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  builder.pin = Pin{sim, {"train.cc", 7}};
  const Type type(DType::f32, {side, side});
  Value x = builder.input("x", InputKind::argument, type);
  Value small =
      builder("slice", {x}, {{"starts", Sizes{0, 0}}, {"limits", Sizes{side / 2, side}}, {"strides", Sizes{}}});
  Value large = x;
  for (int i = 0; i < 3; ++i) large = dot(builder, large, x);
  Value h = dot(builder, small, large);
  for (int i = 0; i < 3; ++i) h = dot(builder, h, x);
  Value wide = builder("concat", {h, h, h, h, h, h}, {{"dim", int64_t{0}}});
  Value narrow = builder("reduce_sum", {wide}, {{"dims", Sizes{0}}});
  Value rows = builder("broadcast", {narrow}, {{"shape", type.tensor().shape}, {"dims", Sizes{1}}});
  builder.function().results = {dot(builder, small, rows), dot(builder, large, rows), narrow};
  const Graph compiled = compile(graph);
  const int64_t full = need(compiled);
  limit(full - bytes / 2);
  const Relief little = relieved(compiled);
  ASSERT_THAT(little.steps, SizeIs(1));
  EXPECT_EQ(little.steps[0].bytes, bytes / 2);
  limit(full - bytes);
  const Relief relief = relieved(compiled);
  ASSERT_THAT(relief.steps, SizeIs(1));
  EXPECT_EQ(relief.steps[0].bytes, bytes);
  EXPECT_THAT(relief.steps[0].launches, SizeIs(3));
}

TEST_F(ReliefTest, ThePassRefusesWhatCannotFitWithItsHolders) {
  Graph compiled = compile(with_a_late_reader(1));
  limit(3 * bytes);
  try {
    relieve_memory(compiled, machine_.context);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("bytes of memory on sim:0, which has 49152; it holds"));
    EXPECT_THAT(error.what(), HasSubstr("train.cc:9"));
  }
}

}  // namespace
}  // namespace placewright
