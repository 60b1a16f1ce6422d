// Random graphs on an NVIDIA GPU, which the PTX emulator stands in for: fused as ever, compiled by NVRTC, and held
// against the evaluator.
#include <algorithm>

#include <gtest/gtest.h>

#include "derived_cases.h"
#include "exact_graph.h"
#include "frontend/emulated_gpu.h"
#include "placewright/base/error.h"
#include "placewright/ir/evaluate.h"
#include "placewright/run_graph.h"
#include "random_graph.h"

namespace placewright::testing {
namespace {

using CudaRandomGraphs = EmulatedGpu;

uint64_t graphs() { return full_counts() ? 200 : 12; }

Graph on_gpu(Graph graph) {
  for (Op& op : graph.main().ops)
    if (!op.is("constant")) op.pin = Pin{{"cuda", 0}, {"test.cc", 1}};
  return graph;
}

void expect_agreement(const Graph& graph, const std::vector<HostTensor>& values, double allowed) {
  const Function& main = graph.main();
  std::map<std::string, HostTensor> inputs;
  for (size_t i = 0; i < values.size(); ++i) inputs.emplace(input_name(main, main.inputs[i]), values[i]);
  const Evaluation expected = evaluate(graph, values);
  GraphRun run;
  try {
    run = run_graph(on_gpu(graph), inputs);
  } catch (const Error& error) {
    ADD_FAILURE() << error.what();
    return;
  }
  for (const OpPlacement& op : run.plan.ops)
    for (const DeviceId& device : op.where.devices) EXPECT_EQ(device.kind, "cuda");
  ASSERT_EQ(run.results.size(), expected.results.size());
  for (size_t i = 0; i < run.results.size(); ++i)
    EXPECT_EQ(mismatch(run.results[i], expected.results[i], allowed), "") << "result " << i;
  for (size_t i = 0; i < main.updates.size(); ++i) {
    const std::string& name = input_name(main, main.updates[i].state);
    EXPECT_EQ(mismatch(run.states.at(name), expected.updates[i], allowed), "") << "state " << name;
  }
}

TEST_F(CudaRandomGraphs, OfTheOpTableAgreeWithTheEvaluator) {
  for (uint64_t seed = 0; seed < graphs() && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const DType floating = seed % 4 == 3 ? DType::f64 : DType::f32;
    const RandomGraph made = make_random_graph(seed, {.ops = 16, .floating = floating});
    expect_agreement(made.graph, made.inputs, random_graph_tolerance(floating));
    if (HasFailure()) ADD_FAILURE() << print_graph(made.graph);
  }
}

// Not a bit may differ: odd shapes, strides, pads, groups, dilation.
TEST_F(CudaRandomGraphs, OfWholeNumbersAreExact) {
  for (uint64_t seed = 0; seed < graphs() && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const ExactGraph made = make_exact_graph(seed, seed % 2 ? 25 : 8);
    expect_agreement(made.graph, made.inputs, 0);
    if (HasFailure()) ADD_FAILURE() << print_graph(made.graph);
  }
}

}  // namespace
}  // namespace placewright::testing
