// StructuredKernel + Schedule -> loops. Takes no decision of its own: what the schedule leaves out, the leaf rule says.
#pragma once

#include "placewright/ir/loops.h"

namespace placewright {

// `vector_bits` of the target; `symbol` is the prefix of the phases' function names. Error if the schedule does not
// fit.
LoopKernel apply_schedule(StructuredKernel kernel, Schedule schedule, int vector_bits, const std::string& symbol);

}  // namespace placewright
