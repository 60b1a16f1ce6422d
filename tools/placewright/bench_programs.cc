#include "bench_programs.h"

#include <charconv>
#include <cmath>

#include <fmt/core.h>

#include "formula.h"
#include "placewright/base/error.h"
#include "placewright/placewright.h"

namespace placewright::tools {
namespace {

double norm(const HostTensor& tensor) {
  double sum = 0;
  for (int64_t i = 0; i < tensor.elements(); ++i) sum += tensor.number(i) * tensor.number(i);
  return std::sqrt(sum);
}

// A batch is where it is used before the first step.
Tensor resident(HostTensor batch, const std::string& device) {
  Tensor tensor(std::move(batch));
  return device == "cpu:0" ? tensor : tensor.to(device);
}

struct TrainingProgram {
  std::string_view name;
  Sizes input;
  int64_t outputs;
  bool regression;  // mean squared error and SGD at 0.01; the others cross entropy and Adam at 1e-3
  nn::Sequential (*model)();
  double flops;  // of the contractions: forward, weight gradients, and data gradients but for the first layer
};

nn::Sequential model_a() { return nn::Sequential(nn::Linear(10, 2)); }
nn::Sequential model_b() { return nn::Sequential(nn::Linear(10, 1)); }
nn::Sequential model_c() {
  return nn::Sequential(nn::Conv2d(3, 16, 3, {.padding = 1}), nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(),
                        nn::Linear(784, 10));
}
nn::Sequential model_d() {
  return nn::Sequential(nn::Linear(784, 512), nn::ReLU(), nn::Linear(512, 512), nn::ReLU(), nn::Linear(512, 10));
}
nn::Sequential model_e() {
  return nn::Sequential(nn::Conv2d(1, 32, 3), nn::ReLU(), nn::Conv2d(32, 64, 3), nn::ReLU(), nn::MaxPool2d(2),
                        nn::Flatten(), nn::Linear(9216, 128), nn::ReLU(), nn::Linear(128, 10));
}

const TrainingProgram training_programs[] = {
    {"a", {100, 10}, 2, true, model_a, 2.0 * 2 * 100 * 10 * 2},
    {"b", {32, 10}, 1, true, model_b, 2.0 * 2 * 32 * 10},
    {"c", {16, 3, 14, 14}, 10, false, model_c, 2.0 * 16 * (2 * 14 * 14 * 16 * 27 + 3 * 7840)},
    {"d", {128, 784}, 10, false, model_d, 2.0 * 128 * (2 * 784 * 512 + 3 * 512 * 512 + 3 * 5120)},
    {"e",
     {64, 1, 28, 28},
     10,
     false,
     model_e,
     2.0 * 64 * (2 * 26 * 26 * 32 * 9 + 3 * 24 * 24 * 64 * 288 + 3 * 9216 * 128 + 3 * 1280)}};

class Training : public BenchProgram {
 public:
  Training(const TrainingProgram& program, const std::string& device)
      : program_(program),
        device_(device),
        x_(resident(formula::units(1000, DType::f32, program.input), device)),
        y_(resident(program.regression ? formula::units(2000, DType::f32, {program.input[0], program.outputs})
                                       : formula::labels(2000, program.input[0]),
                    device)) {
    prepare();
  }

  std::vector<double> check() override {
    prepare();
    std::vector<double> values;
    for (int i = 0; i < 10; ++i) values.push_back((*step_)(x_, y_).item());
    for (const nn::NamedParameter& parameter : model_->named_parameters())
      values.push_back(norm(parameter.tensor.value()));
    return values;
  }

  void run(int64_t steps) override {
    Tensor loss;
    for (int64_t i = 0; i < steps; ++i) loss = (*step_)(x_, y_);
    loss.item();
  }

  double flops() const override { return program_.flops; }
  const Specialisation& compiled() const override { return step_->last(); }

 private:
  void prepare() {
    step_.reset();
    optimizer_.reset();
    model_ = std::make_unique<nn::Sequential>(program_.model());
    uint32_t stream = 0;
    int64_t fan_in = 1;
    for (const nn::NamedParameter& parameter : model_->named_parameters()) {
      Sizes sizes = parameter.tensor.sizes();
      if (sizes.size() > 1) fan_in = element_count(sizes) / sizes[0];  // a bias stands behind its weight
      nn::set_value(parameter.tensor, formula::parameter(stream++, DType::f32, sizes, fan_in));
    }
    if (device_ != "cpu:0") model_->to(device_);
    if (program_.regression) {
      optimizer_ = std::make_unique<optim::SGD>(model_->named_parameters(), optim::SGDOptions{.lr = 0.01});
      step_ = std::make_unique<TrainingStep>(compile_training_step(*model_, nn::MSELoss(), *optimizer_));
    } else {
      optimizer_ = std::make_unique<optim::Adam>(model_->named_parameters());
      step_ = std::make_unique<TrainingStep>(compile_training_step(*model_, nn::CrossEntropyLoss(), *optimizer_));
    }
  }

  const TrainingProgram& program_;
  std::string device_;
  Tensor x_, y_;
  std::unique_ptr<nn::Sequential> model_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  std::unique_ptr<TrainingStep> step_;
};

// A product with resident operands: the second one is a parameter, so that it may be packed once.
struct Product : nn::Module {
  Product(HostTensor weight, bool first_transposed, bool second_transposed)
      : weight_(parameter("weight", std::move(weight))),
        first_transposed_(first_transposed),
        second_transposed_(second_transposed) {}
  Tensor forward(const Tensor& x) override {
    return matmul(first_transposed_ ? x.t() : x, second_transposed_ ? weight_.t() : weight_);
  }
  std::string description() const override { return "Product"; }
  Tensor weight_;
  bool first_transposed_, second_transposed_;
};

class Forward : public BenchProgram {
 public:
  Forward(std::unique_ptr<nn::Module> module, HostTensor x, double flops, const std::string& device)
      : module_(std::move(module)), x_(resident(std::move(x), device)), flops_(flops), executable_(compile(*module_)) {
    if (device != "cpu:0") module_->to(device);
  }

  std::vector<double> check() override {
    HostTensor result = executable_(x_).value();
    return {result.number(0), result.number(result.elements() - 1), norm(result)};
  }
  void run(int64_t steps) override {
    for (int64_t i = 0; i < steps; ++i) executable_(x_);
  }
  double flops() const override { return flops_; }
  const Specialisation& compiled() const override { return executable_.last(); }

 private:
  std::unique_ptr<nn::Module> module_;
  Tensor x_;
  double flops_;
  CompiledFunction executable_;
};

// "gemm-128x768x768-nn": M x N x K and the form; tn stores the first operand transposed, nt the second.
std::unique_ptr<BenchProgram> make_gemm(std::string_view name, const std::string& device) {
  int64_t sizes[3] = {};
  const char *at = name.data() + 5, *end = name.data() + name.size();
  bool good = true;
  for (int64_t& size : sizes) {
    auto [next, fault] = std::from_chars(at, end, size);
    good = good && fault == std::errc() && next < end && size > 0;
    at = next + 1;
  }
  std::string_view form = good ? name.substr(static_cast<size_t>(at - name.data())) : "";
  if (form != "nn" && form != "tn" && form != "nt")
    throw Error(fmt::format("bench: program '{}', expected gemm-MxNxK-FORM, FORM nn, tn or nt", name));
  auto [m, n, k] = sizes;
  HostTensor x = formula::units(1, DType::f32, form == "tn" ? Sizes{k, m} : Sizes{m, k});
  HostTensor weight = formula::units(2, DType::f32, form == "nt" ? Sizes{n, k} : Sizes{k, n});
  return std::make_unique<Forward>(
      std::make_unique<Product>(std::move(weight), form == "tn", form == "nt"), std::move(x),
      2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k), device);
}

// A 3x3 convolution without padding lost: "conv-64x56" has 64 channels in and out, and 56 x 56 positions.
std::unique_ptr<BenchProgram> make_conv(int64_t channels, int64_t side, const std::string& device) {
  auto module = std::make_unique<nn::Conv2d>(channels, channels, 3, Conv2dOptions{.padding = 1}, false);
  nn::set_value(module->weight, formula::parameter(0, DType::f32, {channels, channels, 3, 3}, channels * 9));
  HostTensor x = formula::units(1000, DType::f32, {1, channels, side, side});
  double points = static_cast<double>(channels * channels * 9) * static_cast<double>(side * side);
  return std::make_unique<Forward>(std::move(module), std::move(x), 2.0 * points, device);
}

}  // namespace

std::vector<std::string> expand_program(std::string_view name) {
  if (name == "gemm") {
    std::vector<std::string> cases;
    for (const char* size : {"128x768x768", "512x512x512"})
      for (const char* form : {"nn", "tn", "nt"}) cases.push_back(fmt::format("gemm-{}-{}", size, form));
    return cases;
  }
  if (name == "conv") return {"conv-64x56", "conv-128x28"};
  bool known = name.starts_with("gemm-") || name == "conv-64x56" || name == "conv-128x28";
  for (const TrainingProgram& program : training_programs) known = known || program.name == name;
  if (!known) throw Error(fmt::format("bench: there is no program '{}', expected a b c d e gemm or conv", name));
  return {std::string(name)};
}

std::unique_ptr<BenchProgram> make_program(std::string_view name, const std::string& device) {
  for (const TrainingProgram& program : training_programs)
    if (program.name == name) return std::make_unique<Training>(program, device);
  if (name == "conv-64x56") return make_conv(64, 56, device);
  if (name == "conv-128x28") return make_conv(128, 28, device);
  return make_gemm(name, device);
}

}  // namespace placewright::tools
