// What a scalar instruction costs, roughly.
#pragma once

#include "placewright/ir/kernel.h"

namespace placewright {

// In vector instructions: cheap arithmetic is 1, what only names a value is 0.
double node_weight(ScalarOp op);

}  // namespace placewright
