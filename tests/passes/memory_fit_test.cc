// Plans keep within the machine's memories, as a memory plan of the compiled graph counts them.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/ir/builder.h"
#include "placewright/passes/memory_need.h"
#include "placewright/passes/placement.h"
#include "test_machine.h"

namespace placewright {
namespace {

// x, then for each of six states of 4 MB: h = exp(h * w), all of it one launch; or of `products` a launch each.
Graph layers(bool products, const std::optional<Pin>& pin = {}) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  Type type(DType::f32, {1000, 1000});
  Value h = builder.input("x", InputKind::argument, type);
  std::vector<Value> weights;
  builder.pin = pin;
  for (int i = 0; i < 6; ++i) weights.push_back(builder.input("w" + std::to_string(i), InputKind::state, type));
  for (Value weight : weights)
    h = builder("exp", {products ? builder("dot_general", {h, weight},
                                           {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}})
                                 : builder("mul", {h, weight})});
  builder.function().results = {h};
  return graph;
}

struct Planned {
  PlacementPlan plan;
  std::map<DeviceId, int64_t> peaks;
};

Planned plan_with(const Graph& graph, TestMachine& machine, int64_t bytes) {
  for (DeviceSpec& spec : machine.machine.devices)
    if (!spec.host_memory) spec.memory_bytes = bytes;
  Planned planned{plan_placement(graph, machine.context), {}};
  Graph compiled = run_passes(apply_placement(graph, planned.plan), machine.context, {}, "insert_transfers");
  for (const DeviceNeed& need : measure_need(compiled, machine.context).devices)
    planned.peaks[need.device] = need.bytes;
  return planned;
}

const DeviceId first{"sim", 0}, second{"sim", 1};

TEST(MemoryFit, RunsAtItsPeakAndKeepsBelowLess) {
  TestMachine machine;
  machine.context.targets.erase(second);
  Planned free = plan_with(layers(true), machine, 0);
  int64_t peak = free.peaks.at(first);
  ASSERT_GE(peak, 24000000);
  Planned exact = plan_with(layers(true), machine, peak);
  EXPECT_FALSE(exact.plan.solved->is_limited);
  EXPECT_EQ(exact.plan.solved->labels, free.plan.solved->labels);
  for (int64_t cap : {peak - 1, peak / 2}) {
    Planned less = plan_with(layers(true), machine, cap);
    EXPECT_TRUE(less.plan.solved->is_limited);
    EXPECT_LE(less.peaks.at(first), cap);
    EXPECT_GT(less.plan.solved->energy, free.plan.solved->energy);
    EXPECT_LE(less.plan.solved->bound, less.plan.solved->energy);
    EXPECT_THAT(less.plan.objective, testing::HasSubstr("within the devices' memories"));
    bool has_cause = false;
    for (const OpPlacement& op : less.plan.ops)
      for (const RejectedDevice& rejected : op.rejected)
        has_cause = has_cause || (rejected.device == first && rejected.kind == RejectionKind::memory);
    EXPECT_TRUE(has_cause);
  }
}

TEST(MemoryFit, TwoAcceleratorsShareWhatOneCannotHold) {
  TestMachine machine;
  int64_t peak = plan_with(layers(true), machine, 0).peaks.at(first);
  Planned shared = plan_with(layers(true), machine, peak * 3 / 4);
  EXPECT_LE(shared.peaks.at(first), peak * 3 / 4);
  EXPECT_LE(shared.peaks.at(second), peak * 3 / 4);
  auto on = [&](const DeviceId& device) {
    return std::count_if(shared.plan.ops.begin(), shared.plan.ops.end(),
                         [&](const OpPlacement& op) { return op.where.devices[0] == device; });
  };
  EXPECT_GT(on(first), 0);
  EXPECT_GT(on(second), 0);
}

// Whatever part of one launch is elsewhere, what is left of it takes as long: all on the host is the cheapest that
// fits.
TEST(MemoryFit, WhatFitsIsHeldAgainstAllOnOneDeviceAsFused) {
  TestMachine machine;
  machine.context.targets.erase(second);
  const Graph graph = layers(false);
  const Planned free = plan_with(graph, machine, 0);
  const int64_t peak = free.peaks.at(first);
  for (int64_t cap : {peak - 1, peak / 2}) {
    const Planned less = plan_with(graph, machine, cap);
    for (const OpPlacement& op : less.plan.ops) EXPECT_EQ(op.where.devices[0], (DeviceId{"cpu", 0})) << op.what;
    EXPECT_EQ(less.plan.solved->energy, 4001000);
    EXPECT_TRUE(less.plan.solved->is_limited);
  }
}

// A product, two unary ops and an update: alone on the host it fits, whatever the accelerators hold.
TEST(MemoryFit, WhatFitsOnOneDeviceIsNotRefused) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  Type type(DType::f32, {512, 512});
  Value x = builder.input("x", InputKind::argument, type), weight = builder.input("w", InputKind::state, type);
  Value product = builder("dot_general", {x, weight}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}});
  Value tanh = builder("tanh", {product}), exp = builder("exp", {tanh}), sub = builder("sub", {weight, tanh});
  builder.function().results = {exp};
  builder.function().updates = {{weight, sub}};
  TestMachine machine;
  int64_t bytes = builder.function().tensor(x).bytes();
  int64_t cheapest = plan_with(graph, machine, 0).plan.solved->energy, before = cheapest;
  for (int64_t cap = 6 * bytes; cap > 0; cap -= bytes / 2) {
    Planned planned = plan_with(graph, machine, cap);
    EXPECT_LE(planned.peaks[first], cap);
    EXPECT_LE(planned.peaks[second], cap);
    EXPECT_GE(planned.plan.solved->energy, cheapest);
    before = planned.plan.solved->energy;
  }
  EXPECT_GT(before, cheapest);
}

TEST(MemoryFit, WhatIsPinnedAndDoesNotFitIsRefusedWithItsLargestHolders) {
  TestMachine machine;
  machine.context.targets.erase(second);
  Graph pinned = layers(false, Pin{first, {"train.cc", 7}});
  int64_t peak = plan_with(pinned, machine, 0).peaks.at(first);
  EXPECT_EQ(plan_with(pinned, machine, peak).peaks.at(first), peak);
  try {
    plan_with(pinned, machine, peak - 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("a step needs " + std::to_string(peak) +
                                                 " bytes of memory on sim:0, which has " + std::to_string(peak - 1)));
    EXPECT_THAT(error.what(), testing::HasSubstr("it holds state w0 of 4000000 bytes, state w1"));
  }
}

}  // namespace
}  // namespace placewright
