// Layers that are made of other ops: linear, matmul, embedding, one-hot, dropout, average pooling.
#include "checks.h"
#include "graph_writer.h"
#include "naive_loops.h"
#include "product_sum.h"
#include "windows.h"

namespace placewright::ops {
namespace {

Type f32(Shape shape) { return {DType::f32, std::move(shape)}; }

// --- linear

std::vector<Type> infer_linear(const OpView& view) {
  const TensorType &x = view.operand(0), &weight = view.operand(1);
  expect(x.rank() >= 1, "operand x is a scalar, expected [...,in]");
  expect(weight.rank() == 2 && weight.shape[1] == x.shape.back(), "operand weight has shape {}, expected [out,{}]",
         to_string(weight.shape), x.shape.back().to_string());
  check_precision(view.attributes);
  expect(view.operands.size() <= 3, "found {} operands, expected x, weight and at most a bias", view.operands.size());
  if (view.operands.size() == 3) expect_shape(view.operand(2).shape, {weight.shape[0]}, "bias");
  Shape shape(x.shape.begin(), x.shape.end() - 1);
  shape.push_back(weight.shape[0]);
  return {Type(x.dtype, shape)};
}

void evaluate_linear(const OpView&, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  int64_t outputs = operands[1].sizes()[0], inputs = operands[1].sizes()[1];
  std::vector<double> x = numbers(operands[0]), weight = numbers(operands[1]);
  for (int64_t i = 0; i < results[0].elements(); ++i) {
    int64_t row = i / outputs, column = i % outputs;
    double total = operands.size() == 3 ? operands[2].number(column) : 0;
    for (int64_t k = 0; k < inputs; ++k) total += x[row * inputs + k] * weight[column * inputs + k];
    results[0].set_number(i, total);
  }
}

std::vector<Value> decompose_linear(FunctionBuilder& builder, const OpView& view, std::span<const Value> operands) {
  Attributes attributes{{"lhs_contracting", Sizes{view.operand(0).rank() - 1}},
                        {"rhs_contracting", Sizes{1}},
                        {"precision", view.attributes.get<std::string>("precision")}};
  Expr product{builder, builder("dot_general", {operands[0], operands[1]}, attributes)};
  if (operands.size() < 3) return {product};
  return {product + Expr{builder, operands[2]}};
}

// --- matmul

// Both operands as stacks of matrices [batch..., m, k] and [batch..., k, n]; a vector is a row or a column.
struct MatmulShapes {
  Shape batch, a, b;  // a and b: of the matrices alone
  bool a_is_vector, b_is_vector;
};

MatmulShapes matmul_shapes(const Shape& a, const Shape& b) {
  expect(!a.empty() && !b.empty(), "operands have shapes {} and {}, expected at least one dimension each", to_string(a),
         to_string(b));
  MatmulShapes shapes{{}, {}, {}, a.size() == 1, b.size() == 1};
  shapes.a = shapes.a_is_vector ? Shape{1, a[0]} : Shape(a.end() - 2, a.end());
  shapes.b = shapes.b_is_vector ? Shape{b[0], 1} : Shape(b.end() - 2, b.end());
  expect(shapes.a[1] == shapes.b[0], "a {} has {} columns and b {} has {} rows, expected as many", to_string(a),
         shapes.a[1].to_string(), to_string(b), shapes.b[0].to_string());
  shapes.batch = broadcast_shape(shapes.a_is_vector ? Shape{} : Shape(a.begin(), a.end() - 2),
                                 shapes.b_is_vector ? Shape{} : Shape(b.begin(), b.end() - 2));
  return shapes;
}

std::vector<Type> infer_matmul(const OpView& view) {
  MatmulShapes shapes = matmul_shapes(view.operand(0).shape, view.operand(1).shape);
  check_precision(view.attributes);
  Shape shape = shapes.batch;
  if (!shapes.a_is_vector) shape.push_back(shapes.a[0]);
  if (!shapes.b_is_vector) shape.push_back(shapes.b[1]);
  return {Type(view.operand(0).dtype, shape)};
}

// The matrix of a stack (of these sizes) that a position of the broadcast batch uses: its number.
int64_t matrix_number(const Sizes& sizes, const Sizes& batch) {
  int64_t number = 0;
  int64_t stacked = static_cast<int64_t>(sizes.size()) - 2, offset = static_cast<int64_t>(batch.size()) - stacked;
  for (int64_t d = 0; d < stacked; ++d) number = number * sizes[d] + (sizes[d] == 1 ? 0 : batch[offset + d]);
  return number;
}

void evaluate_matmul(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  MatmulShapes shapes = matmul_shapes(view.operand(0).shape, view.operand(1).shape);
  int64_t m = shapes.a[0].number(), k = shapes.a[1].number(), n = shapes.b[1].number();
  evaluate_bilinear(operands[0], operands[1], results[0], [&](const auto& a, const auto& b, auto& result) {
    size_t next = 0;
    for_each_position(numbers_of(shapes.batch), [&](const Sizes& batch) {
      int64_t first_a = matrix_number(operands[0].sizes(), batch) * m * k;
      int64_t first_b = matrix_number(operands[1].sizes(), batch) * k * n;
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j, ++next)
          for (int64_t l = 0; l < k; ++l)
            add_to(result[next], multiply(a[first_a + i * k + l], b[first_b + l * n + j]));
    });
  });
}

std::vector<Value> decompose_matmul(FunctionBuilder& builder, const OpView& view, std::span<const Value> operands) {
  const Shape &a = view.operand(0).shape, &b = view.operand(1).shape;
  MatmulShapes shapes = matmul_shapes(a, b);
  const auto& precision = view.attributes.get<std::string>("precision");
  auto a_rank = static_cast<int64_t>(a.size());
  if (b.size() <= 2) {  // one matrix for the whole stack: no batch dimensions
    return {builder("dot_general", {operands[0], operands[1]},
                    {{"lhs_contracting", Sizes{a_rank - 1}}, {"rhs_contracting", Sizes{0}}, {"precision", precision}})};
  }
  auto stack = [&](Value value, const Shape& matrix) {
    Shape shape = shapes.batch;
    shape.insert(shape.end(), matrix.begin(), matrix.end());
    return broadcast_to({builder, value}, shape);
  };
  auto batch = static_cast<int64_t>(shapes.batch.size());
  Sizes batch_dims = all_dims(static_cast<int>(batch));
  if (shapes.a_is_vector) {  // [k] with [batch..., k, n]: contracting alone, then the columns
    Shape row = shapes.batch;
    row.push_back(shapes.a[1]);
    return {builder("dot_general", {broadcast_to({builder, operands[0]}, row), operands[1]},
                    {{"lhs_batch", batch_dims},
                     {"rhs_batch", batch_dims},
                     {"lhs_contracting", Sizes{batch}},
                     {"rhs_contracting", Sizes{batch}},
                     {"precision", precision}})};
  }
  return {builder("dot_general", {stack(operands[0], shapes.a), stack(operands[1], shapes.b)},
                  {{"lhs_batch", batch_dims},
                   {"rhs_batch", batch_dims},
                   {"lhs_contracting", Sizes{batch + 1}},
                   {"rhs_contracting", Sizes{batch}},
                   {"precision", precision}})};
}

std::vector<Sample> matmul_samples() {
  auto sample = [](Shape a, Shape b) { return Sample{.operands = {f32(std::move(a)), f32(std::move(b))}}; };
  return {sample({3, 4}, {4, 5}),
          sample({4}, {4}),
          sample({4}, {4, 5}),
          sample({3, 4}, {4}),
          sample({2, 3, 4}, {4}),
          sample({2, 3, 4}, {4, 5}),
          sample({2, 1, 3, 4}, {5, 4, 2}),
          sample({4}, {2, 4, 3}),
          sample({2, 3, 4}, {1, 4, 5})};
}

// --- embedding and one-hot

std::vector<Type> infer_embedding(const OpView& view) {
  const TensorType &weight = view.operand(0), &indices = view.operand(1);
  expect(accepts(DTypeClass::index, indices.dtype), "operand indices is {}, expected i32 or i64",
         view.operands[1].to_string());
  expect(weight.rank() == 2, "operand weight has shape {}, expected [rows,features]", to_string(weight.shape));
  Shape shape = indices.shape;
  shape.push_back(weight.shape[1]);
  return {Type(weight.dtype, shape)};
}

void evaluate_embedding(const OpView&, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  int64_t rows = operands[0].sizes()[0], features = operands[0].sizes()[1];
  for (int64_t i = 0; i < operands[1].elements(); ++i) {
    int64_t row = operands[1].integer(i);
    expect(row >= 0 && row < rows, "index {} at element {}, expected 0 to {}", row, i, rows - 1);
    for (int64_t j = 0; j < features; ++j)
      results[0].set_number(i * features + j, operands[0].number(row * features + j));
  }
}

std::vector<Type> infer_one_hot(const OpView& view) {
  int64_t classes = view.attributes.get<int64_t>("classes");
  expect(classes >= 0, "classes is {}, expected no negative number", classes);
  Shape shape = view.operand(0).shape;
  shape.push_back(classes);
  return {Type(expect_supported(view.attributes.get<DType>("dtype"), "dtype"), shape)};
}

void evaluate_one_hot(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  int64_t classes = view.attributes.get<int64_t>("classes");
  for (int64_t i = 0; i < operands[0].elements(); ++i)
    for (int64_t c = 0; c < classes; ++c) results[0].set_integer(i * classes + c, operands[0].integer(i) == c);
}

std::vector<Value> decompose_one_hot(FunctionBuilder& builder, const OpView& view, std::span<const Value> operands) {
  Expr indices{builder, operands[0]};
  Shape column = indices.shape(), shape = indices.shape();
  column.push_back(1);
  shape.push_back(view.attributes.get<int64_t>("classes"));
  Expr numbers = positions(builder, indices.dtype(), shape, indices.rank());
  return {cast(equal(reshape(indices, column), numbers), view.attributes.get<DType>("dtype"))};
}

// --- dropout

double dropped_share(const OpView& view) { return view.attributes.get<double>("probability"); }

// The draw that says which elements stay.
Attributes draw_attributes(const OpView& view) {
  return {{"shape", view.operand(0).shape},
          {"stream", view.attributes.get<int64_t>("stream")},
          {"probability", 1 - dropped_share(view)}};
}

std::vector<Type> infer_dropout(const OpView& view) {
  double share = dropped_share(view);
  expect(share >= 0 && share <= 1, "probability is {}, expected a number from 0 to 1", share);
  expect(is_floating(view.operand(0).dtype), "operand x is {}, expected a floating dtype",
         view.operands[0].to_string());
  Attributes draw = draw_attributes(view);
  infer_types({find_op("bernoulli"), view.operands.subspan(1), {}, draw});  // checks state and stream
  return {Type(view.operand(0).dtype, view.operand(0).shape)};
}

void evaluate_dropout(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  const HostTensor& x = operands[0];
  HostTensor kept(DType::boolean, x.sizes());
  const OpEntry& draw = find_op("bernoulli");
  Type kept_type(DType::boolean, view.operand(0).shape);
  Attributes attributes = draw_attributes(view);
  draw.evaluate({draw, view.operands.subspan(1), {&kept_type, 1}, attributes}, operands.subspan(1), {&kept, 1});
  bool training = view.attributes.get<bool>("training");
  for (int64_t i = 0; i < x.elements(); ++i)
    results[0].set_number(i, !training ? x.number(i) : kept.integer(i) ? x.number(i) / (1 - dropped_share(view)) : 0);
}

std::vector<Value> decompose_dropout(FunctionBuilder& builder, const OpView& view, std::span<const Value> operands) {
  if (!view.attributes.get<bool>("training")) return {operands[0]};
  Expr x{builder, operands[0]}, kept{builder, builder("bernoulli", {operands[1]}, draw_attributes(view))};
  double share = dropped_share(view);
  return {select(kept, x * (share < 1 ? 1 / (1 - share) : 0), 0)};
}

std::vector<Sample> dropout_samples() {
  auto sample = [](Shape shape, double probability, bool training) {
    return Sample{.operands = {f32(std::move(shape)), Type(DType::i64, {2})},
                  .attributes = {{"probability", probability}, {"stream", int64_t{3}}, {"training", training}},
                  .ranges = {{-2, 2}, {0, 1000}}};
  };
  return {sample({4, 10}, 0.3, true), sample({4, 10}, 0.3, false), sample({7}, 1, true), sample({7}, 0, true),
          sample({0, 3}, 0.5, true)};
}

// --- average pooling

// How many elements each window averages: one number if it is the same for all, else one for each output.
HostTensor window_counts(const OpView& view) {
  Windows windows = make_windows(view.attributes, view.operand(0).shape);
  DType dtype = view.operand(0).dtype;
  bool padded = false;
  for (int d = 0; d < windows.rank(); ++d)
    padded = padded || windows.geometry.low[d] != 0 || windows.geometry.high[d] != 0;
  if (!padded || view.attributes.get<bool>("count_include_pad")) {
    HostTensor count(dtype, {});
    count.set_integer(0, windows.taps());
    return count;
  }
  HostTensor counts(dtype, windows.outputs);
  int64_t next = 0;
  for_each_position(windows.outputs, [&](const Sizes& at) {
    int64_t count = 1;
    for (int d = 0; d < windows.rank(); ++d) {
      int64_t inside = 0;
      for (int64_t tap = 0; tap < windows.geometry.window[d]; ++tap) {
        int64_t position = windows.geometry.input_position(d, at[d], tap);
        inside += position >= 0 && position < windows.inputs[d];
      }
      count *= inside;
    }
    counts.set_integer(next++, count);
  });
  return counts;
}

std::vector<Type> infer_avg_pool(const OpView& view) {
  return {Type(view.operand(0).dtype, make_windows(view.attributes, view.operand(0).shape).output_shape())};
}

void evaluate_avg_pool(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  Windows windows = make_windows(view.attributes, view.operand(0).shape);
  std::vector<double> sums(static_cast<size_t>(results[0].elements())), counts(sums.size());
  for_each_tap(windows, [&](int64_t output, int64_t input) {
    sums[output] += operands[0].number(input);
    counts[output] += 1;
  });
  bool include_pad = view.attributes.get<bool>("count_include_pad");
  for (size_t i = 0; i < sums.size(); ++i)
    results[0].set_number(static_cast<int64_t>(i),
                          sums[i] / (include_pad ? static_cast<double>(windows.taps()) : counts[i]));
}

std::vector<Value> decompose_avg_pool(FunctionBuilder& builder, const OpView& view, std::span<const Value> operands) {
  Attributes attributes;
  for (const auto& [name, value] : view.attributes)
    if (name != "count_include_pad") attributes.set(name, value);
  Expr sums{builder, builder("window_sum", {operands[0]}, attributes)};
  return {sums / Expr{builder, builder.constant(window_counts(view))}};
}

std::vector<Sample> avg_pool_samples() {
  Sizes one{1, 1}, two{2, 2}, three{3, 3};
  return {{.operands = {f32({2, 3, 4, 6})}, .attributes = {{"window", two}}},
          {.operands = {f32({2, 3, 5, 6})},
           .attributes = {{"window", three}, {"stride", two}, {"padding_low", one}, {"padding_high", one}}},
          {.operands = {f32({2, 3, 5, 6})},
           .attributes = {{"window", three},
                          {"stride", two},
                          {"padding_low", one},
                          {"padding_high", one},
                          {"count_include_pad", false}}},
          {.operands = {f32({3, 9})}, .attributes = {{"window", Sizes{4}}, {"stride", Sizes{1}}}},
          {.operands = {f32({0, 2, 4, 4})}, .attributes = {{"window", two}}}};
}

}  // namespace

std::vector<OpEntry> composites() {
  std::vector<AttributeSpec> avg_pool_attributes = pooling_attributes();
  avg_pool_attributes.push_back(
      {"count_include_pad", AttributeKind::boolean, Attribute(true), "whether the average counts padding, which is 0"});
  return {
      {.name = "linear",
       .summary = "x [...,in] times the transpose of weight [out,in], plus bias [out] if it is given.",
       .signature = {.operands = {{"x", DTypeClass::floating},
                                  {"weight", DTypeClass::floating},
                                  {"bias", DTypeClass::floating, true}},
                     .attributes = {precision_attribute()}},
       .infer = infer_linear,
       .evaluate = evaluate_linear,
       .gradient = Gradient::through_decomposition(),
       .realisation = Decompose{decompose_linear},
       .tolerance = {.f32 = 1e-5, .f64 = 1e-12},
       .samples = {{.operands = {f32({3, 4}), f32({5, 4}), f32({5})}},
                   {.operands = {f32({3, 4}), f32({5, 4})}},
                   {.operands = {f32({4}), f32({5, 4}), f32({5})}},
                   {.operands = {f32({2, 3, 4}), f32({5, 4}), f32({5})}},
                   {.operands = {f32({0, 4}), f32({5, 4}), f32({5})}}}},
      {.name = "matmul",
       .summary =
           "The matrix product of the last two dimensions; leading ones broadcast, vectors are rows on the left and "
           "columns on the right (NumPy's matmul).",
       .signature = {.operands = {{"a", DTypeClass::numeric}, {"b", DTypeClass::numeric}},
                     .attributes = {precision_attribute()}},
       .infer = infer_matmul,
       .evaluate = evaluate_matmul,
       .gradient = Gradient::through_decomposition(),
       .realisation = Decompose{decompose_matmul},
       .tolerance = {.f32 = 1e-5, .f64 = 1e-12},
       .samples = matmul_samples()},
      {.name = "embedding",
       .summary = "The rows of weight [rows,features] that indices [...] name: [...,features].",
       .signature = {.operands = {{"weight"}, {"indices"}}, .same_dtype = false},
       .infer = infer_embedding,
       .evaluate = evaluate_embedding,
       .gradient = Gradient::through_decomposition(),
       .realisation = Decompose{[](FunctionBuilder& builder, const OpView&, std::span<const Value> operands) {
         return std::vector<Value>{take_rows({builder, operands[0]}, {builder, operands[1]})};
       }},
       .samples = {{.operands = {f32({7, 3}), Type(DType::i64, {4})}, .ranges = {{-2, 2}, {0, 6.99}}},
                   {.operands = {f32({7, 3}), Type(DType::i32, {2, 5})}, .ranges = {{-2, 2}, {0, 6.99}}},
                   {.operands = {f32({7, 3}), Type(DType::i64, {})}, .ranges = {{-2, 2}, {0, 6.99}}},
                   {.operands = {f32({4, 17}), Type(DType::i32, {6})}, .ranges = {{-2, 2}, {0, 3.99}}},
                   {.operands = {f32({7, 3}), Type(DType::i64, {0})}, .ranges = {{-2, 2}, {0, 6.99}}}}},
      {.name = "one_hot",
       .summary = "1 where the last dimension's position equals the index, else 0; an index outside gives zeros.",
       .signature = {.operands = {{"indices", DTypeClass::index}},
                     .attributes = {{"classes", AttributeKind::integer, {}, "size of the new last dimension"},
                                    {"dtype", AttributeKind::dtype, Attribute(DType::f32), "of the result"}}},
       .infer = infer_one_hot,
       .evaluate = evaluate_one_hot,
       .gradient = Gradient::not_differentiable(),
       .realisation = Decompose{decompose_one_hot},
       .samples = {{.operands = {Type(DType::i64, {5})}, .attributes = {{"classes", int64_t{4}}}, .ranges = {{-1, 5}}},
                   {.operands = {Type(DType::i32, {2, 3})},
                    .attributes = {{"classes", int64_t{4}}, {"dtype", DType::boolean}},
                    .ranges = {{-1, 5}}}}},
      {.name = "dropout",
       .summary =
           "While training, 0 with the given probability and x / (1 - probability) otherwise; else x. What is drawn "
           "depends on state (seed, counter), stream and each element's number, as for bernoulli.",
       .signature = {.operands = {{"x"}, {"state"}},
                     .attributes = {{"probability", AttributeKind::number, Attribute(0.5), "of becoming 0"},
                                    {"stream", AttributeKind::integer, {}, "each random op of a graph has its own"},
                                    {"training", AttributeKind::boolean, Attribute(true), "else the result is x"}},
                     .same_dtype = false},
       .infer = infer_dropout,
       .evaluate = evaluate_dropout,
       .gradient = Gradient::through_decomposition(),
       .realisation = Decompose{decompose_dropout},
       .traits = {.random = true},
       .samples = dropout_samples()},
      {.name = "avg_pool",
       .summary = "The mean of each window over the trailing dimensions.",
       .signature = {.operands = {{"input", DTypeClass::floating}}, .attributes = std::move(avg_pool_attributes)},
       .infer = infer_avg_pool,
       .evaluate = evaluate_avg_pool,
       .gradient = Gradient::through_decomposition(),
       .realisation = Decompose{decompose_avg_pool},
       .samples = avg_pool_samples()},
  };
}

}  // namespace placewright::ops
