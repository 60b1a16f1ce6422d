// Reductions over named dimensions. Over no elements they give their neutral element.
#include "reductions.h"

#include <cmath>

#include "product_sum.h"

namespace placewright::ops {
namespace {

struct Dims {
  std::vector<bool> reduced;
  bool any = false;
  bool keep = false;
};

Dims read_dims(const OpView& view) {
  const Sizes& dims = view.attributes.get<Sizes>("dims");
  return {expect_dims(dims, view.operand(0).rank(), "dims"), !dims.empty(), view.attributes.get<bool>("keep_dims")};
}

std::vector<Type> infer_reduction(const OpView& view) {
  Dims dims = read_dims(view);
  if (view.attributes.has("accumulate")) accumulate_dtype(view);
  return {Type(view.operand(0).dtype, reduced_shape(view.operand(0).shape, dims.reduced, dims.keep))};
}

// --- evaluate

// Joins every element into its place of the result, in row-major order of the operand.
template <typename T>
std::vector<T> join(const OpView& view, const std::vector<T>& values, Sizes result_sizes, T neutral,
                    T (*combine)(T, T)) {
  Dims dims = read_dims(view);
  Sizes sizes = view.operand(0).sizes();
  std::vector<T> joined(static_cast<size_t>(element_count(result_sizes)), neutral);
  for_each_position(sizes, [&](const Sizes& position) {
    T& state =
        joined[static_cast<size_t>(flat_index(reduced_position(position, dims.reduced, dims.keep), result_sizes))];
    state = combine(state, values[static_cast<size_t>(flat_index(position, sizes))]);
  });
  return joined;
}

using Number = double (*)(double, double);
using Integer = int64_t (*)(int64_t, int64_t);

struct Join {
  Number numbers;
  Integer integers;
  double neutral_number;
  int64_t neutral_integer;  // of a dtype's limits: see evaluate_join
};

auto evaluate_join(Join how) {
  return [how](const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
    HostTensor& result = results[0];
    if (is_floating(result.dtype())) {
      assign(result, join<double>(view, numbers(operands[0]), result.sizes(), how.neutral_number, how.numbers));
      return;
    }
    // The neutral element of a max is the dtype's lowest value: what saturation makes of -inf.
    HostTensor neutral(result.dtype(), {});
    if (std::isinf(how.neutral_number))
      neutral.set_number(0, how.neutral_number);
    else
      neutral.set_integer(0, how.neutral_integer);
    assign(result, join<int64_t>(view, integers(operands[0]), result.sizes(), neutral.integer(0), how.integers));
  };
}

double number_max(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::nan("");
  return a > b || (a == b && std::signbit(b)) ? a : b;
}
double number_min(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::nan("");
  return a < b || (a == b && std::signbit(a)) ? a : b;
}

// --- lower

auto lower_reduction(Reduction::Kind kind) {
  return [kind](const OpView& view) {
    Dims dims = read_dims(view);
    DType own = view.operand(0).dtype;
    DType state = view.attributes.has("accumulate") ? accumulate_dtype(view) : own;
    Sizes sizes = view.operand(0).sizes();
    KernelWriter kernel(view);
    StageWriter stage(kernel, std::string(view.entry.name));
    std::vector<Index> position;
    for (size_t d = 0; d < sizes.size(); ++d)
      position.push_back(dims.reduced[d] ? stage.reduced(sizes[d]) : stage.parallel(sizes[d]));
    int value = stage.load(kernel.operand(0), position);
    if (dims.any) {
      value = stage.cast(value, state);
      switch (kind) {
        case Reduction::Kind::max:
          value = stage.reduce(kind, value, lowest_value(state));
          break;
        case Reduction::Kind::min:
          value = stage.reduce(kind, value, highest_value(state));
          break;
        case Reduction::Kind::prod:
        case Reduction::Kind::all:
          value = stage.reduce(kind, value, 1);
          break;
        default:
          value = stage.reduce(kind, value, 0);
      }
      value = stage.cast(value, own);
    }
    stage.store(kernel.result(), reduced_position(position, dims.reduced, dims.keep), value);
    stage.finish();
    return kernel.take();
  };
}

// --- gradients

// A value of the result's shape, repeated over the reduced dimensions.
Expr spread(GradientContext& context, Value value) {
  FunctionBuilder& builder = context.builder;
  Dims dims = read_dims(context.view);
  const Shape& shape = context.view.operand(0).shape;
  if (dims.keep) value = builder("reshape", {value}, {{"shape", reduced_shape(shape, dims.reduced, false)}});
  Sizes kept;
  for (size_t d = 0; d < shape.size(); ++d)
    if (!dims.reduced[d]) kept.push_back(static_cast<int64_t>(d));
  if (!dims.any) return {builder, value};
  return {builder, builder("broadcast", {value}, {{"shape", shape}, {"dims", kept}})};
}

Value sum_alike(GradientContext& context, Value value) {
  const Attributes& attributes = context.view.attributes;
  return context.builder("reduce_sum", {value},
                         {{"dims", attributes.get<Sizes>("dims")}, {"keep_dims", attributes.get<bool>("keep_dims")}});
}

OperandGradients sum_gradient(GradientContext& context) { return {spread(context, *context.gradients[0])}; }

// Shared evenly among the elements that equal the extremum.
OperandGradients extremum_gradient(GradientContext& context) {
  Expr x = operand(context, 0);
  Expr winners = equal(x, spread(context, context.results[0]));
  Value count = sum_alike(context, context.builder.cast(winners, context.view.operand(0).dtype));
  Expr share = spread(context, gradient(context) / Expr(context.builder, count));
  return {select(winners, share, full_like(x, 0))};
}

// The product of the others: of the elements that are not 0, if the others hold no 0.
OperandGradients product_gradient(GradientContext& context) {
  FunctionBuilder& builder = context.builder;
  DType dtype = context.view.operand(0).dtype;
  Expr x = operand(context, 0);
  Expr zero = full_like(x, 0), one = full_like(x, 1);
  Expr is_zero = equal(x, zero);
  Expr divisor = select(is_zero, one, x);
  Expr product = spread(context, builder("reduce_prod", {divisor}, context.view.attributes));
  Expr zeros = spread(context, sum_alike(context, builder.cast(is_zero, dtype)));
  Expr others_zeros = zeros - Expr(builder, builder.cast(is_zero, dtype));
  Expr others = select(equal(others_zeros, zero), product / divisor, zero);
  return {spread(context, *context.gradients[0]) * others};
}

// --- entries

std::vector<Sample> reduction_samples(DType dtype) {
  auto sample = [&](Shape shape, Sizes dims, bool keep_dims) {
    return Sample{.operands = {Type(dtype, std::move(shape))},
                  .attributes = {{"dims", dims}, {"keep_dims", keep_dims}}};
  };
  return {sample({5}, {0}, false),       sample({3, 4}, {1}, false),  sample({3, 4}, {0}, true),
          sample({3, 4}, {0, 1}, false), sample({}, {}, false),       sample({2, 3, 4}, {2, 0}, false),
          sample({2, 3, 4}, {1}, true),  sample({0, 3}, {0}, false),  sample({3, 0}, {0}, false),
          sample({2, 3}, {}, false),     sample({5, 33}, {1}, false), sample({33, 5}, {0}, false)};
}

OpEntry reduction(std::string_view name, std::string_view summary, Reduction::Kind kind, DTypeClass dtypes, Join how,
                  Gradient gradient) {
  return {.name = name,
          .summary = summary,
          .signature = {.operands = {{"x", dtypes}},
                        .attributes = {{"dims", AttributeKind::sizes, {}, "the dimensions to reduce; none: x itself"},
                                       keep_dims_attribute()}},
          .infer = infer_reduction,
          .evaluate = evaluate_join(how),
          .gradient = std::move(gradient),
          .realisation = Lower{lower_reduction(kind)},
          .samples = reduction_samples(dtypes == DTypeClass::boolean ? DType::boolean : DType::f32)};
}

int64_t wrapping_sum(int64_t a, int64_t b) {
  add_to(a, b);
  return a;
}
int64_t wrapping_product(int64_t a, int64_t b) { return multiply(a, b); }

}  // namespace

std::vector<OpEntry> reductions() {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  using Kind = Reduction::Kind;
  std::vector<OpEntry> entries{
      reduction("reduce_sum", "The sum over dims; of nothing 0. Integers wrap.", Kind::sum, DTypeClass::numeric,
                {[](double a, double b) { return a + b; }, wrapping_sum, 0, 0}, Gradient(sum_gradient)),
      reduction("reduce_prod", "The product over dims; of nothing 1. Integers wrap.", Kind::prod, DTypeClass::numeric,
                {[](double a, double b) { return a * b; }, wrapping_product, 1, 1}, Gradient(product_gradient)),
      reduction(
          "reduce_max",
          "The largest over dims, NaN if any is NaN; of nothing -inf or the lowest integer. The gradient is shared "
          "evenly among equal largest elements.",
          Kind::max, DTypeClass::numeric,
          {number_max, [](int64_t a, int64_t b) { return a > b ? a : b; }, -infinity, 0}, Gradient(extremum_gradient)),
      reduction("reduce_min",
                "The smallest over dims, NaN if any is NaN; of nothing +inf or the highest integer. The gradient is "
                "shared evenly among equal smallest elements.",
                Kind::min, DTypeClass::numeric,
                {number_min, [](int64_t a, int64_t b) { return a < b ? a : b; }, infinity, 0},
                Gradient(extremum_gradient)),
      reduction("reduce_any", "Whether any over dims is true; of nothing false.", Kind::any, DTypeClass::boolean,
                {[](double a, double) { return a; }, [](int64_t a, int64_t b) -> int64_t { return a || b; }, 0, 0},
                Gradient::not_differentiable()),
      reduction("reduce_all", "Whether all over dims are true; of nothing true.", Kind::all, DTypeClass::boolean,
                {[](double a, double) { return a; }, [](int64_t a, int64_t b) -> int64_t { return a && b; }, 1, 1},
                Gradient::not_differentiable()),
  };
  for (int i : {0, 1}) {
    entries[i].signature.attributes.push_back(accumulate_attribute());
    entries[i].tolerance = {.f32 = 1e-5, .f64 = 1e-12};
  }
  for (OpEntry& entry : arg_reductions()) entries.push_back(std::move(entry));
  return entries;
}

}  // namespace placewright::ops
