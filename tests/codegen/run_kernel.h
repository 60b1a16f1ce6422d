// Runs a structured kernel through schedule, loops, LLVM and the loader, for tests.
#pragma once

#include <vector>

#include "placewright/codegen/emitter.h"
#include "placewright/codegen/strategy.h"
#include "placewright/ir/host_tensor.h"
#include "placewright/ir/schedule.h"

namespace placewright::testing {

struct CompiledKernel {
  StructuredKernel kernel;
  KernelImage image;
};

// One image for all kernels, each scheduled by choose_schedule.
KernelImage compile_kernels(const std::vector<StructuredKernel>& kernels, const CpuTarget& target,
                            const EmitOptions& options = {});
// Runs entry `number` on one tensor for each buffer that is not local, in order; outputs are written in place.
// Returns the status word. Every buffer is surrounded by guard bytes that must not change.
Status run_entry(const KernelImage& image, size_t number, std::vector<HostTensor>& buffers);

}  // namespace placewright::testing
