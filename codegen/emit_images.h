// Structured kernels to machine code, on several threads. Bytes depend on the kernels alone, never on the threads.
#pragma once

#include <span>
#include <vector>

#include "placewright/codegen/code_target.h"
#include "placewright/codegen/cpu_target.h"
#include "placewright/codegen/emitter.h"

namespace placewright {

// Chooses and applies the schedule of each kernel; entries and symbols are named after the kernels.
EmittedKernels emit_images(std::vector<StructuredKernel> kernels, const CpuTarget& target, const EmitOptions& options,
                           int threads);

// About how many instructions the loops unroll to: what the emitter's time grows with.
double code_weight(const LoopKernel& loops);

}  // namespace placewright
