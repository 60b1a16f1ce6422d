// Random graphs whose every value is a small whole number, so that two realisations agree exactly whatever their order
// of sums. They go where the op table's samples do not: odd shapes (primes, 1, 0, just beside powers of two) through
// chains of strided slices, pads, reversals, transposes and concatenations, contractions with several batch and summed
// dimensions, convolutions and windows with strides, dilation, groups and uneven padding; states stand anywhere.
#pragma once

#include <cstdint>
#include <vector>

#include "placewright/ir/graph.h"
#include "placewright/ir/host_tensor.h"

namespace placewright::testing {

struct ExactGraph {
  Graph graph;
  std::vector<HostTensor> inputs;
};

// The same for the same seed, always; about `ops` ops from the table, and what makes operands fit.
ExactGraph make_exact_graph(uint64_t seed, int ops);

}  // namespace placewright::testing
