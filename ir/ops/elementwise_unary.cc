// Elementwise ops of one operand.
#include <cmath>
#include <numbers>

#include "elementwise.h"

namespace placewright::ops {
namespace {

using Number = double (*)(double);
using Integer = int64_t (*)(int64_t);
using Derivative = Expr (*)(Expr x, Expr y, Expr g);  // operand, result, gradient of the result

std::vector<Type> same_type(const OpView& view) { return {Type(view.operand(0).dtype, view.operand(0).shape)}; }
std::vector<Type> boolean_type(const OpView& view) { return {Type(DType::boolean, view.operand(0).shape)}; }

Gradient gradient_by(Derivative derivative) {
  return Gradient([derivative](GradientContext& context) -> OperandGradients {
    FunctionBuilder& builder = context.builder;
    return {
        derivative({builder, context.operands[0]}, {builder, context.results[0]}, {builder, *context.gradients[0]})};
  });
}

// Constant between jumps: the derivative is zero.
Gradient zero_gradient() {
  return Gradient([](GradientContext&) { return OperandGradients{std::nullopt}; });
}

OpEntry unary(std::string_view name, std::string_view summary, ScalarOp op, Number number, Gradient gradient,
              std::pair<double, double> domain = {-2, 2}) {
  return {.name = name,
          .summary = summary,
          .signature = {.operands = {{"x", DTypeClass::floating}}},
          .infer = same_type,
          .evaluate =
              [number](const OpView&, std::span<const HostTensor> operands, std::span<HostTensor> results) {
                for (int64_t i = 0; i < results[0].elements(); ++i)
                  results[0].set_number(i, number(operands[0].number(i)));
              },
          .gradient = std::move(gradient),
          .realisation = one_instruction(op),
          .domain = domain};
}

// The same for every dtype but bool; integers wrap.
OpEntry numeric(std::string_view name, std::string_view summary, ScalarOp op, Number number, Integer integer,
                Gradient gradient) {
  OpEntry entry = unary(name, summary, op, number, std::move(gradient));
  entry.signature.operands[0].dtypes = DTypeClass::numeric;
  entry.evaluate = [number, integer](const OpView&, std::span<const HostTensor> operands,
                                     std::span<HostTensor> results) {
    bool floating = is_floating(results[0].dtype());
    for (int64_t i = 0; i < results[0].elements(); ++i)
      if (floating)
        results[0].set_number(i, number(operands[0].number(i)));
      else
        results[0].set_integer(i, integer(operands[0].integer(i)));
  };
  return entry;
}

OpEntry test(std::string_view name, std::string_view summary, ScalarOp op, bool (*holds)(double), DTypeClass dtypes) {
  return {.name = name,
          .summary = summary,
          .signature = {.operands = {{"x", dtypes}}},
          .infer = boolean_type,
          .evaluate =
              [holds](const OpView&, std::span<const HostTensor> operands, std::span<HostTensor> results) {
                for (int64_t i = 0; i < results[0].elements(); ++i)
                  results[0].set_integer(i, holds(operands[0].number(i)));
              },
          .gradient = Gradient::not_differentiable(),
          .realisation = one_instruction(op)};
}

double sign_of(double x) { return std::isnan(x) || x == 0 ? x : x > 0 ? 1 : -1; }
int64_t negate(int64_t x) { return static_cast<int64_t>(-static_cast<uint64_t>(x)); }

OpEntry reciprocal() {
  OpEntry entry = unary("reciprocal", "1 / x.", ScalarOp::div, [](double x) { return 1 / x; },
                        gradient_by([](Expr, Expr y, Expr g) { return -(g * y * y); }), {0.3, 2});
  entry.realisation = Scalar{[](ScalarBody& body, std::span<const int> x, const OpView& view) {
    ScalarWriter write(body);
    return write(ScalarOp::div, write.constant(view.result().dtype, 1), x[0]);
  }};
  return entry;
}

std::vector<OpEntry> exponential_ops() {
  return {
      unary(
          "exp", "e to the power x.", ScalarOp::exp, [](double x) { return std::exp(x); },
          gradient_by([](Expr, Expr y, Expr g) { return g * y; })),
      unary(
          "expm1", "exp(x) - 1, precise near 0.", ScalarOp::expm1, [](double x) { return std::expm1(x); },
          gradient_by([](Expr, Expr y, Expr g) { return g * (y + 1.0); })),
      unary("log", "Natural logarithm; NaN below 0, -inf at 0.", ScalarOp::log, [](double x) { return std::log(x); },
            gradient_by([](Expr x, Expr, Expr g) { return g / x; }), {0.1, 4}),
      unary("log1p", "log(1 + x), precise near 0.", ScalarOp::log1p, [](double x) { return std::log1p(x); },
            gradient_by([](Expr x, Expr, Expr g) { return g / (x + 1.0); }), {-0.8, 4}),
      unary("sqrt", "Square root; NaN below 0.", ScalarOp::sqrt, [](double x) { return std::sqrt(x); },
            gradient_by([](Expr, Expr y, Expr g) { return g / (y * 2.0); }), {0.1, 4}),
      unary("rsqrt", "1 / sqrt(x).", ScalarOp::rsqrt, [](double x) { return 1 / std::sqrt(x); },
            gradient_by([](Expr x, Expr y, Expr g) { return g * y / x * -0.5; }), {0.1, 4}),
      reciprocal(),
  };
}

std::vector<OpEntry> trigonometric_ops() {
  return {
      unary("sin", "Sine of x radians. Compiled code is accurate to |x| of 1e8 and means nothing beyond.",
            ScalarOp::sin, [](double x) { return std::sin(x); },
            gradient_by([](Expr x, Expr, Expr g) { return g * apply("cos", {x}); }), {-6, 6}),
      unary("cos", "Cosine of x radians. Compiled code is accurate to |x| of 1e8 and means nothing beyond.",
            ScalarOp::cos, [](double x) { return std::cos(x); },
            gradient_by([](Expr x, Expr, Expr g) { return -(g * apply("sin", {x})); }), {-6, 6}),
      unary("tan", "Tangent of x radians. Compiled code is accurate to |x| of 1e8 and means nothing beyond.",
            ScalarOp::tan, [](double x) { return std::tan(x); },
            gradient_by([](Expr, Expr y, Expr g) { return g * (y * y + 1.0); }), {-1.3, 1.3}),
      unary("asin", "Arc sine; NaN outside [-1, 1].", ScalarOp::asin, [](double x) { return std::asin(x); },
            gradient_by([](Expr x, Expr, Expr g) { return g * apply("rsqrt", {1.0 - x * x}); }), {-0.9, 0.9}),
      unary("acos", "Arc cosine; NaN outside [-1, 1].", ScalarOp::acos, [](double x) { return std::acos(x); },
            gradient_by([](Expr x, Expr, Expr g) { return -(g * apply("rsqrt", {1.0 - x * x})); }), {-0.9, 0.9}),
      unary(
          "atan", "Arc tangent.", ScalarOp::atan, [](double x) { return std::atan(x); },
          gradient_by([](Expr x, Expr, Expr g) { return g / (x * x + 1.0); })),
      unary(
          "sinh", "Hyperbolic sine.", ScalarOp::sinh, [](double x) { return std::sinh(x); },
          gradient_by([](Expr x, Expr, Expr g) { return g * apply("cosh", {x}); })),
      unary(
          "cosh", "Hyperbolic cosine.", ScalarOp::cosh, [](double x) { return std::cosh(x); },
          gradient_by([](Expr x, Expr, Expr g) { return g * apply("sinh", {x}); })),
      unary(
          "tanh", "Hyperbolic tangent.", ScalarOp::tanh, [](double x) { return std::tanh(x); },
          gradient_by([](Expr, Expr y, Expr g) { return g * (1.0 - y * y); })),
      unary(
          "erf", "Error function.", ScalarOp::erf, [](double x) { return std::erf(x); },
          gradient_by(
              [](Expr x, Expr, Expr g) { return g * apply("exp", {-(x * x)}) * (2 * std::numbers::inv_sqrtpi); })),
      unary(
          "sigmoid", "1 / (1 + exp(-x)).", ScalarOp::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); },
          gradient_by([](Expr, Expr y, Expr g) { return g * (y * (1.0 - y)); })),
  };
}

std::vector<OpEntry> rounding_ops() {
  return {
      unary(
          "floor", "Largest whole number <= x.", ScalarOp::floor, [](double x) { return std::floor(x); },
          zero_gradient()),
      unary(
          "ceil", "Smallest whole number >= x.", ScalarOp::ceil, [](double x) { return std::ceil(x); },
          zero_gradient()),
      unary(
          "round", "Nearest whole number; halves go to the even one.", ScalarOp::round,
          [](double x) { return std::nearbyint(x); }, zero_gradient()),
      unary(
          "trunc", "The whole part of x: towards zero.", ScalarOp::trunc, [](double x) { return std::trunc(x); },
          zero_gradient()),
  };
}

std::vector<OpEntry> plain_ops() {
  return {
      numeric(
          "neg", "-x; integers wrap.", ScalarOp::neg, [](double x) { return -x; }, negate,
          gradient_by([](Expr, Expr, Expr g) { return -g; })),
      numeric(
          "abs", "|x|; the lowest integer stays itself. Its gradient at 0 is 0.", ScalarOp::abs,
          [](double x) { return std::fabs(x); }, [](int64_t x) { return x < 0 ? negate(x) : x; },
          gradient_by([](Expr x, Expr, Expr g) { return g * apply("sign", {x}); })),
      numeric(
          "sign", "-1, 0 or 1; zeros keep their sign, NaN stays.", ScalarOp::sign, sign_of,
          [](int64_t x) -> int64_t { return (x > 0) - (x < 0); }, zero_gradient()),
      test(
          "is_nan", "Whether x is not a number.", ScalarOp::is_nan, [](double x) { return std::isnan(x); },
          DTypeClass::floating),
      test(
          "is_finite", "Whether x is neither infinite nor NaN.", ScalarOp::is_finite,
          [](double x) { return std::isfinite(x); }, DTypeClass::floating),
      test(
          "logical_not", "Whether x is false.", ScalarOp::logical_not, [](double x) { return x == 0; },
          DTypeClass::boolean),
  };
}

}  // namespace

std::vector<OpEntry> unary_ops() {
  std::vector<OpEntry> entries;
  for (auto group : {plain_ops, exponential_ops, trigonometric_ops, rounding_ops})
    for (OpEntry& entry : group()) entries.push_back(std::move(entry));
  return entries;
}

}  // namespace placewright::ops
