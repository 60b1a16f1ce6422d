// What the driver's functions refuse, by the reference of the driver API.
#include <gmock/gmock.h>

#include "cublaslt_calls.h"

extern "C" {
int cuFuncSetAttribute(void* function, int attribute, int value);
int cuCtxEnablePeerAccess(void* peer, unsigned flags);
int cuDeviceCanAccessPeer(int* can, int device, int peer);
}

namespace cuda_emulator {
namespace {

constexpr int invalid_value = 1, invalid_context = 201, invalid_handle = 400, not_ready = 600;

class Driver : public OnDevice {
 protected:
  // A kernel that declares `shared` bytes, and the result of finding it.
  int load(const std::string& shared, const std::string& directives = "") {
    const std::string text = ".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry k()\n" + directives +
                             "\n{\n.shared .align 16 .b8 a[" + shared + "];\nret;\n}\n";
    if (int result = cuModuleLoadDataEx(&module_, text.c_str(), 0, nullptr, nullptr)) return result;
    return cuModuleGetFunction(&function_, module_, "k");
  }
  int launch(unsigned threads, unsigned dynamic_shared = 0) {
    void* none = nullptr;
    return cuLaunchKernel(function_, 1, 1, 1, threads, 1, 1, dynamic_shared, stream_, &none, nullptr);
  }

  void *module_ = nullptr, *function_ = nullptr;
};

// A kernel may declare 48 KiB of shared memory; what a launch asks for beyond that must have been asked for before.
TEST_F(Driver, SharedMemoryHasItsLimits) {
  constexpr int most_dynamic = 8;
  EXPECT_EQ(load("49168"), 218);
  ASSERT_EQ(load("20480"), 0);
  EXPECT_EQ(launch(32, 28672), 0);
  EXPECT_EQ(launch(32, 28673), invalid_value) << "static and dynamic together";
  EXPECT_EQ(cuFuncSetAttribute(function_, most_dynamic, 146433), invalid_value) << "with 20480 more than 163 KiB";
  EXPECT_EQ(cuFuncSetAttribute(function_, most_dynamic, 40960), 0);
  EXPECT_EQ(launch(32, 40960), 0);
  EXPECT_EQ(launch(32, 40961), invalid_value);
}

TEST_F(Driver, GroupsKeepToWhatTheKernelWasCompiledFor) {
  ASSERT_EQ(load("16", ".maxntid 64, 1, 1"), 0);
  EXPECT_EQ(launch(64), 0);
  EXPECT_EQ(launch(65), invalid_value);
}

TEST_F(Driver, LaunchesAndEventsKeepToTheirContext) {
  ASSERT_EQ(load("16"), 0);
  void *other = nullptr, *stream = nullptr, *here = nullptr, *there = nullptr;
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&other, 1), 0);
  ASSERT_EQ(cuEventCreate(&here, 0), 0);
  ASSERT_EQ(cuCtxSetCurrent(other), 0);
  ASSERT_EQ(cuStreamCreate(&stream, 1), 0);
  ASSERT_EQ(cuEventCreate(&there, 0), 0);
  EXPECT_EQ(launch(32), invalid_handle) << "another context is current";
  EXPECT_EQ(cuEventRecord(here, stream), invalid_handle);
  EXPECT_EQ(cuEventRecord(there, stream), 0);
  EXPECT_EQ(cuStreamWaitEvent(stream_, there, 0), 0) << "streams may wait for other devices";
  ASSERT_EQ(cuStreamSynchronize(stream), 0);
  ASSERT_EQ(cuCtxSetCurrent(context_), 0);
  EXPECT_EQ(launch(32), 0);
  float milliseconds = 0;
  EXPECT_EQ(cuEventElapsedTime(&milliseconds, here, here), invalid_handle) << "never recorded";
  EXPECT_EQ(cuEventRecord(here, stream_), 0);
  EXPECT_EQ(cuEventElapsedTime(&milliseconds, here, here), not_ready);
  ASSERT_EQ(cuStreamSynchronize(stream_), 0);
  EXPECT_EQ(cuEventElapsedTime(&milliseconds, here, there), invalid_handle);
  EXPECT_EQ(cuEventElapsedTime(&milliseconds, here, here), 0);
  EXPECT_EQ(cuEventRecord(here, stream_), 0);
  EXPECT_EQ(cuEventElapsedTime(&milliseconds, here, here), not_ready) << "recorded again";
  ASSERT_EQ(cuStreamSynchronize(stream_), 0);
  for (void* event : {here, there}) cuEventDestroy_v2(event);
  EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(1), 0);
  EXPECT_EQ(cuCtxSetCurrent(other), invalid_context) << "nobody holds it";
}

TEST_F(Driver, PeersAreEnabledOnce) {
  void* other = nullptr;
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&other, 1), 0);
  int can = 0;
  EXPECT_EQ(cuDeviceCanAccessPeer(&can, 0, 1), 0);
  EXPECT_EQ(can, 1);
  EXPECT_EQ(cuCtxEnablePeerAccess(other, 1), invalid_value);
  EXPECT_EQ(cuCtxEnablePeerAccess(other, 0), 0);
  EXPECT_EQ(cuCtxEnablePeerAccess(other, 0), 704) << "already";
  EXPECT_EQ(cuCtxEnablePeerAccess(context_, 0), 217) << "itself";
  EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(1), 0);
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&other, 1), 0);
  EXPECT_EQ(cuCtxEnablePeerAccess(other, 0), 0) << "a new context";
  EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(1), 0);
}

}  // namespace
}  // namespace cuda_emulator
