// How many elements a stage's vectors have.
#pragma once

#include "placewright/ir/kernel.h"

namespace placewright {

// Bits of the widest floating element that the stage computes for each lane of `vector_dim`, or, without one, that it
// stores. What all lanes share stays a scalar and does not count: an f64 learning rate, say.
int lane_bits(const StructuredKernel& kernel, const Stage& stage, int vector_dim);

}  // namespace placewright
