// Passes keep a graph's meaning: evaluate gives the same before and after.
#include <random>

#include <gtest/gtest.h>

#include "placewright/ir/builder.h"
#include "placewright/ir/evaluate.h"
#include "placewright/passes/placement.h"
#include "test_machine.h"

namespace placewright {
namespace {

std::vector<HostTensor> random_inputs(const Function& function, uint32_t seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-2, 2);
  std::vector<HostTensor> inputs;
  for (Value input : function.inputs) {
    HostTensor tensor(function.tensor(input).dtype, function.tensor(input).sizes());
    for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_number(i, uniform(generator));
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

void expect_close(const HostTensor& a, const HostTensor& b, double tolerance) {
  ASSERT_EQ(a.sizes(), b.sizes());
  for (int64_t i = 0; i < a.elements(); ++i)
    EXPECT_NEAR(a.number(i), b.number(i), tolerance * std::max(1.0, std::abs(b.number(i)))) << "element " << i;
}

void expect_same(const Evaluation& a, const Evaluation& b, double tolerance) {
  ASSERT_EQ(a.results.size(), b.results.size());
  ASSERT_EQ(a.updates.size(), b.updates.size());
  for (size_t i = 0; i < a.results.size(); ++i) expect_close(a.results[i], b.results[i], tolerance);
  for (size_t i = 0; i < a.updates.size(); ++i) expect_close(a.updates[i], b.updates[i], tolerance);
}

// Program (a): a linear layer, mean squared error, one step of gradient descent.
Graph linear_step(const std::optional<Pin>& model = {}) {
  Graph graph;
  FunctionBuilder step(graph, add_function(graph, "main"));
  FunctionId loss_id = add_function(graph, "loss");
  FunctionBuilder loss(graph, loss_id);
  Type x(DType::f64, {8, 10}), w(DType::f64, {2, 10}), b(DType::f64, {2}), y(DType::f64, {8, 2});
  loss.origin = graph.origins.intern({{{"train.cc", 10}}, "model", Role::forward, 0, {}});
  Value lx = loss.input("x", InputKind::argument, x), lw = loss.input("w", InputKind::argument, w);
  Value lb = loss.input("b", InputKind::argument, b), ly = loss.input("y", InputKind::argument, y);
  Value product = loss("dot_general", {lx, lw}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{1}}});
  Value output = loss("add", {product, loss.broadcast_to(lb, {8, 2})});
  Value difference = loss("sub", {output, ly});
  Value total = loss("reduce_sum", {loss("mul", {difference, difference})}, {{"dims", Sizes{0, 1}}});
  loss.function().results = {loss("div", {total, loss.constant(DType::f64, 16)})};

  Value sx = step.input("x", InputKind::argument, x), sy = step.input("y", InputKind::argument, y);
  Value rate = step.input("rate", InputKind::argument, Type(DType::f64, {}));
  step.pin = model;
  Value sw = step.input("w", InputKind::state, w), sb = step.input("b", InputKind::state, b);
  step.pin = {};
  std::vector<Value> made = step.add("gradient", {sx, sw, sb, sy}, {{"with_respect_to", Sizes{1, 2}}}, {loss_id});
  step.origin = graph.origins.intern({{{"train.cc", 20}}, "", Role::update, 0, {}});
  auto update = [&](Value state, Value gradient) {
    Value scaled = step("mul", {step.broadcast_to(rate, step.shape(gradient)), gradient});
    step.function().updates.push_back({state, step("sub", {state, scaled})});
  };
  update(sw, made[1]);
  update(sb, made[2]);
  step.function().results = {made[0]};
  verify_graph(graph);
  return graph;
}

// The mean squared error's gradients by hand.
Evaluation linear_step_by_hand(const std::vector<HostTensor>& in) {
  const HostTensor &x = in[0], &y = in[1], &rate = in[2], &w = in[3], &b = in[4];
  Evaluation expected{{HostTensor(DType::f64, {})}, {w.clone(), b.clone()}};
  double loss = 0;
  for (int i = 0; i < 8; ++i)
    for (int o = 0; o < 2; ++o) {
      double difference = b.number(o) - y.number(i * 2 + o);
      for (int k = 0; k < 10; ++k) difference += x.number(i * 10 + k) * w.number(o * 10 + k);
      loss += difference * difference / 16;
      double scale = rate.number(0) * 2 * difference / 16;
      HostTensor &new_w = expected.updates[0], &new_b = expected.updates[1];
      for (int k = 0; k < 10; ++k)
        new_w.set_number(o * 10 + k, new_w.number(o * 10 + k) - scale * x.number(i * 10 + k));
      new_b.set_number(o, new_b.number(o) - scale);
    }
  expected.results[0].set_number(0, loss);
  return expected;
}

class Pipeline : public testing::TestWithParam<bool> {};

TEST_P(Pipeline, TrainsALinearLayer) {
  TestMachine machine(GetParam());
  for (const std::optional<Pin>& pin : {std::optional<Pin>(), std::optional<Pin>({{"sim", 1}, {"train.cc", 5}})}) {
    Graph graph = run_passes(linear_step(pin), machine.context);
    std::vector<HostTensor> inputs = random_inputs(graph.main(), 1);
    expect_same(evaluate(graph, inputs), linear_step_by_hand(inputs), 1e-12);
    for (const Op& op : graph.main().ops)
      EXPECT_TRUE(op.is("input") || op.is("fused") || op.is("transfer") || op.entry->traits.view ||
                  can_lower(*op.entry))
          << op.name();
  }
}

TEST_P(Pipeline, IsDeterministic) {
  TestMachine machine(GetParam());
  EXPECT_EQ(print_graph(run_passes(linear_step(), machine.context)),
            print_graph(run_passes(linear_step(), machine.context)));
}

INSTANTIATE_TEST_SUITE_P(Fusion, Pipeline, testing::Bool(),
                         [](const auto& info) { return info.param ? "WholeStep" : "Chains"; });

// f(x) = sum(x^3): its gradient is 3 x^2, the gradient of that gradient's sum 6 x.
TEST(Differentiate, SecondDerivativesByNesting) {
  Graph graph;
  FunctionBuilder main(graph, add_function(graph, "main"));
  FunctionBuilder outer(graph, add_function(graph, "outer"));
  FunctionBuilder inner(graph, add_function(graph, "inner"));
  Type x(DType::f64, {5});
  Value ix = inner.input("x", InputKind::argument, x);
  inner.function().results = {inner("reduce_sum", {inner("mul", {ix, inner("mul", {ix, ix})})}, {{"dims", Sizes{0}}})};
  Value ox = outer.input("x", InputKind::argument, x);
  Value first = outer.add("gradient", {ox}, {{"with_respect_to", Sizes{0}}}, {inner.id()})[1];
  outer.function().results = {outer("reduce_sum", {first}, {{"dims", Sizes{0}}}), first};
  Value mx = main.input("x", InputKind::argument, x);
  std::vector<Value> made = main.add("gradient", {mx}, {{"with_respect_to", Sizes{0}}}, {outer.id()});
  main.function().results = {made[1], made[2]};
  verify_graph(graph);
  graph = run_pass(find_pass("differentiate"), graph, {});
  std::vector<HostTensor> inputs = random_inputs(graph.main(), 2);
  Evaluation found = evaluate(graph, inputs);
  for (int i = 0; i < 5; ++i) {
    double value = inputs[0].number(i);
    EXPECT_NEAR(found.results[0].number(i), 3 * value * value, 1e-12);
    EXPECT_NEAR(found.results[1].number(i), 6 * value, 1e-12);
  }
}

TEST(Differentiate, GivesZerosWhereNothingFlows) {
  Graph graph;
  FunctionBuilder main(graph, add_function(graph, "main"));
  FunctionBuilder loss(graph, add_function(graph, "loss"));
  Value a = loss.input("a", InputKind::argument, Type(DType::f32, {}));
  loss.input("b", InputKind::argument, Type(DType::f32, {2}));
  loss.function().results = {loss("mul", {a, a})};
  Value ma = main.input("a", InputKind::argument, Type(DType::f32, {}));
  Value mb = main.input("b", InputKind::argument, Type(DType::f32, {2}));
  main.function().results = {main.add("gradient", {ma, mb}, {{"with_respect_to", Sizes{1}}}, {loss.id()})[1]};
  graph = run_pass(find_pass("differentiate"), graph, {});
  HostTensor zeros = evaluate(graph, random_inputs(graph.main(), 3)).results[0];
  EXPECT_TRUE(zeros.same_bytes(HostTensor(DType::f32, {2})));
}

}  // namespace
}  // namespace placewright
