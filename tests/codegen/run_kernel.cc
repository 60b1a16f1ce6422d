#include "run_kernel.h"

#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include "placewright/codegen/apply_schedule.h"
#include "placewright/runtime/host_code/host_code.h"

namespace placewright::testing {
namespace {

constexpr size_t margin = 256;
constexpr uint8_t guard = 0xA5;

// Bytes between two margins of guard bytes, 64-byte aligned.
struct Guarded {
  explicit Guarded(size_t size) : size(size), bytes(size + 2 * margin + 64, guard) {
    auto address = reinterpret_cast<uintptr_t>(bytes.data() + margin);
    data = bytes.data() + margin + (64 - address % 64) % 64;
  }
  bool intact() const {
    for (const uint8_t* at = bytes.data(); at < bytes.data() + bytes.size(); ++at)
      if ((at < data || at >= data + size) && *at != guard) return false;
    return true;
  }
  size_t size;
  std::vector<uint8_t> bytes;
  uint8_t* data = nullptr;
};

}  // namespace

KernelImage compile_kernels(const std::vector<StructuredKernel>& kernels, const CpuTarget& target,
                            const EmitOptions& options) {
  std::vector<LoopKernel> loops;
  for (size_t i = 0; i < kernels.size(); ++i) {
    StructuredKernel kernel = collapse_dimensions(kernels[i]);
    Schedule schedule = choose_schedule(kernel, target);
    loops.push_back(apply_schedule(std::move(kernel), schedule, target.vector_bits, "kernel_" + std::to_string(i)));
  }
  return emit_cpu_image(loops, target, options);
}

Status run_entry(const KernelImage& image, size_t number, std::vector<HostTensor>& buffers) {
  using Function = void (*)(void* const*, const int64_t*, int64_t, int64_t, uint64_t*);
  auto code = HostCode::load(image.bytes, "test");
  const KernelEntry& entry = image.entries[number];
  std::vector<Guarded> memory;
  for (const HostTensor& buffer : buffers) {
    memory.emplace_back(static_cast<size_t>(buffer.bytes()));
    std::memcpy(memory.back().data, buffer.raw(), static_cast<size_t>(buffer.bytes()));
  }
  for (int64_t bytes : entry.workspace_bytes) memory.emplace_back(static_cast<size_t>(bytes));
  std::vector<void*> pointers;
  for (Guarded& part : memory) pointers.push_back(part.data);
  uint64_t status = 0;
  for (const KernelPhase& phase : entry.phases) {
    auto function = reinterpret_cast<Function>(code->try_symbol(phase.symbol));
    EXPECT_NE(function, nullptr) << phase.symbol;
    if (!function) return Status::ok;
    // Two parts where the phase has them, the second one first: parts may run in any order.
    int64_t middle = phase.extent / 2;
    function(pointers.data(), nullptr, middle, phase.extent, &status);
    if (middle > 0) function(pointers.data(), nullptr, 0, middle, &status);
  }
  for (size_t i = 0; i < memory.size(); ++i) EXPECT_TRUE(memory[i].intact()) << "written beyond buffer " << i;
  for (size_t i = 0; i < buffers.size(); ++i)
    std::memcpy(buffers[i].raw(), memory[i].data, static_cast<size_t>(buffers[i].bytes()));
  return static_cast<Status>(status);
}

}  // namespace placewright::testing
