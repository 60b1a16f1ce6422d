// What the rules of `simplify` work with. A rule gives the value that stands for an op, or nothing where it does not
// apply. Rules are exact: the same bits for NaN, infinities and -0 too (a NaN's sign and payload apart).
// Internal to passes.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "rewrite.h"

namespace placewright {

class Simplifier {
 public:
  // Both must outlive it. `like`: the op to be replaced, whose operands are values of the builder's function.
  Simplifier(FunctionBuilder& builder, const Op& like) : builder_(builder), like_(like) {}

  // The value for the op: by the first rule that applies, else nothing.
  std::optional<Value> run();

  const Op& op() const { return like_; }
  Value operand(size_t i) const { return like_.operands[i]; }
  const TensorType& type(Value value) const { return builder_.type(value).tensor(); }
  const TensorType& result() const { return like_.results[0].tensor(); }
  // The op that makes the value, if it has that name; else null.
  const Op* made_by(Value value, std::string_view name) const;
  // The number that all elements are, for constants and what repeats them.
  std::optional<double> splat(Value value) const;
  bool is_splat(Value value, double number) const;  // the same bits: -0 is not +0

  // A simplified op in the place of the one that is replaced.
  Value make(std::string_view name, std::vector<Value> operands, Attributes attributes = {});
  Value full(DType dtype, const Shape& shape, double number);

 private:
  FunctionBuilder& builder_;
  const Op& like_;
};

using SimplifyRule = std::optional<Value> (*)(Simplifier&);
struct NamedRule {
  std::string_view op;
  SimplifyRule rule;
};
std::span<const NamedRule> arithmetic_rules();  // simplify_arithmetic.cc
std::span<const NamedRule> shaping_rules();     // simplify_shaping.cc

}  // namespace placewright
