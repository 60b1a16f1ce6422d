// Products of matrices by cuBLASLt on an emulated NVIDIA GPU, with a stand-in for the library: the same numbers as on
// the CPU, a choice that is made once, and kernels that go on wherever the library cannot.
#include "frontend/cuda_products.h"

#include <cmath>

#include "placewright/runtime/byte_cache.h"
#include "placewright/runtime/device.h"

namespace placewright {
namespace {

namespace fs = std::filesystem;
using testing::CudaProducts;
using testing::expect_kernels;
using testing::expect_library;
using testing::Function;
using ::testing::HasSubstr;
using testing::held_against_cpu;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::Outcome;
using testing::run;
using ::testing::SizeIs;

std::vector<Tensor> layer(const std::vector<Tensor>& x) { return {relu(matmul(x[0], x[1]) + x[2])}; }
const std::vector<Sizes> layer_shapes{{21, 13}, {13, 32}, {32}};

std::vector<Tensor> product(const std::vector<Tensor>& x) { return {matmul(x[0], x[1])}; }

TEST_F(CudaProducts, ALinearLayerIsTheLibrarysAndPartOfTheGraph) {
  expect_library(held_against_cpu(layer, layer_shapes));
  EXPECT_EQ(searches(), 1);
  EXPECT_GT(products(), 1);
  EXPECT_GE(captures(), 1);
}

TEST_F(CudaProducts, EveryOrientationAndBatchesAgreeWithTheCpu) {
  expect_library(held_against_cpu(product, {{21, 13}, {13, 32}}));
  expect_library(
      held_against_cpu([](const std::vector<Tensor>& x) { return std::vector{matmul(x[0].transpose(0, 1), x[1])}; },
                       {{13, 21}, {13, 32}}));
  expect_library(
      held_against_cpu([](const std::vector<Tensor>& x) { return std::vector{matmul(x[0], x[1].transpose(0, 1))}; },
                       {{21, 13}, {32, 13}}));
  expect_library(held_against_cpu(
      [](const std::vector<Tensor>& x) { return std::vector{matmul(x[0].transpose(0, 1), x[1].transpose(0, 1))}; },
      {{13, 21}, {32, 13}}));
  expect_library(held_against_cpu(product, {{3, 17, 9}, {3, 9, 12}}));
  expect_library(held_against_cpu(product, {{4, 17, 9}, {9, 12}}));  // one matrix for the whole batch
  // Heads between positions and features.
  expect_library(held_against_cpu(
      [](const std::vector<Tensor>& x) {
        return std::vector{matmul(x[0].permute({1, 0, 2}), x[1].permute({1, 2, 0}))};
      },
      {{11, 4, 8}, {10, 4, 8}}));
}

TEST_F(CudaProducts, EpiloguesAgreeWithTheCpu) {
  expect_library(held_against_cpu([](const std::vector<Tensor>& x) { return std::vector{matmul(x[0], x[1]) + x[2]}; },
                                  layer_shapes));
  expect_library(held_against_cpu([](const std::vector<Tensor>& x) { return std::vector{relu(matmul(x[0], x[1]))}; },
                                  {{21, 13}, {13, 32}}));
  expect_library(held_against_cpu(
      [](const std::vector<Tensor>& x) { return std::vector{gelu(matmul(x[0], x[1]) + x[2], "tanh")}; }, layer_shapes));
  expect_library(held_against_cpu([](const std::vector<Tensor>& x) { return std::vector{matmul(x[0], x[1]) * 0.25}; },
                                  {{21, 13}, {13, 32}}));
}

TEST_F(CudaProducts, RoundedFactorsAreTheLibrarysToRound) {
  open("", {.product_precision = "tf32", .use_cache = false});
  const std::vector<Sizes> shapes{{40, 64}, {64, 48}};
  const Outcome rounded = run("cuda:0", product, shapes);
  expect_library(rounded);
  const Outcome exact = run("cpu", product, shapes, 1);
  for (int64_t i = 0; i < exact.results[0].elements(); ++i)
    EXPECT_NEAR(rounded.results[2].number(i), exact.results[0].number(i), 64 * 16 * std::ldexp(1.0, -10)) << i;
  EXPECT_EQ(calls("heuristics:"), 1);
}

struct Trained {
  std::vector<double> losses;
  std::vector<HostTensor> parameters;
  std::vector<PerformedLaunch> libraries;
};
Trained train(const std::string& device) {
  manual_seed(7);
  nn::Sequential model(nn::Linear(24, 32), nn::Linear(32, 16));
  Tensor x = randn({20, 24}), y = randn({20, 16});
  x.value(), y.value();
  model.to(device);
  optim::SGD optimizer(model.named_parameters(), {.lr = 0.05});
  TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
  Trained trained;
  for (int i = 0; i < 5; ++i) trained.losses.push_back(step(x.to(device), y.to(device)).item());
  for (const Tensor& parameter : model.parameters()) trained.parameters.push_back(parameter.value());
  trained.libraries = step.last().libraries();
  return trained;
}

// The first layer, and the gradient that goes through the second one; what ends in the loss or in an update of the
// weights, in the same launch, is more than a product.
TEST_F(CudaProducts, TrainingAgreesWithTheCpu) {
  const Trained cpu = train("cpu"), gpu = train("cuda:0");
  EXPECT_THAT(gpu.libraries, Not(IsEmpty()));
  for (size_t i = 0; i < cpu.losses.size(); ++i) EXPECT_NEAR(gpu.losses[i], cpu.losses[i], 1e-6 * cpu.losses[i]) << i;
  for (size_t i = 0; i < cpu.parameters.size(); ++i)
    for (int64_t k = 0; k < cpu.parameters[i].elements(); ++k)
      EXPECT_NEAR(gpu.parameters[i].number(k), cpu.parameters[i].number(k), 1e-6) << i << " " << k;
}

TEST_F(CudaProducts, WhoAsksForKernelsGetsThem) {
  open("", {.use_libraries = false, .use_cache = false});
  expect_kernels(held_against_cpu(layer, layer_shapes));
  EXPECT_EQ(calls(""), 0);
}

TEST_F(CudaProducts, TheReportSaysWhatRuns) {
  manual_seed(11);
  CompiledFunction compiled = compile([](const Tensor& x, const Tensor& w) { return matmul(x, w); });
  Tensor x = randn({21, 13}).to("cuda:0"), w = randn({13, 32}).to("cuda:0");
  compiled(x, w).value();
  EXPECT_THAT(placement_report(compiled.last()),
              HasSubstr("\nLibraries that run instead of kernels, which took longer\n  "));
}

// --- a choice is made once

TEST_F(CudaProducts, AChoiceIsMadeOnceAndKept) {
  open_keeping();
  expect_library(held_against_cpu(layer, layer_shapes));
  expect_library(
      held_against_cpu([](const std::vector<Tensor>& x) { return layer({x[0], x[1], x[2]}); }, layer_shapes));
  EXPECT_EQ(searches(), 1);
  const int timed = products();
  open_keeping();  // as another process: nothing is searched for or timed
  expect_library(held_against_cpu(layer, layer_shapes));
  EXPECT_EQ(searches(), 0);
  EXPECT_EQ(calls("check:"), 1);
  EXPECT_EQ(products(), 1);
  EXPECT_GT(timed, products());
}

TEST_F(CudaProducts, ThatTheKernelIsFasterIsKeptToo) {
  open_keeping("slow=40");
  expect_kernels(held_against_cpu(layer, layer_shapes));
  EXPECT_EQ(searches(), 1);
  open_keeping("slow=40");
  expect_kernels(held_against_cpu(layer, layer_shapes));
  EXPECT_EQ(searches() + products(), 0);
}

TEST_F(CudaProducts, ADamagedOrRefusedChoiceIsMadeAnew) {
  open_keeping();
  held_against_cpu(layer, layer_shapes);
  std::vector<ByteCache::Entry> choices = ByteCache(folder_ / "cache").entries();
  std::erase_if(choices, [](const ByteCache::Entry& entry) { return !entry.key.starts_with("product of matrices"); });
  ASSERT_THAT(choices, SizeIs(1));
  for (const std::string text :
       {"", "library 0 17", "kernel of another kind", "library 1099511627776 1 2 3 4 5 6 7 8"}) {
    ByteCache(folder_ / "cache").store(choices[0].key, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
    open_keeping();
    expect_library(held_against_cpu(layer, layer_shapes));
    EXPECT_EQ(searches(), 1) << text;
  }
  std::ofstream(choices[0].path, std::ios::app) << "x";
  open_keeping();
  expect_library(held_against_cpu(layer, layer_shapes));
  EXPECT_EQ(searches(), 1);
  open_keeping("check=7");  // as another version of the library might
  expect_library(held_against_cpu(layer, layer_shapes));
  EXPECT_EQ(calls("check:"), 1);
  EXPECT_EQ(searches(), 1);
}

// --- what goes wrong: the kernels go on

TEST_F(CudaProducts, WithoutTheLibraryKernelsGoOn) {
  for (const char* path : {"/none", "", PLACEWRIGHT_CUDA_EMULATOR}) {  // the last is no such library
    ::setenv("PLACEWRIGHT_LIBCUBLASLT", path, 1);
    open();
    expect_kernels(held_against_cpu(layer, layer_shapes));
    EXPECT_EQ(calls(""), 0) << path;
  }
}

TEST_F(CudaProducts, WhatTheLibraryRefusesKernelsDo) {
  for (const char* faults : {"version=110800", "version=140000", "create=1", "candidates=0", "fail=all"}) {
    open(faults);
    expect_kernels(held_against_cpu(layer, layer_shapes));
  }
  EXPECT_EQ(captures(), 0);
}

TEST_F(CudaProducts, ACandidateThatFailsIsLeftOut) {
  open("fail=1");
  expect_library(held_against_cpu(layer, layer_shapes));
  open("candidates=1,fail=1");
  expect_kernels(held_against_cpu(layer, layer_shapes));
}

// An activation that makes a number of NaN is not ours; without one the library may go on.
TEST_F(CudaProducts, AnActivationThatLosesNanIsNotUsed) {
  open("relu=zero");
  expect_kernels(held_against_cpu(layer, layer_shapes));
  expect_library(held_against_cpu(product, {{21, 13}, {13, 32}}));
}

// Products in f64 have no epilogue in the library.
TEST_F(CudaProducts, WhatTheLibraryLacksStaysWithTheKernel) {
  auto in_f64 = [](const Function& function) {
    return [function](const std::vector<Tensor>& x) {
      std::vector<Tensor> wide;
      for (const Tensor& each : x) wide.push_back(each.to(DType::f64));
      return function(wide);
    };
  };
  const Outcome outcome = run("cuda:0", in_f64(layer), layer_shapes);
  const Outcome cpu = run("cpu", in_f64(layer), layer_shapes, 1);
  for (int64_t i = 0; i < cpu.results[0].elements(); ++i)
    EXPECT_NEAR(outcome.results[0].number(i), cpu.results[0].number(i), 1e-12) << i;
}

// Memory for scratch results and workspaces is not there: products run, and the choice is not kept.
TEST_F(CudaProducts, WithoutMemoryToTimeThemKernelsGoOn) {
  open("", {.memory = {{"cuda:0", 20000}}, .use_cache = false});
  const Outcome outcome = run("cuda:0", layer, layer_shapes);
  const Outcome cpu = run("cpu", layer, layer_shapes, 1);
  for (int64_t i = 0; i < cpu.results[0].elements(); ++i)
    EXPECT_NEAR(outcome.results[2].number(i), cpu.results[0].number(i), 1e-5) << i;
}

TEST_F(CudaProducts, ADeviceThatIsLostIsLost) {
  open("lose=1");
  EXPECT_THROW(run("cuda:0", layer, layer_shapes), DeviceLost);
}

}  // namespace
}  // namespace placewright
