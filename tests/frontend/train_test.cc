// Programs end to end: captured, placed, compiled and run.
#include <atomic>
#include <thread>

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

// A result stands in memory of its own as long as somebody holds it, read or not.
TEST_F(Train, ResultsOutliveTheCallsThatFollow) {
  configure_with("cpu,sim:1");
  for (const char* device : {"cpu", "sim:0"}) {
    CompiledFunction doubled = compile([](const Tensor& x) { return x * 2; });
    std::vector<Tensor> held;
    for (int i = 0; i < 5; ++i) {
      held.push_back(doubled(full({3}, i).to(device)));
      doubled(full({3}, 100).to(device));  // nobody holds this one: its memory serves again
    }
    EXPECT_THAT(held[3].to_vector<float>(), testing::Each(6));
    doubled(full({3}, 100).to(device));
    for (int i = 0; i < 5; ++i) EXPECT_THAT(held[i].to_vector<float>(), testing::Each(2 * i)) << device;
    Tensor kept = held[4];
    held.clear();
    for (int i = 0; i < 5; ++i) doubled(full({3}, 100).to(device));
    EXPECT_THAT(kept.to_vector<float>(), testing::Each(8)) << device;
    // What one call made is the next one's argument, without a way through the host.
    Tensor chained = full({3}, 1).to(device);
    for (int i = 0; i < 4; ++i) chained = doubled(chained);
    EXPECT_THAT(chained.to_vector<float>(), testing::Each(16)) << device;
  }
}

TEST_F(Train, CallsFromTwoThreadsKeepTheirResultsApart) {
  configure_with("cpu");
  CompiledFunction doubled = compile([](const Tensor& x) { return x * 2; });
  doubled(full({3}, 0));
  std::atomic<int> wrong{0};
  auto work = [&](int first) {
    Tensor before;
    for (int i = first; i < first + 500; ++i) {
      Tensor now = doubled(full({3}, i));
      if (before.is_defined()) wrong += before.to_vector<float>() != std::vector<float>(3, 2.0f * (i - 1));
      before = now;
    }
  };
  std::thread other(work, 1000);
  work(0);
  other.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace placewright
