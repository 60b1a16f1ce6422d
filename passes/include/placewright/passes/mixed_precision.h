// A graph that computes in a narrower floating dtype where that is customary, as PyTorch's autocast does: products and
// convolutions read and write it; what adds up many numbers (norms, softmax, losses, means) and what mixes both dtypes
// stays in the wide one; all else takes what it is given, and constants and broadcast parameters, as biases are, take
// the dtype of what they meet. States, arguments, results and updates keep their types, so
// that the wide parameters are the masters, and optimisers see wide gradients.
#pragma once

#include "placewright/ir/graph.h"

namespace placewright {

// Before `differentiate`, which then makes the backward ops of the cast forward ones; sizes are numbers. It computes
// something else than `graph`, so it is no pass of the pipeline.
Graph mixed_precision(Graph graph, DType wide, DType narrow);

}  // namespace placewright
