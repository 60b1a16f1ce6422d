// What products take whose factors may be rounded: by the rates of a device, by curves, and by curves of something
// else.
#include "placewright/codegen/launch_costs.h"

#include <gtest/gtest.h>

namespace placewright {
namespace {

constexpr double operations = 1e9;

class ProductCosts : public ::testing::Test {
 protected:
  ProductCosts() {
    for (DeviceSpec* spec : {&host_, &gpu_}) {
      spec->memory_bandwidth = 1e15;
      spec->rates = {{"contraction", DType::f64, 5e9}, {"contraction", DType::f32, 10e9}};
    }
    host_.id = {"cpu", 0};
    gpu_.id = {"cuda", 0};
    gpu_.rates.push_back({"contraction", DType::f32, 80e9, Precision::tf32});
  }
  static double seconds(const DeviceSpec& spec, Precision precision, const Profile* profile = nullptr) {
    StageWork work{"contraction", DType::f32, {DType::f32}, operations, 8};
    work.precision = precision;
    return LaunchCosts(spec, profile, std::make_shared<OpFactsTable>()).seconds(work);
  }

  DeviceSpec host_, gpu_;
};

TEST_F(ProductCosts, FollowTheRateOfTheirPrecision) {
  EXPECT_DOUBLE_EQ(seconds(gpu_, Precision::f32), 0.1);
  EXPECT_DOUBLE_EQ(seconds(gpu_, Precision::tf32), 0.0125);
  EXPECT_DOUBLE_EQ(seconds(gpu_, Precision::bf16), 0.1);  // no rate of its own
  for (Precision precision : {Precision::f32, Precision::tf32, Precision::bf16})
    EXPECT_DOUBLE_EQ(seconds(host_, precision), 0.1);
}

TEST_F(ProductCosts, FollowMeasuredCurvesBeforeRates) {
  Profile profile;
  profile.ops = {{gpu_.id, "contraction", DType::f64, {{operations, 0.8}}},
                 {host_.id, "contraction", DType::f64, {{operations, 0.9}}}};
  EXPECT_DOUBLE_EQ(seconds(gpu_, Precision::tf32, &profile), 0.8 * 5 / 80);
  profile.ops.push_back({gpu_.id, "contraction", DType::f32, {{operations, 0.2}}});
  profile.ops.push_back({host_.id, "contraction", DType::f32, {{operations, 0.3}}});
  // Half as fast as thought in f32, so in tf32, too; on the host both are the same.
  EXPECT_DOUBLE_EQ(seconds(gpu_, Precision::tf32, &profile), 0.2 * 10 / 80);
  EXPECT_DOUBLE_EQ(seconds(host_, Precision::tf32, &profile), 0.3);
  profile.ops.push_back({gpu_.id, "contraction", DType::f32, {{operations, 0.05}}, Precision::tf32});
  EXPECT_DOUBLE_EQ(seconds(gpu_, Precision::tf32, &profile), 0.05);
  EXPECT_DOUBLE_EQ(seconds(gpu_, Precision::f32, &profile), 0.2);
  EXPECT_DOUBLE_EQ(seconds(gpu_, Precision::bf16, &profile), 0.2);
}

}  // namespace
}  // namespace placewright
