// Convolution and its two gradients. All three are one trilinear form read from three sides: the sum of
// input * weight * result over (image, group, output channel, input channel, output position, tap).
#include <fmt/core.h>

#include "families.h"
#include "naive_loops.h"
#include "product_sum.h"
#include "window_geometry.h"

namespace placewright::ops {
namespace {

// Sizes and geometry of one convolution: input [images, groups * inner, inputs...], weight [groups * outer, inner,
// window...], result [images, groups * outer, outputs...].
struct Convolution {
  Dim images;
  int64_t groups, outer, inner;  // channels of one group
  Sizes inputs, outputs;
  WindowGeometry geometry;
  int rank() const { return geometry.rank(); }
  Shape input_shape() const { return make_shape(images, groups * inner, inputs); }
  Shape weight_shape() const { return make_shape(groups * outer, inner, geometry.window); }
  Shape result_shape() const { return make_shape(images, groups * outer, outputs); }

 private:
  static Shape make_shape(const Dim& first, int64_t second, const Sizes& rest) {
    Shape shape{first, second};
    shape.insert(shape.end(), rest.begin(), rest.end());
    return shape;
  }
};

Sizes numbers_from(const Shape& shape, size_t first) {
  Sizes sizes;
  for (size_t i = first; i < shape.size(); ++i) sizes.push_back(shape[i].number());
  return sizes;
}

void check_rank(const char* name, const Shape& shape, size_t expected) {
  if (shape.size() != expected || expected < 3)
    throw Error(fmt::format("{} has shape {}, expected {}{} dimensions: two and the spatial ones", name,
                            to_string(shape), expected < 3 ? "at least " : "", std::max<size_t>(expected, 3)));
}

void check_spatial(const Sizes& found, size_t expected, const char* name) {
  if (found.size() != expected)
    throw Error(
        fmt::format("{} is {}, expected {} numbers, one for each spatial dimension", name, to_string(found), expected));
  for (int64_t size : found)
    if (size < 0) throw Error(fmt::format("{} is {}, expected no negative number", name, to_string(found)));
}

// `outer` and `inner` channels are checked against `groups`; `inputs` are spatial sizes.
Convolution make_convolution(const Attributes& attributes, const Dim& images, int64_t all_outer, int64_t all_inner,
                             Sizes inputs, const Sizes& window) {
  int64_t groups = attributes.get<int64_t>("groups");
  if (groups < 1 || all_outer % groups != 0 || all_inner % groups != 0)
    throw Error(fmt::format("groups is {}, expected a positive divisor of the {} input and {} output channels", groups,
                            all_inner, all_outer));
  Convolution conv{images, groups, all_outer / groups, all_inner / groups, std::move(inputs), {}, {}};
  conv.geometry = read_geometry(attributes, window, Sizes(window.size(), 1));
  conv.outputs = conv.geometry.outputs(conv.inputs);
  return conv;
}

// The convolution that each of the three ops speaks of.
Convolution read_forward(const OpView& view) {
  const Shape &input = view.operand(0).shape, &weight = view.operand(1).shape;
  check_rank("input", input, input.size());
  check_rank("weight", weight, input.size());
  int64_t groups = std::max<int64_t>(view.attributes.get<int64_t>("groups"), 1);
  int64_t channels = input[1].number();
  if (weight[1].number() * groups != channels)
    throw Error(fmt::format("input {} has {} channels, weight {} takes {} in each of {} groups; expected them to agree",
                            to_string(input), channels, to_string(weight), weight[1].to_string(), groups));
  return make_convolution(view.attributes, input[0], weight[0].number(), channels, numbers_from(input, 2),
                          numbers_from(weight, 2));
}

void check_result(const Convolution& conv, const Shape& gradient) {
  if (gradient != conv.result_shape())
    throw Error(fmt::format("gradient has shape {}, expected {}, the convolution's result", to_string(gradient),
                            to_string(conv.result_shape())));
}

Convolution read_input_gradient(const OpView& view) {
  const Shape &gradient = view.operand(0).shape, &weight = view.operand(1).shape;
  check_rank("gradient", gradient, gradient.size());
  check_rank("weight", weight, gradient.size());
  const Sizes& inputs = view.attributes.get<Sizes>("input_sizes");
  check_spatial(inputs, gradient.size() - 2, "input_sizes");
  int64_t groups = std::max<int64_t>(view.attributes.get<int64_t>("groups"), 1);
  Convolution conv = make_convolution(view.attributes, gradient[0], weight[0].number(), weight[1].number() * groups,
                                      inputs, numbers_from(weight, 2));
  check_result(conv, gradient);
  return conv;
}

Convolution read_weight_gradient(const OpView& view) {
  const Shape &input = view.operand(0).shape, &gradient = view.operand(1).shape;
  check_rank("input", input, input.size());
  check_rank("gradient", gradient, input.size());
  const Sizes& window = view.attributes.get<Sizes>("window");
  check_spatial(window, input.size() - 2, "window");
  Convolution conv = make_convolution(view.attributes, input[0], gradient[1].number(), input[1].number(),
                                      numbers_from(input, 2), window);
  check_result(conv, gradient);
  return conv;
}

std::vector<Type> finish_infer(const OpView& view, Shape shape) {
  check_precision(view.attributes);
  accumulate_dtype(view);
  return {Type(view.operand(0).dtype, std::move(shape))};
}

// Calls body(input element, weight element, result element), as flat numbers, for each product of the form.
template <typename Body>
void for_each_product(const Convolution& conv, Body body) {
  Sizes input_sizes = numbers_of(conv.input_shape());
  Sizes weight_sizes = numbers_of(conv.weight_shape());
  Sizes result_sizes = numbers_of(conv.result_shape());
  for_each_position(result_sizes, [&](const Sizes& at) {
    int64_t group = at[1] / conv.outer;
    for_each_position(weight_sizes, [&](const Sizes& tap) {
      if (tap[0] != at[1]) return;
      Sizes from{at[0], group * conv.inner + tap[1]};
      for (int d = 0; d < conv.rank(); ++d) {
        int64_t position = conv.geometry.input_position(d, at[d + 2], tap[d + 2]);
        if (position < 0 || position >= conv.inputs[d]) return;
        from.push_back(position);
      }
      body(flat_index(from, input_sizes), flat_index(tap, weight_sizes), flat_index(at, result_sizes));
    });
  });
}

void evaluate_forward(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  evaluate_bilinear(operands[0], operands[1], results[0], [&](const auto& input, const auto& weight, auto& result) {
    for_each_product(read_forward(view),
                     [&](int64_t in, int64_t w, int64_t out) { add_to(result[out], multiply(input[in], weight[w])); });
  });
}

void evaluate_input_gradient(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  evaluate_bilinear(operands[0], operands[1], results[0], [&](const auto& gradient, const auto& weight, auto& result) {
    for_each_product(read_input_gradient(view), [&](int64_t in, int64_t w, int64_t out) {
      add_to(result[in], multiply(gradient[out], weight[w]));
    });
  });
}

void evaluate_weight_gradient(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  evaluate_bilinear(operands[0], operands[1], results[0], [&](const auto& input, const auto& gradient, auto& result) {
    for_each_product(read_weight_gradient(view), [&](int64_t in, int64_t w, int64_t out) {
      add_to(result[w], multiply(input[in], gradient[out]));
    });
  });
}

// Indices of the form's dimensions in one stage. Without groups there is no group dimension.
struct FormIndices {
  Index image, group, outer, inner;
  std::vector<Index> spatial, taps;
  std::vector<Index> with(Index first, Index second, const std::vector<Index>& rest) const {
    std::vector<Index> index{std::move(first), std::move(second)};
    index.insert(index.end(), rest.begin(), rest.end());
    return index;
  }
};

StructuredKernel lower_forward(const OpView& view) {
  Convolution conv = read_forward(view);
  KernelWriter kernel(view);
  StageWriter stage(kernel, "conv");
  FormIndices at;
  at.image = stage.parallel(conv.images.number());
  if (conv.groups > 1) at.group = stage.parallel(conv.groups);
  at.outer = stage.parallel(conv.outer);
  for (int64_t size : conv.outputs) at.spatial.push_back(stage.parallel(size));
  at.inner = stage.reduced(conv.inner);
  for (int64_t size : conv.geometry.window) at.taps.push_back(stage.reduced(size));
  std::vector<Index> positions;
  for (int d = 0; d < conv.rank(); ++d) positions.push_back(conv.geometry.input_index(d, at.spatial[d], at.taps[d]));
  Index out_channel = at.group * conv.outer + at.outer;
  int input = stage.load(kernel.operand(0), at.with(at.image, at.group * conv.inner + at.inner, positions));
  int weight = stage.load(kernel.operand(1), at.with(out_channel, at.inner, at.taps));
  write_product_sum(stage, view, input, weight, true, kernel.result(), at.with(at.image, out_channel, at.spatial));
  return kernel.take();
}

void write_input_gradient(KernelWriter& kernel, const OpView& view, const Convolution& conv,
                          const std::vector<BackwardRange>& ranges) {
  StageWriter stage(kernel, "conv_input_gradient");
  FormIndices at;
  at.image = stage.parallel(conv.images.number());
  if (conv.groups > 1) at.group = stage.parallel(conv.groups);
  at.inner = stage.parallel(conv.inner);
  std::vector<Index> inputs, outputs;
  for (const BackwardRange& range : ranges) inputs.push_back(stage.parallel(range.count));
  at.outer = stage.reduced(conv.outer);
  for (size_t d = 0; d < ranges.size(); ++d) {
    Index tap = stage.reduced(ranges[d].taps);
    at.taps.push_back(ranges[d].tap(tap));
    outputs.push_back(ranges[d].output(inputs[d], tap));
    at.spatial.push_back(ranges[d].input(inputs[d]));
  }
  Index out_channel = at.group * conv.outer + at.outer;
  int gradient = stage.load(kernel.operand(0), at.with(at.image, out_channel, outputs));
  int weight = stage.load(kernel.operand(1), at.with(out_channel, at.inner, at.taps));
  write_product_sum(stage, view, gradient, weight, true, kernel.result(),
                    at.with(at.image, at.group * conv.inner + at.inner, at.spatial));
}

StructuredKernel lower_input_gradient(const OpView& view) {
  Convolution conv = read_input_gradient(view);
  KernelWriter kernel(view);
  for_each_backward_range(conv.geometry, conv.inputs, [&](const std::vector<BackwardRange>& ranges) {
    write_input_gradient(kernel, view, conv, ranges);
  });
  return kernel.take();
}

StructuredKernel lower_weight_gradient(const OpView& view) {
  Convolution conv = read_weight_gradient(view);
  KernelWriter kernel(view);
  StageWriter stage(kernel, "conv_weight_gradient");
  FormIndices at;
  if (conv.groups > 1) at.group = stage.parallel(conv.groups);
  at.outer = stage.parallel(conv.outer);
  at.inner = stage.parallel(conv.inner);
  for (int64_t size : conv.geometry.window) at.taps.push_back(stage.parallel(size));
  at.image = stage.reduced(conv.images.number());
  for (int64_t size : conv.outputs) at.spatial.push_back(stage.reduced(size));
  std::vector<Index> positions;
  for (int d = 0; d < conv.rank(); ++d) positions.push_back(conv.geometry.input_index(d, at.spatial[d], at.taps[d]));
  Index out_channel = at.group * conv.outer + at.outer;
  int input = stage.load(kernel.operand(0), at.with(at.image, at.group * conv.inner + at.inner, positions));
  int gradient = stage.load(kernel.operand(1), at.with(at.image, out_channel, at.spatial));
  write_product_sum(stage, view, input, gradient, true, kernel.result(), at.with(out_channel, at.inner, at.taps));
  return kernel.take();
}

// The three ops as builders: the gradients of each are made of the other two. `like` gives the attributes.
Value forward(GradientContext& context, Value input, Value weight) {
  Attributes attributes;
  for (const auto& [name, value] : context.view.attributes)
    if (name != "input_sizes" && name != "window") attributes.set(name, value);
  return context.builder("conv", {input, weight}, attributes);
}

Value input_gradient(GradientContext& context, const Convolution& conv, Value gradient, Value weight) {
  Attributes attributes;
  for (const auto& [name, value] : context.view.attributes)
    if (name != "window") attributes.set(name, value);
  attributes.set("input_sizes", conv.inputs);
  return context.builder("conv_input_gradient", {gradient, weight}, attributes);
}

Value weight_gradient(GradientContext& context, const Convolution& conv, Value input, Value gradient) {
  Attributes attributes;
  for (const auto& [name, value] : context.view.attributes)
    if (name != "input_sizes") attributes.set(name, value);
  attributes.set("window", conv.geometry.window);
  return context.builder("conv_weight_gradient", {input, gradient}, attributes);
}

OperandGradients differentiate_forward(GradientContext& context) {
  Convolution conv = read_forward(context.view);
  OperandGradients gradients(2);
  Value gradient = *context.gradients[0];
  if (context.needed[0]) gradients[0] = input_gradient(context, conv, gradient, context.operands[1]);
  if (context.needed[1]) gradients[1] = weight_gradient(context, conv, context.operands[0], gradient);
  return gradients;
}

OperandGradients differentiate_input_gradient(GradientContext& context) {
  Convolution conv = read_input_gradient(context.view);
  OperandGradients gradients(2);
  Value like_input = *context.gradients[0];
  if (context.needed[0]) gradients[0] = forward(context, like_input, context.operands[1]);
  if (context.needed[1]) gradients[1] = weight_gradient(context, conv, like_input, context.operands[0]);
  return gradients;
}

OperandGradients differentiate_weight_gradient(GradientContext& context) {
  Convolution conv = read_weight_gradient(context.view);
  OperandGradients gradients(2);
  Value like_weight = *context.gradients[0];
  if (context.needed[0]) gradients[0] = input_gradient(context, conv, context.operands[1], like_weight);
  if (context.needed[1]) gradients[1] = forward(context, context.operands[0], like_weight);
  return gradients;
}

// One convolution that the samples of all three ops are made from.
struct Case {
  Sizes input, weight;
  Attributes attributes = {};
};

std::vector<Case> cases() {
  Sizes one{1, 1}, two{2, 2};
  return {
      {{2, 3, 5, 6}, {4, 3, 3, 2}},
      {{2, 3, 5, 5}, {4, 3, 3, 3}, {{"padding_low", one}, {"padding_high", one}}},
      {{1, 2, 7, 6}, {3, 2, 3, 3}, {{"stride", two}, {"padding_low", one}, {"padding_high", Sizes{1, 0}}}},
      {{1, 2, 8, 8}, {3, 2, 2, 3}, {{"stride", Sizes{3, 2}}, {"dilation", two}}},
      {{2, 4, 4, 4}, {6, 2, 3, 3}, {{"groups", int64_t{2}}, {"padding_low", one}, {"padding_high", one}}},
      {{1, 3, 6, 6}, {3, 1, 3, 3}, {{"groups", int64_t{3}}, {"stride", two}}},  // depthwise
      {{3, 4, 3, 3}, {5, 4, 1, 1}},                                             // pointwise
      {{2, 2, 9}, {3, 2, 4}, {{"stride", Sizes{2}}, {"padding_low", Sizes{2}}, {"padding_high", Sizes{1}}}},
      // Wide enough for vectors over the channels; rows that read one tap of three, and rows that read none.
      {{1, 16, 6, 17}, {16, 16, 3, 3}, {{"padding_low", Sizes{2, 1}}, {"padding_high", Sizes{1, 2}}}},
      {{1, 16, 3, 18}, {16, 16, 2, 2}, {{"padding_low", Sizes{3, 0}}, {"padding_high", Sizes{3, 1}}}},
      {{1, 2, 3, 4, 3}, {2, 2, 2, 2, 2}, {{"padding_low", Sizes{1, 0, 1}}, {"padding_high", Sizes{0, 1, 1}}}},
      {{1, 16, 6, 18}, {32, 16, 3, 3}},  // wide enough for vectors
      {{0, 3, 4, 4}, {2, 3, 3, 3}},
  };
}

// `make` gives operands and attributes from a case's convolution.
template <typename Make>
std::vector<Sample> samples(Make make) {
  std::vector<Sample> made;
  for (Case& each : cases()) {
    if (!each.attributes.has("groups")) each.attributes.set("groups", int64_t{1});
    for (const char* name : {"stride", "padding_low", "padding_high", "dilation"})
      if (!each.attributes.has(name)) each.attributes.set(name, Sizes{});
    Convolution conv = make_convolution(each.attributes, each.input[0], each.weight[0], each.input[1],
                                        Sizes(each.input.begin() + 2, each.input.end()),
                                        Sizes(each.weight.begin() + 2, each.weight.end()));
    made.push_back(make(conv, each.attributes));
    made.back().ranges = {{-1, 1}, {-1, 1}};  // keeps sums of hundreds of products near 1
  }
  return made;
}

Sample forward_sample(const Convolution& conv, Attributes attributes) {
  return {.operands = {Type(DType::f32, conv.input_shape()), Type(DType::f32, conv.weight_shape())},
          .attributes = std::move(attributes)};
}

Sample input_gradient_sample(const Convolution& conv, Attributes attributes) {
  attributes.set("input_sizes", conv.inputs);
  return {.operands = {Type(DType::f32, conv.result_shape()), Type(DType::f32, conv.weight_shape())},
          .attributes = std::move(attributes)};
}

Sample weight_gradient_sample(const Convolution& conv, Attributes attributes) {
  attributes.set("window", conv.geometry.window);
  return {.operands = {Type(DType::f32, conv.input_shape()), Type(DType::f32, conv.result_shape())},
          .attributes = std::move(attributes)};
}

OpEntry entry(std::string_view name, std::string_view summary, OperandSpec first, OperandSpec second,
              std::optional<AttributeSpec> sizes, std::vector<Type> (*infer)(const OpView&),
              void (*evaluate)(const OpView&, std::span<const HostTensor>, std::span<HostTensor>),
              OperandGradients (*gradient)(GradientContext&), StructuredKernel (*lower)(const OpView&),
              std::vector<Sample> samples) {
  std::vector<AttributeSpec> attributes = window_attributes("of each spatial dimension; empty: 1");
  attributes.push_back({"groups", AttributeKind::integer, Attribute(int64_t{1}), "channels are joined within a group"});
  attributes.push_back(accumulate_attribute());
  attributes.push_back(precision_attribute());
  if (sizes) attributes.push_back(*sizes);
  return {.name = name,
          .summary = summary,
          .signature = {.operands = {first, second}, .attributes = std::move(attributes)},
          .infer = infer,
          .evaluate = evaluate,
          .gradient = Gradient(gradient),
          .realisation = Lower{lower},
          .tolerance = {.f32 = 5e-5, .f64 = 1e-12},
          .samples = std::move(samples)};
}

}  // namespace

std::vector<OpEntry> convolutions() {
  OperandSpec input{"input", DTypeClass::numeric}, weight{"weight", DTypeClass::numeric};
  OperandSpec gradient{"gradient", DTypeClass::numeric};
  return {
      entry(
          "conv",
          "Cross-correlates images [N,C,spatial...] with a weight [O,C/groups,window...]: result [N,O,outputs...], as "
          "PyTorch's conv1d, conv2d, conv3d without bias. Padding adds nothing, but where it meets an infinite or NaN "
          "weight compiled code may give NaN.",
          input, weight, {}, [](const OpView& view) { return finish_infer(view, read_forward(view).result_shape()); },
          evaluate_forward, differentiate_forward, lower_forward, samples(forward_sample)),
      entry(
          "conv_input_gradient",
          "The gradient of conv's input, from that of its result and the weight: the transposed convolution.", gradient,
          weight, AttributeSpec{"input_sizes", AttributeKind::sizes, {}, "spatial sizes of conv's input"},
          [](const OpView& view) { return finish_infer(view, read_input_gradient(view).input_shape()); },
          evaluate_input_gradient, differentiate_input_gradient, lower_input_gradient, samples(input_gradient_sample)),
      entry(
          "conv_weight_gradient", "The gradient of conv's weight, from its input and the gradient of its result.",
          input, gradient, AttributeSpec{"window", AttributeKind::sizes, {}, "spatial sizes of the weight"},
          [](const OpView& view) { return finish_infer(view, read_weight_gradient(view).weight_shape()); },
          evaluate_weight_gradient, differentiate_weight_gradient, lower_weight_gradient,
          samples(weight_gradient_sample)),
  };
}

}  // namespace placewright::ops
