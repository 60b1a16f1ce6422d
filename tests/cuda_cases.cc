#include "cuda_cases.h"

#include <cstdlib>
#include <limits>

#include "placewright/base/join.h"
#include "placewright/codegen/cuda/nvrtc.h"
#include "placewright/codegen/strategy.h"

namespace placewright::testing {
namespace {

std::vector<StructuredKernel> kernels_of(const std::vector<DerivedCase>& cases) {
  std::vector<StructuredKernel> kernels;
  for (size_t i = 0; i < cases.size(); ++i) {
    kernels.push_back(split_depth(collapse_dimensions(lower_op(cases[i].view()))));
    kernels.back().name = "k" + std::to_string(i);
  }
  return kernels;
}

}  // namespace

DerivedCase large_case(std::string_view op, std::vector<Type> operands, Attributes attributes) {
  DerivedCase made;
  made.entry = &find_op(op);
  made.operands = std::move(operands);
  made.attributes = complete_attributes(*made.entry, std::move(attributes));
  made.results = infer_types({*made.entry, made.operands, {}, made.attributes});
  made.name = std::string(op);
  for (const Type& operand : made.operands) {
    made.name += " " + operand.to_string();
    made.ranges.emplace_back(is_floating(operand.tensor().dtype) ? std::pair(-1.0, 1.0) : std::pair(0.0, 100.0));
  }
  return made;
}

bool full_counts() { return std::getenv("PLACEWRIGHT_FULL_COUNTS") != nullptr; }

std::vector<DerivedCase> cuda_cases(const OpEntry& entry) {
  std::vector<DerivedCase> all = derived_cases(entry), some;
  constexpr size_t wanted = 3;
  if (full_counts() || all.size() <= wanted) return all;
  for (size_t i = 0; i < wanted; ++i) some.push_back(all[(i + 1) * all.size() / (wanted + 1)]);
  return some;
}

std::vector<DerivedCase> large_cuda_cases() {
  auto f32 = [](Shape shape) { return Type(DType::f32, std::move(shape)); };
  auto batched = [&](int64_t batch, int64_t rows, int64_t depth, int64_t columns) {
    Sizes zero{0}, one{1}, two{2};
    return large_case("dot_general", {f32({batch, rows, depth}), f32({batch, depth, columns})},
                      {{"lhs_batch", zero}, {"rhs_batch", zero}, {"lhs_contracting", two}, {"rhs_contracting", one}});
  };
  auto dims = [](int64_t dim) { return Attribute(Sizes{dim}); };
  return {
      large_case("dot_general", {f32({70, 50}), f32({50, 37})},
                 {{"lhs_contracting", dims(1)}, {"rhs_contracting", dims(0)}}),
      large_case("dot_general", {f32({40, 100}), f32({130, 40})},
                 {{"lhs_contracting", dims(0)}, {"rhs_contracting", dims(1)}}),
      large_case(
          "dot_general", {f32({3, 17, 33}), f32({3, 33, 16})},
          {{"lhs_batch", dims(0)}, {"rhs_batch", dims(0)}, {"lhs_contracting", dims(2)}, {"rhs_contracting", dims(1)}}),
      batched(32, 100, 21, 70),
      batched(32, 40, 20, 45),
      large_case("conv", {f32({2, 18, 20, 20}), f32({24, 18, 3, 3})},
                 {{"padding_low", Attribute(Sizes{1, 1})}, {"padding_high", Attribute(Sizes{1, 1})}}),
      large_case("reduce_sum", {f32({5, 4100})}, {{"dims", dims(1)}}),
      large_case("reduce_sum", {f32({9, 7, 66})}, {{"dims", Attribute(Sizes{1, 2})}}),
      large_case("reduce_max", {f32({33, 164})}, {{"dims", dims(1)}}),
      large_case("argmax", {f32({40, 1535})}, {{"dim", Attribute(int64_t{1})}}),
      large_case("transpose", {f32({70, 50})}, {{"permutation", Attribute(Sizes{1, 0})}}),
      large_case("transpose", {Type(DType::f64, {3, 33, 64})}, {{"permutation", Attribute(Sizes{0, 2, 1})}}),
      large_case("transpose", {Type(DType::u8, {40, 5, 96})}, {{"permutation", Attribute(Sizes{2, 1, 0})}}),
      large_case("add", {f32({12, 64}), f32({12, 64})}, {}),
  };
}

std::vector<DerivedCase> reductions_of_rows() {
  std::vector<DerivedCase> cases;
  for (const char* op : {"reduce_max", "reduce_min", "argmax", "reduce_sum"})
    for (DType dtype : {DType::f32, DType::f64})
      for (const Shape& shape : {Shape{16, 10}, Shape{16, 40}, Shape{9, 1300}, Shape{9, 65}})
        for (int64_t dim : {0, 1}) {
          const bool is_arg = std::string_view(op) == "argmax";
          cases.push_back(large_case(op, {Type(dtype, shape)},
                                     {{is_arg ? "dim" : "dims", is_arg ? Attribute(dim) : Attribute(Sizes{dim})}}));
        }
  return cases;
}

std::vector<HostTensor> special_rows(const DerivedCase& each) {
  const double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::vector<double>> rows{{1, infinity, nan}, {-0.0, 0.0},      {-0.0}, {-infinity},
                                              {-infinity, nan},   {infinity, -0.0}, {2, 1}, {-1, -0.0, 0.0}};
  const TensorType& type = each.operands[0].tensor();
  HostTensor tensor(type.dtype, type.sizes());
  const int64_t row = type.sizes().back();
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const std::vector<double>& numbers = rows[static_cast<size_t>(i / row) % rows.size()];
    const auto mixed = static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15ull >> 40;
    tensor.set_number(i, numbers[mixed % numbers.size()]);
  }
  std::vector<HostTensor> operands;
  operands.push_back(std::move(tensor));
  return operands;
}

CudaText cuda_text(const std::vector<DerivedCase>& cases) {
  return emit_cuda_text(kernels_of(cases), cuda_schedules(cases));
}

std::vector<Schedule> cuda_schedules(const std::vector<DerivedCase>& cases) {
  std::vector<Schedule> schedules;
  for (const StructuredKernel& kernel : kernels_of(cases)) schedules.push_back(choose_grid_schedule(kernel));
  return schedules;
}

std::string nvrtc_absence() {
  std::vector<std::string> reasons;
  return Nvrtc::try_open(&reasons) ? "" : "no NVRTC: " + join(reasons, "; ");
}

}  // namespace placewright::testing
