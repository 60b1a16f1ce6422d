// destination += source on host memory, for devices that compute there.
#pragma once

#include <cstdint>

#include "placewright/ir/dtype.h"

namespace placewright {

// `count` elements of f32, f64, i32 or i64 (integers wrap); Error for other dtypes.
void accumulate_on_host(void* destination, const void* source, DType dtype, int64_t count);

}  // namespace placewright
