// Means, variances and what is made of them; softmax. All composites.
#include <cmath>
#include <limits>

#include "checks.h"
#include "graph_writer.h"
#include "naive_loops.h"

namespace placewright::ops {
namespace {

std::vector<Type> infer_same(const OpView& view) { return {Type(view.operand(0).dtype, view.operand(0).shape)}; }

// The elements of a tensor in groups that share their position outside `dims`: calls body(group, elements) where
// `elements` are flat numbers in row-major order, also for groups without elements.
template <typename Body>
void for_each_group(const Sizes& sizes, const std::vector<bool>& grouped, Body body) {
  Sizes outer = sizes, inner = sizes;
  for (size_t d = 0; d < sizes.size(); ++d) (grouped[d] ? outer : inner)[d] = 1;
  int64_t group = 0;
  for_each_position(outer, [&](const Sizes& at) {
    std::vector<int64_t> elements;
    for_each_position(inner, [&](const Sizes& within) {
      Sizes position = at;
      for (size_t d = 0; d < sizes.size(); ++d) position[d] += within[d];
      elements.push_back(flat_index(position, sizes));
    });
    body(group++, elements);
  });
}

std::vector<bool> flags(const Sizes& dims, size_t rank) {
  std::vector<bool> flags(rank, false);
  for (int64_t dim : dims) flags[dim] = true;
  return flags;
}

Type f32(Shape shape) { return {DType::f32, std::move(shape)}; }

// --- softmax

Sizes softmax_dims(const OpView& view) { return {view.attributes.get<int64_t>("dim")}; }

std::vector<Type> infer_softmax(const OpView& view) {
  expect_dim(view.attributes.get<int64_t>("dim"), view.operand(0).rank(), "dim");
  return infer_same(view);
}

void evaluate_softmax(const OpView& view, const HostTensor& x, HostTensor& result, bool log) {
  for_each_group(x.sizes(), flags(softmax_dims(view), x.sizes().size()),
                 [&](int64_t, const std::vector<int64_t>& elements) {
                   double largest = -std::numeric_limits<double>::infinity(), total = 0;
                   for (int64_t i : elements) largest = std::max(largest, x.number(i));
                   for (int64_t i : elements) total += std::exp(x.number(i) - largest);
                   for (int64_t i : elements) {
                     double shifted = x.number(i) - largest;
                     result.set_number(i, log ? shifted - std::log(total) : std::exp(shifted) / total);
                   }
                 });
}

std::vector<Value> decompose_softmax(FunctionBuilder& builder, const OpView& view, std::span<const Value> operands) {
  Expr x{builder, operands[0]};
  Sizes dims = softmax_dims(view);
  Expr exponential = apply("exp", {x - spread(maximum(x, dims), x.shape(), dims)});
  return {exponential / spread(sum(exponential, dims), x.shape(), dims)};
}

std::vector<Value> decompose_log_softmax(FunctionBuilder& builder, const OpView& view,
                                         std::span<const Value> operands) {
  Expr x{builder, operands[0]};
  Sizes dims = softmax_dims(view);
  Expr shifted = x - spread(maximum(x, dims), x.shape(), dims);
  Expr log_total = apply("log", {sum(apply("exp", {shifted}), dims)});
  return {shifted - spread(log_total, x.shape(), dims)};
}

OperandGradients differentiate_softmax(GradientContext& context) {
  Expr y = result(context), g = gradient(context);
  Sizes dims = softmax_dims(context.view);
  return {y * (g - spread(sum(g * y, dims), y.shape(), dims))};
}

OperandGradients differentiate_log_softmax(GradientContext& context) {
  Expr y = result(context), g = gradient(context);
  Sizes dims = softmax_dims(context.view);
  Expr total = spread(sum(g, dims), y.shape(), dims);
  return {g - apply("exp", {y}) * total};
}

std::vector<Sample> softmax_samples() {
  auto sample = [](Shape shape, int64_t dim) {
    return Sample{.operands = {f32(std::move(shape))}, .attributes = {{"dim", dim}}};
  };
  return {sample({4, 10}, 1), sample({3, 4, 5}, 1), sample({7, 3}, 0), sample({6}, 0),
          sample({3, 40}, 1), sample({0, 4}, 1),    sample({3, 1}, 1)};
}

// --- mean and variance

const Sizes& dims_of(const OpView& view) { return view.attributes.get<Sizes>("dims"); }
bool keeps_dims(const OpView& view) { return view.attributes.get<bool>("keep_dims"); }

std::vector<Type> infer_reduction(const OpView& view) {
  expect_dims(dims_of(view), view.operand(0).rank(), "dims");
  return {Type(view.operand(0).dtype, reduced_shape(view.operand(0).shape, dims_of(view), keeps_dims(view)))};
}

double mean_of(const HostTensor& x, const std::vector<int64_t>& elements) {
  double total = 0;
  for (int64_t i : elements) total += x.number(i);
  return total / static_cast<double>(elements.size());
}

double squares_of(const HostTensor& x, const std::vector<int64_t>& elements, double mean) {
  double total = 0;
  for (int64_t i : elements) total += (x.number(i) - mean) * (x.number(i) - mean);
  return total;
}

void evaluate_mean(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const HostTensor& x = operands[0];
  for_each_group(
      x.sizes(), flags(dims_of(view), x.sizes().size()),
      [&](int64_t group, const std::vector<int64_t>& elements) { results[0].set_number(group, mean_of(x, elements)); });
}

void evaluate_variance(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const HostTensor& x = operands[0];
  auto correction = static_cast<double>(view.attributes.get<int64_t>("correction"));
  for_each_group(x.sizes(), flags(dims_of(view), x.sizes().size()),
                 [&](int64_t group, const std::vector<int64_t>& elements) {
                   double squares = squares_of(x, elements, mean_of(x, elements));
                   double freedom = std::max(static_cast<double>(elements.size()) - correction, 0.0);
                   results[0].set_number(group, squares / freedom);
                 });
}

std::vector<Value> decompose_mean(FunctionBuilder& builder, const OpView& view, std::span<const Value> operands) {
  Expr x{builder, operands[0]};
  Expr total = sum(x, dims_of(view), keeps_dims(view));
  return {total / count(x, dims_of(view))};
}

std::vector<Value> decompose_variance(FunctionBuilder& builder, const OpView& view, std::span<const Value> operands) {
  Expr x{builder, operands[0]}, elements = count(x, dims_of(view));
  Expr centred = x - spread(sum(x, dims_of(view)) / elements, x.shape(), dims_of(view));
  Expr freedom = elements - static_cast<double>(view.attributes.get<int64_t>("correction"));
  Expr squares = sum(centred * centred, dims_of(view), keeps_dims(view));
  return {squares / select(freedom < 0, 0, freedom)};
}

std::vector<Sample> reduction_samples() {
  auto sample = [](Shape shape, Sizes dims, bool keep_dims) {
    return Sample{.operands = {f32(std::move(shape))},
                  .attributes = {{"dims", std::move(dims)}, {"keep_dims", keep_dims}}};
  };
  return {sample({4, 10}, {1}, false), sample({4, 10}, {0}, true), sample({2, 3, 4}, {0, 2}, false),
          sample({5, 40}, {0, 1}, false), sample({7}, {0}, true)};
}

// --- layer norm

Sizes normalised_dims(const OpView& view) {
  Sizes dims;
  int rank = view.operand(0).rank();
  for (int64_t d = rank - view.attributes.get<int64_t>("normalised_dims"); d < rank; ++d) dims.push_back(d);
  return dims;
}

std::vector<Type> infer_layer_norm(const OpView& view) {
  const Shape& shape = view.operand(0).shape;
  auto rank = static_cast<int64_t>(shape.size()), trailing = view.attributes.get<int64_t>("normalised_dims");
  expect(trailing >= 1 && trailing <= rank, "normalised_dims is {}, expected from 1 to {}, the rank of x", trailing,
         rank);
  expect(view.operands.size() <= 3, "found {} operands, expected x and at most a scale and a shift",
         view.operands.size());
  for (size_t i = 1; i < view.operands.size(); ++i)
    expect_shape(view.operand(static_cast<int>(i)).shape, Shape(shape.end() - trailing, shape.end()),
                 i == 1 ? "scale" : "shift");
  return infer_same(view);
}

void evaluate_layer_norm(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const HostTensor& x = operands[0];
  double epsilon = view.attributes.get<double>("epsilon");
  for_each_group(x.sizes(), flags(normalised_dims(view), x.sizes().size()),
                 [&](int64_t, const std::vector<int64_t>& elements) {
                   double mean = mean_of(x, elements);
                   double variance = squares_of(x, elements, mean) / static_cast<double>(elements.size());
                   for (size_t i = 0; i < elements.size(); ++i) {
                     double value = (x.number(elements[i]) - mean) / std::sqrt(variance + epsilon);
                     if (operands.size() > 1) value *= operands[1].number(static_cast<int64_t>(i));
                     if (operands.size() > 2) value += operands[2].number(static_cast<int64_t>(i));
                     results[0].set_number(elements[i], value);
                   }
                 });
}

// The operand with mean 0 and variance 1, and the factor that made it so. The gradient writes the same ops as the
// decomposition, so that common ones are computed once.
struct Normalised {
  Expr value, factor;
};
Normalised normalise(const Expr& x, const OpView& view) {
  Sizes dims = normalised_dims(view);
  Expr elements = count(x, dims);
  Expr centred = x - spread(sum(x, dims) / elements, x.shape(), dims);
  Expr variance = sum(centred * centred, dims) / elements;
  Expr factor = spread(apply("rsqrt", {variance + view.attributes.get<double>("epsilon")}), x.shape(), dims);
  return {centred * factor, factor};
}

std::vector<Value> decompose_layer_norm(FunctionBuilder& builder, const OpView& view, std::span<const Value> operands) {
  Expr y = normalise({builder, operands[0]}, view).value;
  if (operands.size() > 1) y = y * Expr{builder, operands[1]};
  if (operands.size() > 2) y = y + Expr{builder, operands[2]};
  return {y};
}

OperandGradients differentiate_layer_norm(GradientContext& context) {
  Expr x = operand(context, 0), g = gradient(context);
  Normalised normalised = normalise(x, context.view);
  Sizes dims = normalised_dims(context.view), others;
  for (int64_t d = 0; d < x.rank() - static_cast<int64_t>(dims.size()); ++d) others.push_back(d);
  OperandGradients gradients(context.operands.size());
  if (context.needed[0]) {
    Expr scaled = context.operands.size() > 1 ? g * operand(context, 1) : g, elements = count(x, dims);
    Expr mean = spread(sum(scaled, dims) / elements, x.shape(), dims);
    Expr slope = spread(sum(scaled * normalised.value, dims) / elements, x.shape(), dims);
    Expr along = normalised.value * slope, centred = scaled - mean;
    gradients[0] = normalised.factor * (centred - along);
  }
  if (context.operands.size() > 1 && context.needed[1]) gradients[1] = sum(g * normalised.value, others);
  if (context.operands.size() > 2 && context.needed[2]) gradients[2] = sum(g, others);
  return gradients;
}

std::vector<Sample> layer_norm_samples() {
  return {{.operands = {f32({4, 10}), f32({10}), f32({10})}},
          {.operands = {f32({4, 10}), f32({10})}},
          {.operands = {f32({2, 3, 5})}},
          {.operands = {f32({2, 3, 4}), f32({3, 4}), f32({3, 4})}, .attributes = {{"normalised_dims", int64_t{2}}}},
          {.operands = {f32({3, 40}), f32({40}), f32({40})}, .attributes = {{"epsilon", 1e-3}}},
          {.operands = {f32({0, 4}), f32({4}), f32({4})}}};
}

}  // namespace

std::vector<OpEntry> normalisations() {
  AttributeSpec dim{"dim", AttributeKind::integer, {}, "dimension along which the result sums to 1"};
  AttributeSpec dims{"dims", AttributeKind::sizes, {}, "dimensions that are joined"};
  AttributeSpec keep_dims{"keep_dims", AttributeKind::boolean, Attribute(false), "whether they stay, with size 1"};
  AttributeSpec correction{"correction", AttributeKind::integer, Attribute(int64_t{1}),
                           "taken from the number of elements (1: Bessel's)"};
  auto softmax = [](bool log) {
    return [log](const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
      evaluate_softmax(view, operands[0], results[0], log);
    };
  };
  return {
      {.name = "softmax",
       .summary = "exp(x) / sum(exp(x)) along a dimension.",
       .signature = {.operands = {{"x", DTypeClass::floating}}, .attributes = {dim}},
       .infer = infer_softmax,
       .evaluate = softmax(false),
       .gradient = Gradient(differentiate_softmax),
       .realisation = Decompose{decompose_softmax},
       .samples = softmax_samples()},
      {.name = "log_softmax",
       .summary = "x - log(sum(exp(x))) along a dimension.",
       .signature = {.operands = {{"x", DTypeClass::floating}}, .attributes = {dim}},
       .infer = infer_softmax,
       .evaluate = softmax(true),
       .gradient = Gradient(differentiate_log_softmax),
       .realisation = Decompose{decompose_log_softmax},
       .samples = softmax_samples()},
      {.name = "mean",
       .summary = "The arithmetic mean over dimensions; NaN over no elements.",
       .signature = {.operands = {{"x", DTypeClass::floating}}, .attributes = {dims, keep_dims}},
       .infer = infer_reduction,
       .evaluate = evaluate_mean,
       .gradient = Gradient::through_decomposition(),
       .realisation = Decompose{decompose_mean},
       .samples = reduction_samples()},
      {.name = "variance",
       .summary = "The squared distance from the mean, summed over dimensions, by their number of elements less "
                  "`correction`.",
       .signature = {.operands = {{"x", DTypeClass::floating}}, .attributes = {dims, keep_dims, correction}},
       .infer = infer_reduction,
       .evaluate = evaluate_variance,
       .gradient = Gradient::through_decomposition(),
       .realisation = Decompose{decompose_variance},
       .samples = reduction_samples()},
      {.name = "layer_norm",
       .summary =
           "(x - mean) / sqrt(variance + epsilon) over the trailing dimensions, times a scale and plus a shift if "
           "they are given (Ba, Kiros and Hinton 2016).",
       .signature = {.operands = {{"x", DTypeClass::floating}, {"scale_and_shift", DTypeClass::floating, true}},
                     .attributes = {{"normalised_dims", AttributeKind::integer, Attribute(int64_t{1}),
                                     "how many trailing dimensions are joined"},
                                    {"epsilon", AttributeKind::number, Attribute(1e-5), "added to the variance"}}},
       .infer = infer_layer_norm,
       .evaluate = evaluate_layer_norm,
       .gradient = Gradient(differentiate_layer_norm),
       .realisation = Decompose{decompose_layer_norm},
       .tolerance = {.f32 = 1e-5, .f64 = 1e-12},
       .samples = layer_norm_samples()},
  };
}

}  // namespace placewright::ops
