// Removes from a kernel what has no effect on its outputs.
#pragma once

#include "placewright/ir/kernel.h"

namespace placewright {

// Drops stores into local memory that nothing reads, then the stages, nodes, accesses and buffers that are left over.
void prune_kernel(StructuredKernel& kernel);

// Drops nodes and accesses that no store or reduction of the stage needs.
void prune_stage(Stage& stage);

}  // namespace placewright
