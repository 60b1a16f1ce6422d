// Appends nodes to a scalar body, for the expressions of elementwise entries.
#pragma once

#include "placewright/ir/op_table.h"

namespace placewright::ops {

class ScalarWriter {
 public:
  explicit ScalarWriter(ScalarBody& body) : body_(body) {}

  // A node of the dtype of its last operand; comparisons and tests give boolean.
  int operator()(ScalarOp op, int a, int b = -1, int c = -1) {
    return append({.op = op,
                   .dtype = gives_boolean(op) ? DType::boolean
                                              : dtype(c >= 0   ? c
                                                      : b >= 0 ? b
                                                               : a),
                   .operands = {a, b, c}});
  }
  int constant(DType dtype, double value) {
    ScalarNode node{.op = ScalarOp::constant, .dtype = dtype};
    if (is_floating(dtype))
      node.number = value;
    else
      node.integer = static_cast<int64_t>(value);
    return append(node);
  }
  int cast(int node, DType to) {  // the node itself if it has the dtype
    return dtype(node) == to ? node : append({.op = ScalarOp::cast, .dtype = to, .operands = {node, -1, -1}});
  }
  DType dtype(int node) const { return body_[static_cast<size_t>(node)].dtype; }

 private:
  static bool gives_boolean(ScalarOp op) {
    return (op >= ScalarOp::equal && op <= ScalarOp::is_finite);  // they stand together in the enumeration
  }
  int append(const ScalarNode& node) {
    body_.push_back(node);
    return static_cast<int>(body_.size()) - 1;
  }

  ScalarBody& body_;
};

}  // namespace placewright::ops
