// What users read when something of CUDA is missing, too old, full or lost: the whole text, by the emulator.
#include <cstdlib>

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/ir/check_program.h"
#include "placewright/runtime/cuda/cuda_device.h"
#include "placewright/runtime/cuda/probe.h"
#include "program_fixture.h"

namespace placewright {
namespace {

using namespace testing_runtime;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class CudaFaults : public testing::Test {
 protected:
  ~CudaFaults() override { ::unsetenv("PLACEWRIGHT_EMULATOR"); }
  StartedCuda start(const std::string& faults) {
    ::setenv("PLACEWRIGHT_LIBCUDA", PLACEWRIGHT_CUDA_EMULATOR, 1);
    ::setenv("PLACEWRIGHT_EMULATOR", faults.c_str(), 1);
    // Of this machine's toolkits nothing is to be found.
    for (const char* library : {"PLACEWRIGHT_LIBCUBLASLT", "PLACEWRIGHT_LIBCUDNN"}) ::setenv(library, "/none", 1);
    return start_cuda();
  }
  // Loading a kernel image that the driver refuses with `result`.
  std::string refusal(int result) {
    StartedCuda started = start(fmt::format("load={}", result));
    CudaDevice device(started.driver, 0);
    try {
      device.load(kernel_image_for(device.spec(), {entry_of("add_f32", 4)}));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  const std::string says_ = std::string("; ") + PLACEWRIGHT_CUDA_EMULATOR + " says ";
};

TEST_F(CudaFaults, NoDriver) {
  ::unsetenv("PLACEWRIGHT_LIBCUDA");
  if (cuda::Driver::try_open(nullptr)) GTEST_SKIP() << "this machine has a driver";
  const std::optional<AbsentDevice> absent = find_cuda_absence(testing::TempDir() + "cuda_no_driver");
  ASSERT_TRUE(absent);
  EXPECT_EQ(absent->cause, "no NVIDIA driver is installed: neither kernel module nor libcuda.so.1");
  EXPECT_EQ(absent->fix, "install a driver, or in a container pass the GPUs (--gpus all); the CPU works");
}

TEST_F(CudaFaults, DriverThatIsTooOld) {
  const StartedCuda started = start("init=35");
  ASSERT_TRUE(started.absent);
  EXPECT_THAT(started.absent->cause, StartsWith("the driver is older than what asks for it" + says_));
  EXPECT_EQ(started.absent->fix, "update the NVIDIA driver");
}

TEST_F(CudaFaults, CompilerOfALaterMajorThanTheDriver) {
  const CompilerFacts compiler{"NVRTC", "/usr/lib/libnvrtc.so.13", 13, 0, {75, 80, 90}, "", {}};
  start("version=12020,count=1");
  const std::vector<DeviceCheck> checks = examine_cuda([&](int) { return compiler; });
  ASSERT_GT(checks.size(), 1u);
  EXPECT_EQ(checks[1].found, "NVRTC 13.0 at /usr/lib/libnvrtc.so.13, but the driver knows CUDA 12.2 at most");
  EXPECT_EQ(checks[1].fix, "update the driver (CUDA 13 needs 580 or later), or use NVRTC 12");
  EXPECT_THAT(
      refusal(222),
      StartsWith("cannot load a kernel image for compute_75: the PTX was made by a newer toolkit than the driver "
                 "knows" +
                 says_));
  EXPECT_THAT(refusal(222), HasSubstr(" (ptx-too-new); update the driver, or use an older NVRTC"));
}

TEST_F(CudaFaults, HiddenGpus) {
  StartedCuda started = start("init=100");
  ASSERT_TRUE(started.absent);
  EXPECT_EQ(started.absent->cause,
            "the driver shows no GPU: CUDA_VISIBLE_DEVICES hides them, the container was given none, or MIG is on "
            "without instances" +
                says_ + "CUDA_ERROR_NO_DEVICE (100): no CUDA-capable device is detected");
  EXPECT_EQ(started.absent->fix,
            "unset CUDA_VISIBLE_DEVICES, start the container with --gpus all, or create MIG instances");
  started = start("init=101");
  ASSERT_TRUE(started.absent);
  EXPECT_EQ(started.absent->cause, "CUDA_VISIBLE_DEVICES names a GPU that is not there" + says_ +
                                       "CUDA_ERROR_INVALID_DEVICE (101): invalid device ordinal");
  EXPECT_EQ(started.absent->fix, "set it to what nvidia-smi -L lists, or unset it");
}

TEST_F(CudaFaults, ImagesForOtherGpusAndDamagedOnes) {
  EXPECT_EQ(refusal(209),
            "cannot load a kernel image for compute_75: the kernel image was made for another GPU architecture" +
                says_ +
                "CUDA_ERROR_NO_BINARY_FOR_GPU (209): no kernel image is available for execution on the "
                "device (wrong-architecture); compile for this device's target");
  EXPECT_THAT(refusal(200),
              StartsWith("cannot load a kernel image for compute_75: the kernel image is damaged" + says_));
  EXPECT_THAT(refusal(200), HasSubstr(" (invalid-image); remove it from the cache: placewright cache clear"));
}

// w += w on a GPU, with what it was before as the result.
ProgramBuilder doubling() {
  using enum BufferKind;
  const DeviceId gpu{"cuda", 0};
  ProgramBuilder b("doubling");
  int s = b.stream(gpu);
  int w = b.buffer(state, "w", gpu, {4});
  int kept = b.buffer(result, "w before", gpu, {4});
  b.copy(s, w, kept);
  b.launch(s, "add_f32", {kept, kept, w});
  b.program.updates.push_back({w, w});
  return b;
}

// Whichever allocation fails: the error is typed and says who wanted how much, and the next attempt works.
TEST_F(CudaFaults, MemoryThatRunsOut) {
  int failures = 0;
  for (int failing = 1; failing <= 6; ++failing) {
    StartedCuda started = start(fmt::format("allocate={}", failing));
    auto cpu = std::make_shared<CpuDevice>(CpuDevice::probe());
    auto gpu = std::make_shared<CudaDevice>(started.driver, 0);
    const DeviceSet devices({cpu, gpu}, {});
    auto states = std::make_shared<StateStore>(cpu);
    states->add("w", vector_of({1, 2, 3, 4}));
    const ProgramBuilder b = doubling();
    check_program(b.program);
    const CompiledProgram program{b.program, {kernel_image_for(gpu->spec(), {entry_of("add_f32", 4)})}, {}};
    auto attempt = [&](auto action) {
      try {
        action();
      } catch (const OutOfDeviceMemory& error) {
        ++failures;
        EXPECT_THAT(error.what(), testing::MatchesRegex("cuda:0 is out of memory: .* needs [0-9]+ bytes, .*"));
        action();
      }
    };
    std::shared_ptr<const Executable> executable;
    std::unique_ptr<Context> context;
    attempt([&] { executable = Executable::bind(program, devices, states); });
    attempt([&] { context = executable->make_context(); });
    for (int round = 0; round < 3; ++round) attempt([&] { executable->run(*context, std::vector<HostTensor>{}); });
    EXPECT_THAT(values_of(states->read("w")), ElementsAre(8, 16, 24, 32)) << failing;
  }
  EXPECT_GE(failures, 2) << "the state's memory and the result's";
}

}  // namespace
}  // namespace placewright
