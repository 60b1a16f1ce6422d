// Integer arithmetic on sizes and offsets that throws Error instead of wrapping round.
#pragma once

#include <cstdint>

#include "placewright/base/error.h"

namespace placewright {

inline int64_t checked_add(int64_t a, int64_t b) {
  int64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) throw Error("size overflows 64 bits in an addition");
  return sum;
}

inline int64_t checked_mul(int64_t a, int64_t b) {
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product)) throw Error("size overflows 64 bits in a multiplication");
  return product;
}

// a / b rounded up, for a >= 0 and b > 0.
constexpr int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }
constexpr int64_t round_up(int64_t a, int64_t multiple) { return ceil_div(a, multiple) * multiple; }

}  // namespace placewright
