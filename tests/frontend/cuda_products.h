// The rig of tests of products of matrices by cuBLASLt: an emulated NVIDIA GPU, with a stand-in for the library.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <unistd.h>

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "frontend/emulated_gpu.h"
#include "placewright/placewright.h"

namespace placewright::testing {

class CudaProducts : public EmulatedGpu {
 protected:
  void SetUp() override {
    EmulatedGpu::SetUp();
    if (IsSkipped()) return;
    if (std::getenv("PLACEWRIGHT_LIBCUDA") != std::string(PLACEWRIGHT_CUDA_EMULATOR))
      GTEST_SKIP() << "the stand-in for cuBLASLt works with that for the driver alone";
    folder_ = std::filesystem::temp_directory_path() / fmt::format("placewright_products_{}", ::getpid());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    ::setenv("PLACEWRIGHT_LIBCUBLASLT", library().c_str(), 1);
    open();
  }
  void TearDown() override {
    configure({});  // no device is left that would call it
    ::unsetenv("PLACEWRIGHT_LIBCUBLASLT");
    ::unsetenv("PLACEWRIGHT_CUBLASLT_EMULATOR");
    std::filesystem::remove_all(folder_);
    EmulatedGpu::TearDown();
  }

  static std::string library() {
    return (std::filesystem::path(PLACEWRIGHT_CUDA_EMULATOR).parent_path() / "libcublaslt_emulator.so").string();
  }
  // Of the library, from now on.
  void set_faults(const std::string& faults) {
    ::setenv("PLACEWRIGHT_CUBLASLT_EMULATOR",
             fmt::format("{}{}log={}", faults, faults.empty() ? "" : ",", log_.string()).c_str(), 1);
  }
  // A session anew, with faults of the library; what it is asked for from now on is counted.
  void open(const std::string& faults = "", SessionOptions options = {.use_cache = false}) {
    log_ = folder_ / fmt::format("calls{}", ++logs_);
    set_faults(faults);
    options.devices = "cpu,cuda:1";
    options.check_memory = true;
    options.notice = [](std::string_view) {};
    configure(options);
    manual_seed(11);
  }
  void open_keeping(const std::string& faults = "") { open(faults, {.cache_directory = (folder_ / "cache").string()}); }
  int calls(const std::string& what) const {
    std::ifstream file(log_);
    int count = 0;
    for (std::string line; std::getline(file, line);) count += line.starts_with(what);
    return count;
  }
  int searches() const { return calls("heuristics:"); }
  int products() const { return calls("matmul:"); }
  int captures() const { return calls("matmul captured:"); }

  std::filesystem::path folder_, log_;
  int logs_ = 0;
};

using Function = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;

struct Outcome {
  std::vector<HostTensor> results;  // all of the first run, then all of the next one
  std::vector<PerformedLaunch> libraries;
  int64_t at_once = 0;
  std::string why_piecewise;
};

inline Outcome run(const std::string& device, const Function& function, const std::vector<Sizes>& shapes,
                   int runs = 3) {
  manual_seed(11);
  std::vector<Tensor> inputs;
  for (const Sizes& shape : shapes) inputs.push_back(randn(shape).to(device));
  CompiledFunction compiled = compile(function);
  Outcome outcome;
  for (int i = 0; i < runs; ++i)
    for (const Tensor& result : compiled.call(inputs)) outcome.results.push_back(result.value());
  outcome.libraries = compiled.last().libraries();
  outcome.at_once = compiled.last().steps_at_once();
  outcome.why_piecewise = compiled.last().why_piecewise();
  return outcome;
}

// Runs it on both; all runs on the GPU give the same bits, the first one kernel by kernel, the others as a graph.
inline Outcome held_against_cpu(const Function& function, const std::vector<Sizes>& shapes, double tolerance = 1e-5) {
  const Outcome cpu = run("cpu", function, shapes, 1);
  Outcome gpu = run("cuda:0", function, shapes);
  EXPECT_THAT(cpu.libraries, ::testing::IsEmpty());
  EXPECT_EQ(gpu.at_once, 2) << gpu.why_piecewise;
  for (size_t r = 0; r < gpu.results.size(); ++r) {
    const size_t of_first = r % cpu.results.size();
    for (int64_t i = 0; i < gpu.results[r].elements(); ++i) {
      EXPECT_NEAR(gpu.results[r].number(i), cpu.results[of_first].number(i), tolerance) << r << " " << i;
      EXPECT_EQ(gpu.results[r].number(i), gpu.results[of_first].number(i)) << r << " " << i;
    }
  }
  return gpu;
}

inline void expect_kernels(const Outcome& outcome) { EXPECT_THAT(outcome.libraries, ::testing::IsEmpty()); }
inline void expect_library(const Outcome& outcome) {
  EXPECT_THAT(outcome.libraries, ::testing::Not(::testing::IsEmpty()));
  EXPECT_THAT(outcome.libraries,
              ::testing::Each(::testing::Field(&PerformedLaunch::performer, ::testing::StartsWith("cuBLASLt "))));
}

}  // namespace placewright::testing
