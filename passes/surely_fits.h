// Whether all that a step could need is so much less than the devices have that nobody has to plan its memory to know
// that it fits. Internal to passes.
#pragma once

#include "placewright/passes/pass.h"

namespace placewright {

// Before placement, where every device may hold everything, and behind it, where each holds what stands on it.
bool surely_fits(const Graph& graph, const PassContext& context);

}  // namespace placewright
