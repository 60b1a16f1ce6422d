// Programs end to end: captured, placed, compiled and run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/placewright.h"

namespace placewright {
namespace {

class Train : public testing::Test {
 protected:
  void configure_with(std::string devices, bool strict = false) {
    SessionOptions options;
    options.devices = std::move(devices);
    options.strict = strict;
    options.use_cache = false;
    options.check_memory = true;
    options.check_bounds = true;
    options.notice = [this](std::string_view line) { notices_.emplace_back(line); };
    configure(options);
  }
  void TearDown() override { configure({}); }
  std::vector<std::string> notices_;
};

TEST_F(Train, AddsOnTheCpu) {
  configure_with("cpu");
  Tensor a = tensor<float>({1, 2, 3, 4}, {2, 2}), b = tensor<float>({10, 20}, {2});
  EXPECT_THAT((a + b).to_vector<float>(), testing::ElementsAre(11, 22, 13, 24));
  EXPECT_EQ((a * 2).sum().item(), 20);
}

std::vector<double> train_linear(const char* device) {
  nn::Linear model(10, 2);
  optim::SGD optimizer(model.named_parameters(), {.lr = 0.01});
  TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
  Tensor x = randn({100, 10}), y = randn({100, 2});
  if (device) {
    model.to(device);
    x = x.to(device);
    y = y.to(device);
  }
  std::vector<double> losses;
  for (int i = 0; i < 10; ++i) losses.push_back(step(x, y).item());
  return losses;
}

TEST_F(Train, LinearRegressionOnCpuAndSimIsBitEqual) {
  configure_with("cpu,sim:2");
  std::vector<double> cpu = train_linear(nullptr);
  manual_seed(0);
  std::vector<double> sim = train_linear("sim:1");
  EXPECT_LT(cpu.back(), cpu.front());
  EXPECT_EQ(cpu, sim);
  EXPECT_THAT(notices_, testing::IsEmpty());
}

}  // namespace
}  // namespace placewright
