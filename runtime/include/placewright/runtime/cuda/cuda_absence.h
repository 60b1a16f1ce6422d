// NVIDIA GPUs: there is no device for them yet, and users are told so, with what this machine has.
#pragma once

#include "placewright/ir/machine.h"

namespace placewright {

// Why no GPU can be used here: what plans, is_available and the doctor say.
AbsentDevice cuda_absence();

}  // namespace placewright
