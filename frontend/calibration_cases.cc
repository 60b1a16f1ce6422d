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

StructuredKernel product(DType dtype, const Sizes& lhs, const Sizes& rhs, int64_t lhs_dim, int64_t rhs_dim) {
  return lower([&](FunctionBuilder& builder) {
    return builder("dot_general", {input(builder, dtype, lhs), input(builder, dtype, rhs)},
                   {{"lhs_contracting", Sizes{lhs_dim}}, {"rhs_contracting", Sizes{rhs_dim}}});
  });
}

// A layer's result (m rows of n from rows of k), and the gradients of its weight and of its input.
std::vector<StructuredKernel> products(DType dtype, int64_t m, int64_t n, int64_t k) {
  return {product(dtype, {m, k}, {n, k}, 1, 1), product(dtype, {m, n}, {m, k}, 0, 0),
          product(dtype, {m, n}, {n, k}, 1, 0)};
}

// Likewise, over windows of 3 x 3.
std::vector<StructuredKernel> convolutions(DType dtype, int64_t channels, int64_t side) {
  const Sizes image{4, channels, side + 2, side + 2}, weight{channels, channels, 3, 3};
  const Sizes gradient{4, channels, side, side};
  auto conv = [&](const char* op, const Sizes& first, const Sizes& second, const Attributes& attributes) {
    return lower([&](FunctionBuilder& builder) {
      return builder(op, {input(builder, dtype, first), input(builder, dtype, second)}, attributes);
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

std::vector<CalibrationCase> calibration_cases() {
  std::vector<CalibrationCase> cases;
  auto add_forms = [&](std::vector<StructuredKernel> forms, std::string_view op_class, DType dtype) {
    CalibrationCase made{std::string(op_class), dtype, 0, std::move(forms)};
    for (const StructuredKernel& form : made.forms)
      for (const StageWork& work : count_work(form))
        if (work.op_class == op_class && work.dtype == dtype) made.operations += work.operations;
    made.operations /= static_cast<double>(made.forms.size());
    PW_CHECK(made.operations > 0, made.op_class);
    cases.push_back(std::move(made));
  };
  auto add = [&](StructuredKernel kernel, std::string_view op_class, DType dtype) {
    add_forms({std::move(kernel)}, op_class, dtype);
  };
  // Small products are small layers': few outputs, and no multiples of a vector. Large ones have a batch of rows.
  for (const Sizes& mnk : {Sizes{16, 3, 10}, {64, 10, 20}, {32, 64, 128}, {64, 192, 576}, {128, 784, 896}})
    add_forms(products(DType::f32, mnk[0], mnk[1], mnk[2]), "contraction", DType::f32);
  for (const Sizes& mnk : {Sizes{16, 3, 10}, {64, 10, 20}, {32, 64, 128}, {64, 192, 576}, {128, 784, 896}})
    add(product(DType::f64, {mnk[0], mnk[2]}, {mnk[2], mnk[1]}, 1, 0), "contraction", DType::f64);
  for (auto [channels, side] : {std::pair<int64_t, int64_t>{2, 6}, {4, 12}, {8, 20}, {24, 28}, {64, 28}})
    add_forms(convolutions(DType::f32, channels, side), "convolution", DType::f32);
  for (DType dtype : {DType::f32, DType::f64, DType::i64})
    for (int64_t count : {16, 256, 4096, 32768, 262144}) add(arithmetic(dtype, count), "elementwise", dtype);
  for (int64_t count : {1, 8, 128, 1024, 16384}) add(rows(DType::f32, count), "reduction", DType::f32);
  for (int64_t count : {64, 2048, 65536, 786432, 6291456}) add(copy(DType::f32, count), "movement", DType::f32);
  for (int64_t count : {4, 32, 256, 2048, 16384}) add(gather(DType::f32, count), "gather", DType::f32);
  for (int64_t count : {4, 32, 256, 2048, 16384}) add(scatter(DType::f32, count), "scatter", DType::f32);
  return cases;
}

StructuredKernel smallest_kernel() {
  return lower([](FunctionBuilder& builder) {
    Value x = input(builder, DType::f32, {1});
    return builder("add", {x, x});
  });
}

}  // namespace placewright
