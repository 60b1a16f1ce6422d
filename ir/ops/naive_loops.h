// Index loops for the `evaluate` of entries: plain f64 or int64 arithmetic over row-major tensors.
#pragma once

#include <cstring>
#include <vector>

#include "placewright/ir/host_tensor.h"

namespace placewright::ops {

// Calls body(position) for every position of a row-major tensor, last dimension fastest. Once for a scalar.
template <typename Body>
void for_each_position(const Sizes& sizes, Body body) {
  for (int64_t size : sizes)
    if (size == 0) return;
  Sizes position(sizes.size(), 0);
  while (true) {
    body(static_cast<const Sizes&>(position));
    size_t d = sizes.size();
    while (d > 0 && ++position[d - 1] == sizes[d - 1]) position[--d] = 0;
    if (d == 0) return;
  }
}

// Row-major number of an element.
inline int64_t flat_index(const Sizes& position, const Sizes& sizes) {
  int64_t flat = 0;
  for (size_t d = 0; d < sizes.size(); ++d) flat = flat * sizes[d] + position[d];
  return flat;
}

// Copies one element between tensors of one dtype, bit for bit.
inline void copy_element(const HostTensor& from, int64_t source, HostTensor& to, int64_t target) {
  auto size = static_cast<size_t>(byte_size(to.dtype(), 1));
  std::memcpy(to.raw() + static_cast<size_t>(target) * size, from.raw() + static_cast<size_t>(source) * size, size);
}

// A shape without symbols as sizes.
inline Sizes numbers_of(const Shape& shape) { return TensorType{DType::f32, shape, {}, {}}.sizes(); }

inline std::vector<double> numbers(const HostTensor& tensor) {
  std::vector<double> values(static_cast<size_t>(tensor.elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = tensor.number(static_cast<int64_t>(i));
  return values;
}

inline std::vector<int64_t> integers(const HostTensor& tensor) {
  std::vector<int64_t> values(static_cast<size_t>(tensor.elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = tensor.integer(static_cast<int64_t>(i));
  return values;
}

// Rounds once to the tensor's dtype.
inline void assign(HostTensor& tensor, const std::vector<double>& values) {
  for (size_t i = 0; i < values.size(); ++i) tensor.set_number(static_cast<int64_t>(i), values[i]);
}
inline void assign(HostTensor& tensor, const std::vector<int64_t>& values) {
  for (size_t i = 0; i < values.size(); ++i) tensor.set_integer(static_cast<int64_t>(i), values[i]);
}

// Multiplies and adds in f64, or in wrapping 64-bit integers for integer dtypes: `body(values of a, of b, result)`.
template <typename Body>
void evaluate_bilinear(const HostTensor& a, const HostTensor& b, HostTensor& result, Body body) {
  auto count = static_cast<size_t>(result.elements());
  if (is_floating(result.dtype())) {
    std::vector<double> sums(count);
    body(numbers(a), numbers(b), sums);
    assign(result, sums);
  } else {
    std::vector<int64_t> sums(count);
    body(integers(a), integers(b), sums);
    assign(result, sums);
  }
}

inline double multiply(double a, double b) { return a * b; }
inline int64_t multiply(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}
inline void add_to(double& sum, double value) { sum += value; }
inline void add_to(int64_t& sum, int64_t value) {
  sum = static_cast<int64_t>(static_cast<uint64_t>(sum) + static_cast<uint64_t>(value));
}

}  // namespace placewright::ops
