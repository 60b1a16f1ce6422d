// Ops that cut out and put together: slice, pad, concat.
#include <algorithm>

#include "shaping.h"

namespace placewright::ops {
namespace {

// A list of one number for each dimension; an empty one stands for `fallback` everywhere.
Sizes list_or(const OpView& view, std::string_view attribute, int64_t fallback) {
  const Sizes& given = view.attributes.get<Sizes>(attribute);
  if (given.empty()) return Sizes(static_cast<size_t>(view.operand(0).rank()), fallback);
  return expect_one_a_dim(view, attribute);
}

// --- slice

std::vector<Type> infer_slice(const OpView& view) {
  const TensorType& operand = view.operand(0);
  const Sizes &starts = expect_one_a_dim(view, "starts"), &limits = expect_one_a_dim(view, "limits");
  Sizes strides = list_or(view, "strides", 1);
  Shape shape;
  for (size_t d = 0; d < starts.size(); ++d) {
    const Dim& dim = operand.shape[d];
    if (starts[d] == 0 && limits[d] == -1 && strides[d] == 1) {
      shape.push_back(dim);
      continue;
    }
    expect(dim.is_number(), "dimension {} has the symbolic size {}, of which only the whole can be taken (0 to -1)", d,
           dim.to_string());
    int64_t limit = limits[d] == -1 ? dim.number() : limits[d];
    expect(strides[d] >= 1, "stride {} of dimension {}, expected at least 1; `reverse` turns round", strides[d], d);
    expect(0 <= starts[d] && starts[d] <= limit && limit <= dim.number(),
           "from {} to {} of dimension {}, which has size {}; expected 0 <= start <= limit <= size", starts[d], limit,
           d, dim.number());
    shape.emplace_back(ceil_div(limit - starts[d], strides[d]));
  }
  return {Type(operand.dtype, shape)};
}

void evaluate_slice(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const Sizes& starts = view.attributes.get<Sizes>("starts");
  Sizes strides = list_or(view, "strides", 1), source(starts.size());
  for_each_position(results[0].sizes(), [&](const Sizes& position) {
    for (size_t d = 0; d < position.size(); ++d) source[d] = starts[d] + position[d] * strides[d];
    copy_element(operands[0], flat_index(source, operands[0].sizes()), results[0],
                 flat_index(position, results[0].sizes()));
  });
}

StructuredKernel lower_slice(const OpView& view) {
  const Sizes& starts = view.attributes.get<Sizes>("starts");
  Sizes strides = list_or(view, "strides", 1);
  return lower_copy(view, [&](std::vector<Index> position) {
    for (size_t d = 0; d < position.size(); ++d) position[d] = position[d] * strides[d] + starts[d];
    return position;
  });
}

// Puts the gradient back among zeros.
OperandGradients slice_gradient(GradientContext& context) {
  const Sizes& starts = context.view.attributes.get<Sizes>("starts");
  Sizes strides = list_or(context.view, "strides", 1), high, interior;
  for (size_t d = 0; d < starts.size(); ++d) {
    const Dim &whole = context.view.operand(0).shape[d], &part = context.view.result().shape[d];
    int64_t taken = part.is_number() && part.number() > 0 ? (part.number() - 1) * strides[d] + 1 : 0;
    high.push_back(whole == part ? 0 : whole.number() - starts[d] - taken);
    interior.push_back(strides[d] - 1);
  }
  return {context.builder("pad", {*context.gradients[0]}, {{"low", starts}, {"high", high}, {"interior", interior}})};
}

// --- pad

std::vector<Type> infer_pad(const OpView& view) {
  const TensorType& operand = view.operand(0);
  const Sizes &low = expect_one_a_dim(view, "low"), &high = expect_one_a_dim(view, "high");
  Sizes interior = list_or(view, "interior", 0);
  Shape shape;
  for (size_t d = 0; d < low.size(); ++d) {
    const Dim& dim = operand.shape[d];
    expect(low[d] >= 0 && high[d] >= 0 && interior[d] >= 0,
           "low {}, high {}, interior {} of dimension {}, expected none negative; `slice` cuts off", low[d], high[d],
           interior[d], d);
    if (low[d] == 0 && high[d] == 0 && interior[d] == 0) {
      shape.push_back(dim);
      continue;
    }
    expect(dim.is_number(), "dimension {} has the symbolic size {}, which cannot be padded", d, dim.to_string());
    int64_t gaps = checked_mul(interior[d], std::max<int64_t>(dim.number() - 1, 0));
    shape.emplace_back(checked_add(checked_add(low[d], high[d]), checked_add(dim.number(), gaps)));
  }
  return {Type(operand.dtype, shape)};
}

void evaluate_pad(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const Sizes& low = view.attributes.get<Sizes>("low");
  Sizes interior = list_or(view, "interior", 0);
  double value = view.attributes.get<double>("value");
  for (int64_t i = 0; i < results[0].elements(); ++i) results[0].set_number(i, value);
  for_each_position(operands[0].sizes(), [&](const Sizes& position) {
    Sizes target = position;
    for (size_t d = 0; d < position.size(); ++d) target[d] = low[d] + position[d] * (interior[d] + 1);
    copy_element(operands[0], flat_index(position, operands[0].sizes()), results[0],
                 flat_index(target, results[0].sizes()));
  });
}

StructuredKernel lower_pad(const OpView& view) {
  const Sizes& low = view.attributes.get<Sizes>("low");
  Sizes interior = list_or(view, "interior", 0);
  KernelWriter kernel(view);
  StageWriter stage(kernel, "pad");
  std::vector<Index> position, source;
  for (int64_t size : view.result().sizes()) position.push_back(stage.parallel(size));
  for (size_t d = 0; d < position.size(); ++d)
    source.push_back(interior[d] == 0 ? position[d] - low[d]
                                      : divide_or_outside(position[d] - low[d], interior[d] + 1));
  int value = stage.load(kernel.operand(0), source, view.attributes.get<double>("value"));
  stage.store(kernel.result(), position, value);
  stage.finish();
  return kernel.take();
}

OperandGradients pad_gradient(GradientContext& context) {
  const Sizes& low = context.view.attributes.get<Sizes>("low");
  Sizes interior = list_or(context.view, "interior", 0), limits, strides;
  for (size_t d = 0; d < low.size(); ++d) {
    const Dim &dim = context.view.operand(0).shape[d], &padded = context.view.result().shape[d];
    int64_t taken = dim.is_number() && dim.number() > 0 ? (dim.number() - 1) * (interior[d] + 1) + 1 : 0;
    limits.push_back(dim == padded ? -1 : low[d] + taken);
    strides.push_back(interior[d] + 1);
  }
  return {
      context.builder("slice", {*context.gradients[0]}, {{"starts", low}, {"limits", limits}, {"strides", strides}})};
}

// --- concat

std::vector<Type> infer_concat(const OpView& view) {
  expect(!view.operands.empty(), "found no operands, expected at least one");
  const TensorType& first = view.operand(0);
  int dim = expect_dim(view.attributes.get<int64_t>("dim"), first.rank(), "dim");
  Shape shape = first.shape;
  for (int i = 1; i < static_cast<int>(view.operands.size()); ++i) {
    const Shape& found = view.operand(i).shape;
    expect(found.size() == shape.size(), "operand {} has shape {}, expected {} dimensions as operand 0", i,
           to_string(found), shape.size());
    for (int d = 0; d < first.rank(); ++d)
      expect(d == dim || found[d] == shape[d], "dimension {} of operand {} has size {}, expected {} as in operand 0", d,
             i, found[d].to_string(), shape[d].to_string());
    expect(found[dim].is_number() && shape[dim].is_number(), "cannot join sizes {} and {}: a symbolic size in dim",
           shape[dim].to_string(), found[dim].to_string());
    shape[dim] = checked_add(shape[dim].number(), found[dim].number());
  }
  return {Type(first.dtype, shape)};
}

void evaluate_concat(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  int64_t dim = view.attributes.get<int64_t>("dim"), offset = 0;
  for (const HostTensor& operand : operands) {
    for_each_position(operand.sizes(), [&](const Sizes& position) {
      Sizes target = position;
      target[dim] += offset;
      copy_element(operand, flat_index(position, operand.sizes()), results[0], flat_index(target, results[0].sizes()));
    });
    offset += operand.sizes()[dim];
  }
}

// One stage an operand.
StructuredKernel lower_concat(const OpView& view) {
  int64_t dim = view.attributes.get<int64_t>("dim"), offset = 0;
  KernelWriter kernel(view);
  for (int i = 0; i < static_cast<int>(view.operands.size()); ++i) {
    Sizes sizes = view.operand(i).sizes();
    StageWriter stage(kernel, fmt::format("concat{}", i));
    std::vector<Index> position;
    for (int64_t size : sizes) position.push_back(stage.parallel(size));
    int value = stage.load(kernel.operand(i), position);
    position[dim] = position[dim] + offset;
    stage.store(kernel.result(), position, value);
    stage.finish();
    offset += sizes[dim];
  }
  return kernel.take();
}

OperandGradients concat_gradient(GradientContext& context) {
  int64_t dim = context.view.attributes.get<int64_t>("dim"), offset = 0;
  OperandGradients gradients(context.operands.size());
  if (context.operands.size() == 1) return {*context.gradients[0]};
  for (size_t i = 0; i < context.operands.size(); ++i) {
    const TensorType& operand = context.view.operand(static_cast<int>(i));
    Sizes starts(operand.shape.size(), 0), limits(operand.shape.size(), -1);
    starts[dim] = offset;
    offset += operand.shape[dim].number();
    limits[dim] = offset;
    if (context.needed[i])
      gradients[i] = context.builder("slice", {*context.gradients[0]}, {{"starts", starts}, {"limits", limits}});
  }
  return gradients;
}

// --- samples

std::vector<Sample> slice_samples() {
  auto sample = [](Shape shape, Sizes starts, Sizes limits, Sizes strides) {
    return shaping_sample(std::move(shape), {{"starts", starts}, {"limits", limits}, {"strides", strides}});
  };
  return {sample({7}, {1}, {6}, {2}),
          sample({3, 4}, {1, 0}, {3, -1}, {}),
          sample({}, {}, {}, {}),
          sample({5, 2}, {2, 1}, {2, 2}, {}),
          sample({0, 3}, {0, 1}, {0, 3}, {}),
          sample({4, 19}, {0, 2}, {4, 19}, {3, 4}),
          sample({2, 3, 40}, {1, 0, 5}, {2, 3, 38}, {1, 2, 1})};
}

std::vector<Sample> pad_samples() {
  auto sample = [](Shape shape, Sizes low, Sizes high, Sizes interior, double value) {
    return shaping_sample(std::move(shape), {{"low", low}, {"high", high}, {"interior", interior}, {"value", value}});
  };
  return {sample({3}, {1}, {2}, {}, 0),
          sample({2, 3}, {0, 1}, {1, 0}, {}, 1),
          sample({}, {}, {}, {}, 0),
          sample({0}, {2}, {1}, {3}, 7),
          sample({4}, {1}, {1}, {2}, 0),
          sample({2, 1}, {0, 0}, {0, 0}, {1, 5}, 3),
          sample({2, 3, 17}, {1, 0, 3}, {0, 2, 1}, {0, 1, 0}, 1)};
}

std::vector<Sample> concat_samples() {
  auto sample = [](std::vector<Shape> shapes, int64_t dim) {
    Sample made{.operands = {}, .attributes = {{"dim", dim}}};
    for (Shape& shape : shapes) made.operands.emplace_back(DType::f32, shape);
    return made;
  };
  return {sample({{3}, {4}}, 0),       sample({{2, 3}, {2, 1}, {2, 5}}, 1), sample({{2, 3}}, 0),
          sample({{0, 3}, {2, 3}}, 0), sample({{3, 0}, {3, 0}}, 1),         sample({{2, 1, 17}, {2, 3, 17}}, 1)};
}

}  // namespace

std::vector<OpEntry> slicing_ops() {
  AttributeSpec strides{"strides", AttributeKind::sizes, Attribute(Sizes{}), "each >= 1; empty: 1 everywhere"};
  AttributeSpec interior{"interior", AttributeKind::sizes, Attribute(Sizes{}), "elements put between; empty: none"};
  return {
      {.name = "slice",
       .summary = "The elements from `starts` up to but without `limits`, every `strides`-th, in each dimension.",
       .signature = {.operands = {{"x"}},
                     .attributes = {{"starts", AttributeKind::sizes, {}, "one a dimension"},
                                    {"limits", AttributeKind::sizes, {}, "one a dimension; -1: to the end"},
                                    strides}},
       .infer = infer_slice,
       .evaluate = evaluate_slice,
       .gradient = Gradient(slice_gradient),
       .realisation = Lower{lower_slice},
       .samples = slice_samples()},
      {.name = "pad",
       .summary = "x with `value` put before, behind and between its elements.",
       .signature = {.operands = {{"x"}},
                     .attributes = {{"low", AttributeKind::sizes, {}, "elements put before, one number a dimension"},
                                    {"high", AttributeKind::sizes, {}, "elements put behind, one number a dimension"},
                                    interior,
                                    {"value", AttributeKind::number, Attribute(0.0), "rounded to x's dtype"}}},
       .infer = infer_pad,
       .evaluate = evaluate_pad,
       .gradient = Gradient(pad_gradient),
       .realisation = Lower{lower_pad},
       .samples = pad_samples()},
      {.name = "concat",
       .summary = "The operands one behind the other in dimension dim; their other dimensions agree.",
       .signature = {.operands = {{"x", DTypeClass::any, true}},
                     .attributes = {{"dim", AttributeKind::integer, {}, "the dimension to join along"}}},
       .infer = infer_concat,
       .evaluate = evaluate_concat,
       .gradient = Gradient(concat_gradient),
       .realisation = Lower{lower_concat},
       .samples = concat_samples()},
  };
}

}  // namespace placewright::ops
