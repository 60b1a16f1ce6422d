// Values and shapes at the edges, through compiled functions and training steps; and calls after calls that failed.
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "error_of.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::NanSensitiveFloatEq;

class Edges : public testing::Test {
 protected:
  void SetUp() override { configure_with(true); }
  void TearDown() override { configure({}); }
  static void configure_with(bool check) {
    configure({.devices = "cpu,sim:2",
               .use_cache = false,
               .check_bounds = check,
               .check_memory = check,
               .notice = [](std::string_view) {}});
  }
  static constexpr float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
};

std::vector<double> numbers(const Tensor& tensor) {
  HostTensor host = tensor.value();
  std::vector<double> all;
  for (int64_t i = 0; i < host.elements(); ++i) all.push_back(host.number(i));
  return all;
}

TEST_F(Edges, NoElements) {
  nn::Sequential model(nn::Linear(4, 3), nn::ReLU(), nn::Linear(3, 2));
  CompiledFunction infer = compile(model);
  EXPECT_EQ(infer(zeros({0, 4})).value().sizes(), (Sizes{0, 2}));
  EXPECT_EQ(infer(ones({2, 4})).value().sizes(), (Sizes{2, 2}));
  CompiledFunction sum = compile([](const Tensor& x) { return x.sum(); });
  EXPECT_EQ(sum(zeros({0, 7})).item(), 0);
  CompiledFunction join = compile([](const Tensor& a, const Tensor& b) { return concat({a, b, a}) * 2; });
  EXPECT_THAT(numbers(join(zeros({0}), ones({2}))), ElementsAre(2, 2));
  EXPECT_EQ(join(zeros({0}), zeros({0})).value().elements(), 0);
  EXPECT_EQ(matmul(zeros({2, 0}), zeros({0, 3})).sum().item(), 0) << "a sum of no products";
  EXPECT_EQ(zeros({0, 3}).to("sim:0").cpu().value().sizes(), (Sizes{0, 3}));
  EXPECT_EQ(zeros({0}).to_string(), "tensor([], f32, cpu:0)");
}

TEST_F(Edges, Scalars) {
  CompiledFunction f = compile([](const Tensor& a, const Tensor& b) { return a * b + 1; });
  EXPECT_EQ(f(scalar(2.f), scalar(3.f)).item(), 7);
  EXPECT_THAT(numbers(f(scalar(2.f), tensor<float>({1, 2}, {2}))), ElementsAre(3, 5));
  EXPECT_EQ(f(scalar(2.f).to("sim:1"), scalar(3.f)).item(), 7);
}

// Rows of a batch are what batches of one give.
TEST_F(Edges, ABatchOfOne) {
  nn::Sequential model(nn::Conv2d(1, 3, 3, {.padding = 1}), nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(),
                       nn::Linear(3 * 3 * 3, 5), nn::Softmax());
  CompiledFunction infer = compile(model);
  Tensor x = randn({3, 1, 6, 6});
  std::vector<double> whole = numbers(infer(x)), single;
  for (int64_t i = 0; i < 3; ++i)
    for (double value : numbers(infer(slice(x, 0, i, i + 1)))) single.push_back(value);
  ASSERT_EQ(single.size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(single[i], whole[i], 1e-6);
}

TEST_F(Edges, NanAndInfinityGoThroughReductionsAndComparisons) {
  auto run = [](auto function, std::vector<float> values) {
    const int64_t count = static_cast<int64_t>(values.size());
    return numbers(compile([&](const Tensor& x) { return function(x); })(tensor<float>(values, {count})));
  };
  auto is = [](auto... values) { return ElementsAre(NanSensitiveFloatEq(static_cast<float>(values))...); };
  std::vector<float> with_nan(37, 1), with_inf(37, 1);
  with_nan[35] = nan;
  with_inf[3] = inf;
  auto as_float = [](std::vector<double> values) { return std::vector<float>(values.begin(), values.end()); };
  EXPECT_THAT(as_float(run([](const Tensor& x) { return x.sum(); }, with_nan)), is(nan));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return x.mean(); }, with_nan)), is(nan));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return x.sum(); }, with_inf)), is(inf));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return (x - x).sum(); }, with_inf)), is(nan));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return x.argmax(0); }, with_inf)), is(3));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return x.argmax(0); }, with_nan)), is(35)) << "as PyTorch's";
  const std::vector<float> three{nan, 1, -inf};
  EXPECT_THAT(as_float(run([](const Tensor& x) { return x < 0; }, three)), is(0, 0, 1));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return x >= 0; }, three)), is(0, 1, 0));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return x == x; }, three)), is(0, 1, 1));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return x != x; }, three)), is(1, 0, 0));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return maximum(x, 0); }, three)), is(nan, 1, 0));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return relu(x); }, three)), is(nan, 1, 0));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return clamp(x, -2, 2); }, three)), is(nan, 1, -2));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return softmax(x); }, three)), is(nan, nan, nan));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return softmax(x); }, {0, -inf, 0})), is(0.5, 0, 0.5));
  EXPECT_THAT(as_float(run([](const Tensor& x) { return max_pool2d(x.reshape({1, 1, 2, 2}), 2); }, {1, nan, 3, 2})),
              is(nan));
  EXPECT_THAT(
      as_float(run([](const Tensor& x) { return max_pool2d(x.reshape({1, 1, 2, 2}), 2); }, {-inf, -inf, -inf, -inf})),
      is(-inf));
}

// What is no number is neither hidden nor an error: the loss and the parameters that it touches say so.
TEST_F(Edges, NanInATrainingStep) {
  nn::Sequential model(nn::Linear(4, 3), nn::Tanh(), nn::Linear(3, 2));
  optim::Adam optimizer(model.named_parameters(), {});
  optimizer.clip_norm(1);
  TrainingStep step = compile_training_step(model, nn::CrossEntropyLoss(), optimizer);
  Tensor labels = tensor<int64_t>({0, 1}, {2});
  EXPECT_TRUE(std::isfinite(step(ones({2, 4}), labels).item()));
  EXPECT_TRUE(std::isnan(step(tensor<float>({1, 1, nan, 1, 1, 1, 1, 1}, {2, 4}), labels).item()));
  for (const nn::NamedParameter& each : model.named_parameters())
    for (double value : numbers(each.tensor)) EXPECT_TRUE(std::isnan(value)) << each.name;
}

TEST_F(Edges, BytesAndBools) {
  nn::Linear model(4, 2);
  optim::SGD optimizer(model.named_parameters(), {.lr = 0});
  TrainingStep step = compile_training_step(
      model, [](const Operand& x, const Operand& labels) { return cross_entropy(x, labels); }, optimizer);
  Tensor bytes = tensor<uint8_t>({0, 1, 128, 255, 255, 0, 0, 7}, {2, 4});
  double expected = step(bytes.to(DType::f32), tensor<int64_t>({1, 0}, {2})).item();
  EXPECT_EQ(step(bytes, tensor<uint8_t>({1, 0}, {2})).item(), expected);
  CompiledFunction masked = compile([](const Tensor& x, const Tensor& mask) { return where(mask, x, -1); });
  Tensor mask = tensor<uint8_t>({1, 0, 0, 1}, {4}).to(DType::boolean);
  EXPECT_THAT(numbers(masked(tensor<float>({1, 2, 3, 4}, {4}), mask)), ElementsAre(1, -1, -1, 4));
  EXPECT_THAT(numbers(compile([](const Tensor& x) { return x + x; })(tensor<uint8_t>({200, 1}, {2}))),
              ElementsAre(144, 2));
  EXPECT_EQ(mask.to(DType::i64).sum().item(), 2);
}

class Tied : public nn::Module {
 public:
  Tied() { weight = parameter("weight", HostTensor::from<float>({2, 2}, {1, 2, 3, 4})); }
  Tensor forward(const Tensor& x) override { return linear(linear(x, weight), weight); }
  std::string description() const override { return "Tied"; }
  Tensor weight;
};

TEST_F(Edges, AParameterUsedTwice) {
  Tied model;
  optim::SGD optimizer(model.named_parameters(), {.lr = 1});
  TrainingStep step = compile_training_step(
      model, [](const Operand& y, const Operand& target) { return (Tensor(y) - Tensor(target)).sum(); }, optimizer);
  step(tensor<float>({1, 1}, {1, 2}), zeros({1, 2}));
  // y = W W x: the gradient of sum(y) is 1 (W x)' + W'1 x' = [[3, 7], [3, 7]] + [[4, 4], [6, 6]].
  EXPECT_THAT(numbers(model.weight), ElementsAre(1 - 7, 2 - 11, 3 - 9, 4 - 13));
}

TEST_F(Edges, ArgumentsAndResultsMayBeTheSame) {
  Tensor x = tensor<float>({1, 2}, {2});
  CompiledFunction difference = compile([](const Tensor& a, const Tensor& b) { return a * 3 - b; });
  EXPECT_THAT(numbers(difference(x, x)), ElementsAre(2, 4));
  Tensor moved = x.to("sim:0");
  EXPECT_THAT(numbers(difference(moved, moved)), ElementsAre(2, 4));

  CompiledFunction twice =
      compile([](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0], in[0], in[0] + 1}; });
  std::vector<Tensor> results = twice.call({&x, 1});
  results = twice.call({&results[2], 1});  // what the last call gave is the next one's argument
  EXPECT_THAT(numbers(results[0]), ElementsAre(2, 3));
  EXPECT_THAT(numbers(results[1]), ElementsAre(2, 3));
  EXPECT_THAT(numbers(results[2]), ElementsAre(3, 4));
  EXPECT_THAT(numbers(x), ElementsAre(1, 2));

  CompiledFunction next = compile([](const Tensor& a) { return a * 2; });
  Tensor y = x;
  for (int i = 0; i < 10; ++i) y = next(y);
  EXPECT_THAT(numbers(y), ElementsAre(1024, 2048));
}

// A result that is a state's value stays what it was when the state goes on.
TEST_F(Edges, AResultThatIsAState) {
  nn::Linear model(2, 1);
  nn::set_value(model.weight, HostTensor::from<float>({1, 2}, {5, 6}));
  CompiledFunction weight = compile([&](const Tensor&) { return model.weight; });
  Tensor before = weight(ones({1})), doubled = compile([&](const Tensor&) { return model.weight * 2; })(ones({1}));
  optim::SGD optimizer(model.named_parameters(), {.lr = 1});
  TrainingStep step = compile_training_step(
      model, [](const Operand& y, const Operand& target) { return (Tensor(y) - Tensor(target)).sum(); }, optimizer);
  step(ones({1, 2}), ones({1, 1}));
  EXPECT_THAT(numbers(before), ElementsAre(5, 6));
  EXPECT_THAT(numbers(doubled), ElementsAre(10, 12));
  EXPECT_THAT(numbers(model.weight), ElementsAre(4, 5));
}

// A value that a compiled function computed is a constant of the next one's, though nobody read it before.
TEST_F(Edges, AResultThatAnotherFunctionCaptures) {
  CompiledFunction doubled = compile([](const Tensor& x) { return x * 2; });
  Tensor on_host = doubled(ones({2})), on_device = doubled(full({2}, 3).to("sim:1")), lazy = ones({2}) * 5;
  CompiledFunction sum = compile([&](const Tensor& x) { return x + on_host + on_device + lazy; });
  EXPECT_THAT(numbers(sum(ones({2}))), ElementsAre(14, 14));
}

// A loss that is added up over a million steps and never read.
TEST_F(Edges, LongChainsOfTensors) {
  Tensor total = scalar(0.f);
  for (int i = 0; i < 300000; ++i) total = total + 1.f;
  total = Tensor();
  Tensor short_one = scalar(0.f);
  for (int i = 0; i < 50; ++i) short_one = short_one + 1.f;
  EXPECT_EQ(short_one.item(), 50);
}

TEST_F(Edges, ManyGroupsOfParametersAndNoneThatLearns) {
  std::vector<std::unique_ptr<nn::Linear>> others;
  nn::Linear model(2, 1);
  optim::Adam optimizer(model.named_parameters(), {.weight_decay = 0.1});
  for (int i = 0; i < 20; ++i) optimizer.add_group({});
  TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
  EXPECT_TRUE(std::isfinite(step(ones({2, 2}), zeros({2, 1})).item()));
  model.freeze();
  optimizer.clip_norm(1);
  HostTensor before = model.weight.value();
  EXPECT_TRUE(std::isfinite(step(ones({2, 2}), zeros({2, 1})).item()));
  EXPECT_TRUE(model.weight.value().same_bytes(before));
}

class WithDropout : public nn::Module {
 public:
  Tensor forward(const Tensor& x) override { return linear(dropout(x)); }
  std::string description() const override { return "WithDropout"; }
  nn::Dropout& dropout = add<nn::Dropout>("dropout", 0.5);
  nn::Linear& linear = add<nn::Linear>("linear", 64, 1);
};

// A compiled function follows what the user says of a submodule, and where the parameters are sent, later too.
TEST_F(Edges, SubmodulesChangeAfterTheFirstCall) {
  WithDropout model;
  CompiledFunction infer = compile(model);
  Tensor x = ones({1, 64});
  double dropped = infer(x).item();
  model.dropout.eval();
  double whole = infer(x).item();
  EXPECT_NE(dropped, whole);
  model.to("sim:1");
  EXPECT_NEAR(infer(x).item(), whole, 1e-6);
  EXPECT_THAT(placement_report(infer.last()), HasSubstr("linear.weight on sim:1"));
  model.dropout.train();
  EXPECT_NEAR(infer(x).item(), dropped, 1e-6);
}

// --- Calls after calls that failed.

TEST_F(Edges, AfterACallThatWantsTooMuchMemory) {
  configure_with(false);
  CompiledFunction outer = compile([](const Tensor& a, const Tensor& b) { return a.reshape({-1, 1}) + b; });
  Tensor small = tensor<float>({1, 2}, {2});
  const int64_t many = int64_t{1} << 20;
  for (const char* device : {"cpu", "sim:0"}) {
    auto large = [&] { outer(ones({many}).to(device), ones({many}).to(device)).value(); };
    EXPECT_THAT(error_of(large), HasSubstr("bytes of memory on ")) << device;
    EXPECT_THAT(numbers(outer(small.to(device), small.to(device))), ElementsAre(2, 3, 3, 4));
    EXPECT_THAT(error_of(large), HasSubstr("bytes of memory on ")) << device;
    EXPECT_THAT(numbers(outer(small.to(device), small.to(device))), ElementsAre(2, 3, 3, 4));
  }
}

class Lookup : public nn::Module {
 public:
  Tensor forward(const Tensor& ids) override { return linear(embedding(ids)); }
  std::string description() const override { return "Lookup"; }
  nn::Embedding& embedding = add<nn::Embedding>("embedding", 10, 4);
  nn::Linear& linear = add<nn::Linear>("linear", 4, 3);
};

// One sample with an id or a label that does not exist must not cost the model.
TEST_F(Edges, AfterAStepWithABadIndexTheParametersAreWhatTheyWere) {
  auto train = [](bool with_faults) {
    manual_seed(4);
    Lookup model;
    optim::Adam optimizer(model.named_parameters(), {.lr = 0.1});
    TrainingStep step = compile_training_step(model, nn::CrossEntropyLoss(), optimizer);
    Tensor ids = tensor<int64_t>({1, 9}, {2}), labels = tensor<int64_t>({0, 2}, {2});
    std::vector<double> losses;
    for (int i = 0; i < 3; ++i) {
      losses.push_back(step(ids, labels).item());
      if (!with_faults) continue;
      EXPECT_THAT(error_of([&] { step(ids, tensor<int64_t>({0, 3}, {2})); }), HasSubstr("an index is out of range"));
      EXPECT_THAT(error_of([&] { step(tensor<int64_t>({10, 0}, {2}), labels); }), HasSubstr("out of range"));
      EXPECT_THAT(error_of([&] { step(ids, ones({2})); }), HasSubstr("expected class numbers"));
      EXPECT_THAT(error_of([&] { step(ones({2}), labels); }), HasSubstr("expected i32 or i64"));
    }
    return losses;
  };
  EXPECT_EQ(train(true), train(false));
}

TEST_F(Edges, AfterAFunctionThatThrewWhileItWasCompiled) {
  bool fails = true;
  CompiledFunction f = compile([&](const Tensor& x) {
    Tensor y = x * 2;
    if (fails) throw std::runtime_error("the user's");
    return y;
  });
  EXPECT_THROW(f(ones({2})), std::runtime_error);
  fails = false;
  EXPECT_THAT(numbers(f(ones({2}))), ElementsAre(2, 2));
}

}  // namespace
}  // namespace placewright
