// Composites and activations at the edges: NaN, zeros, large numbers, ignored targets, symbols.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "derived_cases.h"
#include "ir/op_testing.h"

namespace placewright::testing {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

TEST(Activations, KeepNaN) {
  HostTensor x = HostTensor::from<float>({1}, {nan});
  for (const char* op : {"relu", "leaky_relu", "elu", "hardtanh", "softplus", "silu", "gelu"})
    EXPECT_TRUE(std::isnan(evaluate_op({op, {x}})[0].number(0))) << op;
}

TEST(Activations, ReluKeepsNegativeZero) {
  HostTensor x = HostTensor::from<float>({3}, {-0.0F, -infinity, infinity});
  EXPECT_TRUE(evaluate_op({"relu", {x}})[0].same_bytes(HostTensor::from<float>({3}, {-0.0F, 0, infinity})));
}

TEST(Activations, ReluHasNoSlopeAtZero) {
  HostTensor x = HostTensor::from<double>({4}, {-1, -0.0, 0, 1});
  HostTensor ones = HostTensor::from<double>({4}, {1, 1, 1, 1});
  EXPECT_TRUE(evaluate_gradients({"relu", {x}}, ones)[0]->same_bytes(HostTensor::from<double>({4}, {0, 0, 0, 1})));
}

TEST(Softmax, OfLargeNumbersStaysFinite) {
  HostTensor x = HostTensor::from<double>({3}, {1000, 1000, -infinity});
  HostTensor expected = HostTensor::from<double>({3}, {0.5, 0.5, 0});
  OpCase each{"softmax", {x}, {{"dim", int64_t{0}}}};
  EXPECT_TRUE(evaluate_op(each)[0].same_bytes(expected));
  EXPECT_TRUE(evaluate_decomposition(each)[0].same_bytes(expected));
}

TEST(CrossEntropy, IgnoredTargetsCountForNothing) {
  HostTensor logits = random_tensor(DType::f64, {3, 4}, 1, -2, 2);
  HostTensor targets = HostTensor::from<int64_t>({3}, {2, -100, 1}), kept = HostTensor::from<int64_t>({2}, {2, 1});
  HostTensor rows(DType::f64, {2, 4});
  for (int64_t i = 0; i < 8; ++i) rows.set_number(i, logits.number(i < 4 ? i : i + 4));
  OpCase with{"cross_entropy", {logits, targets}}, without{"cross_entropy", {rows, kept}};
  expect_near(evaluate_op(with)[0], evaluate_op(without)[0], 1e-15, "evaluate");
  expect_near(evaluate_decomposition(with)[0], evaluate_op(without)[0], 1e-15, "decomposition");
  HostTensor gradient = *evaluate_gradients(with, HostTensor::scalar(1.0))[0];
  for (int64_t i = 4; i < 8; ++i) EXPECT_EQ(gradient.number(i), 0) << i;
}

TEST(CrossEntropy, OfNoTargetsIsNaN) {
  HostTensor logits = random_tensor(DType::f64, {2, 3}, 1, -2, 2),
             targets = HostTensor::from<int64_t>({2}, {-100, -100});
  EXPECT_TRUE(std::isnan(evaluate_op({"cross_entropy", {logits, targets}})[0].number(0)));
  EXPECT_TRUE(std::isnan(evaluate_decomposition({"cross_entropy", {logits, targets}})[0].number(0)));
}

TEST(CrossEntropy, SaysWhichTargetIsNoClass) {
  HostTensor logits(DType::f64, {2, 3}), targets = HostTensor::from<int64_t>({2}, {0, 3});
  try {
    evaluate_op({"cross_entropy", {logits, targets}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("class number 3 at element 1 of target, expected 0 to 2"),
              std::string::npos)
        << error.what();
  }
}

TEST(Losses, OfASymbolicBatchCountItWhenItRuns) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  Shape shape{Dim::symbol("B", 8), 3};
  Value input = builder.input("input", InputKind::argument, Type(DType::f64, shape));
  Value target = builder.input("target", InputKind::argument, Type(DType::f64, shape));
  const OpEntry& entry = find_op("mse");
  std::vector<Type> types{builder.type(input), builder.type(target)};
  Attributes attributes = complete_attributes(entry, {});
  std::vector<Type> results = infer_types({entry, types, {}, attributes});
  std::vector<Value> made = entry.realised_as<Decompose>()->decompose(builder, {entry, types, results, attributes},
                                                                      std::vector<Value>{input, target});
  EXPECT_EQ(builder.type(made[0]).to_string(), "f64[]");
  bool asks = false;
  for (const Op& op : builder.function().ops) asks = asks || op.is("size_of");
  EXPECT_TRUE(asks);
}

}  // namespace
}  // namespace placewright::testing
