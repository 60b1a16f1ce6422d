// From loops to machine code. The emitter stands in a shared library of its own (libplacewright-llvm), which is opened
// at the first compile: a process whose kernels come from the cache never loads LLVM.
#pragma once

#include <span>
#include <string>

#include "placewright/codegen/cpu_target.h"
#include "placewright/ir/kernel_image.h"
#include "placewright/ir/loops.h"

namespace placewright {

struct EmitOptions {
  bool check_bounds = false;  // test every access against its buffer; a violation sets Status::out_of_bounds
  bool dump_ir = false;       // prints LLVM IR to the standard error stream
  bool names_only = false;    // no code: for simulated devices on which only time passes
};

// One object for all kernels; each becomes an entry named after its structured kernel. Error if the emitter cannot be
// opened (says where it was looked for) or a kernel cannot be emitted.
KernelImage emit_cpu_image(std::span<const LoopKernel> kernels, const CpuTarget& target,
                           const EmitOptions& options = {});

// Why no code can be made for the processor, and what to do: a build without LLVM, a library that is gone. Empty if
// the emitter is there; it is not opened for that.
std::string missing_emitter();

// Changes whenever this library's file or the emitter's does: part of the key of whatever they made.
std::string code_generator_stamp();

// What the emitter's library exports, as "placewright_emit_cpu_image": false and a message instead of an exception.
using EmitCpuImage = bool (*)(const LoopKernel* kernels, size_t count, const CpuTarget* target,
                              const EmitOptions* options, KernelImage* image, std::string* error);

}  // namespace placewright
