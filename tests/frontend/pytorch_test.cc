// Training against PyTorch: the same initial weights and batches, made by the formula of scripts/make_reference.py, and
// its losses and norms.
#include <cmath>
#include <functional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "placewright/base/file.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

uint32_t hash(uint32_t stream, uint32_t index) {
  uint32_t h = index * 2654435761u + stream * 2246822519u + 374761393u;
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  return h ^ h >> 16;
}
double unit(uint32_t stream, int64_t index) {
  return static_cast<double>(hash(stream, static_cast<uint32_t>(index)) >> 8) / 8388608.0 - 1;
}

HostTensor images(uint32_t stream, Sizes sizes, DType dtype) {
  HostTensor tensor(dtype, std::move(sizes));
  for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_number(i, unit(stream, i));
  return tensor;
}
HostTensor labels(uint32_t stream, int64_t count) {
  HostTensor tensor(DType::i64, {count});
  for (int64_t i = 0; i < count; ++i) tensor.set_integer(i, hash(stream, static_cast<uint32_t>(i)) % 10);
  return tensor;
}

void fill(nn::Module& model) {
  uint32_t stream = 0;
  double bound = 0;
  for (const nn::NamedParameter& each : model.named_parameters()) {
    Sizes sizes = each.tensor.sizes();
    if (sizes.size() > 1) bound = 1 / std::sqrt(static_cast<double>(element_count(sizes) / sizes[0]));
    HostTensor value(each.tensor.dtype(), sizes);
    for (int64_t i = 0; i < value.elements(); ++i) value.set_number(i, unit(stream, i) * bound);
    nn::set_value(each.tensor, value);
    ++stream;
  }
}

nn::Sequential make_model(const std::string& program) {
  using namespace nn;
  if (program == "c")
    return Sequential(Conv2d(3, 16, 3, {.padding = 1}), ReLU(), MaxPool2d(2), Flatten(), Linear(784, 10));
  return Sequential(Conv2d(1, 32, 3), ReLU(), Conv2d(32, 64, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(9216, 128),
                    ReLU(), Linear(128, 10));
}

struct Agreement {
  const char* program;
  const char* run;
  DType dtype;
  bool adam;
  double tolerance;
  int most_steps;  // the rest only in the long tier
};

class PyTorch : public testing::TestWithParam<Agreement> {};

TEST_P(PyTorch, LossesAndNormsAgree) {
  const Agreement& agreement = GetParam();
  static const nlohmann::json reference =
      nlohmann::json::parse(read_text_file(PLACEWRIGHT_TEST_DATA "/reference/programs.json"));
  const nlohmann::json& of_program = reference.at(agreement.program);
  const nlohmann::json& expected = of_program.at(agreement.run);
  Sizes shape = of_program.at("batch_shape").get<Sizes>();

  nn::Sequential model = make_model(agreement.program);
  model.to(agreement.dtype);
  fill(model);
  optim::Adam adam(model.named_parameters());
  optim::SGD sgd(model.named_parameters(), {.lr = 0.01});
  optim::Optimizer& optimizer = agreement.adam ? static_cast<optim::Optimizer&>(adam) : sgd;
  TrainingStep step = compile_training_step(model, nn::CrossEntropyLoss(), optimizer);
  int all = expected.at("steps").get<int>();
  int steps = std::getenv("PLACEWRIGHT_LONG_TESTS") ? all : std::min(all, agreement.most_steps);
  for (int s = 0; s < steps; ++s) {
    Tensor x(images(1000 + s % 4, shape, agreement.dtype)), y(labels(2000 + s % 4, shape[0]));
    double loss = step(x, y).item(), wanted = expected.at("losses").at(s).get<double>();
    ASSERT_LE(std::abs(loss - wanted), agreement.tolerance * std::abs(wanted)) << "loss of step " << s << ": " << loss;
  }
  if (steps < all) return;
  for (const nn::NamedParameter& each : model.named_parameters()) {
    HostTensor value = each.tensor.value();
    double sum = 0;
    for (int64_t i = 0; i < value.elements(); ++i) sum += value.number(i) * value.number(i);
    double wanted = expected.at("norms").at(each.name).get<double>();
    EXPECT_LE(std::abs(std::sqrt(sum) - wanted), agreement.tolerance * wanted) << each.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Programs, PyTorch,
                         testing::Values(Agreement{"c", "f64_adam", DType::f64, true, 1e-10, 50},
                                         Agreement{"c", "f32_sgd", DType::f32, false, 2e-6, 50},
                                         Agreement{"c", "f32_adam", DType::f32, true, 1e-5, 10},
                                         Agreement{"e", "f64_adam", DType::f64, true, 1e-10, 5},
                                         Agreement{"e", "f32_sgd", DType::f32, false, 2e-6, 5},
                                         Agreement{"e", "f32_adam", DType::f32, true, 1e-5, 5}),
                         [](const auto& info) { return std::string(info.param.program) + "_" + info.param.run; });

}  // namespace
}  // namespace placewright
