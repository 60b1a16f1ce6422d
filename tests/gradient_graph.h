// Graphs whose results are an op's gradients, for whoever evaluates or runs them.
#pragma once

#include <vector>

#include "derived_cases.h"

namespace placewright::testing {

// How an operand reaches the op in a gradient test: as it is, or through views, so that the gradients of those join in.
enum class Reach { plain, sliced, transposed, broadcast };

// Function 1 computes the loss sum(results * weights) from the operands and a weight tensor for each floating result;
// main takes the same and gives the loss and its gradients with respect to the f64 operands.
struct GradientGraph {
  Graph graph;
  Sizes wanted;
  std::vector<HostTensor> inputs;
};
GradientGraph make_gradient_graph(const DerivedCase& each, const std::vector<Reach>& reach);

}  // namespace placewright::testing
