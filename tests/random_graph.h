// Random graphs from the op table: well-typed, seeded, with inputs whose values keep every op in its domain, so that
// two realisations of a graph may be compared. What is not exact in floating point never decides a jump: comparisons,
// roundings and the like read inputs only.
#pragma once

#include <cstdint>
#include <vector>

#include "placewright/ir/graph.h"
#include "placewright/ir/host_tensor.h"

namespace placewright::testing {

struct RandomGraphOptions {
  int ops = 12;                 // ops chosen from the table; reshapes and clamps that make operands fit come on top
  DType floating = DType::f32;  // the floating dtype of the graph
  int64_t max_elements = 4096;  // of any value
};

struct RandomGraph {
  Graph graph;  // main: arguments and states, results, updates; each op has an origin of its own
  std::vector<HostTensor> inputs;
};

// The same graph and values for the same seed and options, always.
RandomGraph make_random_graph(uint64_t seed, const RandomGraphOptions& options = {});

// Largest difference, relative to max(1, |value|), that rounding explains between two realisations of such a graph.
double random_graph_tolerance(DType dtype);

}  // namespace placewright::testing
