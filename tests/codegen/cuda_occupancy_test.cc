// Occupancy, against what NVIDIA's calculator (cuda_occupancy.h of the toolkit 13.0) answers.
#include <gtest/gtest.h>

#include "placewright/codegen/cuda/cuda_code.h"

namespace placewright::testing {
namespace {

struct Kernel {
  int64_t threads, registers, shared_bytes;
};

KernelResources held(const char* target, const Kernel& kernel, int64_t dynamic_bytes = 0) {
  KernelResources uses;
  uses.registers = kernel.registers;
  uses.shared_bytes = kernel.shared_bytes;
  KernelPhase phase;
  phase.group_threads = {kernel.threads, 1, 1};
  phase.shared_bytes = dynamic_bytes;
  add_occupancy(uses, phase, target);
  return uses;
}

TEST(CudaOccupancy, EachLimitIsFound) {
  struct Case {
    const char* target;
    Kernel kernel;
    int64_t resident;
    const char* limit;
  };
  const Case cases[] = {
      {"sm_90", {256, 32, 0}, 2048, "threads"},
      {"sm_90", {32, 16, 0}, 1024, "groups"},
      {"sm_90", {256, 33, 0}, 1536, "registers"},  // 40 registers are allocated
      {"sm_90", {256, 96, 0}, 512, "registers"},   // 5 warps in each of four parts, 8 in a group
      {"sm_80", {96, 255, 0}, 192, "registers"},   // two warps a part: 8, and 3 in a group
      {"sm_80", {128, 32, 48 << 10}, 384, "shared memory"},
      {"sm_90", {128, 32, 48 << 10}, 512, "shared memory"},
      {"sm_86", {128, 32, 16 << 10}, 640, "shared memory"},
      {"sm_89", {32, 32, 0}, 768, "groups"},
      {"sm_120", {1024, 64, 0}, 1024, "threads"},
  };
  for (const Case& each : cases) {
    KernelResources found = held(each.target, each.kernel);
    EXPECT_EQ(found.resident_threads, each.resident) << each.target << " " << each.kernel.threads;
    EXPECT_EQ(found.limit, each.limit) << each.target << " " << each.kernel.threads;
  }
  EXPECT_EQ(held("sm_90", {256, 32, 0}).most_threads, 2048);
  EXPECT_DOUBLE_EQ(held("sm_90", {256, 96, 0}).occupancy(), 0.25);
}

TEST(CudaOccupancy, DynamicSharedMemoryCounts) {
  EXPECT_EQ(held("sm_90", {128, 32, 24 << 10}, 24 << 10).resident_threads, 512);
  EXPECT_EQ(held("sm_90", {128, 32, 24 << 10}).resident_threads, 1152);
}

TEST(CudaOccupancy, NothingIsSaidOfUnknownTargets) {
  for (const char* target : {"sm_50", "compute_80", "x86-64-v3"}) {
    KernelResources found = held(target, {256, 32, 0});
    EXPECT_EQ(found.most_threads, 0) << target;
    EXPECT_EQ(found.limit, "") << target;
  }
}

}  // namespace
}  // namespace placewright::testing
