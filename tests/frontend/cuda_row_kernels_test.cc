// What is computed row by row on a GPU: softmax, its logarithm, layer norm and their gradients are one launch each,
// which hands nothing on through the device's memory.
#include <map>

#include <gtest/gtest.h>

#include "frontend/emulated_gpu.h"
#include "gradient_graph.h"
#include "placewright/codegen/lower.h"
#include "placewright/codegen/strategy.h"
#include "placewright/ir/evaluate.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/pass.h"
#include "placewright/run_graph.h"

namespace placewright::testing {
namespace {

using CudaRowKernels = EmulatedGpu;

Graph on_gpu(Graph graph) {
  for (Function& function : graph.functions)
    for (Op& op : function.ops)
      if (!op.is("input") && !op.is("gradient")) op.pin = Pin{{"cuda", 0}, {"test.cc", 1}};
  return graph;
}

Graph graph_of(const DerivedCase& each) { return on_gpu(make_graph(each)); }

// What a graph takes on the GPU, as compiled.
struct Taken {
  int launches = 0, phases = 0;
  int64_t workspace = 0;
  double loaded = 0, stored = 0;  // bytes of the device's memory, as often as stages ask for them
  std::string text;
};

void count_traffic(const StructuredKernel& kernel, const Schedule& schedule, Taken& taken) {
  auto bytes = [&](const Stage& stage, int slot, bool reduces) {
    const int buffer = stage.accesses[static_cast<size_t>(slot)].buffer;
    for (const StageGroup& group : schedule.groups)
      if (std::find(group.held.begin(), group.held.end(), buffer) != group.held.end()) return 0.0;
    double points = info(kernel.buffers[static_cast<size_t>(buffer)].dtype).bits / 8;
    for (int d = 0; d < stage.rank(); ++d)
      if (reduces || !stage.reduced[d]) points *= static_cast<double>(stage.extents[d]);
    return points;
  };
  for (const Stage& stage : kernel.stages) {
    for (const ScalarNode& node : stage.body)
      if (node.op == ScalarOp::load) taken.loaded += bytes(stage, node.slot, true);
    for (const ScalarNode& node : stage.epilogue)
      if (node.op == ScalarOp::load) taken.loaded += bytes(stage, node.slot, false);
    for (const std::vector<Store>* stores : {&stage.stores, &stage.epilogue_stores})
      for (const Store& store : *stores) taken.stored += bytes(stage, store.access, false);
  }
}

Taken taken_by(const Graph& graph) {
  const Graph compiled = place_graph(graph).compiled;
  Taken taken;
  for (const Op& op : compiled.main().ops) {
    if (!op.is("fused") && (!can_lower(*op.entry) || op.entry->traits.view)) continue;
    if (op.results[0].tensor().where.devices[0].kind != "cuda") continue;
    const StructuredKernel kernel = split_depth(collapse_dimensions(lower_launch(compiled, compiled.main(), op)));
    const Schedule schedule = choose_grid_schedule(kernel);
    ++taken.launches;
    taken.phases += static_cast<int>(schedule.groups.size());
    for (int64_t bytes : workspace_bytes(kernel, schedule)) taken.workspace += bytes;
    count_traffic(kernel, schedule, taken);
    taken.text += print_kernel(kernel) + print_schedule(schedule);
  }
  return taken;
}

DerivedCase softmax(std::string_view op, DType dtype, const Shape& x) {
  return large_case(op, {Type(dtype, x)}, {{"dim", Attribute(static_cast<int64_t>(x.size()) - 1)}});
}

DerivedCase layer_norm(DType dtype, const Shape& x) {
  const Type row(dtype, {x.back()});
  return large_case("layer_norm", {Type(dtype, x), row, row}, {{"normalised_dims", Attribute(int64_t{1})}});
}

DerivedCase cross_entropy(DType dtype, int64_t rows, int64_t classes) {
  DerivedCase made = large_case("cross_entropy", {Type(dtype, {rows, classes}), Type(DType::i64, {rows})}, {});
  made.ranges[1] = {0.0, static_cast<double>(classes - 1)};
  return made;
}

Graph gradient_of(const DerivedCase& each) {
  return on_gpu(make_gradient_graph(each, std::vector<Reach>(each.operands.size(), Reach::plain)).graph);
}

// Rows that fit are loaded by the reduction and by what follows it, which finds them in the cache, and stored once.
TEST_F(CudaRowKernels, AreOneLaunchWithNothingInBetween) {
  for (const Shape& shape :
       {Shape{4096, 1024}, Shape{300, 7}, Shape{2, 8, 64, 64}, Shape{1000, 129}, Shape{64, 8191}}) {
    const double bytes = 4 * static_cast<double>(Type(DType::f32, shape).tensor().elements());
    for (const DerivedCase& each : {softmax("softmax", DType::f32, shape), softmax("log_softmax", DType::f32, shape),
                                    layer_norm(DType::f32, shape)}) {
      SCOPED_TRACE(each.name);
      const Taken taken = taken_by(graph_of(each));
      EXPECT_EQ(taken.launches, 1);
      EXPECT_EQ(taken.phases, 1);
      EXPECT_EQ(taken.workspace, 0);
      EXPECT_EQ(taken.stored, bytes);
      EXPECT_LE(taken.loaded, 5 * bytes);  // of layer norm, two are of weights that all rows share
    }
    EXPECT_LE(taken_by(graph_of(softmax("softmax", DType::f32, shape))).loaded, 2 * bytes);
  }
}

// Forward and gradient are one launch; the sum that is the loss is another, and the mean of cross entropy takes two.
TEST_F(CudaRowKernels, GradientsAreInTheSameLaunch) {
  const Shape shape{256, 128};
  constexpr int64_t pieces = 8 * 8;  // bytes, of the loss
  for (const DerivedCase& each : {softmax("softmax", DType::f64, shape), softmax("log_softmax", DType::f64, shape),
                                  layer_norm(DType::f64, shape), cross_entropy(DType::f64, 256, 128)}) {
    const Taken taken = taken_by(gradient_of(each));
    EXPECT_EQ(taken.launches, each.entry->name == "cross_entropy" ? 3 : 2) << taken.text;
    EXPECT_LE(taken.workspace, pieces) << taken.text;
  }
}

TEST_F(CudaRowKernels, AgreeWithTheEvaluator) {
  std::vector<DerivedCase> cases;
  for (const Shape& shape : {Shape{3, 7}, Shape{5, 33}, Shape{70, 128}, Shape{2, 3, 130}, Shape{9, 1300}}) {
    cases.push_back(softmax("softmax", DType::f32, shape));
    cases.push_back(softmax("log_softmax", DType::f32, shape));
    cases.push_back(layer_norm(DType::f32, shape));
  }
  cases.push_back(large_case("softmax", {Type(DType::f32, {3, 40, 5})}, {{"dim", Attribute(int64_t{1})}}));
  cases.push_back(softmax("softmax", DType::f64, {4, 900}));
  cases.push_back(softmax("softmax", DType::f32, {3, 12000}));
  cases.push_back(cross_entropy(DType::f32, 37, 50));
  for (const DerivedCase& each : cases) {
    SCOPED_TRACE(each.name);
    const std::vector<HostTensor> operands = make_operands(each), expected = evaluate_case(each, operands);
    std::map<std::string, HostTensor> inputs;
    for (size_t i = 0; i < operands.size(); ++i) inputs.emplace("x" + std::to_string(i), operands[i]);
    const GraphRun run = run_graph(graph_of(each), inputs);
    ASSERT_EQ(run.results.size(), 1u);
    EXPECT_EQ(mismatch(run.results[0], expected[0], 1e-5), "");
  }
}

TEST_F(CudaRowKernels, GradientsAgreeWithTheEvaluator) {
  for (const DerivedCase& each :
       {softmax("softmax", DType::f64, {5, 33}), softmax("log_softmax", DType::f64, {9, 130}),
        layer_norm(DType::f64, {6, 64}), layer_norm(DType::f64, {33, 33}), cross_entropy(DType::f64, 37, 50)}) {
    SCOPED_TRACE(each.name);
    const GradientGraph made = make_gradient_graph(each, std::vector<Reach>(each.operands.size(), Reach::plain));
    const std::vector<HostTensor> expected = evaluate(differentiate(made.graph, {}), made.inputs).results;
    std::map<std::string, HostTensor> inputs;
    for (size_t i = 0; i < made.inputs.size(); ++i) inputs.emplace("x" + std::to_string(i), made.inputs[i]);
    const GraphRun run = run_graph(on_gpu(made.graph), inputs);
    ASSERT_EQ(run.results.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(mismatch(run.results[i], expected[i], 1e-9), "") << i;
  }
}

}  // namespace
}  // namespace placewright::testing
