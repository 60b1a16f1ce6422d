// Checks that the `infer` of entries share. Say what was found and what was expected; the caller adds op and source
// line.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "placewright/ir/op_table.h"

namespace placewright::ops {

// Throws Error with the formatted message unless the condition holds.
template <typename... Args>
void expect(bool condition, fmt::format_string<Args...> message, Args&&... args) {
  if (!condition) throw Error(fmt::format(message, std::forward<Args>(args)...));
}

// A dimension that an attribute names, in [0, rank): attributes count from the front, the frontend resolves -1.
inline int expect_dim(int64_t dim, int rank, std::string_view attribute) {
  expect(dim >= 0 && dim < rank, "{} names dimension {}, expected one of the operand's {} dimensions, from 0",
         attribute, dim, rank);
  return static_cast<int>(dim);
}

// The same for several, each at most once. One flag for each dimension of the operand.
inline std::vector<bool> expect_dims(const Sizes& dims, int rank, std::string_view attribute) {
  std::vector<bool> named(static_cast<size_t>(rank), false);
  for (int64_t dim : dims) {
    auto d = static_cast<size_t>(expect_dim(dim, rank, attribute));
    expect(!named[d], "{} names dimension {} twice", attribute, dim);
    named[d] = true;
  }
  return named;
}

inline void expect_shape(const Shape& found, const Shape& expected, std::string_view operand) {
  expect(found == expected, "operand {} has shape {}, expected {}", operand, to_string(found), to_string(expected));
}

// One number for each dimension of the operand.
inline const Sizes& expect_one_a_dim(const OpView& view, std::string_view attribute) {
  const Sizes& sizes = view.attributes.get<Sizes>(attribute);
  expect(static_cast<int>(sizes.size()) == view.operand(0).rank(),
         "{} has {} numbers, expected one for each of the operand's {} dimensions", attribute, sizes.size(),
         view.operand(0).rank());
  return sizes;
}

inline DType expect_supported(DType dtype, std::string_view attribute) {
  expect(info(dtype).supported, "{} is {}, which nothing computes in yet; expected bool, u8, i32, i64, f32 or f64",
         attribute, name(dtype));
  return dtype;
}

}  // namespace placewright::ops
