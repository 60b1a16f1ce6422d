// Values with arithmetic, so that decompositions and gradient rules read as formulas. Operands are broadcast by NumPy's
// rule; a number becomes a constant of the other operand's dtype. C++ leaves open which operand of an operator is
// evaluated first: at most one of them should append ops, or the order of the graph's ops depends on the compiler.
#pragma once

#include "families.h"

namespace placewright::ops {

class Expr {
 public:
  Expr(FunctionBuilder& builder, Value value) : builder_(&builder), value_(value) {}
  operator Value() const { return value_; }  // implicit: an Expr is a value that knows its builder
  FunctionBuilder& builder() const { return *builder_; }
  Shape shape() const { return builder_->shape(value_); }
  DType dtype() const { return builder_->dtype(value_); }
  int rank() const { return static_cast<int>(shape().size()); }
  Expr number(double value) const;  // a scalar constant of this dtype

 private:
  FunctionBuilder* builder_;
  Value value_;
};

// An elementwise op; operands are broadcast to one shape.
Expr apply(std::string_view op, const std::vector<Expr>& operands);
inline Expr operator+(const Expr& a, const Expr& b) { return apply("add", {a, b}); }
inline Expr operator-(const Expr& a, const Expr& b) { return apply("sub", {a, b}); }
inline Expr operator*(const Expr& a, const Expr& b) { return apply("mul", {a, b}); }
inline Expr operator/(const Expr& a, const Expr& b) { return apply("div", {a, b}); }
inline Expr operator-(const Expr& a) { return apply("neg", {a}); }
inline Expr operator+(const Expr& a, double b) { return a + a.number(b); }
inline Expr operator-(const Expr& a, double b) { return a - a.number(b); }
inline Expr operator-(double a, const Expr& b) { return b.number(a) - b; }
inline Expr operator*(const Expr& a, double b) { return a * a.number(b); }
inline Expr operator/(const Expr& a, double b) { return a / a.number(b); }
inline Expr operator>(const Expr& a, const Expr& b) { return apply("greater", {a, b}); }
inline Expr operator>(const Expr& a, double b) { return a > a.number(b); }
inline Expr operator<(const Expr& a, double b) { return apply("less", {a, a.number(b)}); }
inline Expr equal(const Expr& a, const Expr& b) { return apply("equal", {a, b}); }
inline Expr select(const Expr& condition, const Expr& a, const Expr& b) { return apply("select", {condition, a, b}); }
inline Expr select(const Expr& condition, const Expr& a, double b) { return select(condition, a, a.number(b)); }
inline Expr select(const Expr& condition, double a, const Expr& b) { return select(condition, b.number(a), b); }

Expr cast(const Expr& a, DType dtype);
Expr reshape(const Expr& a, const Shape& shape);
Expr broadcast_to(const Expr& a, const Shape& shape);
Expr full_like(const Expr& a, double value);  // the number in the dtype and shape of a
Expr sum(const Expr& a, const Sizes& dims, bool keep_dims = false);
Expr maximum(const Expr& a, const Sizes& dims);
// The inverse of reducing a tensor of this shape over dims: repeats `a` along them.
Expr spread(const Expr& a, const Shape& shape, const Sizes& dims);
// The element at position labels[...] of dimension `dim`, for each position of the other dimensions.
Expr pick(const Expr& a, const Expr& labels, int64_t dim);
// The rows of `a` (positions of its first dimension) that the indices name.
Expr take_rows(const Expr& a, const Expr& indices);
// The number of elements along dimensions, as a scalar of the value's dtype; right for symbols too.
Expr count(const Expr& a, const Sizes& dims);
// 0, 1, 2 ... along dimension `dim` of the shape.
Expr positions(FunctionBuilder& builder, DType dtype, const Shape& shape, int64_t dim);

Sizes all_dims(int rank);
// NumPy's rule: trailing dimensions pair up, size 1 stretches. Error if they do not fit.
Shape broadcast_shape(const Shape& a, const Shape& b);
// The shape with the named dimensions of size 1, or without them.
Shape reduced_shape(const Shape& shape, const Sizes& dims, bool keep_dims);

// Operand, result and result gradient number i of an op that is differentiated.
inline Expr operand(GradientContext& context, int i) { return {context.builder, context.operands[i]}; }
inline Expr result(GradientContext& context) { return {context.builder, context.results[0]}; }
inline Expr gradient(GradientContext& context) { return {context.builder, *context.gradients[0]}; }

}  // namespace placewright::ops
