// Training on an emulated NVIDIA GPU: captured, placed, compiled by NVRTC, run as PTX, held against the CPU.
#include <cmath>
#include <filesystem>
#include <set>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "frontend/emulated_gpu.h"
#include "frontend/reference_programs.h"
#include "placewright/base/file.h"
#include "placewright/ir/program.h"
#include "placewright/passes/placement.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

namespace fs = std::filesystem;

using CudaTraining = testing::EmulatedGpu;

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
  EXPECT_THAT(split.devices, ::testing::ElementsAre("cpu:0", "cuda:0"));
  expect_near(split, cpu);
}

TEST_F(CudaTraining, AStepOfTwoDevicesSaysWhyItIsNoGraph) {
  nn::Sequential model(nn::Linear(5, 9), nn::ReLU(), nn::Linear(9, 3));
  model.children()[0].module->to("cpu");
  model.children()[2].module->to("cuda:0");
  optim::SGD optimizer(model.named_parameters(), {.lr = 0.05});
  TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
  Tensor x = randn({21, 5}), y = randn({21, 3});
  for (int i = 0; i < 2; ++i) step(x, y).item();
  EXPECT_EQ(step.last().steps_at_once(), 0);
  EXPECT_THAT(step.last().why_piecewise(), ::testing::StartsWith("it works on c"));
}

// The first step goes kernel by kernel, each later one is one graph; with the loss, whose memory alternates, the state
// updated in place, and the transfers of the ledger (which every step is held to).
TEST_F(CudaTraining, StepsAreOneGraphLaunchEach) {
  manual_seed(7);
  nn::Sequential model(nn::Linear(5, 9), nn::ReLU(), nn::Linear(9, 3));
  Tensor x = randn({21, 5}), y = randn({21, 3});
  x.value(), y.value();
  model.to("cuda:0");
  optim::Adam optimizer(model.named_parameters());
  TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
  double last = step(x, y).item();
  for (int i = 1; i < 8; ++i) {
    const int64_t before = graph_launches();
    Tensor loss = step(x, y);
    EXPECT_EQ(graph_launches(), before + 1);
    EXPECT_LT(loss.item(), last);
    last = loss.item();
  }
  EXPECT_EQ(step.last().steps_at_once(), 7);
  EXPECT_EQ(step.last().why_piecewise(), "");
  EXPECT_GT(step.last().step_transfer_bytes(), 0);
}

// Gradients go from one GPU to the other and back as sums: without a CPU between them.
TEST_F(CudaTraining, TwoGpusShareABatch) {
  auto train_on = [](std::vector<DeviceId> devices) {
    configure({.devices = "cpu,cuda:2", .use_cache = false, .check_memory = true, .notice = [](std::string_view) {}});
    manual_seed(7);
    Trained trained;
    nn::Sequential model(nn::Linear(5, 9), nn::ReLU(), nn::Linear(9, 3));
    Tensor x = randn({20, 5}), y = randn({20, 3});
    optim::SGD optimizer(model.named_parameters(), {.lr = 0.05});
    TrainingStep step =
        compile_training_step(model, nn::MSELoss(), optimizer, {.name = "step", .data_parallel = devices});
    for (int i = 0; i < 4; ++i) trained.losses.push_back(step(x, y).item());
    for (const Tensor& parameter : model.parameters()) trained.parameters.push_back(parameter.value());
    for (const LedgerLine& line : transfer_ledger(step.last().program()))
      if (!line.once && line.facts.from.kind == line.facts.to.kind) trained.devices.insert(line.facts.to.to_string());
    if (devices.empty()) return trained;
    EXPECT_GT(step.last().step_transfer_bytes(), 0);
    EXPECT_EQ(step.last().why_piecewise(), "it sums over several devices");
    return trained;
  };
  Trained one = train_on({}), two = train_on({{"cuda", 0}, {"cuda", 1}});
  EXPECT_TRUE(one.devices.empty());
  EXPECT_THAT(two.devices, ::testing::Contains("cuda:1"));
  expect_near(two, one);
}

// A repetition gives the same bits: the order of sums depends on shapes alone.
TEST_F(CudaTraining, AgainGivesTheSameBits) {
  Trained first = train({"cuda:0", "cuda:0"}), second = train({"cuda:0", "cuda:0"});
  EXPECT_EQ(first.losses, second.losses);
  for (size_t i = 0; i < first.parameters.size(); ++i)
    EXPECT_TRUE(first.parameters[i].same_bytes(second.parameters[i])) << i;
}

// What the cache keeps of a GPU's kernels is checked when it is read: cut short or with a bit changed it is made anew.
TEST_F(CudaTraining, DamagedCacheEntriesAreMadeAnew) {
  const fs::path folder = fs::path(::testing::TempDir()) / ("cuda_kernels_" + std::to_string(::getpid()));
  auto train_with_cache = [&] {
    configure({.devices = "cpu,cuda:1", .cache_directory = folder.string(), .notice = [](std::string_view) {}});
    return train({"cuda:0", "cuda:0"});
  };
  const Trained first = train_with_cache();
  size_t entries = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || entry.file_size() < 64) continue;
    std::vector<uint8_t> bytes = read_file(entry.path());
    if (entries++ % 2 == 0)
      bytes[bytes.size() / 2] ^= 1;
    else
      bytes.resize(bytes.size() / 2);
    write_file_atomically(entry.path(), std::span<const uint8_t>(bytes), 0600);
  }
  EXPECT_GE(entries, 2u);  // programs, and the images of their kernels
  EXPECT_EQ(train_with_cache().losses, first.losses);
  configure({});
  fs::remove_all(folder);
}

// --- The design's programs

double norm(const HostTensor& tensor, const HostTensor* less = nullptr) {
  double sum = 0;
  for (int64_t k = 0; k < tensor.elements(); ++k) {
    const double each = tensor.number(k) - (less ? less->number(k) : 0);
    sum += each * each;
  }
  return std::sqrt(sum);
}

Trained train_program(const std::string& program, const Sizes& batch, int steps, const std::string& device,
                      const std::string& precision = "f32") {
  configure({.devices = "cpu,cuda:1",
             .product_precision = precision,
             .use_cache = false,
             .check_memory = true,
             .notice = [](std::string_view) {}});
  Trained trained;
  nn::Sequential model = testing::make_model(program);
  testing::fill(model);
  model.to(device);
  optim::Adam optimizer(model.named_parameters());
  TrainingStep step = compile_training_step(model, nn::CrossEntropyLoss(), optimizer);
  for (int s = 0; s < steps; ++s) {
    Tensor x = testing::make_images(s, batch, DType::f32), y = testing::make_labels(s, batch[0]);
    trained.losses.push_back(step(x.to(device), y.to(device)).item());
  }
  for (const Tensor& parameter : model.parameters()) trained.parameters.push_back(parameter.value());
  for (const OpPlacement& op : step.last().placement().ops)
    for (const DeviceId& where : op.where.devices) trained.devices.insert(where.to_string());
  return trained;
}

void expect_agree(const Trained& gpu, const Trained& cpu, double of_losses, double of_parameters) {
  EXPECT_TRUE(gpu.devices.contains("cuda:0"));
  ASSERT_EQ(gpu.losses.size(), cpu.losses.size());
  double loss = 0, parameter = 0;
  for (size_t i = 0; i < gpu.losses.size(); ++i) loss = std::max(loss, std::abs(gpu.losses[i] / cpu.losses[i] - 1));
  for (size_t i = 0; i < gpu.parameters.size(); ++i)
    parameter = std::max(parameter, norm(gpu.parameters[i], &cpu.parameters[i]) / norm(cpu.parameters[i]));
  EXPECT_LE(loss, of_losses);
  EXPECT_LE(parameter, of_parameters);
  ::testing::Test::RecordProperty("loss", std::to_string(loss));
  ::testing::Test::RecordProperty("parameter", std::to_string(parameter));
}

void expect_agree(const std::string& program, const Sizes& batch, int steps) {
  expect_agree(train_program(program, batch, steps, "cuda:0"), train_program(program, batch, steps, "cpu:0"), 1e-4,
               1e-4);
}

using testing::full_counts;

TEST_F(CudaTraining, TheSmallCnnAgreesWithTheCpu) { expect_agree("c", {16, 3, 14, 14}, full_counts() ? 100 : 10); }

TEST_F(CudaTraining, TheFashionCnnAgreesWithTheCpu) {
  expect_agree("e", {full_counts() ? 8 : 1, 1, 28, 28}, full_counts() ? 3 : 1);
}

// By matrix units: factors are off by 2^-11, and what follows from it. The same bits again; others than in f32.
void expect_agree_in_tf32(const std::string& program, const Sizes& batch, int steps) {
  const Trained cpu = train_program(program, batch, steps, "cpu:0");
  const Trained exact = train_program(program, batch, steps, "cuda:0");
  const Trained gpu = train_program(program, batch, steps, "cuda:0", "tf32");
  expect_agree(gpu, cpu, 1e-3, 1e-2);
  EXPECT_NE(gpu.losses, exact.losses);
}

TEST_F(CudaTraining, TheSmallCnnInTf32IsNearTheCpu) {
  expect_agree_in_tf32("c", {8, 3, 14, 14}, full_counts() ? 100 : 10);
}

TEST_F(CudaTraining, TheFashionCnnInTf32IsNearTheCpu) {
  expect_agree_in_tf32("e", {full_counts() ? 8 : 1, 1, 28, 28}, full_counts() ? 3 : 1);
}

}  // namespace
}  // namespace placewright
