// The kernel of one op alone, before it joins others.
#pragma once

#include <string>

#include "placewright/codegen/lower.h"

namespace placewright {

// Layouts do not change how the op's reductions are split. Error if it has no lowering.
StructuredKernel lower_own(const Graph& graph, const Function& function, const Op& op, const SplitReductions& split);

// Copies one buffer of a kernel into another, element by element.
Stage copy_stage(std::string name, int source, int destination, DType dtype, const Sizes& sizes);

}  // namespace placewright
