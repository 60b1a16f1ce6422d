// Data parallelism: a graph whose batch is split over two devices gives what it gives on one.
#include <random>

#include <gtest/gtest.h>

#include "placewright/ir/builder.h"
#include "placewright/ir/evaluate.h"
#include "placewright/passes/placement.h"
#include "test_machine.h"

namespace placewright {
namespace {

const Where batch_split{{{"sim", 0}, {"sim", 1}}, {}, {{Sharding::Kind::split, 0}}};

HostTensor uniform(const TensorType& type, uint32_t seed) {
  std::mt19937 random(seed);
  HostTensor tensor(type.dtype, type.sizes());
  for (int64_t i = 0; i < tensor.elements(); ++i)
    tensor.set_number(i, is_floating(type.dtype) ? static_cast<double>(random()) / 4e9 - 0.5 : random() % 3);
  return tensor;
}

// By the input's name, so that replicas begin with their state's value.
std::vector<HostTensor> inputs_of(const Function& function) {
  std::vector<HostTensor> inputs;
  for (Value input : function.inputs) {
    uint32_t seed = 0;
    for (char c : primary_name(input_name(function, input))) seed = seed * 31 + static_cast<uint32_t>(c);
    inputs.push_back(uniform(function.tensor(input), seed));
  }
  return inputs;
}

// The sharded graph's updates hold one value a member; all must be the unsharded one.
void expect_same_step(const Graph& graph, const PassContext& context) {
  Graph sharded = run_passes(graph, context);
  Graph single = run_pass(find_pass("decompose"), run_passes(graph, {}, {}, "specialise", "eliminate_dead"), {});
  Evaluation found = evaluate(sharded, inputs_of(sharded.main())),
             expected = evaluate(single, inputs_of(single.main()));
  ASSERT_EQ(found.results.size(), expected.results.size());
  auto expect_close = [](const HostTensor& a, const HostTensor& b) {
    ASSERT_EQ(a.sizes(), b.sizes());
    for (int64_t i = 0; i < a.elements(); ++i) EXPECT_NEAR(a.number(i), b.number(i), 1e-12);
  };
  for (size_t i = 0; i < found.results.size(); ++i) expect_close(found.results[i], expected.results[i]);
  ASSERT_EQ(found.updates.size(), 2 * expected.updates.size());
  for (size_t i = 0; i < found.updates.size(); ++i) expect_close(found.updates[i], expected.updates[i / 2]);
}

int count(const Graph& graph, std::string_view name) {
  int found = 0;
  for (const Op& op : graph.main().ops) found += op.is(name);
  return found;
}

// A training step of `loss(x, labels, states...)`, its first input split.
template <typename Loss>
Graph training_step(Shape x_shape, Type labels, std::vector<Type> states, Loss loss_of) {
  Graph graph;
  FunctionBuilder step(graph, add_function(graph, "main"));
  FunctionBuilder loss(graph, add_function(graph, "loss"));
  TensorType x{DType::f64, x_shape, {}, {}};
  std::vector<Value> inside{loss.input("x", InputKind::argument, x), loss.input("y", InputKind::argument, labels)};
  TensorType y = labels.tensor();
  x.where = y.where = batch_split;
  std::vector<Value> outside{step.input("x", InputKind::argument, x), step.input("y", InputKind::argument, y)};
  Sizes wanted;
  for (size_t i = 0; i < states.size(); ++i) {
    inside.push_back(loss.input("s" + std::to_string(i), InputKind::argument, states[i]));
    outside.push_back(step.input("s" + std::to_string(i), InputKind::state, states[i]));
    wanted.push_back(static_cast<int64_t>(i) + 2);
  }
  Value rate = step.input("rate", InputKind::argument, Type(DType::f64, {}));
  loss.function().results = {loss_of(loss, inside)};
  std::vector<Value> made = step.add("gradient", outside, {{"with_respect_to", wanted}}, {loss.id()});
  for (size_t i = 0; i < states.size(); ++i) {
    Value scaled = step("mul", {step.broadcast_to(rate, states[i].tensor().shape), made[i + 1]});
    step.function().updates.push_back({outside[i + 2], step("sub", {outside[i + 2], scaled})});
  }
  step.function().results = {made[0]};
  return graph;
}

Value sum_of_squares(FunctionBuilder& loss, Value value) {
  Sizes all;
  for (size_t d = 0; d < loss.shape(value).size(); ++d) all.push_back(static_cast<int64_t>(d));
  return loss("reduce_sum", {loss("mul", {value, value})}, {{"dims", all}});
}

Graph linear(int64_t batch) {
  return training_step({batch, 10}, Type(DType::f64, {batch, 2}), {Type(DType::f64, {2, 10}), Type(DType::f64, {2})},
                       [&](FunctionBuilder& loss, const std::vector<Value>& in) {
                         Value product = loss("dot_general", {in[0], in[2]},
                                              {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{1}}});
                         Value output = loss("add", {product, loss.broadcast_to(in[3], {batch, 2})});
                         return sum_of_squares(loss, loss("sub", {output, in[1]}));
                       });
}

TEST(Shard, LinearLayerTrainsOnEvenAndUnevenParts) {
  TestMachine machine;
  for (int64_t batch : {8, 5, 1}) expect_same_step(linear(batch), machine.context);
}

TEST(Shard, SplitsTheBatchAndSumsGradientsOnce) {
  TestMachine machine;
  Graph graph = run_passes(linear(8), machine.context, {}, "", "shard");
  EXPECT_EQ(count(graph, "all_reduce"), 3) << "the loss and two gradients";
  EXPECT_EQ(count(graph, "concat"), 0) << "nothing is gathered";
  EXPECT_EQ(count(graph, "dot_general"), 4);
  PlacementPlan plan = plan_placement(graph, machine.context);
  int64_t sums = 0, moved = 0;
  for (const PlannedTransfer& transfer : plan.transfers)
    if (!transfer.at_load) (transfer.why == "sum over 2 devices" ? sums : moved) += transfer.bytes;
  EXPECT_EQ(sums, 2 * 8 * (20 + 2 + 1));
  EXPECT_EQ(moved, 8 * (8 * 12 + 2)) << "each part of the batch to its device, and the rate to both";
}

TEST(Shard, ConvolutionalClassifier) {
  TestMachine machine;
  Graph graph =
      training_step({4, 1, 6, 6}, Type(DType::i64, {4}), {Type(DType::f64, {2, 1, 3, 3}), Type(DType::f64, {3, 8})},
                    [&](FunctionBuilder& loss, const std::vector<Value>& in) {
                      Value hidden = loss("relu", {loss("conv", {in[0], in[2]})});
                      Value pooled = loss("max_pool", {hidden}, {{"window", Sizes{2, 2}}, {"stride", Sizes{2, 2}}});
                      Value flat = loss("reshape", {pooled}, {{"shape", Shape{4, 8}}});
                      Value logits = loss("dot_general", {flat, in[3]},
                                          {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{1}}});
                      return loss("cross_entropy", {logits, in[1]});
                    });
  expect_same_step(graph, machine.context);
  Graph sharded = run_passes(graph, machine.context, {}, "", "shard");
  EXPECT_EQ(count(sharded, "concat"), 0) << print_graph(sharded);
}

// An op that needs its global position is computed by each member from the gathered whole.
TEST(Shard, GathersWhatCannotBeSplit) {
  TestMachine machine;
  Graph graph;
  FunctionBuilder main(graph, add_function(graph, "main"));
  TensorType x{DType::f64, {6, 2}, {}, batch_split};
  Value value = main.input("x", InputKind::argument, x);
  Value reversed = main("reverse", {value}, {{"dims", Sizes{0}}});
  main.function().results = {main("add", {value, reversed}), main("argmax", {value}, {{"dim", int64_t{0}}})};
  expect_same_step(graph, machine.context);
  EXPECT_GT(count(run_passes(graph, machine.context, {}, "", "shard"), "concat"), 0);
}

}  // namespace
}  // namespace placewright
