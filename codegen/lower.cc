#include "placewright/codegen/lower.h"

#include "joiner.h"
#include "lower_own.h"

namespace placewright {

StructuredKernel lower_function(const Graph& graph, FunctionId function, const SplitReductions& split) {
  return Joiner(graph, graph.functions.at(function), split).run();
}

StructuredKernel lower_launch(const Graph& graph, const Function& function, const Op& op,
                              const SplitReductions& split) {
  if (op.is("fused")) return lower_function(graph, op.functions[0], split);
  return lower_own(graph, function, op, split);
}

}  // namespace placewright
