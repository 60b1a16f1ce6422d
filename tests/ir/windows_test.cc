// Hand-picked cases of pooling: ties, NaN, elements that no window covers, padding.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "ir/op_testing.h"

namespace placewright::testing {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

TEST(MaxPool, FirstMaximumTakesTheGradient) {
  HostTensor input = HostTensor::from<float>({2, 5}, {1, 3, 2, 2, 9,  //
                                                      3, 0, 2, 2, 9});
  HostTensor gradient = HostTensor::from<float>({1, 2}, {10, 20});
  Attributes window{{"window", Sizes{2, 2}}};
  EXPECT_TRUE(evaluate_op({"max_pool", {input}, window})[0].same_bytes(HostTensor::from<float>({1, 2}, {3, 2})));
  HostTensor expected = HostTensor::from<float>({2, 5}, {0, 10, 20, 0, 0,  //
                                                         0, 0, 0, 0, 0});
  EXPECT_TRUE(evaluate_op({"max_pool_gradient", {input, gradient}, window})[0].same_bytes(expected));
}

TEST(MaxPool, NaNWins) {
  HostTensor input = HostTensor::from<float>({6}, {1, nan, nan, 5, 7, 2});
  HostTensor gradient = HostTensor::from<float>({2}, {10, 20});
  Attributes window{{"window", Sizes{3}}};
  HostTensor result = evaluate_op({"max_pool", {input}, window})[0];
  EXPECT_TRUE(std::isnan(result.number(0)));
  EXPECT_EQ(result.number(1), 7);
  EXPECT_TRUE(evaluate_op({"max_pool_gradient", {input, gradient}, window})[0].same_bytes(
      HostTensor::from<float>({6}, {0, 10, 0, 0, 20, 0})));
}

TEST(MaxPool, PaddingNeverWins) {
  HostTensor input = HostTensor::from<float>({3}, {-infinity, -5, -6});
  HostTensor gradient = HostTensor::from<float>({4}, {1, 2, 4, 8});
  Attributes window{{"window", Sizes{2}}, {"stride", Sizes{1}}, {"padding_low", Sizes{1}}, {"padding_high", Sizes{1}}};
  EXPECT_TRUE(
      evaluate_op({"max_pool", {input}, window})[0].same_bytes(HostTensor::from<float>({4}, {-infinity, -5, -5, -6})));
  EXPECT_TRUE(evaluate_op({"max_pool_gradient", {input, gradient}, window})[0].same_bytes(
      HostTensor::from<float>({3}, {1, 6, 8})));
}

TEST(MaxPool, SaysWhatDoesNotFit) {
  const OpEntry& entry = find_op("max_pool");
  std::vector<Type> operands{Type(DType::f32, {2, 4, 4})};
  auto error_of = [&](const Attributes& attributes) {
    try {
      infer_types({entry, operands, {}, complete_attributes(entry, attributes)});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(error_of({{"window", Sizes{2, 2}}, {"padding_low", Sizes{2, 0}}}),
            "max_pool: padding 2 and 0 of spatial dimension 0, expected less than the window's reach of 2");
  EXPECT_EQ(error_of({{"window", Sizes{1, 1, 1, 1}}}),
            "max_pool: the window [1,1,1,1] has 4 dimensions, expected from 1 to 3, the rank of the operand [2,4,4]");
  EXPECT_EQ(error_of({{"window", Sizes{5, 1}}}),
            "max_pool: a window of 5 elements does not fit into spatial dimension 0, which has 4, padding included");
  EXPECT_EQ(error_of({}), "max_pool: attribute window is missing");
}

TEST(AvgPool, CountsPaddingOnlyWhenAsked) {
  HostTensor input = HostTensor::from<float>({4}, {3, 6, 9, 12});
  Attributes window{{"window", Sizes{3}}, {"stride", Sizes{3}}, {"padding_low", Sizes{1}}, {"padding_high", Sizes{1}}};
  EXPECT_TRUE(evaluate_op({"avg_pool", {input}, window})[0].same_bytes(HostTensor::from<float>({2}, {3, 7})));
  window.set("count_include_pad", false);
  EXPECT_TRUE(evaluate_op({"avg_pool", {input}, window})[0].same_bytes(HostTensor::from<float>({2}, {4.5, 10.5})));
}

}  // namespace
}  // namespace placewright::testing
