// Mixed precision held against the graph that it came from: f64 narrowed to f32, which the evaluator computes.
#include "placewright/passes/mixed_precision.h"

#include <cmath>
#include <stdexcept>

#include <gtest/gtest.h>

#include "placewright/ir/evaluate.h"
#include "placewright/passes/pass.h"

namespace placewright {
namespace {

// A loss of a small model, differentiated by its two weights, of which the first takes a step.
constexpr const char* step = R"(graph v1

function "main"(%0, %1, %2, %3) {
  %0 = input() {kind="argument", name="x"} : f64[4,6]
  %1 = input() {kind="state", name="up"} : f64[6,8]
  %2 = input() {kind="state", name="down"} : f64[8,3]
  %3 = input() {kind="argument", name="target"} : i64[4]
  %4 = gradient @1(%0, %1, %2, %3) {with_respect_to=[1,2]} : (f64[], f64[6,8], f64[8,3])
  %5 = sub(%1, %4.1) : f64[6,8]
  update %1 = %5
  return %4.0, %4.2
}

function "loss"(%0, %1, %2, %3) {
  %0 = input() {kind="argument", name="x"} : f64[4,6]
  %1 = input() {kind="argument", name="up"} : f64[6,8]
  %2 = input() {kind="argument", name="down"} : f64[8,3]
  %3 = input() {kind="argument", name="target"} : i64[4]
  %4 = dot_general(%0, %1) {lhs_contracting=[1], rhs_contracting=[0]} : f64[4,8]
  %5 = tanh(%4) : f64[4,8]
  %6 = dot_general(%5, %2) {lhs_contracting=[1], rhs_contracting=[0]} : f64[4,3]
  %7 = cross_entropy(%6, %3) {ignore_index=-100, label_smoothing=0, reduction="mean"} : f64[]
  return %7
}
)";

const Op& find(const Function& function, std::string_view name) {
  for (const Op& op : function.ops)
    if (op.is(name)) return op;
  throw std::runtime_error("no op " + std::string(name));
}

TEST(MixedPrecision, ProductsAndWhatFollowsThemAreNarrowTheRestIsNot) {
  const Graph graph = parse_graph(step);
  const Graph mixed = mixed_precision(graph, DType::f64, DType::f32);
  const Function& loss = mixed.functions[1];
  EXPECT_EQ(find(loss, "dot_general").results[0].tensor().dtype, DType::f32);
  EXPECT_EQ(find(loss, "tanh").results[0].tensor().dtype, DType::f32);
  EXPECT_EQ(find(loss, "cross_entropy").results[0].tensor().dtype, DType::f64);
  EXPECT_EQ(find(mixed.main(), "sub").results[0].tensor().dtype, DType::f64);
  for (size_t i = 0; i < graph.main().inputs.size(); ++i)
    EXPECT_EQ(mixed.main().type(mixed.main().inputs[i]), graph.main().type(graph.main().inputs[i]));
  for (size_t i = 0; i < graph.main().results.size(); ++i)
    EXPECT_EQ(mixed.main().type(mixed.main().results[i]), graph.main().type(graph.main().results[i]));
  // Where nothing is wide, nothing changes.
  EXPECT_EQ(print_graph(mixed_precision(graph, DType::f32, DType::bf16)), print_graph(graph));
}

// Biases and factors are cast, as PyTorch's autocast casts them: what they are added to stays narrow.
TEST(MixedPrecision, BiasesAndScalarFactorsWidenNothing) {
  const Graph graph = parse_graph(R"(graph v1

function "main"(%0, %1, %2, %3) {
  %0 = input() {kind="argument", name="x"} : f64[1,2,4,4]
  %1 = input() {kind="state", name="weight"} : f64[3,2,1,1]
  %2 = input() {kind="state", name="bias"} : f64[3]
  %3 = input() {kind="argument", name="shift"} : f64[3]
  %4 = gradient @1(%0, %1, %2, %3) {with_respect_to=[1,2]} : (f64[], f64[3,2,1,1], f64[3])
  return %4.0, %4.1, %4.2
}

function "loss"(%0, %1, %2, %3) {
  %0 = input() {kind="argument", name="x"} : f64[1,2,4,4]
  %1 = input() {kind="argument", name="weight"} : f64[3,2,1,1]
  %2 = input() {kind="argument", name="bias"} : f64[3]
  %3 = input() {kind="argument", name="shift"} : f64[3]
  %4 = conv(%0, %1) {stride=[1,1], padding_low=[0,0], padding_high=[0,0], dilation=[1,1], groups=1} : f64[1,3,4,4]
  %5 = broadcast(%2) {dims=[1], shape=[1,3,4,4]} : f64[1,3,4,4]
  %6 = add(%4, %5) : f64[1,3,4,4]
  %7 = tanh(%6) : f64[1,3,4,4]
  %8 = constant() {value=f64[](0.5)} : f64[]
  %9 = broadcast(%8) {dims=[], shape=[1,3,4,4]} : f64[1,3,4,4]
  %10 = mul(%7, %9) : f64[1,3,4,4]
  %11 = broadcast(%3) {dims=[1], shape=[1,3,4,4]} : f64[1,3,4,4]
  %12 = sub(%10, %11) : f64[1,3,4,4]
  %13 = reduce_sum(%12) {dims=[0,1,2,3]} : f64[]
  return %13
}
)");
  const Graph mixed = mixed_precision(graph, DType::f64, DType::f32);
  const Function& loss = mixed.functions[1];
  for (const char* narrow : {"conv", "add", "tanh", "mul"})
    EXPECT_EQ(find(loss, narrow).results[0].tensor().dtype, DType::f32) << narrow;
  // What the caller hands over is no parameter, and sums stay wide.
  EXPECT_EQ(find(loss, "sub").results[0].tensor().dtype, DType::f64);
}

TEST(MixedPrecision, ResultsDifferByTheNarrowDtypesErrorAndNoMore) {
  auto values = [](std::vector<int64_t> sizes, double scale) {
    HostTensor tensor(DType::f64, sizes);
    for (int64_t i = 0; i < tensor.elements(); ++i)
      tensor.set_number(i, scale * (static_cast<double>((i * 37) % 19) / 19 - 0.45));
    return tensor;
  };
  HostTensor target(DType::i64, {4});
  for (int64_t i = 0; i < 4; ++i) target.set_number(i, static_cast<double>(i % 3));
  const std::vector<HostTensor> inputs{values({4, 6}, 2), values({6, 8}, 1), values({8, 3}, 1), target};
  auto run = [&](Graph graph) {
    return evaluate(run_passes(std::move(graph), {}, {}, "specialise", "differentiate"), inputs);
  };
  const Graph graph = parse_graph(step);
  const Evaluation exact = run(graph), narrow = run(mixed_precision(graph, DType::f64, DType::f32));
  auto compare = [](const HostTensor& a, const HostTensor& b) {
    ASSERT_EQ(a.sizes(), b.sizes());
    ASSERT_EQ(a.dtype(), b.dtype());
    double largest = 0;
    for (int64_t i = 0; i < a.elements(); ++i) largest = std::max(largest, std::abs(a.number(i) - b.number(i)));
    EXPECT_LT(largest, 1e-5);
    EXPECT_GT(largest, 0) << "nothing was narrow";
  };
  for (size_t i = 0; i < exact.results.size(); ++i) compare(exact.results[i], narrow.results[i]);
  compare(exact.updates.at(0), narrow.updates.at(0));
}

}  // namespace
}  // namespace placewright
