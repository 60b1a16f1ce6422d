#include "calibration_cases.h"

#include <functional>

#include "placewright/base/error.h"
#include "placewright/codegen/lower.h"
#include "placewright/ir/builder.h"

namespace placewright {
namespace {

// One kernel of what `build` makes of a function's inputs.
StructuredKernel lower(const std::function<Value(FunctionBuilder&)>& build) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "calibration"));
  Value result = build(builder);
  builder.function().results = {result};
  for (size_t i = 0; i < builder.function().ops.size(); ++i)
    if (builder.function().ops[i].is("input")) builder.function().inputs.push_back({static_cast<int32_t>(i), 0});
  return lower_function(graph, 0);
}

Value input(FunctionBuilder& builder, DType dtype, const Sizes& sizes) {
  Shape shape(sizes.begin(), sizes.end());
  return builder.input("x" + std::to_string(builder.function().ops.size()), InputKind::argument, Type(dtype, shape));
}

StructuredKernel product(DType dtype, Precision precision, const Sizes& lhs, const Sizes& rhs, int64_t lhs_dim,
                         int64_t rhs_dim) {
  return lower([&](FunctionBuilder& builder) {
    return builder("dot_general", {input(builder, dtype, lhs), input(builder, dtype, rhs)},
                   {{"lhs_contracting", Sizes{lhs_dim}},
                    {"rhs_contracting", Sizes{rhs_dim}},
                    {"precision", std::string(name(precision))}});
  });
}

// A layer's result (m rows of n from rows of k), and the gradients of its weight and of its input.
std::vector<StructuredKernel> products(Precision precision, int64_t m, int64_t n, int64_t k) {
  auto form = [&](const Sizes& lhs, const Sizes& rhs, int64_t lhs_dim, int64_t rhs_dim) {
    return product(DType::f32, precision, lhs, rhs, lhs_dim, rhs_dim);
  };
  return {form({m, k}, {n, k}, 1, 1), form({m, n}, {m, k}, 0, 0), form({m, n}, {n, k}, 1, 0)};
}

// Likewise, over windows of 3 x 3.
std::vector<StructuredKernel> convolutions(Precision precision, int64_t channels, int64_t side) {
  const Sizes image{4, channels, side + 2, side + 2}, weight{channels, channels, 3, 3};
  const Sizes gradient{4, channels, side, side};
  auto conv = [&](const char* op, const Sizes& first, const Sizes& second, Attributes attributes) {
    attributes.set("precision", std::string(name(precision)));
    return lower([&](FunctionBuilder& builder) {
      return builder(op, {input(builder, DType::f32, first), input(builder, DType::f32, second)}, attributes);
    });
  };
  return {conv("conv", image, weight, {}), conv("conv_weight_gradient", image, gradient, {{"window", Sizes{3, 3}}}),
          conv("conv_input_gradient", gradient, weight, {{"input_sizes", Sizes{side + 2, side + 2}}})};
}

// Alternating sums and products: arithmetic, hardly any traffic.
StructuredKernel arithmetic(DType dtype, int64_t count) {
  return lower([&](FunctionBuilder& builder) {
    Value x = input(builder, dtype, {count}), sum = x;
    for (int i = 0; i < 16; ++i) sum = builder(i % 2 ? "mul" : "add", {sum, x});
    return sum;
  });
}

StructuredKernel rows(DType dtype, int64_t count) {
  return lower([&](FunctionBuilder& builder) {
    return builder("reduce_sum", {input(builder, dtype, {count, 128})}, {{"dims", Sizes{1}}});
  });
}

StructuredKernel copy(DType dtype, int64_t count) {
  return lower([&](FunctionBuilder& builder) {
    return builder("transpose", {input(builder, dtype, {count})}, {{"permutation", Sizes{0}}});
  });
}

// Indices are 0 when it is measured: as many rows of the table are touched as there are indices, at most.
StructuredKernel gather(DType dtype, int64_t count) {
  return lower([&](FunctionBuilder& builder) {
    Value table = input(builder, dtype, {count, 64}), indices = input(builder, DType::i64, {count});
    return builder("gather", {table, indices}, {{"dim", int64_t{0}}});
  });
}

StructuredKernel scatter(DType dtype, int64_t count) {
  return lower([&](FunctionBuilder& builder) {
    Value table = input(builder, dtype, {count, 64}), indices = input(builder, DType::i64, {count});
    Value updates = input(builder, dtype, {count, 64});
    return builder("scatter_add", {table, indices, updates}, {{"dim", int64_t{0}}});
  });
}

}  // namespace

std::vector<CalibrationCase> calibration_cases(const std::vector<Precision>& rounded) {
  constexpr size_t usual = 5;  // sizes; larger ones follow
  std::vector<CalibrationCase> cases;
  auto add_forms = [&](size_t size, CalibrationCase made, std::vector<StructuredKernel> forms) {
    made.is_large = size >= usual;
    made.forms = std::move(forms);
    for (const StructuredKernel& form : made.forms)
      for (const StageWork& work : count_work(form))
        if (work.op_class == made.op_class && work.dtype == made.dtype && work.precision == made.precision)
          made.operations += work.operations;
    made.operations /= static_cast<double>(made.forms.size());
    PW_CHECK(made.operations > 0, made.op_class);
    cases.push_back(std::move(made));
  };
  // One kernel of each count.
  auto add = [&](const char* op_class, DType dtype, StructuredKernel (*make)(DType, int64_t),
                 const std::vector<int64_t>& counts) {
    for (size_t i = 0; i < counts.size(); ++i) add_forms(i, {op_class, dtype}, {make(dtype, counts[i])});
  };
  // Small products are small layers': few outputs, and no multiples of a vector. Large ones have a batch of rows.
  const std::vector<Sizes> layers{{16, 3, 10},     {64, 10, 20},       {32, 64, 128},     {64, 192, 576},
                                  {128, 784, 896}, {1024, 1024, 1024}, {2048, 4096, 2048}};
  const std::vector<std::pair<int64_t, int64_t>> images{{2, 6}, {4, 12}, {8, 20}, {24, 28}, {64, 28}, {128, 56}};
  std::vector<Precision> precisions{Precision::f32};
  precisions.insert(precisions.end(), rounded.begin(), rounded.end());
  for (Precision precision : precisions)
    for (size_t i = 0; i < layers.size(); ++i)
      add_forms(i, {"contraction", DType::f32, precision},
                products(precision, layers[i][0], layers[i][1], layers[i][2]));
  for (size_t i = 0; i < layers.size(); ++i)
    add_forms(i, {"contraction", DType::f64},
              {product(DType::f64, Precision::f32, {layers[i][0], layers[i][2]}, {layers[i][2], layers[i][1]}, 1, 0)});
  for (Precision precision : precisions)
    for (size_t i = 0; i < images.size(); ++i)
      add_forms(i, {"convolution", DType::f32, precision}, convolutions(precision, images[i].first, images[i].second));
  for (DType dtype : {DType::f32, DType::f64, DType::i64})
    add("elementwise", dtype, arithmetic, {16, 256, 4096, 32768, 262144, 8388608});
  add("reduction", DType::f32, rows, {1, 8, 128, 1024, 16384, 262144});
  add("movement", DType::f32, copy, {64, 2048, 65536, 786432, 6291456, 33554432});
  add("gather", DType::f32, gather, {4, 32, 256, 2048, 16384, 262144});
  add("scatter", DType::f32, scatter, {4, 32, 256, 2048, 16384, 262144});
  return cases;
}

StructuredKernel smallest_kernel() {
  return lower([](FunctionBuilder& builder) {
    Value x = input(builder, DType::f32, {1});
    return builder("add", {x, x});
  });
}

}  // namespace placewright
