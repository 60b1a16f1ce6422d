// The sixteen small programs with an NVIDIA GPU, which the PTX emulator stands in for unless PLACEWRIGHT_LIBCUDA is
// set, and what a second process finds.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cuda_cases.h"
#include "examples/run_example.h"
#include "placewright/base/file.h"

namespace placewright::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string emulated = std::getenv("PLACEWRIGHT_LIBCUDA") ? "" : "PLACEWRIGHT_LIBCUDA=" PLACEWRIGHT_CUDA_EMULATOR;

class CudaExamples : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  }
  static std::string on_gpu(const std::string& program, int devices = 1) {
    return ok(program + " --devices cpu,cuda:" + std::to_string(devices), emulated);
  }
};

// Sums are in another order than on the CPU.
void expect_near(const std::vector<double>& found, const std::vector<double>& expected) {
  ASSERT_FALSE(expected.empty());
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], expected[i], 1e-4 * std::abs(expected[i]) + 1e-6) << i;
}

TEST_F(CudaExamples, TensorsAreWhereTheyWereMoved) {
  EXPECT_THAT(on_gpu("01_add_on_cpu"), HasSubstr("a + b: cpu:0"));
  EXPECT_THAT(on_gpu("02_pick_device"),
              AllOf(HasSubstr("device: cuda"), HasSubstr("sum: cuda:0"), HasSubstr("sum of all elements: 24")));
  EXPECT_THAT(on_gpu("12_tensor_to_cuda"), AllOf(HasSubstr("sum: cuda:0"), HasSubstr("\n10000\n")));
  EXPECT_THAT(on_gpu("14_no_grad_forward"), AllOf(HasSubstr("x: cuda:0"), HasSubstr("y: cuda:0"),
                                                  HasSubstr("result: cpu:0"), HasSubstr(" 40 read back\n")));
  EXPECT_THAT(on_gpu("11_doctor"), HasSubstr("found: cuda:0"));
}

TEST_F(CudaExamples, WhatNobodyMovedIsCopiedWithALineOrRefused) {
  std::string mixed = on_gpu("03_mixed_devices");
  EXPECT_EQ(count(mixed, "placewright: "), 1);
  EXPECT_THAT(mixed, AllOf(HasSubstr("write .to(\"cuda:0\")"), HasSubstr("sum of all elements: 24")));
  EXPECT_THAT(fails("03_mixed_devices --strict --devices cpu,cuda:1", emulated), HasSubstr("error: "));
  EXPECT_THAT(on_gpu("06_forgotten_batches"),
              AllOf(HasSubstr("10 batches, 4000 bytes copied"), HasSubstr("400 bytes every step")));
  EXPECT_THAT(on_gpu("07_moved_batches --strict"),
              AllOf(HasSubstr("unexplained copies: 0"), Not(HasSubstr("placewright: "))));
}

TEST_F(CudaExamples, ModelsSayWhereTheyRun) {
  EXPECT_THAT(on_gpu("04_linear_unmoved"), HasSubstr("output: cpu:0"));
  EXPECT_THAT(on_gpu("05_linear_moved"),
              AllOf(HasSubstr("output: cuda:0"), HasSubstr("transfers: 88 bytes at load, 0 in the last step,")));
}

TEST_F(CudaExamples, TrainingFallsAsOnTheCpu) {
  const std::vector<double> here = numbers_after(ok("08_train_unmoved"), "loss ");
  for (const char* program : {"08_train_unmoved", "09_train_model_moved", "10_train_all_moved --strict"})
    expect_near(numbers_after(on_gpu(program), "loss "), here);
  EXPECT_THAT(on_gpu("10_train_all_moved"), HasSubstr("transfers: 88 bytes at load, "));
  expect_near(numbers_after(on_gpu("15_train_batches"), "loss "), numbers_after(ok("15_train_batches"), "loss "));
  expect_near(numbers_after(on_gpu("16_simple_cnn"), "loss "), numbers_after(ok("16_simple_cnn"), "loss "));
}

TEST_F(CudaExamples, TwoGpusAddUpTheirGradients) {
  std::string one = on_gpu("13_data_parallel"), two = on_gpu("13_data_parallel", 2);
  EXPECT_THAT(one, HasSubstr("training on cuda:0\n"));
  EXPECT_THAT(two, AllOf(HasSubstr("used: cuda:0"), HasSubstr("used: cuda:1"), HasSubstr("all_reduce")));
  expect_near(numbers_after(two, "loss "), numbers_after(one, "loss "));
  expect_near(numbers_after(one, "loss "), numbers_after(ok("13_data_parallel"), "loss "));
}

// A library that was never opened was never called: the second process gets its kernels from the cache.
TEST_F(CudaExamples, ASecondProcessMakesNoCallOfNvrtc) {
  const fs::path cache = fs::path(::testing::TempDir()) / ("cuda_cache_" + std::to_string(::getpid()));
  const std::string environment = emulated + " PLACEWRIGHT_CACHE=" + cache.string() + " LD_DEBUG=files";
  const std::string program = "10_train_all_moved --devices cpu,cuda:1";
  const std::string first = ok(program, environment), second = ok(program, environment);
  fs::remove_all(cache);
  EXPECT_THAT(first, AllOf(HasSubstr("calling init: "), HasSubstr("libnvrtc"), HasSubstr("epoch 10")));
  EXPECT_THAT(second, AllOf(HasSubstr("libcuda"), HasSubstr("epoch 10"), Not(HasSubstr("libnvrtc"))));
  EXPECT_EQ(numbers_after(second, "loss "), numbers_after(first, "loss "));
}

// What a product is run by was found in the first process and is kept: the second one asks for that and times nothing.
TEST_F(CudaExamples, ASecondProcessTimesNoProduct) {
  const char* driver = std::getenv("PLACEWRIGHT_LIBCUDA");
  if (driver && !fs::equivalent(driver, PLACEWRIGHT_CUDA_EMULATOR))
    GTEST_SKIP() << "the stand-in for cuBLASLt works with that for the driver alone";
  const fs::path folder = fs::path(::testing::TempDir()) / ("cuda_products_" + std::to_string(::getpid())),
                 library = fs::path(PLACEWRIGHT_CUDA_EMULATOR).parent_path() / "libcublaslt_emulator.so";
  fs::create_directories(folder);
  auto run_logged = [&](const std::string& name) {
    const std::string log = (folder / name).string();
    const std::string text =
        ok("05_linear_moved --devices cpu,cuda:1", emulated + " PLACEWRIGHT_LIBCUBLASLT=" + library.string() +
                                                       " PLACEWRIGHT_CACHE=" + (folder / "cache").string() +
                                                       " PLACEWRIGHT_CUBLASLT_EMULATOR=log=" + log);
    EXPECT_THAT(text, HasSubstr("\nLibraries that run instead of kernels, which took longer\n"));
    return read_text_file(log);
  };
  const std::string first = run_logged("first"), second = run_logged("second");
  fs::remove_all(folder);
  EXPECT_EQ(count(first, "heuristics: "), 1) << first;
  EXPECT_EQ(count(first, "check: "), 0) << first;
  EXPECT_EQ(count(second, "heuristics: "), 0) << second;
  EXPECT_EQ(count(second, "check: "), 1) << second;
  // Two runs of the program: one launch by launch, one as a graph.
  EXPECT_EQ(count(second, "matmul: "), 1) << second;
  EXPECT_EQ(count(second, "matmul captured: "), 1) << second;
  EXPECT_GT(count(first, "matmul: "), count(second, "matmul: ")) << first;
}

}  // namespace
}  // namespace placewright::testing
