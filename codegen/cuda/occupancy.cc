// How many threads a multiprocessor holds at once. Limits: CUDA C++ Programming Guide 13.0, "Technical Specifications
// per Compute Capability"; units of allocation: NVIDIA's occupancy calculator (cuda_occupancy.h of the toolkit 13.0).
#include <algorithm>
#include <cstdlib>
#include <optional>

#include "placewright/base/checked.h"
#include "placewright/codegen/cuda/cuda_code.h"

namespace placewright {
namespace {

struct Multiprocessor {
  int capability;
  int64_t threads, groups, shared_bytes;
};

constexpr Multiprocessor published[] = {
    {75, 1024, 16, 64 << 10},   {80, 2048, 32, 164 << 10},  {86, 1536, 16, 100 << 10},  {87, 1536, 16, 164 << 10},
    {89, 1536, 24, 100 << 10},  {90, 2048, 32, 228 << 10},  {100, 2048, 32, 228 << 10}, {103, 2048, 32, 228 << 10},
    {110, 1536, 24, 228 << 10}, {120, 1536, 24, 100 << 10}, {121, 1536, 24, 100 << 10}};

constexpr int64_t registers = 65536, register_unit = 256, warp = 32;
constexpr int64_t parts = 4;  // of a multiprocessor: each has its registers and schedules its warps

std::optional<Multiprocessor> find_multiprocessor(const std::string& target) {
  if (!target.starts_with("sm_")) return {};
  const long capability = std::strtol(target.c_str() + 3, nullptr, 10);
  for (const Multiprocessor& each : published)
    if (each.capability == capability) return each;
  return {};
}

}  // namespace

void add_occupancy(KernelResources& uses, const KernelPhase& phase, const std::string& target) {
  std::optional<Multiprocessor> found = find_multiprocessor(target);
  if (!found) return;
  const int64_t threads = phase.group_threads[0] * phase.group_threads[1] * phase.group_threads[2];
  const int64_t warps = ceil_div(threads, warp);
  int64_t most = 0;
  auto allow = [&](int64_t groups, const char* limit) {
    if (!uses.limit.empty() && groups >= most) return;
    most = groups;
    uses.limit = limit;
  };
  uses.limit.clear();
  allow(found->threads / warp / warps, "threads");
  allow(found->groups, "groups");
  if (uses.registers > 0) {
    const int64_t of_warp = ceil_div(uses.registers * warp, register_unit) * register_unit;
    allow(registers / parts / of_warp * parts / warps, "registers");
  }
  if (const int64_t shared = uses.shared_bytes + phase.shared_bytes; true) {
    const bool reserves = found->capability >= 80;  // a KiB of each group for the driver
    const int64_t unit = reserves ? 128 : 256;
    if (const int64_t bytes = ceil_div(shared + (reserves ? 1024 : 0), unit) * unit; bytes > 0)
      allow(found->shared_bytes / bytes, "shared memory");
  }
  uses.resident_threads = most * threads;
  uses.most_threads = found->threads;
}

}  // namespace placewright
