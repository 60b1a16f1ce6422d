// Ops that give the elements of their operand other positions: reshape, transpose, broadcast, reverse; and size_of.
#include "shaping.h"

#include <algorithm>

namespace placewright::ops {
namespace {

// --- reshape

// The product of a shape's numbers, and its symbols in order of name: shapes with equal ones have as many elements.
std::pair<int64_t, std::vector<std::string>> volume(const Shape& shape) {
  std::pair<int64_t, std::vector<std::string>> result{1, {}};
  for (const Dim& dim : shape)
    if (dim.is_number())
      result.first = checked_mul(result.first, dim.number());
    else
      result.second.push_back(dim.symbol_name());
  std::sort(result.second.begin(), result.second.end());
  return result;
}

std::vector<Type> infer_reshape(const OpView& view) {
  const TensorType& operand = view.operand(0);
  const Shape& shape = view.attributes.get<Shape>("shape");
  expect(volume(operand.shape) == volume(shape), "cannot reshape {} to {}: expected as many elements",
         to_string(operand.shape), to_string(shape));
  return {Type(operand.dtype, shape)};
}

void evaluate_reshape(const OpView&, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  for (int64_t i = 0; i < results[0].elements(); ++i) copy_element(operands[0], i, results[0], i);
}

// Copies through a second name of the operand's bytes, which has the result's sizes.
StructuredKernel lower_reshape(const OpView& view) {
  PW_CHECK(view.operand(0).layout.is_row_major(), "a reshape's operand is row-major");
  KernelWriter kernel(view);
  int renamed = kernel.alias("in0_reshaped", kernel.operand(0), view.result().sizes());
  StageWriter stage(kernel, "reshape");
  std::vector<Index> position;
  for (int64_t size : view.result().sizes()) position.push_back(stage.parallel(size));
  stage.store(kernel.result(), position, stage.load(renamed, position));
  stage.finish();
  return kernel.take();
}

OperandGradients reshape_gradient(GradientContext& context) {
  return {context.builder("reshape", {*context.gradients[0]}, {{"shape", context.view.operand(0).shape}})};
}

// --- transpose

std::vector<Type> infer_transpose(const OpView& view) {
  const TensorType& operand = view.operand(0);
  const Sizes& permutation = expect_one_a_dim(view, "permutation");
  expect_dims(permutation, operand.rank(), "permutation");
  Shape shape;
  for (int64_t dim : permutation) shape.push_back(operand.shape[dim]);
  return {Type(operand.dtype, shape)};
}

void evaluate_transpose(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const Sizes& permutation = view.attributes.get<Sizes>("permutation");
  Sizes source(permutation.size());
  for_each_position(results[0].sizes(), [&](const Sizes& position) {
    for (size_t i = 0; i < position.size(); ++i) source[permutation[i]] = position[i];
    copy_element(operands[0], flat_index(source, operands[0].sizes()), results[0],
                 flat_index(position, results[0].sizes()));
  });
}

StructuredKernel lower_transpose(const OpView& view) {
  const Sizes& permutation = view.attributes.get<Sizes>("permutation");
  return lower_copy(view, [&](const std::vector<Index>& position) {
    std::vector<Index> source(position.size());
    for (size_t i = 0; i < position.size(); ++i) source[permutation[i]] = position[i];
    return source;
  });
}

OperandGradients transpose_gradient(GradientContext& context) {
  const Sizes& permutation = context.view.attributes.get<Sizes>("permutation");
  Sizes inverse(permutation.size());
  for (size_t i = 0; i < permutation.size(); ++i) inverse[permutation[i]] = static_cast<int64_t>(i);
  return {context.builder("transpose", {*context.gradients[0]}, {{"permutation", inverse}})};
}

// --- broadcast

std::vector<Type> infer_broadcast(const OpView& view) {
  const TensorType& operand = view.operand(0);
  const Shape& shape = view.attributes.get<Shape>("shape");
  const Sizes& dims = expect_one_a_dim(view, "dims");
  expect_dims(dims, static_cast<int>(shape.size()), "dims");
  expect(std::is_sorted(dims.begin(), dims.end()), "dims are {}, expected in ascending order", to_string(dims));
  for (size_t i = 0; i < dims.size(); ++i)
    expect(operand.shape[i] == shape[dims[i]],
           "dimension {} of operand {} has size {}, expected {}, the size of dimension {} of the result {}", i,
           to_string(operand.shape), operand.shape[i].to_string(), shape[dims[i]].to_string(), dims[i],
           to_string(shape));
  return {Type(operand.dtype, shape)};
}

void evaluate_broadcast(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const Sizes& dims = view.attributes.get<Sizes>("dims");
  Sizes source(dims.size());
  for_each_position(results[0].sizes(), [&](const Sizes& position) {
    for (size_t i = 0; i < dims.size(); ++i) source[i] = position[dims[i]];
    copy_element(operands[0], flat_index(source, operands[0].sizes()), results[0],
                 flat_index(position, results[0].sizes()));
  });
}

StructuredKernel lower_broadcast(const OpView& view) {
  const Sizes& dims = view.attributes.get<Sizes>("dims");
  return lower_copy(view, [&](const std::vector<Index>& position) {
    std::vector<Index> source;
    for (int64_t dim : dims) source.push_back(position[dim]);
    return source;
  });
}

OperandGradients broadcast_gradient(GradientContext& context) {
  const Sizes& dims = context.view.attributes.get<Sizes>("dims");
  Sizes added;
  for (int64_t d = 0; d < context.view.result().rank(); ++d)
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) added.push_back(d);
  if (added.empty()) return {*context.gradients[0]};
  return {context.builder("reduce_sum", {*context.gradients[0]}, {{"dims", added}})};
}

// --- reverse

std::vector<Type> infer_reverse(const OpView& view) {
  const TensorType& operand = view.operand(0);
  expect_dims(view.attributes.get<Sizes>("dims"), operand.rank(), "dims");
  return {Type(operand.dtype, operand.shape)};
}

void evaluate_reverse(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const Sizes& sizes = results[0].sizes();
  for_each_position(sizes, [&](const Sizes& position) {
    Sizes source = position;
    for (int64_t dim : view.attributes.get<Sizes>("dims")) source[dim] = sizes[dim] - 1 - position[dim];
    copy_element(operands[0], flat_index(source, sizes), results[0], flat_index(position, sizes));
  });
}

StructuredKernel lower_reverse(const OpView& view) {
  Sizes sizes = view.result().sizes();
  return lower_copy(view, [&](std::vector<Index> position) {
    for (int64_t dim : view.attributes.get<Sizes>("dims")) position[dim] = Index(sizes[dim] - 1) - position[dim];
    return position;
  });
}

OperandGradients reverse_gradient(GradientContext& context) {
  return {context.builder("reverse", {*context.gradients[0]}, context.view.attributes)};
}

// --- size_of

std::vector<Type> infer_size_of(const OpView& view) {
  expect_dim(view.attributes.get<int64_t>("dim"), view.operand(0).rank(), "dim");
  return {Type(DType::i64, {})};
}

int64_t size_of(const OpView& view) { return view.operand(0).shape[view.attributes.get<int64_t>("dim")].number(); }

void evaluate_size_of(const OpView& view, std::span<const HostTensor>, std::span<HostTensor> results) {
  results[0].set_integer(0, size_of(view));
}

StructuredKernel lower_size_of(const OpView& view) {
  KernelWriter kernel(view);
  StageWriter stage(kernel, "size_of");
  stage.store(kernel.result(), {}, stage.position(size_of(view)));
  stage.finish();
  return kernel.take();
}

// --- samples

std::vector<Sample> reshape_samples() {
  return {shaping_sample({3, 4}, {{"shape", Shape{2, 6}}}),  shaping_sample({}, {{"shape", Shape{1, 1}}}),
          shaping_sample({2, 0}, {{"shape", Shape{0, 5}}}),  shaping_sample({1}, {{"shape", Shape{}}}),
          shaping_sample({2, 3, 5}, {{"shape", Shape{30}}}), shaping_sample({17, 2}, {{"shape", Shape{2, 17}}})};
}

std::vector<Sample> transpose_samples() {
  return {shaping_sample({3, 4}, {{"permutation", Sizes{1, 0}}}),
          shaping_sample({}, {{"permutation", Sizes{}}}),
          shaping_sample({0, 3}, {{"permutation", Sizes{1, 0}}}),
          shaping_sample({7}, {{"permutation", Sizes{0}}}),
          shaping_sample({2, 3, 5}, {{"permutation", Sizes{2, 0, 1}}}),
          shaping_sample({2, 3, 4, 17}, {{"permutation", Sizes{0, 3, 1, 2}}}),
          shaping_sample({33, 18}, {{"permutation", Sizes{1, 0}}})};
}

std::vector<Sample> broadcast_samples() {
  auto sample = [](Shape from, Shape to, Sizes dims) {
    return shaping_sample(std::move(from), {{"shape", std::move(to)}, {"dims", std::move(dims)}});
  };
  return {sample({}, {3, 4}, {}),   sample({4}, {3, 4}, {1}),  sample({3}, {3, 4}, {0}),
          sample({}, {}, {}),       sample({}, {0, 2}, {}),    sample({2, 5}, {2, 3, 5}, {0, 2}),
          sample({0}, {3, 0}, {1}), sample({1}, {17, 1}, {1}), sample({2, 3}, {2, 3}, {0, 1})};
}

std::vector<Sample> reverse_samples() {
  return {shaping_sample({5}, {{"dims", Sizes{0}}}), shaping_sample({3, 4}, {{"dims", Sizes{1}}}),
          shaping_sample({}, {{"dims", Sizes{}}}), shaping_sample({0, 2}, {{"dims", Sizes{0, 1}}}),
          shaping_sample({2, 3, 19}, {{"dims", Sizes{2, 0}}})};
}

}  // namespace

std::vector<OpEntry> shaping() {
  std::vector<OpEntry> entries{
      {.name = "reshape",
       .summary = "The elements in row-major order under another shape of as many elements.",
       .signature = {.operands = {{"x"}}, .attributes = {{"shape", AttributeKind::shape, {}, "of the result"}}},
       .infer = infer_reshape,
       .evaluate = evaluate_reshape,
       .gradient = Gradient(reshape_gradient),
       .realisation = Lower{lower_reshape},
       .traits = {.view = true},
       .samples = reshape_samples()},
      {.name = "transpose",
       .summary = "Permutes dimensions: dimension i of the result is dimension permutation[i] of x.",
       .signature = {.operands = {{"x"}},
                     .attributes = {{"permutation", AttributeKind::sizes, {}, "each dimension of x once"}}},
       .infer = infer_transpose,
       .evaluate = evaluate_transpose,
       .gradient = Gradient(transpose_gradient),
       .realisation = Lower{lower_transpose},
       .samples = transpose_samples()},
      {.name = "broadcast",
       .summary =
           "Repeats x along new dimensions: dimension i of x is dimension dims[i] of the result, of the same size.",
       .signature = {.operands = {{"x"}},
                     .attributes = {{"shape", AttributeKind::shape, {}, "of the result"},
                                    {"dims", AttributeKind::sizes, {}, "ascending, one for each dimension of x"}}},
       .infer = infer_broadcast,
       .evaluate = evaluate_broadcast,
       .gradient = Gradient(broadcast_gradient),
       .realisation = Lower{lower_broadcast},
       .samples = broadcast_samples()},
      {.name = "reverse",
       .summary = "Turns the order of the elements round in the named dimensions.",
       .signature = {.operands = {{"x"}}, .attributes = {{"dims", AttributeKind::sizes, {}, "each at most once"}}},
       .infer = infer_reverse,
       .evaluate = evaluate_reverse,
       .gradient = Gradient(reverse_gradient),
       .realisation = Lower{lower_reverse},
       .samples = reverse_samples()},
      {.name = "size_of",
       .summary =
           "The size of a dimension of x, as an i64 scalar: how a symbolic size becomes a number to compute with.",
       .signature = {.operands = {{"x"}}, .attributes = {{"dim", AttributeKind::integer, {}, "a dimension of x"}}},
       .infer = infer_size_of,
       .evaluate = evaluate_size_of,
       .gradient = Gradient::not_differentiable(),
       .realisation = Lower{lower_size_of},
       .samples = {shaping_sample({3, 4}, {{"dim", int64_t{1}}}), shaping_sample({0}, {{"dim", int64_t{0}}})}},
  };
  for (OpEntry& entry : slicing_ops()) entries.push_back(std::move(entry));
  return entries;
}

}  // namespace placewright::ops
