// What one launch computes: the structured kernel of an op of a placed graph.
#pragma once

#include "placewright/ir/graph.h"
#include "placewright/ir/kernel.h"

namespace placewright {

// Operands' buffers first, then results. Error if the op has no lowering.
StructuredKernel lower_launch(const Graph& graph, const Function& function, const Op& op);

}  // namespace placewright
