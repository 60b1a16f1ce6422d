// Reductions in two stages: one sums, and one behind it does at every result what is done with the sums.
#pragma once

#include <vector>

#include "placewright/ir/kernel.h"

namespace placewright {

std::vector<int> result_dims(const Stage& stage);  // those that are not reduced

ScalarNode node_of(ScalarOp op, DType dtype, int slot);

// What the stage does with its sums: its accesses and its epilogue, at every point of its results. Behind their
// dimensions stand `more` of the new stage's own, along which no access moves. No body yet.
Stage at_results(const Stage& stage, const Sizes& more);

}  // namespace placewright
