// Hand-picked cases of dot_general and convolution.
#include <gtest/gtest.h>

#include "ir/op_testing.h"

namespace placewright::testing {
namespace {

std::string error_of(const std::string& op, const std::vector<Type>& operands, const Attributes& attributes) {
  try {
    const OpEntry& entry = find_op(op);
    Attributes completed = complete_attributes(entry, attributes);
    infer_types({entry, operands, {}, completed});
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

Type f32(Shape shape) { return {DType::f32, std::move(shape)}; }

TEST(DotGeneral, MultipliesMatrices) {
  HostTensor a = HostTensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  HostTensor b = HostTensor::from<float>({3, 2}, {1, 0, 2, 1, 0, 3});
  HostTensor result =
      evaluate_op({"dot_general", {a, b}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}}})[0];
  EXPECT_TRUE(result.same_bytes(HostTensor::from<float>({2, 2}, {5, 11, 14, 23})));
}

TEST(DotGeneral, OfIntegersWraps) {
  HostTensor a = HostTensor::from<int32_t>({2}, {1 << 30, 1 << 30});
  HostTensor b = HostTensor::from<int32_t>({2}, {4, 1});
  HostTensor result =
      evaluate_op({"dot_general", {a, b}, {{"lhs_contracting", Sizes{0}}, {"rhs_contracting", Sizes{0}}}})[0];
  EXPECT_EQ(result.integer(0), 1 << 30);
}

TEST(DotGeneral, WithoutASumKeepsTheSignOfZero) {
  HostTensor a = HostTensor::from<float>({2}, {-1, 1}), b = HostTensor::from<float>({}, {0});
  EXPECT_TRUE(evaluate_op({"dot_general", {a, b}})[0].same_bytes(HostTensor::from<float>({2}, {-0.0f, 0})));
}

TEST(DotGeneral, KeepsSymbolsInTheResult) {
  const OpEntry& entry = find_op("dot_general");
  Attributes attributes = complete_attributes(entry, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{1}}});
  std::vector<Type> operands{f32({Dim::symbol("B", 64), 4}), f32({10, 4})};
  EXPECT_EQ(infer_types({entry, operands, {}, attributes})[0].to_string(), "f32[B<=64,10]");
}

TEST(DotGeneral, SaysWhatDoesNotFit) {
  Attributes nn{{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}};
  EXPECT_EQ(
      error_of("dot_general", {f32({2, 3}), f32({4, 5})}, nn),
      "dot_general: contracting dimension 1 of lhs [2,3] has size 3, dimension 0 of rhs [4,5] has size 4; expected "
      "equal sizes");
  EXPECT_EQ(error_of("dot_general", {f32({2, 3}), f32({3})}, {{"lhs_contracting", Sizes{2}}}),
            "dot_general: lhs has no dimension 2: its rank is 2");
  EXPECT_EQ(error_of("dot_general", {f32({2, 3}), f32({3})}, {{"lhs_contracting", Sizes{1}}}),
            "dot_general: lhs has 1 contracting dimensions and rhs 0, expected as many");
  EXPECT_EQ(error_of("dot_general", {f32({2}), f32({2})}, {{"precision", std::string("half")}}),
            "dot_general: precision is 'half', expected f32, tf32 or bf16");
}

TEST(Convolution, OfOneImageByHand) {
  HostTensor input = HostTensor::from<float>({1, 1, 3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  HostTensor weight = HostTensor::from<float>({1, 1, 2, 2}, {1, 0, 0, -1});
  HostTensor plain = evaluate_op({"conv", {input, weight}})[0];
  EXPECT_TRUE(plain.same_bytes(HostTensor::from<float>({1, 1, 2, 2}, {-4, -4, -4, -4})));
  Attributes padded{{"stride", Sizes{2, 2}}, {"padding_low", Sizes{1, 1}}};
  EXPECT_TRUE(evaluate_op({"conv", {input, weight}, padded})[0].same_bytes(
      HostTensor::from<float>({1, 1, 2, 2}, {-1, -3, -7, -4})));
}

TEST(Convolution, SaysWhatDoesNotFit) {
  EXPECT_EQ(
      error_of("conv", {f32({1, 3, 8, 8}), f32({4, 2, 3, 3})}, {}),
      "conv: input [1,3,8,8] has 3 channels, weight [4,2,3,3] takes 2 in each of 1 groups; expected them to agree");
  EXPECT_EQ(error_of("conv", {f32({1, 3, 2, 8}), f32({4, 3, 3, 3})}, {}),
            "conv: a window of 3 elements does not fit into spatial dimension 0, which has 2, padding included");
  EXPECT_EQ(error_of("conv", {f32({1, 3, 8, 8}), f32({4, 3, 3})}, {}),
            "conv: weight has shape [4,3,3], expected 4 dimensions: two and the spatial ones");
  EXPECT_EQ(error_of("conv", {f32({1, 3, 8, 8}), f32({4, 3, 3, 3})}, {{"stride", Sizes{0, 1}}}),
            "conv: stride is [0,1], expected numbers of at least 1");
  EXPECT_EQ(error_of("conv", {f32({1, 4, 8, 8}), f32({3, 2, 3, 3})}, {{"groups", int64_t{2}}}),
            "conv: groups is 2, expected a positive divisor of the 4 input and 3 output channels");
  EXPECT_EQ(error_of("conv_input_gradient", {f32({1, 4, 6, 5}), f32({4, 3, 3, 3})}, {{"input_sizes", Sizes{8, 8}}}),
            "conv_input_gradient: gradient has shape [1,4,6,5], expected [1,4,6,6], the convolution's result");
}

TEST(Convolution, KeepsASymbolicBatch) {
  const OpEntry& entry = find_op("conv");
  Attributes attributes = complete_attributes(entry, {{"padding_low", Sizes{1, 1}}, {"padding_high", Sizes{1, 1}}});
  std::vector<Type> operands{f32({Dim::symbol("B", 16), 3, 14, 14}), f32({16, 3, 3, 3})};
  EXPECT_EQ(infer_types({entry, operands, {}, attributes})[0].to_string(), "f32[B<=16,16,14,14]");
}

// Each remainder of the input's positions modulo the stride is a stage that sees only the taps which reach it: a
// quarter of the products for a stride of 2 in two dimensions, and no division.
TEST(Convolution, GradientOfAStrideDoesNoIdleWork) {
  const OpEntry& entry = find_op("conv_input_gradient");
  Attributes attributes =
      complete_attributes(entry, {{"input_sizes", Sizes{8, 8}}, {"stride", Sizes{2, 2}}, {"padding_low", Sizes{1, 1}}});
  std::vector<Type> operands{f32({1, 4, 4, 4}), f32({4, 3, 3, 3})};
  std::vector<Type> results = infer_types({entry, operands, {}, attributes});
  StructuredKernel kernel = lower_op({entry, operands, results, attributes});
  ASSERT_EQ(kernel.stages.size(), 4u);
  int64_t products = 0;
  for (const Stage& stage : kernel.stages) {
    products += element_count(stage.extents);
    for (const Access& access : stage.accesses)
      for (const AffineExpr& index : access.index) EXPECT_EQ(index.divisor, 1);
  }
  EXPECT_EQ(products, 3 * 4 * (8 * 3 / 2) * (8 * 3 / 2));
}

}  // namespace
}  // namespace placewright::testing
