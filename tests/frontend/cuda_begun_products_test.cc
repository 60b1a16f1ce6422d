// Kernels that begin with a product of matrices and go on with it, as cuBLASLt and a kernel for the rest run them on an
// emulated NVIDIA GPU, with a stand-in for the library. All are of 2^21 multiply-adds: less is not worth two launches.
#include <cmath>
#include <functional>

#include "derived_cases.h"
#include "frontend/cuda_products.h"

namespace placewright {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using CudaBegunProducts = testing::CudaProducts;
using testing::expect_kernels;
using testing::expect_library;
using testing::held_against_cpu;
using testing::Outcome;

// A step of gradient descent, whose product is the gradient of the weights.
std::vector<Tensor> update(const std::vector<Tensor>& x) { return {x[2] - 0.01 * matmul(x[0].transpose(0, 1), x[1])}; }
const std::vector<Sizes> update_shapes{{64, 256}, {64, 128}, {256, 128}};

TEST_F(CudaBegunProducts, AnUpdateIsTheLibrarysAndTheRestPartOfTheGraph) {
  const Outcome outcome = held_against_cpu(update, update_shapes);
  expect_library(outcome);
  EXPECT_THAT(outcome.libraries, SizeIs(1));
  EXPECT_EQ(searches(), 1);
  EXPECT_GE(captures(), 1);
}

// One launch of each of these begins with the product, and it is all that a library has to do with.
void expect_begun(const Outcome& outcome) {
  expect_library(outcome);
  EXPECT_THAT(outcome.libraries, SizeIs(1));
}

TEST_F(CudaBegunProducts, MasksLossesAndRowsAgreeWithTheCpu) {
  const std::vector<Sizes> shapes{{64, 256}, {256, 128}, {64, 128}};
  expect_begun(held_against_cpu(
      [](const std::vector<Tensor>& x) {
        Tensor y = matmul(x[0], x[1]) + x[2];
        return std::vector{relu(y), (y > 0).to(DType::f32)};
      },
      shapes, 1e-4));
  expect_begun(held_against_cpu(
      [](const std::vector<Tensor>& x) {
        Tensor error = matmul(x[0], x[1]) - x[2];
        return std::vector{(error * error).sum({1}), error};
      },
      shapes, 0.1));
  expect_begun(held_against_cpu(
      [](const std::vector<Tensor>& x) { return std::vector{softmax(matmul(x[0], x[1]), 1)}; }, shapes));
}

TEST_F(CudaBegunProducts, ALongDepthAgreesWithTheCpu) {
  expect_begun(held_against_cpu(
      [](const std::vector<Tensor>& x) { return std::vector{x[2] - 0.001 * matmul(x[0].transpose(0, 1), x[1])}; },
      {{4096, 32}, {4096, 16}, {32, 16}}, 1e-4));
}

TEST_F(CudaBegunProducts, RoundedFactorsAreTheLibrarysToRound) {
  open("", {.product_precision = "tf32", .use_cache = false});
  expect_begun(held_against_cpu(update, update_shapes, 0.01 * 64 * 16 * std::ldexp(1.0, -10)));
}

// Steps with two sets of arguments, in turn, whose addresses differ; `before` is called ahead of each one.
std::vector<HostTensor> alternate(const std::string& device, const std::function<void(int)>& before = {},
                                  int at_once = 4) {
  manual_seed(11);
  std::vector<std::vector<Tensor>> sets(2);
  for (std::vector<Tensor>& set : sets)
    for (const Sizes& shape : update_shapes) set.push_back(randn(shape).to(device));
  CompiledFunction compiled = compile(testing::Function(update));
  std::vector<Tensor> results;
  for (int i = 0; i < 5; ++i) {
    if (before) before(i);
    results.push_back(compiled.call(sets[static_cast<size_t>(i % 2)])[0]);
  }
  if (device != "cpu") {
    EXPECT_EQ(compiled.last().steps_at_once(), at_once);
  }
  std::vector<HostTensor> values;
  for (const Tensor& result : results) values.push_back(result.value());
  return values;
}

// What the graph's nodes hold is set anew in each step, in the library's and the rest.
TEST_F(CudaBegunProducts, AddressesThatChangeReachTheLibraryAndTheRest) {
  const std::vector<HostTensor> cpu = alternate("cpu"), gpu = alternate("cuda:0");
  EXPECT_GE(captures(), 4);
  for (size_t i = 0; i < cpu.size(); ++i) EXPECT_EQ(testing::mismatch(gpu[i], cpu[i], 1e-5), "") << i;
}

// --- training

struct Trained {
  std::vector<double> losses;
  std::vector<HostTensor> parameters;
  std::vector<PerformedLaunch> libraries;
};

// Both layers' products, forward and backward, are of 2^21 multiply-adds; all that Adam keeps is updated in place.
Trained train(const std::string& device, int steps = 3) {
  manual_seed(7);
  nn::Sequential model(nn::Linear(256, 128), nn::ReLU(), nn::Linear(128, 256));
  Tensor x = randn({64, 256}), y = randn({64, 256});
  x.value(), y.value();
  model.to(device);
  optim::Adam optimizer(model.named_parameters());
  TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
  Trained trained;
  for (int i = 0; i < steps; ++i) trained.losses.push_back(step(x.to(device), y.to(device)).item());
  for (const Tensor& parameter : model.parameters()) trained.parameters.push_back(parameter.value());
  trained.libraries = step.last().libraries();
  return trained;
}

TEST_F(CudaBegunProducts, TrainingAgreesWithTheCpu) {
  const Trained cpu = train("cpu"), gpu = train("cuda:0");
  EXPECT_THAT(gpu.libraries,
              SizeIs(5));  // two forward, the gradients of two weights, and of what the first layer gives
  EXPECT_EQ(searches(), 5);
  for (size_t i = 0; i < cpu.losses.size(); ++i) EXPECT_NEAR(gpu.losses[i], cpu.losses[i], 1e-4 * cpu.losses[i]) << i;
  for (size_t i = 0; i < cpu.parameters.size(); ++i)
    EXPECT_EQ(testing::mismatch(gpu.parameters[i], cpu.parameters[i], 1e-4), "") << i;
}

// Each product is measured in the first step, with its update of what Adam keeps, and left to the kernel.
TEST_F(CudaBegunProducts, MeasuringChangesNothing) {
  open("slow=200000");
  const Trained measured = train("cuda:0", 2);
  EXPECT_GT(products(), 0);
  EXPECT_THAT(measured.libraries, IsEmpty());
  open("", {.use_libraries = false, .use_cache = false});
  const Trained kernels = train("cuda:0", 2);
  EXPECT_EQ(calls(""), 0);
  EXPECT_EQ(measured.losses, kernels.losses);
  for (size_t i = 0; i < kernels.parameters.size(); ++i)
    EXPECT_TRUE(measured.parameters[i].same_bytes(kernels.parameters[i])) << i;
}

// --- what goes wrong: the whole kernels go on

TEST_F(CudaBegunProducts, WhatTheLibraryRefusesKernelsDo) {
  for (const char* faults : {"version=110800", "create=1", "candidates=0", "fail=all"}) {
    open(faults);
    expect_kernels(held_against_cpu(update, update_shapes));
  }
}

// A choice that is kept, and a library that then fails where it is to run: nothing of the rest has.
TEST_F(CudaBegunProducts, ALibraryThatFailsLaterLeavesTheWholeKernel) {
  open_keeping();
  expect_library(held_against_cpu(update, update_shapes));
  open_keeping("fail=all");
  expect_kernels(held_against_cpu(update, update_shapes));
  EXPECT_EQ(searches(), 0);
}

// As the graph is made, and as its addresses are set.
TEST_F(CudaBegunProducts, ALibraryThatFailsInTheGraphLeavesTheWholeKernel) {
  const std::vector<HostTensor> cpu = alternate("cpu");
  for (int step : {1, 3}) {
    open();
    int before = 0;
    const std::vector<HostTensor> gpu = alternate("cuda:0", [&](int i) {
      if (i != step) return;
      before = captures();
      set_faults("fail=all");
    });
    EXPECT_EQ(before > 0, step > 1);
    EXPECT_EQ(captures(), before + (step > 1 ? 2 : 1));  // then the graph is made anew, and tries once more
    for (size_t i = 0; i < cpu.size(); ++i) EXPECT_EQ(testing::mismatch(gpu[i], cpu[i], 1e-5), "") << step << " " << i;
  }
}

// What the driver refuses before anything of a step is begun costs the graph, and no step.
TEST_F(CudaBegunProducts, AGraphThatCannotBeMadeAnewLeavesItsStepToKernels) {
  const std::vector<HostTensor> cpu = alternate("cpu");
  open();
  constexpr int step = 3;  // the first one goes kernel by kernel
  const std::vector<HostTensor> gpu = alternate(
      "cuda:0",
      [&](int i) {
        if (i != step) return;
        set_faults("fail=all");
        set_driver_faults("instantiate=2");
      },
      step - 1);
  set_driver_faults("");
  for (size_t i = 0; i < cpu.size(); ++i) EXPECT_EQ(testing::mismatch(gpu[i], cpu[i], 1e-5), "") << i;
}

// Five steps whose results are all held: 0 if memory was enough, else it is said.
std::vector<HostTensor> hold(int64_t memory, bool use_libraries, std::string* lack) {
  configure({.devices = "cpu,cuda:1",
             .memory = {{"cuda:0", memory}},
             .use_libraries = use_libraries,
             .use_cache = false,
             .notice = [](std::string_view) {}});
  try {
    return alternate("cuda:0");
  } catch (const Error& error) {
    *lack = error.what();
    return {};
  }
}

// Whatever the library holds memory for: where kernels alone have enough, so have the two together.
TEST_F(CudaBegunProducts, ALibraryNeverTakesTheMemoryThatAProgramNeeds) {
  const std::vector<HostTensor> cpu = alternate("cpu");
  int enough = 0, products_before = products();
  for (int64_t memory = 700'000; memory < 1'800'000; memory += 90'000) {
    std::string kernels_lack, lack;
    hold(memory, false, &kernels_lack);
    if (!kernels_lack.empty()) {
      EXPECT_THAT(kernels_lack, HasSubstr("memory"));
      continue;
    }
    ++enough;
    const std::vector<HostTensor> gpu = hold(memory, true, &lack);
    ASSERT_EQ(lack, "") << memory;
    for (size_t i = 0; i < cpu.size(); ++i) EXPECT_EQ(testing::mismatch(gpu[i], cpu[i], 1e-5), "") << memory << i;
  }
  EXPECT_GT(enough, 3);
  EXPECT_LT(enough, 12);
  EXPECT_GT(products(), products_before);
}

TEST_F(CudaBegunProducts, TheReportSaysWhatRuns) {
  manual_seed(11);
  CompiledFunction compiled = compile(testing::Function(update));
  std::vector<Tensor> inputs;
  for (const Sizes& shape : update_shapes) inputs.push_back(randn(shape).to("cuda:0"));
  compiled.call(inputs)[0].value();
  EXPECT_THAT(placement_report(compiled.last()),
              AllOf(HasSubstr("\nLibraries that run instead of kernels, which took longer\n  ")));
}

}  // namespace
}  // namespace placewright
