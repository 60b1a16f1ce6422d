// Kernels to CUDA C++: parameters, phases, and the stages that share one.
#include <algorithm>
#include <bit>

#include <fmt/core.h>

#include "grid_facts.h"
#include "matrix_tiles.h"
#include "placewright/base/checked.h"
#include "placewright/base/join.h"
#include "placewright/codegen/cuda/cuda_code.h"
#include "placewright/ir/loops.h"
#include "prelude.h"
#include "stage_emitter.h"

namespace placewright {
namespace {

bool is_held(const Schedule& schedule, size_t buffer) {
  return std::any_of(schedule.groups.begin(), schedule.groups.end(), [&](const StageGroup& group) {
    return std::find(group.held.begin(), group.held.end(), static_cast<int>(buffer)) != group.held.end();
  });
}

class KernelEmitter {
 public:
  KernelEmitter(const StructuredKernel& kernel, const Schedule& schedule, CodeText& code)
      : kernel_(kernel), schedule_(schedule), code_(code) {}

  KernelEntry emit() {
    KernelEntry entry{kernel_.name, {}, workspace_bytes(kernel_, schedule_)};
    int parameter = 0;
    for (size_t b = 0; b < kernel_.buffers.size(); ++b) {
      const KernelBuffer& buffer = kernel_.buffers[b];
      if (buffer.alias_of >= 0 || is_held(schedule_, b)) continue;
      if (buffer.role != KernelBuffer::Role::input) entry.written.push_back(parameter);
      ++parameter;
    }
    size_t group = 0;
    int stage = 0;
    for (const Phase& phase : schedule_.phases)
      for (int i = 0; i < phase.groups; ++i, ++group) {
        emit_group(schedule_.groups[group], stage, entry);
        stage += schedule_.groups[group].stages;
      }
    return entry;
  }

 private:
  std::vector<Loop> nest(const StageGroup& group, int stage) const {
    std::vector<Loop> loops = group.shared;
    const std::vector<Loop>& own = schedule_.stages[stage].loops;
    loops.insert(loops.end(), own.begin(), own.end());
    return loops;
  }

  GridShape shape(const StageGroup& group, int stage) const {
    GridShape grid;
    grid.lanes = group.lanes;
    grid.shared_dims = group.shared.size();
    grid.held = group.held;
    Sizes tiles = kernel_.stages[stage].extents;
    for (const Loop& loop : nest(group, stage)) {
      if (loop.binding != Loop::Binding::thread) continue;
      grid.range = checked_mul(grid.range, ceil_div(tiles[loop.dim], loop.step));
      tiles[loop.dim] = std::min(loop.step, tiles[loop.dim]);
    }
    grid.range = checked_mul(grid.range, schedule_.stages[stage].shares);
    if (const auto& tiles = schedule_.stages[stage].matrix)
      grid.range = checked_mul(grid.range, count_tiles(kernel_.stages[stage], *tiles));
    if (grid.lanes > 32) {
      if (grid.lanes % 32 != 0 || grid.lanes > 1024)
        throw Error(fmt::format("kernel {}: {} lanes, expected a power of two to 32 or a multiple of 32 to 1024",
                                kernel_.name, grid.lanes));
      grid.group_threads = grid.lanes;
    } else {
      if (!std::has_single_bit(static_cast<unsigned>(grid.lanes)))
        throw Error(fmt::format("kernel {}: {} lanes, expected a power of two", kernel_.name, grid.lanes));
      int64_t threads = checked_mul(grid.range, grid.lanes);
      grid.group_threads = static_cast<int>(std::clamp<int64_t>(ceil_div(threads, 32) * 32, 32, threads_a_group));
      grid.per_group = grid.group_threads / grid.lanes;
    }
    grid.groups = ceil_div(grid.range, grid.per_group);
    if (grid.groups > 0x7fffffff)
      throw Error(
          fmt::format("kernel {}: {} groups of threads, the most of a grid are 2147483647", kernel_.name, grid.groups));
    return grid;
  }

  void emit_group(const StageGroup& group, int first, KernelEntry& entry) {
    GridShape grid = shape(group, first);
    KernelPhase phase;
    phase.symbol = fmt::format("{}_{}", kernel_.name, entry.phases.size());
    phase.groups = {grid.groups, 1, 1};
    phase.group_threads = {grid.group_threads, 1, 1};
    open_function(phase.symbol, grid);
    for (int buffer : group.held) declare_held(buffer, grid);
    for (int stage = first; stage < first + group.stages; ++stage) {
      if (stage > first && grid.lanes > 32) code_.line("__syncthreads();");
      if (stage > first && grid.lanes > 1 && grid.lanes <= 32) code_.line("__syncwarp(mates);");
      code_.open("");
      StageEmitter(kernel_, stage, schedule_.stages[stage], nest(group, stage), grid, code_).emit("iteration");
      code_.close();
    }
    code_.close();
    entry.phases.push_back(phase);
  }

  void open_function(const std::string& symbol, const GridShape& grid) {
    std::vector<std::string> parameters;
    for (size_t b = 0; b < kernel_.buffers.size(); ++b)
      if (kernel_.buffers[b].alias_of < 0 && !is_held(schedule_, b))
        parameters.push_back(fmt::format("{}* b{}", cuda_memory_type(kernel_.buffers[b].dtype), b));
    parameters.emplace_back("u64* status");
    code_.open(fmt::format("extern \"C\" __global__ void __launch_bounds__({}) {}({})", grid.group_threads, symbol,
                           join(parameters, ", ")));
    for (size_t b = 0; b < kernel_.buffers.size(); ++b)
      if (int of = kernel_.buffers[b].alias_of; of >= 0)
        code_.line(fmt::format("{0}* const b{1} = ({0}*)b{2};", cuda_memory_type(kernel_.buffers[b].dtype), b, of));
    if (grid.lanes > 32) {
      code_.line("const i64 iteration = blockIdx.x;");
      code_.line("const unsigned lane = threadIdx.x;");
      code_.line("const unsigned mates = 0xffffffffu;");
      return;
    }
    std::string thread = grid.lanes == 1 ? "threadIdx.x" : fmt::format("threadIdx.x / {}", grid.lanes);
    code_.line(fmt::format("const i64 iteration = (i64)blockIdx.x * {} + {};", grid.per_group, thread));
    if (grid.range % grid.per_group != 0 || grid.per_group * grid.lanes != grid.group_threads)
      code_.line(fmt::format("if (iteration >= {}) return;", grid.range));
    if (grid.lanes == 1) return;
    code_.line(fmt::format("const unsigned lane = threadIdx.x % {};", grid.lanes));
    // All lanes of a warp join at once, each with those of its own iteration; the last warp may be cut short.
    code_.line(fmt::format("const i64 live = {}ll - ((i64)blockIdx.x * {} + threadIdx.x / 32 * 32);",
                           grid.range * grid.lanes, grid.group_threads));
    code_.line("const unsigned mates = live >= 32 ? 0xffffffffu : (1u << live) - 1;");
  }

  // A part of shared memory for each of the iterations that a group of threads has.
  void declare_held(int buffer, const GridShape& grid) {
    const KernelBuffer& held = kernel_.buffers[buffer];
    const int64_t elements = held_elements(held, grid.shared_dims);
    const std::string type = cuda_memory_type(held.dtype), memory = fmt::format("held{}", buffer);
    code_.line(fmt::format("__shared__ __align__(16) {} {}[{}];", type, memory, elements * grid.per_group));
    const std::string part =
        grid.per_group == 1 ? memory : fmt::format("{} + threadIdx.x / {} * {}", memory, grid.lanes, elements);
    code_.line(fmt::format("{}* const b{} = {};", type, buffer, part));
  }

  const StructuredKernel& kernel_;
  const Schedule& schedule_;
  CodeText& code_;
};

}  // namespace

std::vector<int64_t> workspace_bytes(const StructuredKernel& kernel, const Schedule& schedule) {
  std::vector<int64_t> bytes;
  for (size_t b = 0; b < kernel.buffers.size(); ++b) {
    const KernelBuffer& buffer = kernel.buffers[b];
    if (buffer.role == KernelBuffer::Role::local && buffer.alias_of < 0 && !is_held(schedule, b))
      bytes.push_back(byte_size(buffer.dtype, physical_elements(buffer)));
  }
  return bytes;
}

CudaText emit_cuda_text(std::span<const StructuredKernel> kernels, std::span<const Schedule> schedules) {
  PW_CHECK(kernels.size() == schedules.size(), "one schedule a kernel");
  CudaText made;
  CodeText code;
  for (size_t i = 0; i < kernels.size(); ++i) {
    verify_schedule(kernels[i], schedules[i]);
    made.entries.push_back(KernelEmitter(kernels[i], schedules[i], code).emit());
  }
  made.text = std::string(cuda_prelude()) + code.text();
  return made;
}

}  // namespace placewright
