// Identities of arithmetic, comparisons, casts and choices.
#include <cmath>

#include "simplifier.h"

namespace placewright {
namespace {

using Result = std::optional<Value>;

// x + -0 is x for every x; x + +0 is not, for it turns -0 into +0. Integers have one zero.
Result add_zero(Simplifier& s) {
  bool floating = is_floating(s.result().dtype);
  for (size_t i : {0, 1})
    if (s.is_splat(s.operand(i), floating ? -0.0 : 0.0)) return s.operand(1 - i);
  return {};
}

Result add_negative(Simplifier& s) {
  for (size_t i : {1, 0})
    if (const Op* neg = s.made_by(s.operand(i), "neg")) return s.make("sub", {s.operand(1 - i), neg->operands[0]});
  return {};
}

Result sub_zero(Simplifier& s) { return s.is_splat(s.operand(1), 0.0) ? Result(s.operand(0)) : Result(); }

Result sub_negative(Simplifier& s) {
  const Op* neg = s.made_by(s.operand(1), "neg");
  return neg ? Result(s.make("add", {s.operand(0), neg->operands[0]})) : Result();
}

Result mul_one(Simplifier& s) {
  for (size_t i : {0, 1}) {
    if (s.is_splat(s.operand(i), 1.0)) return s.operand(1 - i);
    if (s.is_splat(s.operand(i), -1.0) && is_floating(s.result().dtype)) return s.make("neg", {s.operand(1 - i)});
  }
  return {};
}

Result mul_negatives(Simplifier& s) {
  const Op *a = s.made_by(s.operand(0), "neg"), *b = s.made_by(s.operand(1), "neg");
  return a && b ? Result(s.make("mul", {a->operands[0], b->operands[0]})) : Result();
}

// Dividing by a power of two is multiplying by its reciprocal: both round the same real number.
Result div_number(Simplifier& s) {
  std::optional<double> divisor = s.splat(s.operand(1));
  if (!divisor) return {};
  if (*divisor == 1) return s.operand(0);
  DType dtype = s.result().dtype;
  if (dtype != DType::f32 && dtype != DType::f64) return {};
  int exponent = 0;
  if (std::abs(std::frexp(*divisor, &exponent)) != 0.5 || std::abs(exponent) > 120) return {};
  return s.make("mul", {s.operand(0), s.full(dtype, s.result().shape, 1 / *divisor)});
}

Result twice(Simplifier& s) {
  const Op* inner = s.made_by(s.operand(0), s.op().name());
  return inner ? Result(inner->operands[0]) : Result();
}

Result same_operands(Simplifier& s) { return s.operand(0) == s.operand(1) ? Result(s.operand(0)) : Result(); }

// Whether every value of `from` is one of `to`, and casting gives it.
bool is_lossless(DType from, DType to) {
  if (from == to || from == DType::boolean) return true;
  if (to == DType::boolean) return false;
  int from_bits = info(from).bits, to_bits = info(to).bits;
  if (is_floating(from)) return is_floating(to) && to_bits > from_bits && from != DType::bf16;
  if (is_floating(to)) return (to == DType::f64 && from_bits <= 32) || (to == DType::f32 && from_bits <= 16);
  if (is_signed(from)) return is_signed(to) && to_bits >= from_bits;
  return to_bits > from_bits;
}

Result cast_chain(Simplifier& s) {
  DType to = s.result().dtype;
  if (s.type(s.operand(0)).dtype == to) return s.operand(0);
  const Op* inner = s.made_by(s.operand(0), "cast");
  if (!inner) return {};
  DType from = s.type(inner->operands[0]).dtype, between = s.type(s.operand(0)).dtype;
  if (!is_lossless(from, between)) return {};
  // From floating to integer a cast saturates, from integer to integer it keeps the low bits.
  if (is_integer(from) && is_floating(between) && !is_floating(to) && !is_lossless(from, to) && to != DType::boolean)
    return {};
  return s.make("cast", {inner->operands[0]}, {{"dtype", to}});
}

Result select_known(Simplifier& s) {
  if (s.operand(1) == s.operand(2)) return s.operand(1);
  if (std::optional<double> condition = s.splat(s.operand(0))) return s.operand(*condition != 0 ? 1 : 2);
  if (const Op* negated = s.made_by(s.operand(0), "logical_not"))
    return s.make("select", {negated->operands[0], s.operand(2), s.operand(1)});
  return {};
}

constexpr NamedRule rules[] = {
    {"add", add_zero},
    {"add", add_negative},
    {"sub", sub_zero},
    {"sub", sub_negative},
    {"mul", mul_one},
    {"mul", mul_negatives},
    {"div", div_number},
    {"neg", twice},
    {"logical_not", twice},
    {"max", same_operands},
    {"min", same_operands},
    {"logical_and", same_operands},
    {"logical_or", same_operands},
    {"cast", cast_chain},
    {"select", select_known},
};

}  // namespace

std::span<const NamedRule> arithmetic_rules() { return rules; }

}  // namespace placewright
