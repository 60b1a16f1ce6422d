// What the printer and the parser of graphs share.
#pragma once

#include <cstdint>

namespace placewright {

// Longer constants are written as hexadecimal bytes.
inline constexpr int64_t largest_decimal_constant = 256;

}  // namespace placewright
