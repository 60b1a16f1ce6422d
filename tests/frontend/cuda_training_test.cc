// Training on an emulated NVIDIA GPU: captured, placed, compiled by NVRTC, run as PTX, held against the CPU.
#include <cstdlib>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/base/join.h"
#include "placewright/codegen/cuda/nvrtc.h"
#include "placewright/passes/placement.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

class CudaTraining : public testing::Test {
 protected:
  void SetUp() override {
    std::vector<std::string> reasons;
    if (!Nvrtc::try_open(&reasons)) GTEST_SKIP() << "no NVRTC: " << join(reasons, "; ");
    ::setenv("PLACEWRIGHT_LIBCUDA", PLACEWRIGHT_CUDA_EMULATOR, 1);
    configure({.devices = "cpu,cuda:1", .use_cache = false, .check_memory = true, .notice = [](std::string_view) {}});
  }
  void TearDown() override {
    configure({});
    ::unsetenv("PLACEWRIGHT_LIBCUDA");
  }
};

struct Trained {
  std::vector<double> losses;
  std::vector<HostTensor> parameters;
  std::set<std::string> devices;  // of the step's ops
};

// Linear, ReLU and linear; MSE and SGD; a batch that fills no warp. `pins` says where the two layers are.
Trained train(const std::vector<std::string>& pins) {
  manual_seed(7);
  Trained trained;
  nn::Sequential model(nn::Linear(5, 9), nn::ReLU(), nn::Linear(9, 3));
  Tensor x = randn({21, 5}), y = randn({21, 3});
  for (size_t i = 0; i < pins.size(); ++i) model.children()[2 * i].module->to(pins[i]);
  optim::SGD optimizer(model.named_parameters(), {.lr = 0.05});
  TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
  for (int i = 0; i < 5; ++i) trained.losses.push_back(step(x, y).item());
  for (const Tensor& parameter : model.parameters()) trained.parameters.push_back(parameter.value());
  for (const OpPlacement& op : step.last().placement().ops)
    for (const DeviceId& device : op.where.devices) trained.devices.insert(device.to_string());
  return trained;
}

void expect_near(const Trained& found, const Trained& expected) {
  ASSERT_EQ(found.losses.size(), expected.losses.size());
  for (size_t i = 0; i < found.losses.size(); ++i)
    EXPECT_NEAR(found.losses[i], expected.losses[i], 1e-6 * expected.losses[i]) << "step " << i;
  ASSERT_EQ(found.parameters.size(), expected.parameters.size());
  for (size_t i = 0; i < found.parameters.size(); ++i)
    for (int64_t k = 0; k < found.parameters[i].elements(); ++k)
      EXPECT_NEAR(found.parameters[i].number(k), expected.parameters[i].number(k), 1e-6) << i << " " << k;
}

// Sums are in another order than on the CPU: a few roundings of f32 apart, no more.
TEST_F(CudaTraining, StepsGiveTheCpusLossesAndParameters) {
  Trained cpu = train({"cpu", "cpu"}), gpu = train({"cuda:0", "cuda:0"});
  EXPECT_LT(cpu.losses.back(), cpu.losses.front());
  EXPECT_FALSE(cpu.devices.contains("cuda:0"));
  EXPECT_TRUE(gpu.devices.contains("cuda:0"));
  expect_near(gpu, cpu);
}

TEST_F(CudaTraining, AModelThatIsSplitBetweenCpuAndGpuTrainsAsWell) {
  Trained cpu = train({"cpu", "cpu"}), split = train({"cpu", "cuda:0"});
  EXPECT_THAT(split.devices, testing::ElementsAre("cpu:0", "cuda:0"));
  expect_near(split, cpu);
}

// A repetition gives the same bits: the order of sums depends on shapes alone.
TEST_F(CudaTraining, AgainGivesTheSameBits) {
  Trained first = train({"cuda:0", "cuda:0"}), second = train({"cuda:0", "cuda:0"});
  EXPECT_EQ(first.losses, second.losses);
  for (size_t i = 0; i < first.parameters.size(); ++i)
    EXPECT_TRUE(first.parameters[i].same_bytes(second.parameters[i])) << i;
}

}  // namespace
}  // namespace placewright
