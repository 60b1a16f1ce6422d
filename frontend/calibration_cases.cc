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

StructuredKernel product(DType dtype, const Sizes& mnk) {
  return lower([&](FunctionBuilder& builder) {
    Value a = input(builder, dtype, {mnk[0], mnk[2]}), b = input(builder, dtype, {mnk[2], mnk[1]});
    return builder("dot_general", {a, b}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}});
  });
}

StructuredKernel convolution(DType dtype, int64_t channels, int64_t side) {
  return lower([&](FunctionBuilder& builder) {
    Value image = input(builder, dtype, {4, channels, side + 2, side + 2});
    Value weight = input(builder, dtype, {channels, channels, 3, 3});
    return builder("conv", {image, weight});
  });
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
  auto add = [&](StructuredKernel kernel, std::string_view op_class, DType dtype) {
    CalibrationCase made{std::string(op_class), dtype, 0, std::move(kernel)};
    for (const StageWork& work : count_work(made.kernel))
      if (work.op_class == op_class && work.dtype == dtype) made.operations += work.operations;
    PW_CHECK(made.operations > 0, made.op_class);
    cases.push_back(std::move(made));
  };
  // Small products are small layers': few outputs, and no multiples of a vector.
  for (DType dtype : {DType::f32, DType::f64})
    for (const Sizes& mnk : {Sizes{16, 3, 10}, {64, 10, 20}, {64, 64, 64}, {192, 192, 192}, {448, 448, 448}})
      add(product(dtype, mnk), "contraction", dtype);
  for (auto [channels, side] : {std::pair<int64_t, int64_t>{2, 6}, {4, 12}, {8, 20}, {24, 28}, {64, 28}})
    add(convolution(DType::f32, channels, side), "convolution", DType::f32);
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
