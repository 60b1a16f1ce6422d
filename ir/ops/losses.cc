// Losses: composites whose gradients are written out, because they are cheaper and more exact than those of the parts.
#include <cmath>
#include <limits>

#include "checks.h"
#include "graph_writer.h"
#include "naive_loops.h"

namespace placewright::ops {
namespace {

const std::string& reduction_of(const OpView& view) { return view.attributes.get<std::string>("reduction"); }

void check_reduction(const OpView& view) {
  const std::string& reduction = reduction_of(view);
  expect(reduction == "mean" || reduction == "sum" || reduction == "none",
         "reduction is '{}', expected mean, sum or none", reduction);
}

AttributeSpec reduction_attribute() {
  return {"reduction", AttributeKind::string, Attribute(std::string("mean")), "mean, sum or none"};
}

Type f32(Shape shape) { return {DType::f32, std::move(shape)}; }

// --- mse and l1: of the elementwise difference

std::vector<Type> infer_distance(const OpView& view) {
  check_reduction(view);
  expect_shape(view.operand(1).shape, view.operand(0).shape, "target");
  return {Type(view.operand(0).dtype, reduction_of(view) == "none" ? view.operand(0).shape : Shape{})};
}

void evaluate_distance(const OpView& view, std::span<const HostTensor> operands, HostTensor& result, bool squared) {
  double total = 0;
  int64_t elements = operands[0].elements();
  for (int64_t i = 0; i < elements; ++i) {
    double difference = operands[0].number(i) - operands[1].number(i);
    double value = squared ? difference * difference : std::abs(difference);
    if (reduction_of(view) == "none") result.set_number(i, value);
    total += value;
  }
  if (reduction_of(view) == "sum") result.set_number(0, total);
  if (reduction_of(view) == "mean") result.set_number(0, total / static_cast<double>(elements));
}

Value reduce_distance(const OpView& view, const Expr& distance) {
  Sizes dims = all_dims(distance.rank());
  if (reduction_of(view) == "none") return distance;
  Expr total = sum(distance, dims);
  return reduction_of(view) == "sum" ? total : total / count(distance, dims);
}

std::vector<Value> decompose_mse(FunctionBuilder& builder, const OpView& view, std::span<const Value> operands) {
  Expr difference = Expr{builder, operands[0]} - Expr{builder, operands[1]};
  return {reduce_distance(view, difference * difference)};
}

std::vector<Value> decompose_l1(FunctionBuilder& builder, const OpView& view, std::span<const Value> operands) {
  Expr difference = Expr{builder, operands[0]} - Expr{builder, operands[1]};
  return {reduce_distance(view, apply("abs", {difference}))};
}

// The result's gradient, shared out over the elements.
Expr distance_weight(GradientContext& context, double factor) {
  Expr weight = gradient(context) * factor, x = operand(context, 0);
  return reduction_of(context.view) == "mean" ? weight / count(x, all_dims(x.rank())) : weight;
}

OperandGradients opposite_gradients(GradientContext& context, const Expr& of_input) {
  OperandGradients gradients(2);
  if (context.needed[0]) gradients[0] = of_input;
  if (context.needed[1]) gradients[1] = -of_input;
  return gradients;
}

OperandGradients differentiate_mse(GradientContext& context) {
  Expr difference = operand(context, 0) - operand(context, 1);
  return opposite_gradients(context, difference * distance_weight(context, 2));
}

OperandGradients differentiate_l1(GradientContext& context) {
  Expr difference = operand(context, 0) - operand(context, 1);
  Expr sign = apply("sign", {difference});
  return opposite_gradients(context, sign * distance_weight(context, 1));
}

std::vector<Sample> distance_samples() {
  std::vector<Sample> samples;
  for (const char* reduction : {"mean", "sum", "none"})
    samples.push_back({.operands = {f32({3, 5}), f32({3, 5})}, .attributes = {{"reduction", std::string(reduction)}}});
  samples.push_back({.operands = {f32({}), f32({})}});
  samples.push_back({.operands = {f32({100, 2}), f32({100, 2})}});
  samples.push_back({.operands = {f32({0, 2}), f32({0, 2})}, .attributes = {{"reduction", std::string("sum")}}});
  return samples;
}

// --- cross entropy and nll: of class numbers

int class_dim(const OpView& view) { return view.operand(0).rank() == 1 ? 0 : 1; }

// Whether class numbers that equal ignore_index count for nothing.
int64_t ignored_index(const OpView& view) { return view.attributes.get<int64_t>("ignore_index"); }

double smoothing_of(const OpView& view) {
  return view.attributes.has("label_smoothing") ? view.attributes.get<double>("label_smoothing") : 0;
}

std::vector<Type> infer_classes(const OpView& view) {
  check_reduction(view);
  const TensorType &input = view.operand(0), &target = view.operand(1);
  expect(is_floating(input.dtype), "operand input is {}, expected a floating dtype", view.operands[0].to_string());
  expect(accepts(DTypeClass::index, target.dtype), "operand target is {}, expected class numbers: i32 or i64",
         view.operands[1].to_string());
  expect(input.rank() >= 1, "operand input is a scalar, expected [C], [N,C] or [N,C,...]");
  expect_shape(target.shape, reduced_shape(input.shape, {class_dim(view)}, false), "target");
  double smoothing = smoothing_of(view);
  expect(smoothing >= 0 && smoothing <= 1, "label_smoothing is {}, expected a number from 0 to 1", smoothing);
  return {Type(input.dtype, reduction_of(view) == "none" ? target.shape : Shape{})};
}

void evaluate_classes(const OpView& view, std::span<const HostTensor> operands, HostTensor& result, bool normalise) {
  const HostTensor &input = operands[0], &target = operands[1];
  const Sizes& sizes = input.sizes();
  int dim = class_dim(view);
  int64_t classes = sizes[dim], stride = row_major_strides(sizes)[dim];
  double smoothing = smoothing_of(view), total = 0, counted = 0;
  for (int64_t i = 0; i < target.elements(); ++i) {
    int64_t label = target.integer(i), first = i / stride * classes * stride + i % stride;
    double loss = 0;
    if (label != ignored_index(view)) {
      expect(label >= 0 && label < classes, "class number {} at element {} of target, expected 0 to {}", label, i,
             classes - 1);
      auto at = [&](int64_t c) { return input.number(first + c * stride); };
      double largest = -std::numeric_limits<double>::infinity(), exponentials = 0, all = 0;
      for (int64_t c = 0; c < classes; ++c) largest = std::max(largest, at(c));
      for (int64_t c = 0; c < classes; ++c) exponentials += std::exp(at(c) - largest), all += at(c) - largest;
      if (normalise) {
        double log_total = std::log(exponentials);
        loss = log_total - (1 - smoothing) * (at(label) - largest);
        if (smoothing != 0) loss -= smoothing * all / static_cast<double>(classes);
      } else {
        loss = -at(label);
      }
      counted += 1;
    }
    if (reduction_of(view) == "none") result.set_number(i, loss);
    total += loss;
  }
  if (reduction_of(view) == "sum") result.set_number(0, total);
  if (reduction_of(view) == "mean") result.set_number(0, total / counted);
}

// The targets of a batch: which of them count, and a class number that exists for each.
struct Targets {
  Expr valid, labels;
};
Targets read_targets(const Expr& target, const OpView& view) {
  Expr ignored = equal(target, target.number(static_cast<double>(ignored_index(view))));
  return {apply("logical_not", {ignored}), select(ignored, 0, target)};
}

Value reduce_classes(const OpView& view, const Expr& losses, const Expr& valid) {
  Expr counted = select(valid, losses, 0);
  if (reduction_of(view) == "none") return counted;
  Sizes dims = all_dims(losses.rank());
  Expr total = sum(counted, dims);
  return reduction_of(view) == "sum" ? total : total / sum(cast(valid, losses.dtype()), dims);
}

std::vector<Value> decompose_nll(FunctionBuilder& builder, const OpView& view, std::span<const Value> operands) {
  Targets targets = read_targets({builder, operands[1]}, view);
  return {reduce_classes(view, -pick({builder, operands[0]}, targets.labels, class_dim(view)), targets.valid)};
}

// The maximum along the classes, exp(x - maximum), and the sum of that. The gradient writes the same ops as the
// decomposition, so that common ones are computed once.
struct Exponentials {
  Expr largest, shifted, values, total;
};
Exponentials exponentials(const Expr& x, const Sizes& dims) {
  Expr largest = maximum(x, dims), shifted = x - spread(largest, x.shape(), dims), values = apply("exp", {shifted});
  return {largest, shifted, values, sum(values, dims)};
}

std::vector<Value> decompose_cross_entropy(FunctionBuilder& builder, const OpView& view,
                                           std::span<const Value> operands) {
  Expr input{builder, operands[0]};
  Sizes dims{class_dim(view)};
  double smoothing = smoothing_of(view);
  Targets targets = read_targets({builder, operands[1]}, view);
  Exponentials parts = exponentials(input, dims);
  // From the input, not from `shifted`: so that no intermediate is read at places that only the targets know.
  Expr picked = pick(input, targets.labels, class_dim(view)) - parts.largest;
  if (smoothing != 0) {
    Expr total = sum(parts.shifted, dims), mean = total / count(parts.shifted, dims);
    picked = picked * (1 - smoothing);
    picked = picked + mean * smoothing;
  }
  Expr losses = apply("log", {parts.total}) - picked;
  return {reduce_classes(view, losses, targets.valid)};
}

// The result's gradient shared out over the targets that count, and where each target's class is; as large as the
// input.
struct ClassGradient {
  Expr weight, chosen;
};
ClassGradient class_gradient(GradientContext& context) {
  Expr input = operand(context, 0), target = operand(context, 1), g = gradient(context);
  int dim = class_dim(context.view);
  Targets targets = read_targets(target, context.view);
  if (reduction_of(context.view) == "mean") g = g / sum(cast(targets.valid, g.dtype()), all_dims(target.rank()));
  Expr weight = select(targets.valid, broadcast_to(g, target.shape()), 0);
  Expr numbers = positions(context.builder, target.dtype(), input.shape(), dim);
  return {spread(weight, input.shape(), {dim}), equal(spread(targets.labels, input.shape(), {dim}), numbers)};
}

OperandGradients differentiate_nll(GradientContext& context) {
  auto [weight, chosen] = class_gradient(context);
  return {select(chosen, -weight, 0), {}};
}

OperandGradients differentiate_cross_entropy(GradientContext& context) {
  auto [weight, chosen] = class_gradient(context);
  Sizes dims{class_dim(context.view)};
  double smoothing = smoothing_of(context.view);
  Exponentials parts = exponentials(operand(context, 0), dims);
  Expr excess = parts.values / spread(parts.total, parts.values.shape(), dims);
  if (smoothing != 0) {
    Expr share = excess.number(smoothing);
    excess = excess - share / count(excess, dims);
  }
  return {select(chosen, excess - (1 - smoothing), excess) * weight, {}};
}

std::vector<Sample> class_samples(bool smoothing) {
  auto sample = [](Shape input, Shape target, DType index, Attributes attributes) {
    Sample made{.operands = {f32(input), Type(index, std::move(target))}, .attributes = std::move(attributes)};
    double classes = static_cast<double>(input[input.size() == 1 ? 0 : 1].number());
    made.ranges = {{-2, 2}, {0, classes - 0.01}};
    return made;
  };
  std::vector<Sample> samples = {
      sample({4, 10}, {4}, DType::i64, {}),
      sample({4, 10}, {4}, DType::i32, {{"reduction", std::string("sum")}}),
      sample({4, 10}, {4}, DType::i64, {{"reduction", std::string("none")}, {"ignore_index", int64_t{3}}}),
      sample({5, 3}, {5}, DType::i64, {{"ignore_index", int64_t{1}}}),
      sample({2, 3, 4}, {2, 4}, DType::i64, {}),
      sample({6}, {}, DType::i64, {}),
      sample({0, 3}, {0}, DType::i64, {{"reduction", std::string("sum")}}),
  };
  if (smoothing) samples.push_back(sample({4, 10}, {4}, DType::i64, {{"label_smoothing", 0.1}}));
  return samples;
}

}  // namespace

std::vector<OpEntry> losses() {
  std::vector<OperandSpec> distance{{"input", DTypeClass::floating}, {"target", DTypeClass::floating}};
  std::vector<OperandSpec> classes{{"input"}, {"target"}};
  AttributeSpec ignore_index{"ignore_index", AttributeKind::integer, Attribute(int64_t{-100}),
                             "targets with this class number count for nothing"};
  AttributeSpec smoothing{"label_smoothing", AttributeKind::number, Attribute(0.0),
                          "share of each target that is spread evenly over all classes"};
  auto of_distance = [](bool squared) {
    return [squared](const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
      evaluate_distance(view, operands, results[0], squared);
    };
  };
  auto of_classes = [](bool normalise) {
    return [normalise](const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
      evaluate_classes(view, operands, results[0], normalise);
    };
  };
  return {
      {.name = "mse",
       .summary = "The squared difference of input and target: each, their sum or their mean.",
       .signature = {.operands = distance, .attributes = {reduction_attribute()}},
       .infer = infer_distance,
       .evaluate = of_distance(true),
       .gradient = Gradient(differentiate_mse),
       .realisation = Decompose{decompose_mse},
       .samples = distance_samples()},
      {.name = "l1",
       .summary = "The absolute difference of input and target: each, their sum or their mean.",
       .signature = {.operands = distance, .attributes = {reduction_attribute()}},
       .infer = infer_distance,
       .evaluate = of_distance(false),
       .gradient = Gradient(differentiate_l1),
       .realisation = Decompose{decompose_l1},
       .samples = distance_samples()},
      {.name = "nll",
       .summary =
           "-input at each target's class, where input [N,C,...] holds log probabilities and target [N,...] class "
           "numbers: each, their sum, or their mean over the targets that count.",
       .signature = {.operands = classes, .attributes = {reduction_attribute(), ignore_index}, .same_dtype = false},
       .infer = infer_classes,
       .evaluate = of_classes(false),
       .gradient = Gradient(differentiate_nll),
       .realisation = Decompose{decompose_nll},
       .samples = class_samples(false)},
      {.name = "cross_entropy",
       .summary =
           "nll of log_softmax(input) over the classes, where input [N,C,...] holds logits and target [N,...] class "
           "numbers. With label_smoothing s the target is 1 - s at its class plus s / C everywhere.",
       .signature = {.operands = classes,
                     .attributes = {reduction_attribute(), ignore_index, smoothing},
                     .same_dtype = false},
       .infer = infer_classes,
       .evaluate = of_classes(true),
       .gradient = Gradient(differentiate_cross_entropy),
       .realisation = Decompose{decompose_cross_entropy},
       .samples = class_samples(true)},
  };
}

}  // namespace placewright::ops
