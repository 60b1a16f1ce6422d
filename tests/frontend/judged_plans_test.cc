// Plans judged from outside, in short: bench/judge_bench and bench/throttle_bench are the whole of it.
#include "judged_plans.h"

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

#include "judged_wall.h"
#include "placewright/codegen/emitter.h"
#include "placewright/session.h"

namespace placewright {
namespace {

constexpr double allowed = 1.10;

int seeds() { return std::getenv("PLACEWRIGHT_FULL_COUNTS") ? 20 : 3; }

TEST(JudgedPlans, NoWorseThanWhatDoesWithoutTheOptimiser) {
  for (const testing::JudgedCase& judged : testing::judged_cases(false)) {
    const testing::Judge judge(judged);
    for (int seed = 1; seed <= seeds(); ++seed) {
      const std::vector<double> seconds = judge.seconds(static_cast<uint64_t>(seed));
      const std::vector<double> again = judge.seconds(static_cast<uint64_t>(seed));
      for (size_t i = 0; i < seconds.size(); ++i) EXPECT_NEAR(again[i], seconds[i], 1e-9 * seconds[i]);
      EXPECT_LE(seconds[0] / *std::min_element(seconds.begin() + 1, seconds.end()), allowed)
          << judged.program << " on " << judged.machine_name << ", seed " << seed;
    }
  }
}

// Hidden factors change times: else the test above would judge nothing.
TEST(JudgedPlans, MachinesDifferFromWhatThePlannerWasTold) {
  const testing::Judge judge(testing::judged_cases(false).front());
  const std::vector<double> told = judge.seconds(0), first = judge.seconds(1), second = judge.seconds(2);
  ASSERT_EQ(judge.names().front(), "plan");
  ASSERT_GE(told.size(), 5u);
  for (size_t i = 0; i < told.size(); ++i) {
    EXPECT_NE(told[i], first[i]);
    EXPECT_NE(first[i], second[i]);
  }
}

class ThrottledPlans : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (missing_emitter().empty()) measured_ = testing::measure_processor();  // else its tests are skipped
  }
  static void TearDownTestSuite() { configure({}); }
  static std::vector<testing::MeasuredPlan> plans(double host_factor, double device_factor, int64_t* launches) {
    const testing::JudgedCase judged = testing::judged_cases(false)[3];  // (d)
    const testing::ThrottledMachine machine(host_factor, device_factor, measured_);
    auto plans = testing::measure_plans(judged.graph, machine, 3);
    *launches = machine.device().launches();
    return plans;
  }
  static Profile measured_;
};
Profile ThrottledPlans::measured_;

// A factor of twenty is beyond all noise.
TEST_F(ThrottledPlans, TheSlowOneOfTwoRealDevicesIsLeftAlone) {
  int64_t launches = 0;
  for (auto [host_factor, device_factor] : {std::pair(20.0, 1.0), {1.0, 20.0}}) {
    const auto all = plans(host_factor, device_factor, &launches);
    const testing::MeasuredPlan &plan = all[0], &on_host = all[1], &on_device = all[2];
    const bool host_is_slow = host_factor > 1;
    const testing::MeasuredPlan &fast = host_is_slow ? on_device : on_host, &slow = host_is_slow ? on_host : on_device;
    EXPECT_GT(slow.seconds, 3 * fast.seconds);
    EXPECT_LT(plan.seconds, slow.seconds / 3);
    EXPECT_GT(slow.predicted, 3 * plan.predicted);
    // Ops that take next to nothing may stay on the slow one, beside the work of the fast one.
    EXPECT_LE(plan.predicted, 1.10 * fast.predicted);
    if (host_is_slow) {
      EXPECT_GT(plan.ops_on_device, 0);
    }
    EXPECT_GT(launches, 0);
    for (const testing::MeasuredPlan& other : all)
      EXPECT_NEAR(other.result.number(0), plan.result.number(0), 1e-4 * std::abs(plan.result.number(0))) << other.name;
  }
}

}  // namespace
}  // namespace placewright
