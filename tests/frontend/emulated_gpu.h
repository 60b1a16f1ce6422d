// A session with the processor and one NVIDIA GPU, which the PTX emulator stands in for unless PLACEWRIGHT_LIBCUDA is
// set; skipped where NVRTC is not there.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "cuda_cases.h"
#include "placewright/base/shared_library.h"
#include "placewright/session.h"

namespace placewright::testing {

class EmulatedGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
    stands_for_itself_ = std::getenv("PLACEWRIGHT_LIBCUDA") != nullptr;
    ::setenv("PLACEWRIGHT_LIBCUDA", PLACEWRIGHT_CUDA_EMULATOR, 0);
    configure({.devices = "cpu,cuda:1", .use_cache = false, .check_memory = true, .notice = [](std::string_view) {}});
  }
  // How many launches of graphs the emulator was asked for since it was initialised.
  static int64_t graph_launches() {
    return SharedLibrary::open({{PLACEWRIGHT_CUDA_EMULATOR}, {}, "", true, false})
        .function<int64_t()>("placewright_emulator_graph_launches")();
  }
  // Of the driver, from now on; only of the emulator.
  static void set_driver_faults(const std::string& faults) {
    ::setenv("PLACEWRIGHT_EMULATOR", faults.c_str(), 1);
    SharedLibrary::open({{PLACEWRIGHT_CUDA_EMULATOR}, {}, "", true, false}).function<int(unsigned)>("cuInit")(0);
  }
  void TearDown() override {
    configure({});
    if (!stands_for_itself_) ::unsetenv("PLACEWRIGHT_LIBCUDA");
  }

 private:
  bool stands_for_itself_ = false;
};

}  // namespace placewright::testing
