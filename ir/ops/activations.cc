// Activation functions: each one scalar expression.
#include <cmath>
#include <numbers>

#include "checks.h"
#include "graph_writer.h"
#include "scalar_writer.h"

namespace placewright::ops {
namespace {

constexpr double root_half = std::numbers::sqrt2 / 2;                                       // sqrt(1/2)
constexpr double root_two_by_pi = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;           // sqrt(2/pi)
constexpr double root_inverse_two_pi = std::numbers::inv_sqrtpi * std::numbers::sqrt2 / 2;  // sqrt(1/(2 pi))
constexpr double gelu_cubic = 0.044715;

double attribute(const OpView& view, std::string_view name) { return view.attributes.get<double>(name); }

bool is_tanh_gelu(const OpView& view) { return view.attributes.get<std::string>("approximate") == "tanh"; }

std::vector<Type> infer_same(const OpView& view) { return {Type(view.operand(0).dtype, view.operand(0).shape)}; }

// --- evaluate

double relu(const OpView&, double x) { return x < 0 ? 0 : x; }

double leaky_relu(const OpView& view, double x) { return x < 0 ? attribute(view, "slope") * x : x; }

double elu(const OpView& view, double x) { return x < 0 ? attribute(view, "alpha") * std::expm1(x) : x; }

double hardtanh(const OpView& view, double x) {
  double low = attribute(view, "low"), high = attribute(view, "high");
  return x < low ? low : x > high ? high : x;
}

double softplus(const OpView& view, double x) {
  double beta = attribute(view, "beta");
  return beta * x > attribute(view, "threshold") ? x : std::log1p(std::exp(beta * x)) / beta;
}

double silu(const OpView&, double x) { return x / (1 + std::exp(-x)); }

double gelu(const OpView& view, double x) {
  if (is_tanh_gelu(view)) return 0.5 * x * (1 + std::tanh(root_two_by_pi * (x + gelu_cubic * x * x * x)));
  return 0.5 * x * std::erfc(-x * root_half);
}

// --- lower

using Nodes = std::span<const int>;

// One compare and select, which machines have as a single maximum; NaN is not below 0, so it stays.
int lower_relu(ScalarBody& nodes, Nodes operands, const OpView& view) {
  ScalarWriter body(nodes);
  int x = operands[0], zero = body.constant(view.operand(0).dtype, 0);
  return body(ScalarOp::select, body(ScalarOp::less, x, zero), zero, x);
}

int lower_leaky_relu(ScalarBody& nodes, Nodes operands, const OpView& view) {
  ScalarWriter body(nodes);
  DType dtype = view.operand(0).dtype;
  int x = operands[0], zero = body.constant(dtype, 0), slope = body.constant(dtype, attribute(view, "slope"));
  return body(ScalarOp::select, body(ScalarOp::less, x, zero), body(ScalarOp::mul, x, slope), x);
}

int lower_elu(ScalarBody& nodes, Nodes operands, const OpView& view) {
  ScalarWriter body(nodes);
  DType dtype = view.operand(0).dtype;
  int x = operands[0], zero = body.constant(dtype, 0), alpha = body.constant(dtype, attribute(view, "alpha"));
  int below = body(ScalarOp::mul, body(ScalarOp::expm1, x), alpha);
  return body(ScalarOp::select, body(ScalarOp::less, x, zero), below, x);
}

int lower_hardtanh(ScalarBody& nodes, Nodes operands, const OpView& view) {
  ScalarWriter body(nodes);
  DType dtype = view.operand(0).dtype;
  int low = body.constant(dtype, attribute(view, "low")), high = body.constant(dtype, attribute(view, "high"));
  int x = operands[0];
  x = body(ScalarOp::select, body(ScalarOp::less, x, low), low, x);
  return body(ScalarOp::select, body(ScalarOp::greater, x, high), high, x);
}

// max(z, 0) + log1p(exp(-|z|)) for z = beta x: never overflows.
int lower_softplus(ScalarBody& nodes, Nodes operands, const OpView& view) {
  ScalarWriter body(nodes);
  DType dtype = view.operand(0).dtype;
  int beta = body.constant(dtype, attribute(view, "beta")), zero = body.constant(dtype, 0);
  int threshold = body.constant(dtype, attribute(view, "threshold"));
  int z = body(ScalarOp::mul, operands[0], beta);
  int tail = body(ScalarOp::log1p, body(ScalarOp::exp, body(ScalarOp::neg, body(ScalarOp::abs, z))));
  int smooth = body(ScalarOp::add, body(ScalarOp::max, z, zero), tail);
  return body(ScalarOp::select, body(ScalarOp::greater, z, threshold), operands[0], body(ScalarOp::div, smooth, beta));
}

int lower_silu(ScalarBody& nodes, Nodes operands, const OpView&) {
  ScalarWriter body(nodes);
  return body(ScalarOp::mul, operands[0], body(ScalarOp::sigmoid, operands[0]));
}

int lower_gelu(ScalarBody& nodes, Nodes operands, const OpView& view) {
  ScalarWriter body(nodes);
  DType dtype = view.operand(0).dtype;
  int x = operands[0], half = body.constant(dtype, 0.5), one = body.constant(dtype, 1), inner;
  if (is_tanh_gelu(view)) {
    int cubic = body(ScalarOp::mul, body(ScalarOp::mul, x, x), body.constant(dtype, gelu_cubic));
    int scaled = body(ScalarOp::mul, body(ScalarOp::add, cubic, one), body.constant(dtype, root_two_by_pi));
    inner = body(ScalarOp::tanh, body(ScalarOp::mul, x, scaled));
  } else {
    inner = body(ScalarOp::erf, body(ScalarOp::mul, x, body.constant(dtype, root_half)));
  }
  return body(ScalarOp::mul, body(ScalarOp::mul, x, half), body(ScalarOp::add, inner, one));
}

// --- gradients

// Through the result, so that the operand need not be kept.
OperandGradients differentiate_relu(GradientContext& context) {
  return {select(result(context) > 0, gradient(context), 0)};
}

OperandGradients differentiate_leaky_relu(GradientContext& context) {
  Expr g = gradient(context);
  Expr below = g * attribute(context.view, "slope");
  return {select(operand(context, 0) < 0, below, g)};
}

OperandGradients differentiate_elu(GradientContext& context) {
  Expr x = operand(context, 0), g = gradient(context);
  Expr below = g * apply("exp", {x}) * attribute(context.view, "alpha");
  return {select(x < 0, below, g)};
}

OperandGradients differentiate_hardtanh(GradientContext& context) {
  Expr x = operand(context, 0);
  Expr above_low = select(x < attribute(context.view, "low"), 0, gradient(context));
  return {select(x > attribute(context.view, "high"), 0, above_low)};
}

OperandGradients differentiate_softplus(GradientContext& context) {
  Expr g = gradient(context), z = operand(context, 0) * attribute(context.view, "beta");
  Expr smooth = g * apply("sigmoid", {z});
  return {select(z > attribute(context.view, "threshold"), g, smooth)};
}

OperandGradients differentiate_silu(GradientContext& context) {
  Expr x = operand(context, 0), s = apply("sigmoid", {x});
  return {gradient(context) * (s * (x * (1 - s) + 1))};
}

OperandGradients differentiate_gelu(GradientContext& context) {
  Expr x = operand(context, 0), square = x * x;
  if (is_tanh_gelu(context.view)) {
    Expr t = apply("tanh", {x * ((square * gelu_cubic + 1) * root_two_by_pi)});
    Expr slope = (square * (3 * gelu_cubic) + 1) * root_two_by_pi;
    Expr distribution = (t + 1) * 0.5, curvature = 1 - t * t;
    return {gradient(context) * (distribution + x * curvature * slope * 0.5)};
  }
  Expr distribution = (apply("erf", {x * root_half}) + 1) * 0.5;
  Expr density = apply("exp", {square * -0.5}) * root_inverse_two_pi;
  return {gradient(context) * (distribution + x * density)};
}

AttributeSpec number(std::string_view name, double fallback, std::string_view meaning) {
  return {name, AttributeKind::number, Attribute(fallback), meaning};
}

OpEntry entry(std::string_view name, std::string_view summary, std::vector<AttributeSpec> attributes,
              double (*value)(const OpView&, double), int (*lower)(ScalarBody&, Nodes, const OpView&),
              OperandGradients (*gradient)(GradientContext&)) {
  return {.name = name,
          .summary = summary,
          .signature = {.operands = {{"x", DTypeClass::floating}}, .attributes = std::move(attributes)},
          .infer = infer_same,
          .evaluate =
              [value](const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
                for (int64_t i = 0; i < operands[0].elements(); ++i)
                  results[0].set_number(i, value(view, operands[0].number(i)));
              },
          .gradient = Gradient(gradient),
          .realisation = Scalar{lower},
          .domain = {-4, 4}};
}

}  // namespace

std::vector<OpEntry> activations() {
  std::vector<OpEntry> entries = {
      entry("relu", "x, or 0 where x < 0; NaN stays NaN and -0 stays -0.", {}, relu, lower_relu, differentiate_relu),
      entry("leaky_relu", "x, or slope * x where x < 0.", {number("slope", 0.01, "below 0")}, leaky_relu,
            lower_leaky_relu, differentiate_leaky_relu),
      entry("elu", "x, or alpha * (exp(x) - 1) where x < 0.", {number("alpha", 1, "the limit below 0, negated")}, elu,
            lower_elu, differentiate_elu),
      entry("hardtanh", "x limited to [low, high].",
            {number("low", -1, "smallest result"), number("high", 1, "largest result")}, hardtanh, lower_hardtanh,
            differentiate_hardtanh),
      entry("softplus", "log(1 + exp(beta x)) / beta, or x where beta x > threshold.",
            {number("beta", 1, "sharpness"), number("threshold", 20, "where the function becomes the identity")},
            softplus, lower_softplus, differentiate_softplus),
      entry("silu", "x * sigmoid(x).", {}, silu, lower_silu, differentiate_silu),
      entry("gelu",
            "x * Phi(x) with the normal distribution Phi; approximate = tanh: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 "
            "x^3))) (Hendrycks and Gimpel 2016).",
            {{"approximate", AttributeKind::string, Attribute(std::string("none")), "none or tanh"}}, gelu, lower_gelu,
            differentiate_gelu),
  };
  entries.back().infer = [](const OpView& view) {
    const auto& approximate = view.attributes.get<std::string>("approximate");
    expect(approximate == "none" || approximate == "tanh", "approximate is '{}', expected none or tanh", approximate);
    return infer_same(view);
  };
  entries.back().samples = {
      {.operands = {Type(DType::f32, {3, 5})}, .attributes = {{"approximate", std::string("tanh")}}}};
  return entries;
}

}  // namespace placewright::ops
