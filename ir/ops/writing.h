// What writers of op entries share: checks for infer, index loops for evaluate, short spellings for structured kernels.
// Included by ir/ops/*.cc only.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "families.h"
#include "placewright/base/checked.h"

namespace placewright::ops {

// --- infer
// -------------------------------------------------------------------------------------------------------------

// Throws Error with the formatted message unless the condition holds. Say what was found and what was expected.
template <typename... Args>
void expect(bool condition, fmt::format_string<Args...> message, Args&&... args) {
  if (!condition) throw Error(fmt::format(message, std::forward<Args>(args)...));
}

// A dimension that an attribute names, in [0, rank): attributes count from the front, the frontend resolves -1.
int expect_dim(int64_t dim, int rank, std::string_view attribute);
// The same for several: each once. Returns one flag a dimension.
std::vector<bool> expect_dims(const Sizes& dims, int rank, std::string_view attribute);
// Both shapes are the same, symbols included.
void expect_same_shape(const Shape& found, const Shape& expected, std::string_view operand);

// --- evaluate
// ----------------------------------------------------------------------------------------------------------

// Calls body(position) for every position of `sizes` in row-major order; once for a scalar, never for an empty shape.
template <typename Body>
void for_each_position(const Sizes& sizes, Body body) {
  for (int64_t size : sizes)
    if (size == 0) return;
  Sizes position(sizes.size(), 0);
  while (true) {
    body(std::as_const(position));
    size_t d = sizes.size();
    while (d > 0 && ++position[d - 1] == sizes[d - 1]) position[--d] = 0;
    if (d == 0) return;
  }
}

// Where a position stands in a row-major tensor of these sizes.
inline int64_t flat_index(const Sizes& position, const Sizes& sizes) {
  int64_t flat = 0;
  for (size_t d = 0; d < sizes.size(); ++d) flat = flat * sizes[d] + position[d];
  return flat;
}

// --- lower
// -------------------------------------------------------------------------------------------------------------

// A kernel of the op's name with a buffer for each operand ("in0"), then for each result ("out0"), and no stages.
StructuredKernel make_kernel(const OpView& view);
// A stage of a name and domain; nothing is reduced.
Stage make_stage(std::string name, Sizes extents);
// Dimension d of the buffer is dimension d of the domain, whose first `rank` dimensions these are.
std::vector<AffineExpr> identity_index(int rank, int domain_rank);
inline std::vector<AffineExpr> identity_index(int rank) { return identity_index(rank, rank); }
// Appends an access to the stage and returns its number.
int add_access(Stage& stage, int buffer, std::vector<AffineExpr> index);
int add_guarded_access(Stage& stage, int buffer, std::vector<AffineExpr> index, double outside = 0);

// Appends nodes to a scalar body; each call returns the node's number.
class BodyWriter {
 public:
  explicit BodyWriter(ScalarBody& body) : body_(body) {}

  int load(int access, DType dtype) { return append({.op = ScalarOp::load, .dtype = dtype, .slot = access}); }
  int index(int dim) { return append({.op = ScalarOp::index, .dtype = DType::i64, .slot = dim}); }
  int reduced(int state, DType dtype) { return append({.op = ScalarOp::reduced, .dtype = dtype, .slot = state}); }
  int parameter(int operand, DType dtype) {
    return append({.op = ScalarOp::parameter, .dtype = dtype, .slot = operand});
  }
  int constant(DType dtype, double value);  // integer dtypes: of a whole number below 2^53
  int integer(DType dtype, int64_t value);
  // A node whose dtype is that of its last operand; comparisons and tests give boolean.
  int operator()(ScalarOp op, int a, int b = -1, int c = -1);
  int cast(int node, DType dtype);  // the node itself if it has the dtype
  int bitcast(int node, DType dtype) {
    return append({.op = ScalarOp::bitcast, .dtype = dtype, .operands = {node, -1, -1}});
  }
  int select(int condition, int if_true, int if_false) {
    return (*this)(ScalarOp::select, condition, if_true, if_false);
  }

  DType dtype(int node) const { return body_[node].dtype; }

 private:
  int append(const ScalarNode& node);
  ScalarBody& body_;
};

// A constant node for Reduction::init and bodies.
ScalarNode constant_node(DType dtype, double value);
// The neutral elements of max and min: -inf and +inf, or the integer limits; false and true.
ScalarNode lowest_node(DType dtype);
ScalarNode highest_node(DType dtype);

// Appends a reduction of one state to a stage whose `reduced` flags are set. `value` is a node of the body; a max, min,
// any or all keeps its dtype, sum and prod accumulate in `accumulate`.
void reduce(Stage& stage, Reduction::Kind kind, int value, DType accumulate);
// Stores a node of the body (or of the epilogue, if the stage reduces) through an access.
void store(Stage& stage, int access, int node);

}  // namespace placewright::ops
