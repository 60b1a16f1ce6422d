// Sums of windows and their gradient.
#include <fmt/core.h>

#include "families.h"
#include "windows.h"

namespace placewright::ops {
namespace {

Windows read_sum_gradient(const OpView& view) {
  const Shape& shape = view.operand(0).shape;
  const Sizes& inputs = view.attributes.get<Sizes>("input_sizes");
  if (inputs.size() != view.attributes.get<Sizes>("window").size())
    throw Error(
        fmt::format("input_sizes is {}, expected one number for each dimension of the window", to_string(inputs)));
  for (int64_t size : inputs)
    if (size < 0) throw Error(fmt::format("input_sizes is {}, expected no negative number", to_string(inputs)));
  Windows windows = make_windows(view.attributes, shape, &inputs);
  if (shape != windows.output_shape())
    throw Error(fmt::format("gradient has shape {}, expected {}, the shape of the window sums", to_string(shape),
                            to_string(windows.output_shape())));
  return windows;
}

// Sums, or, backwards, spreads each output's value over its window.
template <typename T>
void sum_taps(const Windows& windows, const std::vector<T>& from, HostTensor& result, bool backwards) {
  std::vector<T> sums(static_cast<size_t>(result.elements()));
  for_each_tap(windows, [&](int64_t output, int64_t input) {
    add_to(sums[backwards ? input : output], from[backwards ? output : input]);
  });
  assign(result, sums);
}

void evaluate_sum(const Windows& windows, const HostTensor& operand, HostTensor& result, bool backwards) {
  if (is_floating(operand.dtype()))
    sum_taps(windows, numbers(operand), result, backwards);
  else
    sum_taps(windows, integers(operand), result, backwards);
}

StructuredKernel lower_sum(const OpView& view) {
  Windows windows = make_windows(view.attributes, view.operand(0).shape);
  KernelWriter kernel(view);
  StageWriter stage(kernel, "window_sum");
  std::vector<Index> lead = parallel(stage, windows.lead_sizes()), outputs = parallel(stage, windows.outputs);
  std::vector<Index> taps = reduced(stage, windows.geometry.window);
  int value = stage.load(kernel.operand(0), joined(lead, input_indices(windows, outputs, taps)));
  int sum = stage.reduce(Reduction::Kind::sum, value, 0);
  stage.store(kernel.result(), joined(lead, outputs), sum);
  stage.finish();
  return kernel.take();
}

// Each element belongs to one window or to none: it is stored once, without a search for its window.
void write_partition_gradient(KernelWriter& kernel, const Windows& windows) {
  StageWriter stage(kernel, "window_sum_gradient");
  std::vector<Index> lead = parallel(stage, windows.lead_sizes());
  std::vector<Index> outputs = parallel(stage, windows.outputs), taps = parallel(stage, windows.geometry.window);
  int value = stage.load(kernel.operand(0), joined(lead, outputs));
  stage.store(kernel.result(), joined(lead, input_indices(windows, outputs, taps)), value);
  stage.finish();
  write_uncovered_zeros(kernel, windows, kernel.result());
}

StructuredKernel lower_sum_gradient(const OpView& view) {
  Windows windows = read_sum_gradient(view);
  KernelWriter kernel(view);
  if (windows.is_partition()) {
    write_partition_gradient(kernel, windows);
    return kernel.take();
  }
  for_each_backward_range(windows.geometry, windows.inputs, [&](const std::vector<BackwardRange>& ranges) {
    StageWriter stage(kernel, "window_sum_gradient");
    std::vector<Index> lead = parallel(stage, windows.lead_sizes());
    BackwardIndices at = backward_indices(stage, ranges);
    int value = stage.load(kernel.operand(0), joined(lead, at.outputs));
    int sum = stage.reduce(Reduction::Kind::sum, value, 0);
    stage.store(kernel.result(), joined(lead, at.inputs), sum);
    stage.finish();
  });
  return kernel.take();
}

Attributes without_input_sizes(const Attributes& attributes) {
  Attributes kept;
  for (const auto& [name, value] : attributes)
    if (name != "input_sizes") kept.set(name, value);
  return kept;
}

OperandGradients differentiate_sum(GradientContext& context) {
  Attributes attributes = context.view.attributes;
  attributes.set("input_sizes", make_windows(attributes, context.view.operand(0).shape).inputs);
  return {context.builder("window_sum_gradient", {*context.gradients[0]}, attributes)};
}

OperandGradients differentiate_sum_gradient(GradientContext& context) {
  return {context.builder("window_sum", {*context.gradients[0]}, without_input_sizes(context.view.attributes))};
}

struct Case {
  Shape shape;
  Attributes attributes;
};

std::vector<Case> cases() {
  Sizes one{1, 1}, two{2, 2}, three{3, 3};
  return {
      {{2, 3, 4, 6}, {{"window", two}}},
      {{2, 5, 7}, {{"window", Sizes{2, 3}}}},  // a row and a column that no window covers
      {{1, 2, 5, 5}, {{"window", three}, {"stride", one}, {"padding_low", one}, {"padding_high", one}}},
      {{1, 2, 7, 8}, {{"window", three}, {"stride", two}, {"padding_low", one}, {"padding_high", Sizes{0, 1}}}},
      {{2, 9}, {{"window", Sizes{3}}, {"stride", Sizes{2}}, {"dilation", Sizes{2}}}},
      {{2, 3, 4, 4}, {{"window", Sizes{2, 1, 3, 2}}, {"stride", Sizes{1, 2, 1, 2}}}},
      {{1, 2, 4, 36}, {{"window", two}}},  // wide enough for vectors
      {{0, 4, 4}, {{"window", two}}},
  };
}

std::vector<Sample> sum_samples() {
  std::vector<Sample> samples;
  for (Case& each : cases())
    samples.push_back({.operands = {Type(DType::f32, each.shape)}, .attributes = std::move(each.attributes)});
  return samples;
}

std::vector<Sample> sum_gradient_samples() {
  std::vector<Sample> samples;
  for (Case& each : cases()) {
    for (const char* name : {"stride", "padding_low", "padding_high", "dilation"})
      if (!each.attributes.has(name)) each.attributes.set(name, Sizes{});
    Windows windows = make_windows(each.attributes, each.shape);
    each.attributes.set("input_sizes", windows.inputs);
    samples.push_back(
        {.operands = {Type(DType::f32, windows.output_shape())}, .attributes = std::move(each.attributes)});
  }
  return samples;
}

}  // namespace

std::vector<OpEntry> sum_windows() {
  std::vector<AttributeSpec> gradient_attributes = pooling_attributes();
  gradient_attributes.push_back({"input_sizes", AttributeKind::sizes, {}, "trailing sizes of window_sum's operand"});
  return {
      {.name = "window_sum",
       .summary = "The sum of each window over the trailing dimensions; padding counts as 0.",
       .signature = {.operands = {{"input", DTypeClass::numeric}}, .attributes = pooling_attributes()},
       .infer =
           [](const OpView& view) {
             Windows windows = make_windows(view.attributes, view.operand(0).shape);
             return std::vector<Type>{Type(view.operand(0).dtype, windows.output_shape())};
           },
       .evaluate =
           [](const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
             evaluate_sum(make_windows(view.attributes, view.operand(0).shape), operands[0], results[0], false);
           },
       .gradient = Gradient(differentiate_sum),
       .realisation = Lower{lower_sum},
       .samples = sum_samples()},
      {.name = "window_sum_gradient",
       .summary = "The gradient of window_sum's operand: each element gets the sum of the gradients of its windows.",
       .signature = {.operands = {{"gradient", DTypeClass::numeric}}, .attributes = std::move(gradient_attributes)},
       .infer =
           [](const OpView& view) {
             return std::vector<Type>{Type(view.operand(0).dtype, read_sum_gradient(view).input_shape())};
           },
       .evaluate =
           [](const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
             evaluate_sum(read_sum_gradient(view), operands[0], results[0], true);
           },
       .gradient = Gradient(differentiate_sum_gradient),
       .realisation = Lower{lower_sum_gradient},
       .samples = sum_gradient_samples()},
  };
}

}  // namespace placewright::ops
