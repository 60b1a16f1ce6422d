// Runs a structured kernel point by point, without a schedule: what its stages mean, for tests of lowerings and loops.
#pragma once

#include <span>

#include "placewright/ir/host_tensor.h"
#include "placewright/ir/kernel.h"

namespace placewright {

// `buffers`: one tensor, row-major, for each buffer that is not local, in order; outputs are written in place. Returns
// the status word. Error if an unguarded access leaves its buffer.
Status interpret_kernel(const StructuredKernel& kernel, std::span<HostTensor> buffers);

}  // namespace placewright
