// Training against PyTorch: the same initial weights and batches, made by the formula of scripts/make_reference.py, and
// its losses and norms.
#include <cmath>
#include <cstdlib>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "frontend/reference_programs.h"
#include "placewright/base/file.h"

namespace placewright {
namespace {

struct Agreement {
  const char* program;
  const char* run;
  DType dtype;
  bool adam;
  double tolerance;
  int most_steps;  // the rest only in the long tier
};

class PyTorch : public ::testing::TestWithParam<Agreement> {};

TEST_P(PyTorch, LossesAndNormsAgree) {
  const Agreement& agreement = GetParam();
  static const nlohmann::json reference =
      nlohmann::json::parse(read_text_file(PLACEWRIGHT_TEST_DATA "/reference/programs.json"));
  const nlohmann::json& of_program = reference.at(agreement.program);
  nlohmann::json expected = of_program.at(agreement.run);
  Sizes shape = of_program.at("batch_shape").get<Sizes>();

  nn::Sequential model = testing::make_model(agreement.program);
  model.to(agreement.dtype);
  testing::fill(model);
  optim::Adam adam(model.named_parameters());
  optim::SGD sgd(model.named_parameters(), {.lr = 0.01});
  optim::Optimizer& optimizer = agreement.adam ? static_cast<optim::Optimizer&>(adam) : sgd;
  TrainingStep step = compile_training_step(model, nn::CrossEntropyLoss(), optimizer);
  int all = expected.at("steps").get<int>();
  int steps = std::getenv("PLACEWRIGHT_FULL_COUNTS") ? all : std::min(all, agreement.most_steps);
  for (int s = 0; s < steps; ++s) {
    Tensor x = testing::make_images(s, shape, agreement.dtype), y = testing::make_labels(s, shape[0]);
    double loss = step(x, y).item(), wanted = expected.at("losses").at(s).get<double>();
    auto agrees = [&] { return std::abs(loss - wanted) <= agreement.tolerance * std::abs(wanted); };
    // At a kink (a ReLU's input near 0, two near maxima of a pool) rounding decides the side, in PyTorch too: its runs
    // of (e) with the batch permuted part at step 45 into two, 4e-6 apart (scripts/make_reference.py). A run that
    // leaves the first must be the second from there on, parameters included.
    const std::string other = std::string(agreement.run) + "_other_side";
    if (!agrees() && of_program.contains(other) && expected != of_program.at(other)) {
      expected = of_program.at(other);
      wanted = expected.at("losses").at(s).get<double>();
    }
    ASSERT_TRUE(agrees()) << "loss of step " << s << ": " << loss << ", expected " << wanted;
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
                         ::testing::Values(Agreement{"c", "f64_adam", DType::f64, true, 1e-10, 50},
                                           Agreement{"c", "f32_sgd", DType::f32, false, 2e-6, 50},
                                           Agreement{"c", "f32_adam", DType::f32, true, 1e-5, 10},
                                           Agreement{"e", "f64_adam", DType::f64, true, 1e-10, 5},
                                           Agreement{"e", "f32_sgd", DType::f32, false, 2e-6, 5},
                                           Agreement{"e", "f32_adam", DType::f32, true, 1e-5, 5}),
                         [](const auto& info) { return std::string(info.param.program) + "_" + info.param.run; });

}  // namespace
}  // namespace placewright
