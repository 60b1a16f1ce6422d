// The kernels that the runtime itself needs on a device, as PTX: small, and loaded only where they are used.
#pragma once

#include <string>

namespace placewright {

// accumulate_f32, _f64, _i32, _i64(to, from, count): to[i] += from[i].
std::string own_kernels_text();

}  // namespace placewright
