// Elementwise ops that choose or convert: select, clamp, cast.
#include <cmath>
#include <cstring>

#include "elementwise.h"

namespace placewright::ops {
namespace {

std::vector<Type> infer_select(const OpView& view) {
  const TensorType &condition = view.operand(0), &a = view.operand(1), &b = view.operand(2);
  expect(a.dtype == b.dtype, "operands a and b have dtypes {} and {}, expected one; cast one of them", name(a.dtype),
         name(b.dtype));
  expect_shape(condition.shape, a.shape, "condition");
  expect_shape(b.shape, a.shape, "b");
  return {Type(a.dtype, a.shape)};
}

void evaluate_select(const OpView&, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  auto size = static_cast<size_t>(byte_size(results[0].dtype(), 1));
  for (int64_t i = 0; i < results[0].elements(); ++i) {
    const HostTensor& chosen = operands[operands[0].integer(i) ? 1 : 2];
    auto at = static_cast<size_t>(i) * size;
    std::memcpy(results[0].raw() + at, chosen.raw() + at, size);
  }
}

OperandGradients select_gradient(GradientContext& context) {
  Expr condition(context.builder, context.operands[0]), g(context.builder, *context.gradients[0]);
  OperandGradients gradients(3);
  if (context.needed[1]) gradients[1] = select(condition, g, full_like(g, 0));
  if (context.needed[2]) gradients[2] = select(condition, full_like(g, 0), g);
  return gradients;
}

std::vector<Sample> select_samples() {
  std::vector<Sample> samples;
  for (const Shape& shape : {Shape{}, Shape{5}, Shape{3, 4}, Shape{2, 0}, Shape{2, 1, 17}})
    samples.push_back({.operands = {Type(DType::boolean, shape), Type(DType::f32, shape), Type(DType::f32, shape)}});
  return samples;
}

std::vector<Type> infer_clamp(const OpView& view) {
  expect_shape(view.operand(1).shape, view.operand(0).shape, "low");
  expect_shape(view.operand(2).shape, view.operand(0).shape, "high");
  return {Type(view.operand(0).dtype, view.operand(0).shape)};
}

template <typename T>
T clamped(T x, T low, T high) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(x) || std::isnan(low) || std::isnan(high)) return std::nan("");
    // -0 is below +0, as everywhere in min and max.
    auto below = [](T p, T q) { return p < q || (p == q && std::signbit(p) && !std::signbit(q)); };
    T raised = below(x, low) ? low : x;
    return below(high, raised) ? high : raised;
  } else {
    T raised = x < low ? low : x;
    return high < raised ? high : raised;
  }
}

void evaluate_clamp(const OpView&, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const HostTensor &x = operands[0], &low = operands[1], &high = operands[2];
  for (int64_t i = 0; i < results[0].elements(); ++i)
    if (is_floating(x.dtype()))
      results[0].set_number(i, clamped(x.number(i), low.number(i), high.number(i)));
    else
      results[0].set_integer(i, clamped(x.integer(i), low.integer(i), high.integer(i)));
}

// To x inside the limits, both included; else to the limit that the result is.
OperandGradients clamp_gradient(GradientContext& context) {
  FunctionBuilder& builder = context.builder;
  Expr x(builder, context.operands[0]), low(builder, context.operands[1]), high(builder, context.operands[2]);
  Expr g(builder, *context.gradients[0]);
  Expr zero = full_like(g, 0);
  OperandGradients gradients(3);
  if (context.needed[0])
    gradients[0] =
        select(apply("logical_and", {apply("greater_equal", {x, low}), apply("less_equal", {x, high})}), g, zero);
  if (context.needed[1])
    gradients[1] = select(apply("logical_and", {apply("less", {x, low}), apply("less_equal", {low, high})}), g, zero);
  if (context.needed[2]) gradients[2] = select(apply("logical_or", {x > high, low > high}), g, zero);
  return gradients;
}

std::vector<Type> infer_cast(const OpView& view) {
  return {Type(expect_supported(view.attributes.get<DType>("dtype"), "dtype"), view.operand(0).shape)};
}

void evaluate_cast(const OpView&, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  for (int64_t i = 0; i < results[0].elements(); ++i)
    if (is_floating(operands[0].dtype()))
      results[0].set_number(i, operands[0].number(i));
    else if (is_floating(results[0].dtype()) && results[0].dtype() == DType::f32)
      // Rounded once, from the integer: by way of f64 a 64-bit integer would be rounded twice.
      results[0].data<float>()[static_cast<size_t>(i)] = static_cast<float>(operands[0].integer(i));
    else if (is_floating(results[0].dtype()))
      results[0].set_number(i, static_cast<double>(operands[0].integer(i)));
    else
      results[0].set_integer(i, operands[0].integer(i));
}

OperandGradients cast_gradient(GradientContext& context) {
  DType dtype = context.view.operand(0).dtype;
  if (!is_floating(dtype)) return {std::nullopt};
  return {context.builder.cast(*context.gradients[0], dtype)};
}

std::vector<Sample> cast_samples() {
  std::vector<Sample> samples;
  for (DType to : {DType::boolean, DType::u8, DType::i32, DType::i64, DType::f32, DType::f64})
    for (const Shape& shape : {Shape{}, Shape{19}, Shape{0, 3}})
      samples.push_back({.operands = {Type(DType::f32, shape)},
                         .attributes = {{"dtype", to}},
                         .ranges = {{-300, 300}},
                         .differentiable_here = to == DType::f64});
  for (const Shape& shape : {Shape{2, 3}, Shape{1, 17}, Shape{4}})
    samples.push_back({.operands = {Type(DType::f32, shape)}, .attributes = {{"dtype", DType::f64}}});
  return samples;
}

}  // namespace

std::vector<OpEntry> selection_ops() {
  return {
      {.name = "select",
       .summary = "a where the condition holds, else b.",
       .signature = {.operands = {{"condition", DTypeClass::boolean}, {"a"}, {"b"}}, .same_dtype = false},
       .infer = infer_select,
       .evaluate = evaluate_select,
       .gradient = Gradient(select_gradient),
       .realisation = one_instruction(ScalarOp::select),
       .samples = select_samples()},
      {.name = "clamp",
       .summary = "min(max(x, low), high): NaN if any of them is NaN, high where low > high.",
       .signature = {.operands = {{"x", DTypeClass::numeric},
                                  {"low", DTypeClass::numeric},
                                  {"high", DTypeClass::numeric}}},
       .infer = infer_clamp,
       .evaluate = evaluate_clamp,
       .gradient = Gradient(clamp_gradient),
       .realisation = Scalar{[](ScalarBody& body, std::span<const int> x, const OpView&) {
         ScalarWriter write(body);
         return write(ScalarOp::min, write(ScalarOp::max, x[0], x[1]), x[2]);
       }}},
      {.name = "cast",
       .summary =
           "x in another dtype. Floating to integer truncates towards zero and saturates, NaN gives 0; integer to "
           "integer keeps the low bits; to bool: whether x is not 0; to floating rounds to nearest even.",
       .signature = {.operands = {{"x"}}, .attributes = {{"dtype", AttributeKind::dtype, {}, "of the result"}}},
       .infer = infer_cast,
       .evaluate = evaluate_cast,
       .gradient = Gradient(cast_gradient),
       .realisation = Scalar{[](ScalarBody& body, std::span<const int> x, const OpView& view) {
         return ScalarWriter(body).cast(x[0], view.result().dtype);
       }},
       .samples = cast_samples()},
  };
}

}  // namespace placewright::ops
