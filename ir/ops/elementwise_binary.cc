// Elementwise ops of two operands: arithmetic, comparisons, logic.
#include <cmath>

#include "elementwise.h"

namespace placewright::ops {
namespace {

using Number = double (*)(double, double);
using Integer = int64_t (*)(int64_t, int64_t);

struct Terms {
  Expr a, b, y, g;  // operands, result, gradient of the result
};
using Derivative = Expr (*)(const Terms&);

std::vector<Type> same_type(const OpView& view) {
  expect_shape(view.operand(1).shape, view.operand(0).shape, "b");
  return {Type(view.operand(0).dtype, view.operand(0).shape)};
}

std::vector<Type> boolean_type(const OpView& view) {
  expect_shape(view.operand(1).shape, view.operand(0).shape, "b");
  return {Type(DType::boolean, view.operand(0).shape)};
}

Gradient gradient_by(Derivative by_a, Derivative by_b) {
  return Gradient([by_a, by_b](GradientContext& context) {
    FunctionBuilder& builder = context.builder;
    Terms terms{{builder, context.operands[0]},
                {builder, context.operands[1]},
                {builder, context.results[0]},
                {builder, *context.gradients[0]}};
    OperandGradients gradients(2);
    if (context.needed[0] && by_a) gradients[0] = by_a(terms);
    if (context.needed[1] && by_b) gradients[1] = by_b(terms);
    return gradients;
  });
}

OpEntry floating(std::string_view name, std::string_view summary, ScalarOp op, Number number, Gradient gradient) {
  return {.name = name,
          .summary = summary,
          .signature = {.operands = {{"a", DTypeClass::floating}, {"b", DTypeClass::floating}}},
          .infer = same_type,
          .evaluate =
              [number](const OpView&, std::span<const HostTensor> operands, std::span<HostTensor> results) {
                for (int64_t i = 0; i < results[0].elements(); ++i)
                  results[0].set_number(i, number(operands[0].number(i), operands[1].number(i)));
              },
          .gradient = std::move(gradient),
          .realisation = one_instruction(op)};
}

// The same for every dtype but bool. Integers are computed in 64 bits and keep their low bits.
OpEntry numeric(std::string_view name, std::string_view summary, ScalarOp op, Number number, Integer integer,
                Gradient gradient, bool commutative = false) {
  OpEntry entry = floating(name, summary, op, number, std::move(gradient));
  for (OperandSpec& operand : entry.signature.operands) operand.dtypes = DTypeClass::numeric;
  entry.evaluate = [number, integer](const OpView&, std::span<const HostTensor> operands,
                                     std::span<HostTensor> results) {
    bool is_number = is_floating(results[0].dtype());
    for (int64_t i = 0; i < results[0].elements(); ++i)
      if (is_number)
        results[0].set_number(i, number(operands[0].number(i), operands[1].number(i)));
      else
        results[0].set_integer(i, integer(operands[0].integer(i), operands[1].integer(i)));
  };
  entry.traits.commutative = commutative;
  return entry;
}

OpEntry comparison(std::string_view name, std::string_view summary, ScalarOp op, bool (*numbers)(double, double),
                   bool (*integers)(int64_t, int64_t), DTypeClass dtypes, bool commutative) {
  return {.name = name,
          .summary = summary,
          .signature = {.operands = {{"a", dtypes}, {"b", dtypes}}},
          .infer = boolean_type,
          .evaluate =
              [numbers, integers](const OpView&, std::span<const HostTensor> operands, std::span<HostTensor> results) {
                bool is_number = is_floating(operands[0].dtype());
                for (int64_t i = 0; i < results[0].elements(); ++i)
                  results[0].set_integer(i, is_number ? numbers(operands[0].number(i), operands[1].number(i))
                                                      : integers(operands[0].integer(i), operands[1].integer(i)));
              },
          .gradient = Gradient::not_differentiable(),
          .realisation = one_instruction(op),
          .traits = {.commutative = commutative}};
}

uint64_t bits(int64_t x) { return static_cast<uint64_t>(x); }
int64_t wrap(uint64_t x) { return static_cast<int64_t>(x); }

int64_t divide(int64_t a, int64_t b) { return b == 0 ? 0 : b == -1 ? wrap(-bits(a)) : a / b; }
int64_t remainder(int64_t a, int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }

double smaller(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::nan("");
  if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}
double larger(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::nan("");
  if (a == b) return std::signbit(a) ? b : a;
  return a > b ? a : b;
}

// The gradient of a max or min goes to the operand that won, half to each if they are equal.
Expr won_by_a(const Terms& t, std::string_view wins) {
  Expr half = t.g * 0.5, zero = full_like(t.g, 0);
  Expr tie = select(equal(t.a, t.b), half, zero);
  return select(apply(wins, {t.a, t.b}), t.g, tie);
}
Expr won_by_b(const Terms& t, std::string_view wins) { return won_by_a({t.b, t.a, t.y, t.g}, wins); }

std::vector<OpEntry> arithmetic_ops() {
  return {
      numeric(
          "add", "a + b.", ScalarOp::add, [](double a, double b) { return a + b; },
          [](int64_t a, int64_t b) { return wrap(bits(a) + bits(b)); },
          gradient_by([](const Terms& t) { return t.g; }, [](const Terms& t) { return t.g; }), true),
      numeric(
          "sub", "a - b.", ScalarOp::sub, [](double a, double b) { return a - b; },
          [](int64_t a, int64_t b) { return wrap(bits(a) - bits(b)); },
          gradient_by([](const Terms& t) { return t.g; }, [](const Terms& t) { return -t.g; })),
      numeric(
          "mul", "a * b.", ScalarOp::mul, [](double a, double b) { return a * b; },
          [](int64_t a, int64_t b) { return wrap(bits(a) * bits(b)); },
          gradient_by([](const Terms& t) { return t.g * t.b; }, [](const Terms& t) { return t.g * t.a; }), true),
      numeric(
          "div", "a / b. Integers truncate towards zero; an integer divided by 0 gives 0.", ScalarOp::div,
          [](double a, double b) { return a / b; }, divide,
          gradient_by([](const Terms& t) { return t.g / t.b; }, [](const Terms& t) { return -(t.g * t.y / t.b); })),
      numeric(
          "rem",
          "a - trunc(a / b) * b: the remainder with the sign of a (C's fmod). Of integers by 0 it is 0. "
          "Compiled code is exact for floats while |a / b| < 2^52.",
          ScalarOp::rem, [](double a, double b) { return std::fmod(a, b); }, remainder,
          gradient_by([](const Terms& t) { return t.g; },
                      [](const Terms& t) { return -(t.g * apply("trunc", {t.a / t.b})); })),
      numeric(
          "min", "The smaller of a and b; NaN if either is NaN, and -0 is below +0.", ScalarOp::min, smaller,
          [](int64_t a, int64_t b) { return a < b ? a : b; },
          gradient_by([](const Terms& t) { return won_by_a(t, "less"); },
                      [](const Terms& t) { return won_by_b(t, "less"); }),
          true),
      numeric(
          "max", "The larger of a and b; NaN if either is NaN, and -0 is below +0.", ScalarOp::max, larger,
          [](int64_t a, int64_t b) { return a > b ? a : b; },
          gradient_by([](const Terms& t) { return won_by_a(t, "greater"); },
                      [](const Terms& t) { return won_by_b(t, "greater"); }),
          true),
  };
}

Expr power_by_base(const Terms& t) {  // b a^(b-1); 0 where b is 0, also at a = 0
  Expr zero = full_like(t.b, 0);
  Expr power = t.b * apply("pow", {t.a, t.b - 1.0});
  return t.g * select(equal(t.b, zero), zero, power);
}

Expr power_by_exponent(const Terms& t) {  // a^b log(a); 0 at a = 0, where it is the limit for b > 0
  Expr zero = full_like(t.a, 0);
  Expr at_zero = equal(t.a, zero);
  Expr logarithm = select(at_zero, zero, apply("log", {select(at_zero, full_like(t.a, 1), t.a)}));
  return t.g * select(at_zero, zero, t.y * logarithm);
}

Expr over_squared_length(const Terms& t, Expr x) {
  Expr a = t.a * t.a, b = t.b * t.b;
  return t.g * (x / (a + b));
}

std::vector<OpEntry> power_ops() {
  std::vector<OpEntry> entries{
      floating(
          "pow", "a to the power b, as C's pow: NaN for a negative a and a b that is not whole.", ScalarOp::pow,
          [](double a, double b) { return std::pow(a, b); }, gradient_by(power_by_base, power_by_exponent)),
      floating(
          "atan2", "The angle of the point (x = b, y = a), in (-pi, pi].", ScalarOp::atan2,
          [](double a, double b) { return std::atan2(a, b); },
          gradient_by([](const Terms& t) { return over_squared_length(t, t.b); },
                      [](const Terms& t) { return -over_squared_length(t, t.a); })),
  };
  entries[0].domain = {0.2, 2.5};
  entries[1].domain = {0.1, 2};
  return entries;
}

std::vector<OpEntry> comparison_ops() {
  return {
      comparison(
          "equal", "Whether a = b; NaN equals nothing, -0 equals +0.", ScalarOp::equal,
          [](double a, double b) { return a == b; }, [](int64_t a, int64_t b) { return a == b; }, DTypeClass::any,
          true),
      comparison(
          "not_equal", "Whether a and b differ; NaN differs from everything.", ScalarOp::not_equal,
          [](double a, double b) { return a != b; }, [](int64_t a, int64_t b) { return a != b; }, DTypeClass::any,
          true),
      comparison(
          "less", "Whether a < b; false for NaN.", ScalarOp::less, [](double a, double b) { return a < b; },
          [](int64_t a, int64_t b) { return a < b; }, DTypeClass::numeric, false),
      comparison(
          "less_equal", "Whether a <= b; false for NaN.", ScalarOp::less_equal,
          [](double a, double b) { return a <= b; }, [](int64_t a, int64_t b) { return a <= b; }, DTypeClass::numeric,
          false),
      comparison(
          "greater", "Whether a > b; false for NaN.", ScalarOp::greater, [](double a, double b) { return a > b; },
          [](int64_t a, int64_t b) { return a > b; }, DTypeClass::numeric, false),
      comparison(
          "greater_equal", "Whether a >= b; false for NaN.", ScalarOp::greater_equal,
          [](double a, double b) { return a >= b; }, [](int64_t a, int64_t b) { return a >= b; }, DTypeClass::numeric,
          false),
      comparison(
          "logical_and", "Whether both are true.", ScalarOp::logical_and, [](double a, double b) { return a && b; },
          [](int64_t a, int64_t b) { return a && b; }, DTypeClass::boolean, true),
      comparison(
          "logical_or", "Whether at least one is true.", ScalarOp::logical_or,
          [](double a, double b) { return a || b; }, [](int64_t a, int64_t b) { return a || b; }, DTypeClass::boolean,
          true),
      comparison(
          "logical_xor", "Whether exactly one is true.", ScalarOp::logical_xor,
          [](double a, double b) { return !a != !b; }, [](int64_t a, int64_t b) { return !a != !b; },
          DTypeClass::boolean, true),
  };
}

}  // namespace

std::vector<OpEntry> binary_ops() {
  std::vector<OpEntry> entries;
  for (auto group : {arithmetic_ops, power_ops, comparison_ops})
    for (OpEntry& entry : group()) entries.push_back(std::move(entry));
  return entries;
}

}  // namespace placewright::ops
