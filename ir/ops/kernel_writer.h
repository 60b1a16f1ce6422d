// Writes structured kernels: buffers from an op's types, stages from dimensions, loads, scalar nodes and stores.
// Guards are worked out: an access is guarded if and only if some point of the domain reaches outside the buffer.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "placewright/ir/op_table.h"

namespace placewright::ops {

// (a sum of multiples of a stage's dimensions + constant) / divisor; what one dimension of a buffer is indexed with.
struct Index {
  Index(int64_t number = 0) : constant(number) {}  // implicit: a plain position is an index
  std::vector<std::pair<int, int64_t>> terms;      // (dimension, coefficient); a dimension may occur several times
  int64_t constant = 0;
  int64_t divisor = 1;
};
Index operator+(Index a, const Index& b);
Index operator-(Index a, const Index& b);
Index operator*(Index a, int64_t factor);
// Where the division leaves a remainder the element counts as outside the buffer.
Index divide_or_outside(Index a, int64_t divisor);

// Constants for a reduction to start from: what max and min leave unchanged (infinities, or the integer limits).
ScalarNode lowest_value(DType dtype);
ScalarNode highest_value(DType dtype);

class KernelWriter {
 public:
  // One buffer for each operand, then one for each result.
  explicit KernelWriter(const OpView& view);
  int operand(int i) const { return i; }
  int result(int i = 0) const { return operands_ + i; }
  int local(std::string name, DType dtype, Sizes sizes);
  int alias(std::string name, int buffer, Sizes sizes);  // the buffer's bytes under other sizes
  DType dtype(int buffer) const { return kernel_.buffers[buffer].dtype; }
  StructuredKernel take() { return std::move(kernel_); }

 private:
  friend class StageWriter;
  StructuredKernel kernel_;
  int operands_;
};

// One stage. Dimensions first, then the body, `reduce` at most once, after which nodes belong to the epilogue; `finish`
// appends the stage to the kernel.
class StageWriter {
 public:
  StageWriter(KernelWriter& kernel, std::string name) : kernel_(kernel.kernel_) { stage_.name = std::move(name); }

  Index parallel(int64_t extent) { return dimension(extent, false); }
  Index reduced(int64_t extent) { return dimension(extent, true); }

  // Scalar nodes; each returns its number in the current body.
  int load(int buffer, const std::vector<Index>& index, double outside = 0);
  // The same at index[dim] + the i64 value of a node: out of range sets the status word.
  int load_indirect(int buffer, std::vector<Index> index, int dim, int node);
  int number(DType dtype, double value);
  int position(const Index& index);  // its value, as i64; no divisor
  int node(ScalarOp op, DType dtype, int a, int b = -1, int c = -1);
  int cast(int value, DType dtype);  // the node itself if it has the dtype
  DType dtype(int node) const { return current()[node].dtype; }

  // Joins the body's values over the reduced dimensions; returns the epilogue's node of the joined value.
  int reduce(Reduction::Kind kind, int value, double init);
  int reduce(Reduction::Kind kind, int value, const ScalarNode& init);
  // A sum's: to what the factors of its products may be rounded.
  void set_precision(Precision precision) { stage_.reduction.precision = precision; }
  // Several states; `combine` is written with `combine_parameter` and `combine_node`. Returns the epilogue's nodes.
  std::vector<int> reduce_custom(std::vector<int> values, const std::vector<double>& init, ScalarBody combine,
                                 std::vector<int> combined);
  std::vector<int> reduce_custom(std::vector<int> values, std::vector<ScalarNode> init, ScalarBody combine,
                                 std::vector<int> combined);

  void store(int buffer, const std::vector<Index>& index, int node);
  // Adds `value` to the element at index[dim] + the i64 value of `node`. Points may meet there: along the dimensions
  // that `sequential` names they run in order.
  void add_indirect(int buffer, std::vector<Index> index, int dim, int node, int value);
  void sequential(const Index& dimension);
  void finish();

 private:
  Index dimension(int64_t extent, bool reduced);
  int access(int buffer, const std::vector<Index>& index, double outside);
  ScalarBody& current() { return stage_.has_reduction() ? stage_.epilogue : stage_.body; }
  const ScalarBody& current() const { return stage_.has_reduction() ? stage_.epilogue : stage_.body; }
  bool may_leave(const AffineExpr& index, int64_t size) const;

  StructuredKernel& kernel_;
  Stage stage_;
};

}  // namespace placewright::ops
