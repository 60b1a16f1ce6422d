// A value with its builder, so that gradient rules and decompositions read like the formulas that they stand for.
// All operands of one formula share a shape and dtype; a number stands for itself, broadcast. C++ leaves open which
// operand of an operator is evaluated first: at most one of them may append ops, or the graph depends on the compiler.
#pragma once

#include <string_view>
#include <vector>

#include "placewright/ir/builder.h"

namespace placewright::ops {

struct Term {
  FunctionBuilder* builder;
  Value value;

  Term(FunctionBuilder& builder, Value value) : builder(&builder), value(value) {}
  // op(this, others...)
  Term apply(std::string_view op, std::vector<Term> others = {}, Attributes attributes = {}) const {
    std::vector<Value> operands{value};
    for (const Term& other : others) operands.push_back(other.value);
    return {*builder, (*builder)(op, std::move(operands), std::move(attributes))};
  }
  Term like(double number) const {  // the number in this term's dtype and shape
    const TensorType type = builder->type(value).tensor();
    return {*builder, builder->full(type.dtype, type.shape, number)};
  }
  operator Value() const { return value; }
};

inline Term operator+(Term a, Term b) { return a.apply("add", {b}); }
inline Term operator-(Term a, Term b) { return a.apply("sub", {b}); }
inline Term operator*(Term a, Term b) { return a.apply("mul", {b}); }
inline Term operator/(Term a, Term b) { return a.apply("div", {b}); }
inline Term operator-(Term a) { return a.apply("neg"); }
inline Term operator+(Term a, double b) { return a + a.like(b); }
inline Term operator-(double a, Term b) { return b.like(a) - b; }
inline Term operator*(Term a, double b) { return a * a.like(b); }
// Elementwise `condition ? a : b`.
inline Term select(Term condition, Term a, Term b) { return condition.apply("select", {a, b}); }

}  // namespace placewright::ops
