// The evaluator: runs a function op by op through the entries' `evaluate`. It is the definition of a Graph's meaning
// and the oracle of every test; it knows no devices, layouts or fusion.
#pragma once

#include <span>
#include <vector>

#include "placewright/ir/graph.h"

namespace placewright {

struct Evaluation {
  std::vector<HostTensor> results;
  std::vector<HostTensor> updates;  // the new value of each update's state
};

// `inputs`: one a function input, of its dtype and sizes; all symbols must be bound. Error names the op and its origin.
Evaluation evaluate(const Graph& graph, FunctionId function, std::span<const HostTensor> inputs);
inline Evaluation evaluate(const Graph& graph, std::span<const HostTensor> inputs) {
  return evaluate(graph, 0, inputs);
}

}  // namespace placewright
