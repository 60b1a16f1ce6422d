// Schedules as text and their rules, on what the strategies choose for the lowering of every op.
#include "placewright/ir/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derived_cases.h"
#include "placewright/codegen/strategy.h"

namespace placewright::testing {
namespace {

TEST(Schedule, StrategiesChooseOnesThatFitAndRoundTrip) {
  for (const char* level : {"x86-64-v2", "x86-64-v4"})
    for (const OpEntry& entry : op_table()) {
      if (!can_lower(entry)) continue;
      for (const DerivedCase& each : derived_cases(entry)) {
        SCOPED_TRACE(each.name);
        StructuredKernel kernel = collapse_dimensions(lower_op(each.view()));
        verify_kernel(kernel);
        Schedule schedule = choose_schedule(kernel, named_cpu_target(level));
        EXPECT_NO_THROW(verify_schedule(kernel, schedule)) << print_kernel(kernel);
        std::string text = print_schedule(schedule);
        EXPECT_TRUE(parse_schedule(text) == schedule) << text;
        EXPECT_EQ(print_schedule(parse_schedule(text)), text);
        if (HasFailure()) return;
      }
    }
}

constexpr std::string_view product = R"(kernel "product" {
  buffer "a" input f32[64,32]
  buffer "b" input f32[32,48]
  buffer "out" output f32[64,48]
  buffer "sum" local f32[64,48]
  stage "dot" [64, 48, 32] reduced [2] {
    access b0[d0, d2]
    access b1[d2, d1]
    access b3[d0, d1]
    body {
      n0 = load f32 0
      n1 = load f32 1
      n2 = mul f32 n0 n1
    }
    reduce sum {
      state f32 n2 from constant f32 0
    }
    epilogue {
      n0 = reduced f32 0
    }
    epilogue_store a2 n0
  }
  stage "neg" [64, 48] reduced [] {
    access b3[d0, d1]
    access b2[d0, d1]
    body {
      n0 = load f32 0
      n1 = neg f32 n0
    }
    store a1 n1
  }
}
)";
constexpr std::string_view tiled = R"(schedule {
  stage [d1 by 32, d0 by 8, d2 by 1] vector d1 unroll 2 pack a1 order [1, 0] block 1:32
  stage [d1 by 16] vector d1
  group 2 shared [d0 by 16 thread]
  phase 1
}
)";

TEST(Schedule, TextIsExact) {
  Schedule schedule = parse_schedule(tiled);
  EXPECT_EQ(print_schedule(schedule), tiled);
  verify_schedule(parse_kernel(product), schedule);
}

// The sums of one row, which the lanes that make it share.
constexpr std::string_view held = R"(schedule {
  stage [d1 by 1 lane, d2 by 1]
  stage [d1 by 4 lane] vector d1
  group 2 shared [d0 by 1 thread] lanes 32 held [b3]
  phase 1
}
)";

TEST(Schedule, WhatIsHeldIsALocalOfOneIteration) {
  const StructuredKernel kernel = parse_kernel(product);
  Schedule schedule = parse_schedule(held);
  EXPECT_EQ(print_schedule(schedule), held);
  verify_schedule(kernel, schedule);
  const StageGroup group = schedule.groups[0];
  EXPECT_TRUE(may_hold(kernel, 0, group, 3));
  EXPECT_FALSE(may_hold(kernel, 0, group, 2));                                     // a result
  EXPECT_FALSE(may_hold(kernel, 0, group, 4));                                     // none
  EXPECT_FALSE(may_hold(kernel, 1, {1, group.shared, 32}, 3));                     // another group writes it
  EXPECT_FALSE(may_hold(kernel, 0, {2, {{0, 16, Loop::Binding::thread}}, 1}, 3));  // sixteen rows each
  StructuredKernel other = kernel;
  other.stages[1].accesses[0].index = {AffineExpr::dim(1, 2), AffineExpr::dim(0, 2)};
  EXPECT_FALSE(may_hold(other, 0, group, 3));  // other rows' sums
}

std::string refusal(const std::function<void(Schedule&, StructuredKernel&)>& spoil) {
  Schedule schedule = parse_schedule(tiled);
  StructuredKernel kernel = parse_kernel(product);
  spoil(schedule, kernel);
  try {
    verify_schedule(kernel, schedule);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Schedule, RulesNameWhatIsBroken) {
  using ::testing::HasSubstr;
  using Kernel = StructuredKernel;
  EXPECT_EQ(refusal([](Schedule& schedule, Kernel&) { schedule.stages[0].loops[1].step = 5; }),
            "kernel product, schedule of stage 0 (dot): step 5 of d0 does not divide 16");
  EXPECT_THAT(refusal([](Schedule& schedule, Kernel&) { schedule.stages[0].loops[0].dim = 3; }),
              HasSubstr("no dimension d3"));
  EXPECT_THAT(
      refusal([](Schedule& schedule, Kernel&) { std::swap(schedule.stages[0].loops[0], schedule.stages[0].loops[2]); }),
      HasSubstr("inside a reduced dimension"));
  EXPECT_THAT(refusal([](Schedule& schedule, Kernel&) { schedule.groups[0].shared[0].dim = 1; }),
              HasSubstr("step 32 of d1 does not divide 16"));
  EXPECT_THAT(
      refusal([](Schedule&, Kernel& kernel) { kernel.stages[1].accesses[0].index[0] = AffineExpr{{-1, 0}, 63, 1}; }),
      HasSubstr("exchange values between its iterations"));
  EXPECT_THAT(refusal([](Schedule&, Kernel& kernel) { kernel.stages[1].sequential = {true, false}; }),
              HasSubstr("sequential"));
  EXPECT_THAT(refusal([](Schedule& schedule, Kernel&) { schedule.stages[0].packs[0].access = 2; }),
              HasSubstr("packed, but not loaded"));
  EXPECT_THAT(refusal([](Schedule& schedule, Kernel&) { schedule.stages[1].shares = 4; }), HasSubstr("4 shares"));
  EXPECT_THAT(refusal([](Schedule& schedule, Kernel&) { schedule.phases[0].groups = 2; }), HasSubstr("a phase of 2"));
  EXPECT_THAT(refusal([](Schedule& schedule, Kernel&) { schedule.groups[0].held = {3}; }), HasSubstr("b3 is held"));
}

}  // namespace
}  // namespace placewright::testing
