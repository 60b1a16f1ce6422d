// Versions of a graph that questions about its placement are asked of: without a pin, with an op in another dtype.
#pragma once

#include <optional>

#include "placewright/ir/graph.h"

namespace placewright {

// Without the pins to `device` that `site` wrote.
Graph without_pin(const Graph& graph, const DeviceId& device, const SourceSite& site);

// A graph whose op number `op` of the entry function computes in `dtype`.
struct CastVersion {
  Graph graph;
  int32_t op = -1;  // its number there
};
// Floating operands are cast to `dtype` in front of the op, its results back behind it. Nothing if that means nothing:
// the op has no floating operand and result, has that dtype already, or is not defined for it.
std::optional<CastVersion> with_op_in(const Graph& graph, int32_t op, DType dtype);

}  // namespace placewright
