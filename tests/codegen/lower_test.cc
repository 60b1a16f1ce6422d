// lower_function: joined kernels mean what the ops mean, through the interpreter and through LLVM.
#include "placewright/codegen/lower.h"

#include <cmath>
#include <map>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "derived_cases.h"
#include "placewright/ir/builder.h"
#include "placewright/ir/evaluate.h"
#include "placewright/ir/interpret_kernel.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/pass.h"
#include "random_graph.h"
#include "run_kernel.h"

namespace placewright::testing {
namespace {

// The main function as the body of one launch: updates become results.
Graph as_launch(Graph graph) {
  for (const Update& update : graph.main().updates) graph.main().results.push_back(update.value);
  graph.main().updates.clear();
  return graph;
}

bool can_be_one_launch(const Graph& graph) {
  for (const Op& op : graph.main().ops) {
    if (op.is("input")) continue;
    if (op.is("constant")) {
      if (op.results[0].tensor().elements() != 1) return false;
    } else if (!can_lower(*op.entry)) {
      return false;
    }
  }
  return true;
}

std::vector<HostTensor> make_buffers(const Graph& graph, const std::vector<HostTensor>& inputs) {
  std::vector<HostTensor> buffers;
  for (const HostTensor& input : inputs) buffers.push_back(input.clone());
  for (Value result : graph.main().results)
    buffers.emplace_back(graph.main().tensor(result).dtype, graph.main().tensor(result).sizes());
  return buffers;
}

TEST(LowerFunction, RandomGraphsThroughInterpreterAndLlvm) {
  int tried = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    RandomGraph random = make_random_graph(seed, {.ops = 10, .floating = seed % 2 ? DType::f32 : DType::f64});
    Graph graph = as_launch(decompose(random.graph, PassContext{}));
    if (!can_be_one_launch(graph)) continue;
    ++tried;
    std::vector<HostTensor> expected = evaluate(graph, random.inputs).results;
    StructuredKernel kernel = lower_function(graph, 0);
    ASSERT_NO_THROW(verify_kernel(kernel)) << "seed " << seed << "\n" << print_kernel(kernel);
    ASSERT_TRUE(parse_kernel(print_kernel(kernel)) == kernel) << "seed " << seed << "\n" << print_kernel(kernel);
    StructuredKernel collapsed = collapse_dimensions(kernel);
    ASSERT_NO_THROW(verify_kernel(collapsed)) << "seed " << seed << "\n" << print_kernel(collapsed);
    ASSERT_NO_THROW(verify_schedule(collapsed, choose_schedule(collapsed, host_cpu_target()))) << "seed " << seed;
    double tolerance = random_graph_tolerance(seed % 2 ? DType::f32 : DType::f64);
    auto check = [&](const std::vector<HostTensor>& buffers, std::string_view how) {
      for (size_t r = 0; r < expected.size(); ++r)
        ASSERT_EQ(mismatch(buffers[random.inputs.size() + r], expected[r], tolerance), "")
            << "seed " << seed << " result " << r << " by " << how << "\n"
            << print_graph(graph);
    };
    std::vector<HostTensor> buffers = make_buffers(graph, random.inputs);
    ASSERT_EQ(interpret_kernel(kernel, buffers), Status::ok) << seed;
    check(buffers, "interpreter");
    if (HasFatalFailure()) return;
    buffers = make_buffers(graph, random.inputs);
    KernelImage image = compile_kernels({kernel}, host_cpu_target());
    ASSERT_EQ(run_entry(image, 0, buffers), Status::ok) << seed;
    check(buffers, "LLVM");
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(tried, 20);
}

// A result that is a view of what a stage wrote is that memory, not a copy of it onto itself.
TEST(LowerFunction, AResultThatDropsDimensionsIsTheMemoryOfItsOperand) {
  Graph graph;
  add_function(graph, "main");
  FunctionBuilder b(graph, 0);
  Value x = b.input("x", InputKind::argument, Type(DType::f32, {6}));
  b.function().results = {b("reshape", {b("reduce_sum", {x}, {{"dims", Sizes{0}}})}, {{"shape", Shape{1}}})};
  StructuredKernel kernel = lower_function(graph, 0);
  ASSERT_NO_THROW(verify_kernel(kernel)) << print_kernel(kernel);
  EXPECT_EQ(kernel.stages.size(), 1u) << print_kernel(kernel);
}

// Fusion keeps each op's rounding: a product of its own op is not contracted into the sum that reads it.
TEST(LowerFunction, ASummedProductOfAnotherOpIsRoundedFirst) {
  Graph graph;
  add_function(graph, "main");
  FunctionBuilder b(graph, 0);
  Value x = b.input("x", InputKind::argument, Type(DType::f32, {2}));
  b.function().results = {b("reduce_sum", {b("mul", {x, x})}, {{"dims", Sizes{0}}})};
  StructuredKernel kernel = lower_function(graph, 0);
  ASSERT_EQ(kernel.stages.size(), 1u);
  const Stage& stage = kernel.stages[0];
  EXPECT_EQ(stage.body[stage.reduction.values[0]].op, ScalarOp::cast);
}

// Builds y = relu(x w + b) as one launch: a single stage, whose epilogue adds and clips.
TEST(LowerFunction, BiasAndReluJoinTheContraction) {
  Graph graph;
  add_function(graph, "main");
  FunctionBuilder b(graph, 0);
  Value x = b.input("x", InputKind::argument, Type(DType::f32, {8, 12}));
  Value w = b.input("w", InputKind::argument, Type(DType::f32, {12, 20}));
  Value bias = b.input("b", InputKind::argument, Type(DType::f32, {20}));
  Value product = b("dot_general", {x, w}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}});
  Value sum = b("add", {product, b.broadcast_to(bias, {8, 20})});
  Value zero = b.full(DType::f32, {8, 20}, 0);
  b.function().results = {b("max", {sum, zero})};
  StructuredKernel kernel = lower_function(graph, 0);
  ASSERT_EQ(kernel.stages.size(), 1u);
  EXPECT_EQ(kernel.buffers.size(), 4u);
  EXPECT_EQ(kernel.stages[0].epilogue_stores.size(), 1u);
}

// Every op of a one-launch graph as a launch of its own.
std::vector<HostTensor> run_op_by_op(const Graph& graph, const std::vector<HostTensor>& inputs,
                                     const SplitReductions& split) {
  const Function& function = graph.main();
  std::map<Value, HostTensor> values;
  for (size_t i = 0; i < inputs.size(); ++i) values[function.inputs[i]] = inputs[i].clone();
  for (int32_t number = 0; number < static_cast<int32_t>(function.ops.size()); ++number) {
    const Op& op = function.ops[number];
    if (op.is("input")) continue;
    if (op.is("constant")) {
      values[{number, 0}] = op.attributes.get<HostTensor>("value");
      continue;
    }
    if (op.entry->traits.view) {
      values[{number, 0}] = values.at(op.operands[0]).reshaped(function.tensor({number, 0}).sizes());
      continue;
    }
    std::vector<HostTensor> buffers;
    for (Value operand : op.operands) buffers.push_back(values.at(operand).clone());
    for (const Type& type : op.results) buffers.emplace_back(type.tensor().dtype, type.tensor().sizes());
    KernelImage image = compile_kernels({lower_launch(graph, function, op, split)}, host_cpu_target());
    EXPECT_EQ(run_entry(image, 0, buffers), Status::ok) << op.name();
    for (size_t r = 0; r < op.results.size(); ++r)
      values[{number, static_cast<int32_t>(r)}] = buffers[op.operands.size() + r];
  }
  std::vector<HostTensor> results;
  for (Value result : function.results) results.push_back(values.at(result));
  return results;
}

void expect_same_bits_fused(const Graph& graph, const std::vector<HostTensor>& inputs, const std::string& what) {
  CpuTarget target = host_cpu_target();
  SplitReductions split = [&](StructuredKernel& own) { split_reductions(own, target); };
  std::vector<HostTensor> expected = run_op_by_op(graph, inputs, split);
  StructuredKernel kernel = lower_function(graph, 0, split);
  ASSERT_TRUE(parse_kernel(print_kernel(kernel)) == kernel) << what << "\n" << print_kernel(kernel);
  std::vector<HostTensor> buffers = make_buffers(graph, inputs);
  ASSERT_EQ(run_entry(compile_kernels({collapse_dimensions(kernel)}, target), 0, buffers), Status::ok) << what;
  for (size_t r = 0; r < expected.size(); ++r)
    EXPECT_EQ(mismatch(buffers[inputs.size() + r], expected[r], 0), "") << what << ", result " << r;
}

// What an op is fused with does not change its bits: a reduction's split belongs to the op alone.
TEST(LowerFunction, FusionDoesNotChangeBits) {
  for (DType dtype : {DType::f32, DType::f64})
    for (uint64_t seed = 0; seed < 12; ++seed) {
      RandomGraph random = make_random_graph(seed, {.ops = 12, .floating = dtype});
      Graph graph = as_launch(decompose(random.graph, PassContext{}));
      if (can_be_one_launch(graph)) expect_same_bits_fused(graph, random.inputs, fmt::format("seed {}", seed));
    }
}

TEST(LowerFunction, FusionDoesNotChangeBitsOfComposites) {
  for (Sizes sizes : {Sizes{64, 10}, Sizes{37, 129}, Sizes{5, 1000}, Sizes{300, 3}})
    for (bool labelled : {false, true}) {
      Graph graph;
      add_function(graph, "main");
      FunctionBuilder b(graph, 0);
      Value x = b.input("x", InputKind::argument, Type(DType::f32, Shape(sizes.begin(), sizes.end())));
      Value w = b.input("w", InputKind::argument, Type(DType::f32, {sizes[1], 24}));
      Value scale = b.input("scale", InputKind::argument, Type(DType::f32, {sizes[1]}));
      Value labels = b.input("labels", InputKind::argument, Type(DType::i64, {sizes[0]}));
      Value normal = b("layer_norm", {x, scale, scale});
      Value product =
          b("gelu", {b("dot_general", {normal, w}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}})});
      Value weights = b("softmax", {x}, {{"dim", int64_t{1}}});
      Value sum = b("reduce_sum", {b("mul", {weights, normal})}, {{"dims", Sizes{0}}});
      b.function().results = {product, sum, labelled ? b("cross_entropy", {normal, labels}) : weights};
      std::vector<HostTensor> inputs;
      for (Value input : graph.main().inputs) {
        const TensorType& type = graph.main().tensor(input);
        HostTensor tensor(type.dtype, type.sizes());
        for (int64_t i = 0; i < tensor.elements(); ++i)
          if (type.dtype == DType::i64)
            tensor.set_integer(i, i % sizes[1]);
          else
            tensor.set_number(i, std::sin(0.7 * static_cast<double>(i)));
        inputs.push_back(std::move(tensor));
      }
      graph = decompose(std::move(graph), PassContext{});
      expect_same_bits_fused(graph, inputs, fmt::format("{} rows of {}", sizes[0], sizes[1]));
    }
}

}  // namespace
}  // namespace placewright::testing
