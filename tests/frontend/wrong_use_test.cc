// Wrong use of the public functions: one line that says what was found and what was expected, and never a crash.
#include <functional>
#include <limits>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/npy.h"
#include "placewright/placewright.h"
#include "placewright/run_graph.h"

namespace placewright {
namespace {

using testing::HasSubstr;

struct Case {
  const char* expected;  // part of the message
  std::function<void()> use;
};

void expect_errors(const std::vector<Case>& cases) {
  for (const Case& each : cases) {
    SCOPED_TRACE(each.expected);
    try {
      each.use();
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(each.expected));
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    } catch (const std::exception& other) {
      ADD_FAILURE() << "another exception: " << other.what();
    }
  }
}

class WrongUse : public testing::Test {
 protected:
  void SetUp() override { configure({.devices = "cpu,sim:2", .use_cache = false}); }
  void TearDown() override { configure({}); }

  static constexpr int64_t most = std::numeric_limits<int64_t>::max(), least = std::numeric_limits<int64_t>::min();
  Tensor undefined;
  Tensor a = ones({2, 3});
};

class Given : public nn::Module {
 public:
  explicit Given(std::function<Tensor(const Tensor&)> function) : function_(std::move(function)) {}
  Tensor forward(const Tensor& x) override { return function_(x); }
  std::string description() const override { return "Given"; }
  using nn::Module::parameter;

 private:
  std::function<Tensor(const Tensor&)> function_;
};

TEST_F(WrongUse, MakingAndReadingTensors) {
  expect_errors({
      {"f32[2] was given 3 elements, expected 2", [] { tensor<float>({1, 2, 3}, {2}); }},
      {"f32[-1]: expected sizes of 0 or more", [] { tensor<float>({}, {-1}); }},
      {"i64[-5]", [] { arange(-5); }},
      {"f32[2] were asked for as i64, expected f32", [] { ones({2}).to_vector<int64_t>(); }},
      {"u8[2] were asked for as f32, expected u8", [] { zeros({2}, DType::u8).value().data<float>(); }},
      {"f32[35184372088832] takes 140737488355328 bytes", [] { zeros({int64_t{1} << 45}); }},
      {"f32[4611686018427387904] takes more bytes than 64 bits count", [] { zeros({int64_t{1} << 62}); }},
      {"takes more bytes than 64 bits count", [] { zeros({int64_t{1} << 40, int64_t{1} << 40}, DType::u8); }},
      {"no host tensor of dtype bf16", [] { full({2}, 1, DType::bf16); }},
      {"expected low < high", [] { randint(3, 3, {2}); }},
      {"numbers from 0 to 999 do not fit into u8", [] { randint(0, 1000, {2}, DType::u8); }},
      {"do not fit into u32", [] { randint(-1, 1, {2}, DType::u32); }},
      {"undefined tensor", [&] { undefined.value(); }},
      {"undefined tensor", [&] { undefined.item(); }},
      {"shape [2,3], expected one element (tests/frontend/wrong_use_test.cc:", [&] { a.item(); }},
  });
  EXPECT_EQ(randint(0, 256, {1000}, DType::u8).argmax(0).rank(), 0) << "all of u8 is in range";
  EXPECT_NE(randint(least, most, {1}).to_vector<int64_t>(), randint(least, most, {1}).to_vector<int64_t>());
}

TEST_F(WrongUse, Devices) {
  expect_errors({
      {"no device gpu:0 here; there are: cpu:0 sim:0 sim:1", [&] { a.to("gpu"); }},
      {"no device sim:7", [&] { a.to("sim:7"); }},
      {"'sim:x' is no device", [&] { a.to("sim:x"); }},
      {"'' is no device", [&] { a.to(""); }},
      {"'' is no device", [&] { a.to(static_cast<const char*>(nullptr)); }},
      {"is no device", [&] { a.to("sim:99999999999999999999"); }},
      {"undefined tensor", [&] { undefined.to("cpu"); }},
      {"undefined tensor", [&] { undefined.to(DType::f64); }},
  });
  auto open = [](SessionOptions options) {
    return [options] {
      configure(options);
      devices();
    };
  };
  expect_errors({
      {"devices '': found '', expected a kind of device and how many of it, as in cpu,cuda:1", open({.devices = ""})},
      {"devices 'cpu,': found ''", open({.devices = "cpu,"})},
      {"devices 'cpu,sim:x': found 'sim:x'", open({.devices = "cpu,sim:x"})},
      {"devices 'cpu, sim:1': found ' sim:1'", open({.devices = "cpu, sim:1"})},
      {"devices 'cpu,cuda:0': found cuda:0, expected how many: cuda:1 gives the session one, which is then called "
       "cuda:0; for none leave cuda out",
       open({.devices = "cpu,cuda:0"})},
      {"found sim:0, expected how many", open({.devices = "sim:0"})},
      {"found tpu:1, expected cpu and cuda:N with N up to 64 and sim:N with N up to 64", open({.devices = "tpu"})},
      {"found sim:65", open({.devices = "sim:65"})},
      {"found cpu:2", open({.devices = "cpu:2"})},
      {"found sim twice", open({.devices = "sim:1,sim:2"})},
      {"threads is -1, expected 1 to 1024", open({.threads = -1})},
      {"threads is 100000", open({.threads = 100000})},
  });
}

TEST_F(WrongUse, Operations) {
  expect_errors({
      {"undefined tensor: expected one to be assigned first (tests/frontend/wrong_use_test.cc:",
       [&] { undefined + 1; }},
      {"undefined tensor", [&] { relu(undefined); }},
      {"undefined tensor", [&] { matmul(a, undefined); }},
      {"undefined tensor", [&] { concat({a, undefined}); }},
      {"undefined tensor", [&] { stack({undefined}); }},
      {"undefined tensor", [&] { slice(undefined, 0, 0, 1); }},
      {"undefined tensor", [&] { where(undefined, a, a); }},
      {"undefined tensor", [&] { clamp(a, undefined, 1); }},
      {"undefined tensor", [&] { mse_loss(a, undefined); }},
      {"undefined tensor", [&] { cross_entropy(a, undefined); }},
      {"undefined tensor", [&] { embedding(undefined, arange(2)); }},
      {"undefined tensor", [&] { softmax(undefined); }},
      {"undefined tensor", [&] { linear(a, undefined); }},
      {"undefined tensor", [&] { layer_norm(a, undefined, undefined); }},
      {"undefined tensor", [&] { conv2d(ones({1, 1, 4, 4}), undefined); }},
      {"undefined tensor", [&] { max_pool2d(undefined, 2); }},
      {"undefined tensor", [&] { undefined.reshape({1}); }},
      {"undefined tensor", [&] { undefined.sum(); }},
      {"the loss is an undefined tensor", [&] { gradients(undefined, {a}); }},
      {"with respect to is an undefined tensor", [&] { gradients(a.sum(), {undefined}); }},
      {"the loss is f32[2,3], expected a floating scalar", [&] { gradients(a * 2, {a}); }},
      {"does not depend on a tensor f32[1]", [&] { gradients(a.sum(), {ones({1})}); }},
      {"size -2, expected 0 or more, or -1 once", [&] { a.reshape({-2, -3}); }},
      {"overflows 64 bits", [&] { a.reshape({int64_t{1} << 40, int64_t{1} << 40, -1}); }},
      {"found -1 twice", [&] { a.reshape({-1, -1}); }},
      {"do not divide", [&] { a.reshape({4, -1}); }},
      {"cannot reshape [2,3] to [4]", [&] { a.reshape({4}); }},
      {"transpose: dim 9", [&] { a.transpose(0, 9); }},
      {"names dimension 0 twice", [&] { a.permute({0, 0}); }},
      {"names dimension 0 twice", [&] { a.sum({0, 0}); }},
      {"expected at least one element to choose from", [] { zeros({2, 0}).argmax(1); }},
      {"found no tensors", [] { concat({}); }},
      {"found no tensors", [] { stack({}); }},
      {"dim 0 of a scalar", [] { concat({scalar(1.f), scalar(2.f)}); }},
      {"dim -1 of a scalar", [] { softmax(scalar(1.f)); }},
      {"has size 4, expected 3", [&] { concat({a, ones({2, 4})}); }},
      {"step 0", [&] { slice(a, 0, 0, 2, 0); }},
      {"expected 0 <= start <= stop", [&] { slice(a, 0, least, most); }},
      {"3 columns and b [2,3] has 2 rows", [&] { matmul(a, a); }},
      {"where: a condition of shape [5] and values of [2,3]", [&] { where(ones({5}), a, a); }},
      {"do not broadcast", [&] { a + ones({4}); }},
      {"expected class numbers", [&] { cross_entropy(a, ones({2})); }},
      {"expected i32 or i64", [&] { embedding(a, a); }},
      {"an index is out of range", [&] { embedding(a, full({2}, -1, DType::i64)).value(); }},
      {"an index is out of range", [&] { cross_entropy(a, full({2}, 3, DType::i64)).value(); }},
      {"the window is [0,0]", [] { max_pool2d(ones({1, 1, 4, 4}), 0); }},
      {"less than the window's reach", [] { max_pool2d(ones({1, 1, 4, 4}), 2, {.padding = 5}); }},
      {"stride is [0,0]", [] { conv2d(ones({1, 1, 4, 4}), ones({1, 1, 2, 2}), {}, {.stride = 0}); }},
      {"overflows 64 bits", [] { conv2d(ones({1, 1, 4, 4}), ones({1, 1, 2, 2}), {}, {.padding = most}); }},
      {"overflows 64 bits", [] { conv2d(ones({1, 1, 4, 4}), ones({1, 1, 2, 2}), {}, {.dilation = most}); }},
      {"groups is 0", [] { conv2d(ones({1, 1, 4, 4}), ones({1, 1, 2, 2}), {}, {.groups = 0}); }},
      {"does not fit", [] { conv2d(ones({1, 1, 4, 4}), ones({1, 1, 9, 9})); }},
  });
}

TEST_F(WrongUse, Modules) {
  nn::Linear linear(3, 2);
  expect_errors({
      {"the number of inputs is 0", [] { nn::Linear(0, 1); }},
      {"f32[1099511627776,1099511627776] takes more bytes", [] { nn::Linear(int64_t{1} << 40, int64_t{1} << 40); }},
      {"takes more bytes", [] { nn::Conv2d(1, 1, int64_t{1} << 40); }},
      {"2 groups do not divide", [] { nn::Conv2d(3, 4, 2, {.groups = 2}); }},
      {"takes more bytes", [] { nn::Embedding(int64_t{1} << 40, int64_t{1} << 40); }},
      {"expected 0 to below 1", [] { nn::Dropout(1.0); }},
      {"submodule '0' is null", [] { nn::Sequential().append(nullptr); }},
      {"parameter is named 'a.b', expected a name without dots",
       [] { Given([](const Tensor& x) { return x; }).parameter("a.b", HostTensor()); }},
      {"parameter is named ''", [] { Given([](const Tensor& x) { return x; }).parameter("", HostTensor()); }},
      {"no device gpu:0", [&] { linear.to("gpu"); }},
      {"found dtype i32, expected a floating one", [&] { linear.to(DType::i32); }},
      {"found a value of type f32[1], expected f32[2,3]",
       [&] { nn::set_value(linear.weight, HostTensor(DType::f32, {1})); }},
      {"no parameter", [&] { nn::set_value(a, a.value()); }},
      {"undefined tensor", [&] { nn::set_value(undefined, HostTensor()); }},
      {"gave an undefined tensor", [&] { Given([](const Tensor&) { return Tensor(); })(a); }},
      {"undefined tensor", [&] { summarise(linear, undefined); }},
      {"has shape [2,3], expected [out,7]", [&] { summarise(linear, ones({2, 7})); }},
  });
}

TEST_F(WrongUse, Optimizers) {
  nn::Linear model(3, 2);
  std::vector<nn::NamedParameter> parameters = model.named_parameters();
  optim::SGD sgd({parameters[0]}, {});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  expect_errors({
      {"given no parameters", [] { optim::SGD({}, {}); }},
      {"no parameter", [&] { optim::SGD({{"w", a}}, {}); }},
      {"no parameter", [&] { optim::SGD({{"w", undefined}}, {}); }},
      {"parameter 'weight' twice", [&] { optim::SGD({parameters[0], parameters[0]}, {}); }},
      {"parameter 'weight' twice", [&] { sgd.add_group(parameters); }},
      {"SGD: lr is", [&] { optim::SGD(parameters, {.lr = nan}); }},
      {"weight_decay is -1, expected a number from 0", [&] { optim::SGD(parameters, {.weight_decay = -1}); }},
      {"expected a momentum", [&] { optim::SGD(parameters, {.nesterov = true}); }},
      {"beta1 is 1, expected a number from 0", [&] { optim::Adam(parameters, {.beta1 = 1}); }},
      {"no hyper-parameter 'x'", [&] { sgd.hyper("x"); }},
      {"no group 7, expected 0 to 0", [&] { sgd.hyper("lr", 7); }},
      {"no group -1", [&] { sgd.set_hyper("lr", 1, -1); }},
      {"lr is -1", [&] { sgd.set_lr(-1); }},
      {"lr is", [&] { sgd.set_lr(nan); }},
      {"no hyper-parameter 'x'", [&] { sgd.add_group({parameters[1]}, {{"x", 1}}); }},
      {"clip_norm: the bound is -1", [&] { sgd.clip_norm(-1); }},
      {"clip_value: the bound is", [&] { sgd.clip_value(nan); }},
      {"every 0 epochs", [&] { optim::step_lr(sgd, 0); }},
      {"0 epochs", [&] { optim::cosine_lr(sgd, 0); }},
      {"empty function", [&] { optim::Schedule(sgd, nullptr); }},
  });
  EXPECT_EQ(sgd.groups().size(), 1u) << "what failed left no group behind";
  EXPECT_EQ(sgd.lr(), 1e-3);
}

TEST_F(WrongUse, CompiledFunctionsAndSteps) {
  nn::Linear model(3, 2);
  optim::SGD optimizer(model.named_parameters(), {});
  auto run_step = [&](Loss loss, Tensor x) {
    compile_training_step(model, std::move(loss), optimizer)(x, ones({2, 2}));
  };
  auto identity = [](const Tensor& x) { return x; };
  Tensor escaped;
  CompiledFunction leaking = compile([&](const Tensor& x) {
    escaped = x * 2;
    return x;
  });
  leaking(a);
  expect_errors({
      {"the function is empty", [] { compile(std::function<Tensor(const Tensor&)>()); }},
      {"the loss is empty", [&] { run_step(Loss(), a); }},
      {"result 0 of the function is an undefined tensor", [&] { compile([](const Tensor&) { return Tensor(); })(a); }},
      {"main gives no results", [&] { compile([](const std::vector<Tensor>&) { return std::vector<Tensor>(); })(a); }},
      {"takes 1 argument, found 2", [&] { compile(identity)(a, a); }},
      {"takes 1 argument, found 2", [&] { compile(model)(a, a); }},
      {"found an undefined tensor", [&] { compile(identity)(undefined); }},
      {"was not called yet", [&] { compile(identity).last(); }},
      {"where it has no value yet", [&] { compile([](const Tensor& x) { return x * x.sum().item(); })(a); }},
      {"where it has no value yet", [&] { escaped.value(); }},
      {"a tensor of a function that is being compiled, expected tensors with values", [&] { leaking(escaped); }},
      {"'argument0' of a function that was compiled is used outside",
       [&] { compile([&](const Tensor& x) { return x + escaped; })(a); }},
      {"the loss is an undefined tensor",
       [&] { run_step([](const Operand&, const Operand&) { return Tensor(); }, a); }},
      {"the loss is f32[2,2]", [&] { run_step([](const Operand& x, const Operand&) { return Tensor(x); }, a); }},
      {"does not depend on a parameter weight",
       [&] { run_step([](const Operand&, const Operand& y) { return Tensor(y).sum(); }, a); }},
      {"has shape [2,3], expected [out,7]", [&] { run_step(nn::MSELoss(), ones({2, 7})); }},
      {"no device sim:9 here", [&] { compile(identity, {.data_parallel = {{"sim", 0}, {"sim", 9}}})(a); }},
  });
  EXPECT_THROW(compile([](const Tensor&) -> Tensor { throw std::runtime_error("the user's"); })(a), std::runtime_error);
  EXPECT_EQ(leaking(a).sum().item(), 6) << "what was wrong elsewhere leaves it alone";
}

TEST_F(WrongUse, FilesAndData) {
  const std::string nowhere = testing::TempDir() + "wrong_use_" + std::to_string(::getpid()) + "/x";
  nn::Linear model(3, 2);
  expect_errors({
      {"expected the same number of samples", [] { data::TensorDataset(HostTensor(DType::f32, {2}), HostTensor()); }},
      {"a batch size of 0",
       [&] {
         data::TensorDataset samples(a.value(), a.value());
         data::DataLoader(samples, {.batch_size = 0});
       }},
      {"No such file", [&] { data::read_idx(nowhere); }},
      {"not a regular file", [] { read_npy(testing::TempDir()); }},
      {"No such file", [&] { write_npy(nowhere, HostTensor()); }},
      {"No such file", [&] { save(nowhere, model); }},
      {"No such file", [&] { load(nowhere, model); }},
      {"name is no UTF-8 text", [&] { write_safetensors(nowhere, {{"\xff\xfe", HostTensor()}}); }},
      {"named '__metadata__'", [&] { write_safetensors(nowhere, {{"__metadata__", HostTensor()}}); }},
      {"expected main", [] { run_graph(Graph(), {}); }},
      {"has no function", [] { plan_graph(Graph()); }},
  });
}

}  // namespace
}  // namespace placewright
