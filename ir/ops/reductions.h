// What the files of reduction entries share.
#pragma once

#include "checks.h"
#include "families.h"
#include "graph_writer.h"
#include "kernel_writer.h"
#include "naive_loops.h"

namespace placewright::ops {

std::vector<OpEntry> arg_reductions();  // argmax, argmin

// The operand's shape without the reduced dimensions, or with size 1 there.
inline Shape reduced_shape(const Shape& shape, const std::vector<bool>& reduced, bool keep_dims) {
  Shape result;
  for (size_t d = 0; d < shape.size(); ++d)
    if (!reduced[d] || keep_dims) result.push_back(reduced[d] ? Dim(1) : shape[d]);
  return result;
}

// Where the operand's position goes in the result.
template <typename Position>
std::vector<Position> reduced_position(const std::vector<Position>& position, const std::vector<bool>& reduced,
                                       bool keep_dims) {
  std::vector<Position> result;
  for (size_t d = 0; d < position.size(); ++d)
    if (!reduced[d] || keep_dims) result.push_back(reduced[d] ? Position(0) : position[d]);
  return result;
}

inline AttributeSpec keep_dims_attribute() {
  return {"keep_dims", AttributeKind::boolean, Attribute(false), "whether reduced dimensions stay, with size 1"};
}

}  // namespace placewright::ops
