// From Graph ops to structured kernels: one launch is one kernel.
#pragma once

#include <functional>

#include "placewright/ir/graph.h"
#include "placewright/ir/kernel.h"

namespace placewright {

// The kernel of a `fused` op's function: the structured kernels of its ops joined into few stages. What only moves
// elements is composed into the accesses of its readers, elementwise ops join the stage that made their operand (its
// body, or the epilogue of a reduction), and what remains are stages over local buffers. Each op keeps its rounding.
// Inputs of the function come first among the buffers, then its results. Error if an op has no lowering.
// `split` decides the splits of each op's reductions on the op's own kernel, on row-major operands, before it is
// joined.
using SplitReductions = std::function<void(StructuredKernel&)>;
StructuredKernel lower_function(const Graph& graph, FunctionId function, const SplitReductions& split = {});

// The kernel of an op that is one launch: `fused`, or any op with a lowering.
StructuredKernel lower_launch(const Graph& graph, const Function& function, const Op& op,
                              const SplitReductions& split = {});

}  // namespace placewright
