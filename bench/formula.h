// Deterministic numbers that Python's side makes too, so that no weights or batches need to be exchanged or stored.
// scripts/make_reference.py has the formula in words.
#pragma once

#include <cmath>
#include <cstdint>

#include "placewright/ir/host_tensor.h"

namespace placewright::formula {

inline uint32_t hash(uint32_t stream, uint32_t index) {
  uint32_t h = index * 2654435761u + stream * 2246822519u + 374761393u;
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  h ^= h >> 16;
  return h;
}

// In [-1, 1), exact in f32.
inline double unit(uint32_t stream, uint32_t index) { return (hash(stream, index) >> 8) / 8388608.0 - 1.0; }

// unit(stream, i) * scale, rounded once.
inline HostTensor units(uint32_t stream, DType dtype, const Sizes& sizes, double scale = 1) {
  HostTensor tensor(dtype, sizes);
  for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_number(i, unit(stream, static_cast<uint32_t>(i)) * scale);
  return tensor;
}

// Classes 0 to 9, i64.
inline HostTensor labels(uint32_t stream, int64_t count) {
  HostTensor tensor(DType::i64, {count});
  for (int64_t i = 0; i < count; ++i) tensor.set_integer(i, hash(stream, static_cast<uint32_t>(i)) % 10);
  return tensor;
}

// The initial value of parameter number `stream` of a model (weight before bias, layer by layer), whose layer has this
// many inputs.
inline HostTensor parameter(uint32_t stream, DType dtype, const Sizes& sizes, int64_t fan_in) {
  return units(stream, dtype, sizes, 1.0 / std::sqrt(static_cast<double>(fan_in)));
}

}  // namespace placewright::formula
