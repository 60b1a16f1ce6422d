// What an op of a placed function is to the program made of it: nothing to run, a copy, a collective, or one launch.
#pragma once

#include "placewright/ir/graph.h"

namespace placewright {

inline bool is_input(const Op& op) { return op.is("input") || op.is("constant"); }
inline bool is_copy(const Op& op) { return op.is("transfer"); }
inline bool is_collective(const Op& op) { return op.is("all_reduce"); }

}  // namespace placewright
