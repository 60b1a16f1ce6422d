// Ops that read or write where an index tensor says; iota. An index out of range is an Error in the evaluator and sets
// the status word in kernels. Indices do not wrap: -1 is out of range.
#include "checks.h"
#include "families.h"
#include "kernel_writer.h"
#include "naive_loops.h"

namespace placewright::ops {
namespace {

int read_dim(const OpView& view) {
  return expect_dim(view.attributes.get<int64_t>("dim"), view.operand(0).rank(), "dim");
}

void expect_indices(const OpView& view) {
  DType dtype = view.operand(1).dtype;
  expect(dtype == DType::i32 || dtype == DType::i64, "operand indices is {}, expected i32 or i64",
         view.operands[1].to_string());
}

void expect_updates(const OpView& view, const Shape& shape) {
  expect_shape(view.operand(2).shape, shape, "updates");
  expect(view.operand(2).dtype == view.operand(0).dtype, "operand updates is {}, expected the dtype of x, {}",
         view.operands[2].to_string(), name(view.operand(0).dtype));
}

int64_t checked_index(const HostTensor& indices, int64_t flat, int64_t size, int dim) {
  int64_t index = indices.integer(flat);
  expect(index >= 0 && index < size, "index {} is out of range for dimension {} of size {}; expected 0 to {}", index,
         dim, size, size - 1);
  return index;
}

// --- gather and scatter_add: whole slices, as PyTorch's index_select and index_add, for indices of any shape
// -----------

// x's shape with the shape of the indices in the place of dim.
Shape gathered_shape(const Shape& x, const Shape& indices, int dim) {
  Shape shape(x.begin(), x.begin() + dim);
  shape.insert(shape.end(), indices.begin(), indices.end());
  shape.insert(shape.end(), x.begin() + dim + 1, x.end());
  return shape;
}

// A position of the gathered tensor: which of the indices it speaks of, and x's position with 0 in dim.
template <typename Position>
struct Split {
  std::vector<Position> index, x;
  Split(const std::vector<Position>& gathered, size_t index_rank, int dim)
      : index(gathered.begin() + dim, gathered.begin() + dim + static_cast<std::ptrdiff_t>(index_rank)),
        x(gathered.begin(), gathered.begin() + dim) {
    x.push_back(Position(0));
    x.insert(x.end(), gathered.begin() + dim + static_cast<std::ptrdiff_t>(index_rank), gathered.end());
  }
};

std::vector<Type> infer_gather(const OpView& view) {
  expect_indices(view);
  return {Type(view.operand(0).dtype, gathered_shape(view.operand(0).shape, view.operand(1).shape, read_dim(view)))};
}

void evaluate_gather(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const HostTensor &x = operands[0], &indices = operands[1];
  int dim = read_dim(view);
  int64_t flat = 0;
  for_each_position(results[0].sizes(), [&](const Sizes& position) {
    Split<int64_t> split(position, indices.sizes().size(), dim);
    split.x[dim] = checked_index(indices, flat_index(split.index, indices.sizes()), x.sizes()[dim], dim);
    copy_element(x, flat_index(split.x, x.sizes()), results[0], flat++);
  });
}

StructuredKernel lower_gather(const OpView& view) {
  int dim = read_dim(view);
  KernelWriter kernel(view);
  StageWriter stage(kernel, "gather");
  std::vector<Index> position;
  for (int64_t size : view.result().sizes()) position.push_back(stage.parallel(size));
  Split<Index> split(position, view.operand(1).shape.size(), dim);
  int index = stage.cast(stage.load(kernel.operand(1), split.index), DType::i64);
  stage.store(kernel.result(), position, stage.load_indirect(kernel.operand(0), split.x, dim, index));
  stage.finish();
  return kernel.take();
}

OperandGradients gather_gradient(GradientContext& context) {
  if (!context.needed[0]) return {std::nullopt, std::nullopt};
  const TensorType& x = context.view.operand(0);
  FunctionBuilder& builder = context.builder;
  Value zeros = builder.full(x.dtype, x.shape, 0);
  return {builder("scatter_add", {zeros, context.operands[1], *context.gradients[0]},
                  {{"dim", context.view.attributes.get<int64_t>("dim")}}),
          std::nullopt};
}

std::vector<Type> infer_scatter(const OpView& view) {
  expect_indices(view);
  expect_updates(view, gathered_shape(view.operand(0).shape, view.operand(1).shape, read_dim(view)));
  return {Type(view.operand(0).dtype, view.operand(0).shape)};
}

// Sums in f64 or i64 and rounds once.
template <typename T>
void scatter(const std::vector<T>& x, const std::vector<T>& updates, const std::vector<int64_t>& targets,
             HostTensor& result) {
  std::vector<T> sums = x;
  for (size_t i = 0; i < updates.size(); ++i) add_to(sums[static_cast<size_t>(targets[i])], updates[i]);
  assign(result, sums);
}

void scatter_to(std::span<const HostTensor> operands, const std::vector<int64_t>& targets, HostTensor& result) {
  if (is_floating(result.dtype()))
    scatter(numbers(operands[0]), numbers(operands[2]), targets, result);
  else
    scatter(integers(operands[0]), integers(operands[2]), targets, result);
}

void evaluate_scatter(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const HostTensor &x = operands[0], &indices = operands[1];
  int dim = read_dim(view);
  std::vector<int64_t> targets;
  for_each_position(operands[2].sizes(), [&](const Sizes& position) {
    Split<int64_t> split(position, indices.sizes().size(), dim);
    split.x[dim] = checked_index(indices, flat_index(split.index, indices.sizes()), x.sizes()[dim], dim);
    targets.push_back(flat_index(split.x, x.sizes()));
  });
  scatter_to(operands, targets, results[0]);
}

void write_copy(KernelWriter& kernel, const Sizes& sizes) {
  StageWriter stage(kernel, "copy");
  std::vector<Index> position;
  for (int64_t size : sizes) position.push_back(stage.parallel(size));
  stage.store(kernel.result(), position, stage.load(kernel.operand(0), position));
  stage.finish();
}

StructuredKernel lower_scatter(const OpView& view) {
  int dim = read_dim(view);
  KernelWriter kernel(view);
  write_copy(kernel, view.result().sizes());
  StageWriter stage(kernel, "scatter_add");
  std::vector<Index> position;
  for (int64_t size : view.operand(2).sizes()) position.push_back(stage.parallel(size));
  Split<Index> split(position, view.operand(1).shape.size(), dim);
  for (const Index& dimension : split.index) stage.sequential(dimension);
  int index = stage.cast(stage.load(kernel.operand(1), split.index), DType::i64);
  stage.add_indirect(kernel.result(), split.x, dim, index, stage.load(kernel.operand(2), position));
  stage.finish();
  return kernel.take();
}

OperandGradients scatter_gradient(GradientContext& context, std::string_view partner) {
  Value gradient = *context.gradients[0];
  OperandGradients gradients(3);
  gradients[0] = gradient;
  if (context.needed[2])
    gradients[2] = context.builder(partner, {gradient, context.operands[1]},
                                   {{"dim", context.view.attributes.get<int64_t>("dim")}});
  return gradients;
}

// --- take_along_dim and add_along_dim: one element for each index, as PyTorch's gather and scatter_add
// -----------------

void expect_along(const OpView& view) {
  expect_indices(view);
  const Shape &x = view.operand(0).shape, &indices = view.operand(1).shape;
  Shape expected = x;
  int dim = read_dim(view);
  expect(indices.size() == x.size(), "operand indices has shape {}, expected {} dimensions as x", to_string(indices),
         x.size());
  expected[dim] = indices[dim];
  expect_shape(indices, expected, "indices");
}

std::vector<Type> infer_take(const OpView& view) {
  expect_along(view);
  return {Type(view.operand(0).dtype, view.operand(1).shape)};
}

void evaluate_take(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const HostTensor &x = operands[0], &indices = operands[1];
  int dim = read_dim(view);
  int64_t flat = 0;
  for_each_position(indices.sizes(), [&](Sizes position) {
    position[dim] = checked_index(indices, flat, x.sizes()[dim], dim);
    copy_element(x, flat_index(position, x.sizes()), results[0], flat);
    ++flat;
  });
}

StructuredKernel lower_take(const OpView& view) {
  int dim = read_dim(view);
  KernelWriter kernel(view);
  StageWriter stage(kernel, "take_along_dim");
  std::vector<Index> position;
  for (int64_t size : view.result().sizes()) position.push_back(stage.parallel(size));
  int index = stage.cast(stage.load(kernel.operand(1), position), DType::i64);
  std::vector<Index> source = position;
  source[dim] = Index(0);
  stage.store(kernel.result(), position, stage.load_indirect(kernel.operand(0), source, dim, index));
  stage.finish();
  return kernel.take();
}

OperandGradients take_gradient(GradientContext& context) {
  if (!context.needed[0]) return {std::nullopt, std::nullopt};
  const TensorType& x = context.view.operand(0);
  Value zeros = context.builder.full(x.dtype, x.shape, 0);
  return {context.builder("add_along_dim", {zeros, context.operands[1], *context.gradients[0]},
                          {{"dim", context.view.attributes.get<int64_t>("dim")}}),
          std::nullopt};
}

std::vector<Type> infer_add_along(const OpView& view) {
  expect_along(view);
  expect_updates(view, view.operand(1).shape);
  return {Type(view.operand(0).dtype, view.operand(0).shape)};
}

void evaluate_add_along(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const HostTensor &x = operands[0], &indices = operands[1];
  int dim = read_dim(view);
  std::vector<int64_t> targets;
  for_each_position(indices.sizes(), [&](Sizes position) {
    position[dim] = checked_index(indices, static_cast<int64_t>(targets.size()), x.sizes()[dim], dim);
    targets.push_back(flat_index(position, x.sizes()));
  });
  scatter_to(operands, targets, results[0]);
}

StructuredKernel lower_add_along(const OpView& view) {
  int dim = read_dim(view);
  KernelWriter kernel(view);
  write_copy(kernel, view.result().sizes());
  StageWriter stage(kernel, "add_along_dim");
  std::vector<Index> position;
  for (int64_t size : view.operand(1).sizes()) position.push_back(stage.parallel(size));
  stage.sequential(position[dim]);
  int index = stage.cast(stage.load(kernel.operand(1), position), DType::i64);
  int value = stage.load(kernel.operand(2), position);
  std::vector<Index> target = position;
  target[dim] = Index(0);
  stage.add_indirect(kernel.result(), target, dim, index, value);
  stage.finish();
  return kernel.take();
}

// --- iota

std::vector<Type> infer_iota(const OpView& view) {
  const Shape& shape = view.attributes.get<Shape>("shape");
  DType dtype = expect_supported(view.attributes.get<DType>("dtype"), "dtype");
  expect(dtype != DType::boolean, "dtype is bool, expected a number");
  expect_dim(view.attributes.get<int64_t>("dim"), static_cast<int>(shape.size()), "dim");
  return {Type(dtype, shape)};
}

void evaluate_iota(const OpView& view, std::span<const HostTensor>, std::span<HostTensor> results) {
  int64_t dim = view.attributes.get<int64_t>("dim"), flat = 0;
  for_each_position(results[0].sizes(), [&](const Sizes& position) { results[0].set_integer(flat++, position[dim]); });
}

StructuredKernel lower_iota(const OpView& view) {
  KernelWriter kernel(view);
  StageWriter stage(kernel, "iota");
  std::vector<Index> position;
  for (int64_t size : view.result().sizes()) position.push_back(stage.parallel(size));
  int value = stage.cast(stage.position(position[view.attributes.get<int64_t>("dim")]), view.result().dtype);
  stage.store(kernel.result(), position, value);
  stage.finish();
  return kernel.take();
}

// --- samples

// Indices are drawn from 0 to the size of dim; `updates`: whether the op takes them.
Sample index_sample(Shape x, Shape indices, int64_t dim, const std::optional<Shape>& updates, DType index_dtype) {
  double size = static_cast<double>(x[dim].number());
  Sample sample{.operands = {Type(DType::f32, std::move(x)), Type(index_dtype, std::move(indices))},
                .attributes = {{"dim", dim}},
                .ranges = {{-2, 2}, {0, size - 0.001}}};
  if (!updates) return sample;
  sample.operands.emplace_back(DType::f32, *updates);
  sample.ranges.emplace_back(-2, 2);
  return sample;
}

std::vector<Sample> gather_samples(bool with_updates) {
  std::vector<Sample> samples;
  auto add = [&](const Shape& x, const Shape& indices, int dim, DType dtype = DType::i64) {
    std::optional<Shape> updates;
    if (with_updates) updates = gathered_shape(x, indices, dim);
    samples.push_back(index_sample(x, indices, dim, updates, dtype));
  };
  add({5}, {3}, 0);
  add({5}, {}, 0);
  add({4, 3}, {2, 5}, 0, DType::i32);
  add({4, 3}, {7}, 1);
  add({2, 3, 4}, {2, 2}, 1);
  add({4, 3}, {0}, 0);
  add({4, 0}, {2}, 0);
  add({10, 17}, {6}, 0, DType::i32);
  return samples;
}

std::vector<Sample> along_samples(bool with_updates) {
  std::vector<Sample> samples;
  auto add = [&](const Shape& x, const Shape& indices, int dim, DType dtype = DType::i64) {
    samples.push_back(
        index_sample(x, indices, dim, with_updates ? std::optional<Shape>(indices) : std::nullopt, dtype));
  };
  add({5}, {3}, 0);
  add({3, 4}, {3, 1}, 1);
  add({3, 4}, {6, 4}, 0, DType::i32);
  add({2, 3, 4}, {2, 5, 4}, 1);
  add({3, 4}, {3, 0}, 1);
  add({17, 10}, {17, 1}, 1, DType::i32);
  return samples;
}

std::vector<Sample> iota_samples() {
  std::vector<Sample> samples;
  for (DType dtype : {DType::u8, DType::i32, DType::i64, DType::f32, DType::f64}) {
    samples.push_back({.operands = {}, .attributes = {{"shape", Shape{300}}, {"dim", int64_t{0}}, {"dtype", dtype}}});
    samples.push_back({.operands = {}, .attributes = {{"shape", Shape{3, 4}}, {"dim", int64_t{1}}, {"dtype", dtype}}});
    samples.push_back({.operands = {}, .attributes = {{"shape", Shape{0, 4}}, {"dim", int64_t{0}}, {"dtype", dtype}}});
  }
  return samples;
}

}  // namespace

std::vector<OpEntry> indexing() {
  OperandSpec x{"x"}, number{"x", DTypeClass::numeric}, indices{"indices", DTypeClass::index};
  OperandSpec updates{"updates", DTypeClass::numeric};
  AttributeSpec dim{"dim", AttributeKind::integer, {}, "the dimension of x that indices count"};
  Tolerance sums{.f32 = 1e-5, .f64 = 1e-12};
  return {
      {.name = "gather",
       .summary =
           "Slices of x along dim, one for each index: result[.., i.., ..] = x[.., indices[i..], ..]. The shape of "
           "the indices takes the place of dim (embedding: dim 0).",
       .signature = {.operands = {x, indices}, .attributes = {dim}, .same_dtype = false},
       .infer = infer_gather,
       .evaluate = evaluate_gather,
       .gradient = Gradient(gather_gradient),
       .realisation = Lower{lower_gather},
       .samples = gather_samples(false)},
      {.name = "scatter_add",
       .summary =
           "x with slices added along dim: result[.., indices[i..], ..] += updates[.., i.., ..]; an index may occur "
           "several times.",
       .signature = {.operands = {number, indices, updates}, .attributes = {dim}, .same_dtype = false},
       .infer = infer_scatter,
       .evaluate = evaluate_scatter,
       .gradient = Gradient([](GradientContext& context) { return scatter_gradient(context, "gather"); }),
       .realisation = Lower{lower_scatter},
       .tolerance = sums,
       .samples = gather_samples(true)},
      {.name = "take_along_dim",
       .summary =
           "One element for each index: result[.., i, ..] = x[.., indices[.., i, ..], ..]; shapes agree but for dim.",
       .signature = {.operands = {x, indices}, .attributes = {dim}, .same_dtype = false},
       .infer = infer_take,
       .evaluate = evaluate_take,
       .gradient = Gradient(take_gradient),
       .realisation = Lower{lower_take},
       .samples = along_samples(false)},
      {.name = "add_along_dim",
       .summary = "x with elements added: result[.., indices[.., i, ..], ..] += updates[.., i, ..]; an index may occur "
                  "several times.",
       .signature = {.operands = {number, indices, updates}, .attributes = {dim}, .same_dtype = false},
       .infer = infer_add_along,
       .evaluate = evaluate_add_along,
       .gradient = Gradient([](GradientContext& context) { return scatter_gradient(context, "take_along_dim"); }),
       .realisation = Lower{lower_add_along},
       .tolerance = sums,
       .samples = along_samples(true)},
      {.name = "iota",
       .summary = "0, 1, 2, ... along dim, the same in all other dimensions.",
       .signature = {.attributes = {{"shape", AttributeKind::shape, {}, "of the result"},
                                    {"dim", AttributeKind::integer, {}, "along which it counts"},
                                    {"dtype", AttributeKind::dtype, {}, "of the result; integers wrap"}}},
       .infer = infer_iota,
       .evaluate = evaluate_iota,
       .gradient = Gradient::not_differentiable(),
       .realisation = Lower{lower_iota},
       .samples = iota_samples()},
  };
}

}  // namespace placewright::ops
