// What capture makes, held against the evaluator alone: no code is generated.
#include <set>

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/ir/evaluate.h"
#include "placewright/passes/pass.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

using testing::HasSubstr;

// Runs a captured training step by the evaluator; states and their values by name.
class EvaluatedStep {
 public:
  EvaluatedStep(Graph captured, const std::map<std::string, HostTensor>& states)
      : graph_(run_passes(std::move(captured), {}, {}, "specialise", "differentiate")), states_(states) {}

  double run(std::map<std::string, HostTensor> arguments) {
    std::vector<HostTensor> inputs;
    const Function& main = graph_.main();
    for (Value input : main.inputs) {
      const std::string& name = input_name(main, input);
      if (input_kind(main, input) == InputKind::state && !states_.contains(name))
        states_[name] = HostTensor(main.tensor(input).dtype, main.tensor(input).sizes());
      inputs.push_back(input_kind(main, input) == InputKind::state ? states_.at(name) : arguments.at(name));
    }
    Evaluation evaluation = evaluate(graph_, inputs);
    for (size_t i = 0; i < main.updates.size(); ++i)
      states_[input_name(main, main.updates[i].state)] = evaluation.updates[i];
    return evaluation.results[0].number(0);
  }

 private:
  Graph graph_;
  std::map<std::string, HostTensor> states_;
};

std::map<std::string, HostTensor> values_of(const nn::Module& model) {
  std::map<std::string, HostTensor> values;
  for (const nn::NamedParameter& each : model.named_parameters()) values[each.name] = each.tensor.value();
  return values;
}

TEST(Capture, LinearRegressionLearns) {
  manual_seed(1);
  nn::Linear model(10, 2);
  optim::SGD optimizer(model.named_parameters(), {.lr = 0.05});
  TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
  Tensor x = randn({100, 10}), y = randn({100, 2});
  Graph graph = step.capture(x, y);
  verify_graph(graph);
  EXPECT_EQ(print_graph(graph), print_graph(parse_graph(print_graph(graph))));
  EvaluatedStep evaluated(graph, values_of(model));
  double first = 0, last = 0;
  for (int i = 0; i < 20; ++i) {
    last = evaluated.run({{"input", x.value()}, {"target", y.value()}, {"lr", HostTensor::scalar(0.05)}});
    if (i == 0) first = last;
  }
  EXPECT_LT(last, 0.8 * first);
}

TEST(Capture, EveryOptimizerLearns) {
  auto train = [](auto make_optimizer) {
    manual_seed(2);
    nn::Sequential model(nn::Linear(4, 8), nn::Tanh(), nn::Linear(8, 1));
    auto optimizer = make_optimizer(model);
    optimizer.clip_norm(1.0);
    TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
    Tensor x = randn({16, 4}), y = randn({16, 1});
    EvaluatedStep evaluated(step.capture(x, y), values_of(model));
    std::map<std::string, HostTensor> arguments{
        {"input", x.value()}, {"target", y.value()}, {"max_norm", HostTensor::scalar(1.0)}};
    for (const optim::Hyper& hyper : optimizer.groups()[0].hypers)
      arguments[hyper.name] = HostTensor::scalar(hyper.value);
    double first = evaluated.run(arguments), last = first;
    for (int i = 0; i < 30; ++i) last = evaluated.run(arguments);
    EXPECT_LT(last, 0.9 * first) << optimizer.description();
  };
  train([](nn::Module& m) { return optim::SGD(m.named_parameters(), {.lr = 0.1, .momentum = 0.9}); });
  train([](nn::Module& m) {
    return optim::SGD(m.named_parameters(), {.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-4, .nesterov = true});
  });
  train([](nn::Module& m) { return optim::Adam(m.named_parameters(), {.lr = 0.01}); });
  train([](nn::Module& m) { return optim::AdamW(m.named_parameters(), {.lr = 0.01, .weight_decay = 0.01}); });
}

// Every op of a model points at the user's lines, none into the library.
TEST(Capture, OriginsNameTheUsersLines) {
  nn::Sequential model(nn::Conv2d(1, 2, 3, {.padding = 1}), nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(),
                       nn::Linear(32, 4));
  optim::Adam optimizer(model.named_parameters());
  TrainingStep step = compile_training_step(model, nn::CrossEntropyLoss(), optimizer);
  Graph graph = step.capture(randn({2, 1, 8, 8}), randint(0, 4, {2}));
  for (const Function& function : graph.functions)
    for (const Op& op : function.ops) {
      const Origin& origin = graph.origins[op.origin];
      if (op.is("input") && origin.frames.empty()) continue;  // hyper-parameters and states of the optimizer
      ASSERT_FALSE(origin.frames.empty()) << op.name();
      EXPECT_EQ(origin.frames[0].file, "tests/frontend/capture_test.cc")
          << op.name() << " " << origin.frames[0].to_string();
    }
}

// What the session says of products reaches every one of them, gradients included.
TEST(Capture, ProductsTakeTheSessionsPrecision) {
  for (const std::string wanted : {"f32", "tf32", "bf16"}) {
    configure({.product_precision = wanted});
    nn::Sequential model(nn::Conv2d(1, 2, 3, {.padding = 1}), nn::ReLU(), nn::Conv2d(2, 2, 3), nn::Flatten(),
                         nn::Linear(72, 4));
    optim::SGD optimizer(model.named_parameters(), {.lr = 0.1});
    auto loss = [](const Operand& output, const Operand& target) {
      return mse_loss(output, target) + matmul(output.tensor().permute({1, 0}), output).mean();
    };
    TrainingStep step = compile_training_step(model, loss, optimizer);
    Graph graph = run_passes(step.capture(randn({2, 1, 8, 8}), randn({2, 4})), {}, {}, "specialise", "differentiate");
    std::set<std::string> products;
    for (const Op& op : graph.main().ops) {
      if (!op.attributes.has("precision")) continue;
      EXPECT_EQ(op.attributes.get<std::string>("precision"), wanted) << op.name();
      products.insert(std::string(op.name()));
    }
    EXPECT_THAT(products,
                testing::IsSupersetOf({"conv", "conv_input_gradient", "conv_weight_gradient", "dot_general"}));
  }
  configure({});
}

TEST(Capture, PrecisionsThatAreNoneAreRefused) {
  EXPECT_THAT([] { configure({.product_precision = "half"}); },
              testing::ThrowsMessage<Error>("product_precision is 'half', expected f32, tf32 or bf16"));
}

struct Inner : nn::Module {
  nn::Linear& layer = add<nn::Linear>("layer", 3, 4);
  Tensor forward(const Tensor& x) override { return layer(x); }
  std::string description() const override { return "Inner"; }
};
struct Outer : nn::Module {
  Inner& inner = add<Inner>("inner");
  Tensor forward(const Tensor& x) override { return inner(x); }
  std::string description() const override { return "Outer"; }
};

constexpr int inner_line = __LINE__ - 9, outer_line = __LINE__ - 4;

TEST(Capture, ErrorTwoModulesDeepNamesPathAndLines) {
  Outer model;
  Tensor x = randn({2, 5});
  int line = 0;
  try {
    line = __LINE__ + 1;
    model(x);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    EXPECT_THAT(error.what(), HasSubstr(fmt::format(
                                  ", in module inner.layer (tests/frontend/capture_test.cc:{}, called from "
                                  "tests/frontend/capture_test.cc:{}, called from tests/frontend/capture_test.cc:{})",
                                  inner_line, outer_line, line)));
  }
}

TEST(Capture, ShapesAndDtypesAreKnownWithoutRunning) {
  configure({.devices = "cpu,sim:1"});
  Tensor a = zeros({3, 1}), b = ones({4}, DType::f64), i = arange(4);
  EXPECT_EQ((a + b).sizes(), (Sizes{3, 4}));
  EXPECT_EQ((a + b).dtype(), DType::f64);
  EXPECT_EQ((i + 1).dtype(), DType::i64);
  EXPECT_EQ((i * 0.5).dtype(), DType::f32);
  EXPECT_EQ((i / 2).dtype(), DType::f32);
  EXPECT_EQ((a < 1).dtype(), DType::boolean);
  EXPECT_EQ(a.to("sim:0").device().to_string(), "sim:0");
  EXPECT_EQ((a.to("sim:0") * 2 + b).device().to_string(), "sim:0");
  EXPECT_EQ(a.reshape({-1}).sizes(), (Sizes{3}));
  EXPECT_THROW(a + zeros({2, 2}), Error);
  EXPECT_THROW(a.to("sim:1"), Error);
  configure({});
}

TEST(Capture, FrozenParametersAreNotUpdated) {
  nn::Sequential model(nn::Linear(4, 4), nn::Linear(4, 1));
  model.children()[0].module->freeze();
  optim::SGD optimizer(model.named_parameters(), {.lr = 0.1});
  Graph graph = compile_training_step(model, nn::MSELoss(), optimizer).capture(randn({2, 4}), randn({2, 1}));
  std::vector<std::string> updated;
  for (const Update& update : graph.main().updates) updated.push_back(input_name(graph.main(), update.state));
  EXPECT_THAT(updated, testing::ElementsAre("1.weight", "1.bias"));
}

}  // namespace
}  // namespace placewright
