// Elementary functions that the emitter writes as IR, against the C library's long double, on every level of processor
// that this one runs: over all exponents, over the ranges where models live, and at special values.
#include <bit>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "run_kernel.h"

namespace placewright::testing {
namespace {

using Real = long double;

struct Function {
  ScalarOp op;
  const char* name;
  Real (*one)(Real);
  Real (*two)(Real, Real);
  double low, high;         // inputs are drawn from here evenly, and by bit pattern
  double ulp_f32, ulp_f64;  // largest error, in units of the last place of the exact result
};

Real sigmoid(Real x) { return 1 / (1 + std::exp(-x)); }
Real rsqrt(Real x) { return 1 / std::sqrt(x); }

const Function functions[] = {
    {ScalarOp::exp, "exp", std::exp, nullptr, -800, 800, 1.5, 1.5},
    {ScalarOp::expm1, "expm1", std::expm1, nullptr, -60, 90, 1, 3},
    {ScalarOp::log, "log", std::log, nullptr, 0, 1e5, 1.5, 1.5},
    {ScalarOp::log1p, "log1p", std::log1p, nullptr, -1, 10, 1, 3},
    {ScalarOp::sqrt, "sqrt", std::sqrt, nullptr, 0, 1e5, 0.51, 0.51},
    {ScalarOp::rsqrt, "rsqrt", rsqrt, nullptr, 0, 1e5, 1.5, 1.5},
    {ScalarOp::sin, "sin", std::sin, nullptr, -1e5, 1e5, 1, 2},
    {ScalarOp::cos, "cos", std::cos, nullptr, -1e5, 1e5, 1, 2},
    {ScalarOp::tan, "tan", std::tan, nullptr, -1e5, 1e5, 1, 4},
    {ScalarOp::asin, "asin", std::asin, nullptr, -1, 1, 1, 4},
    {ScalarOp::acos, "acos", std::acos, nullptr, -1, 1, 1, 4},
    {ScalarOp::atan, "atan", std::atan, nullptr, -100, 100, 1, 2},
    {ScalarOp::sinh, "sinh", std::sinh, nullptr, -90, 90, 1, 4},
    {ScalarOp::cosh, "cosh", std::cosh, nullptr, -90, 90, 1, 4},
    {ScalarOp::tanh, "tanh", std::tanh, nullptr, -25, 25, 1, 4},
    {ScalarOp::erf, "erf", std::erf, nullptr, -7, 7, 1, 3},
    {ScalarOp::sigmoid, "sigmoid", sigmoid, nullptr, -110, 110, 3, 3},
    {ScalarOp::pow, "pow", nullptr, std::pow, 0, 20, 1, 4},
    {ScalarOp::atan2, "atan2", nullptr, std::atan2, -50, 50, 1, 4},
    {ScalarOp::rem, "rem", nullptr, std::fmod, -1000, 1000, 0, 0},
};

StructuredKernel kernel_of(const Function& function, DType dtype, int64_t count) {
  StructuredKernel kernel{function.name, {}, {}};
  Stage stage{function.name, {count}, {false}, {}, {}, {}, {}, {}, {}, {}};
  int operands = function.two ? 2 : 1;
  ScalarNode result{.op = function.op, .dtype = dtype};
  for (int i = 0; i <= operands; ++i) {
    auto role = i < operands ? KernelBuffer::Role::input : KernelBuffer::Role::output;
    kernel.buffers.push_back({"b" + std::to_string(i), dtype, {count}, {}, role, -1});
    stage.accesses.push_back({i, {AffineExpr::dim(0, 1)}, false, 0, {}});
    if (i == operands) continue;
    stage.body.push_back({.op = ScalarOp::load, .dtype = dtype, .slot = i});
    result.operands[static_cast<size_t>(i)] = i;
  }
  stage.body.push_back(result);
  stage.stores = {{operands, operands, false}};
  kernel.stages = {std::move(stage)};
  return kernel;
}

template <typename T>
using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

// Reductions of arguments by a multiple of pi keep their accuracy up to here; see sine in vector_math.cc.
bool is_trigonometric(ScalarOp op) { return op == ScalarOp::sin || op == ScalarOp::cos || op == ScalarOp::tan; }
constexpr double largest_angle = 1e6;

template <typename T>
std::vector<T> special_values() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> values{0, 1, 2, 3, T(0.5), T(1e-3), T(0.3465), T(0.7), 10, 38, 39, 40, 87, 88, 89, 103, 104};
  for (T value : {Limits::min(), Limits::denorm_min(), Limits::max(), Limits::epsilon(), Limits::infinity(),
                  std::nextafter(T(1), T(0)), std::nextafter(T(1), T(2))})
    values.push_back(value);
  for (size_t i = 0, count = values.size(); i < count; ++i) values.push_back(-values[i]);
  values.push_back(Limits::quiet_NaN());
  return values;
}

// One column of inputs an operand.
template <typename T>
std::vector<std::vector<T>> inputs_of(const Function& function) {
  std::mt19937_64 random(7);
  auto by_bits = [&] { return std::bit_cast<T>(static_cast<Bits<T>>(random())); };
  std::uniform_real_distribution<double> evenly(function.low, function.high), near(-1, 1);
  std::vector<std::vector<T>> columns(function.two ? 2 : 1);
  std::vector<T> special = special_values<T>();
  for (T first : special)
    for (T second : special) {
      columns[0].push_back(first);
      if (!function.two) break;
      columns[1].push_back(second);
    }
  for (int i = 0; i < 30000; ++i)
    for (std::vector<T>& column : columns) {
      T even = static_cast<T>(evenly(random)), close = static_cast<T>(near(random)), any = by_bits();
      column.push_back(i % 3 == 0 ? even : i % 3 == 1 ? close : any);
    }
  if (is_trigonometric(function.op))
    for (T& value : columns[0])
      if (std::isfinite(value) && std::abs(value) > largest_angle) value = std::fmod(value, T(largest_angle));
  // The quotient of a remainder has to fit 52 bits (see remainder in vector_math.cc).
  if (function.op == ScalarOp::rem)
    for (size_t i = 0; i < columns[0].size(); ++i)
      if (T quotient = columns[0][i] / columns[1][i]; std::isfinite(columns[0][i]) && std::abs(quotient) > T(1e6))
        columns[1][i] = columns[0][i] / 3;
  return columns;
}

// Units of the last place between a result and the exact value.
template <typename T>
double error_of(T got, Real exact) {
  T rounded = static_cast<T>(exact);
  if (std::isnan(rounded)) return std::isnan(got) ? 0 : 1e30;
  if (std::isinf(got) && std::isinf(rounded)) return got == rounded ? 0 : 1e30;
  if (rounded == 0 && got == 0) return std::signbit(got) == std::signbit(rounded) ? 0 : 1e30;
  Real limit = std::numeric_limits<T>::max();
  Real shown = std::isinf(got) ? (got > 0 ? limit : -limit) : static_cast<Real>(got);
  if (std::isinf(got) && std::abs(exact) < limit * (1 - 8 * std::numeric_limits<T>::epsilon())) return 1e30;
  Real size = std::min(std::abs(exact), limit);
  T base = static_cast<T>(std::max<Real>(size, std::numeric_limits<T>::min()));
  int exponent = std::ilogb(base);
  Real unit = std::scalbn(Real(1), exponent - (std::numeric_limits<T>::digits - 1));
  if (std::isnan(got)) return 1e30;
  return static_cast<double>(std::abs(shown - std::clamp(exact, -limit, limit)) / unit);
}

template <typename T>
void check(const KernelImage& image, size_t number, const Function& function, const std::string& level) {
  std::vector<std::vector<T>> columns = inputs_of<T>(function);
  auto count = static_cast<int64_t>(columns[0].size());
  std::vector<HostTensor> buffers;
  for (const std::vector<T>& column : columns) buffers.push_back(HostTensor::from<T>({count}, column));
  buffers.emplace_back(dtype_of<T>(), Sizes{count});
  ASSERT_EQ(run_entry(image, number, buffers), Status::ok);
  double worst = 0;
  size_t at = 0;
  auto results = buffers.back().template data<T>();
  auto exact = [&](size_t i) {
    return function.two ? function.two(columns[0][i], columns[1][i]) : function.one(columns[0][i]);
  };
  for (size_t i = 0; i < columns[0].size(); ++i)
    if (double error = error_of<T>(results[i], exact(i)); error > worst) worst = error, at = i;
  ::testing::Test::RecordProperty(std::string(function.name) + "_" + level, std::to_string(worst));
  EXPECT_LE(worst, sizeof(T) == 4 ? function.ulp_f32 : function.ulp_f64)
      << function.name << " on " << level << " of " << columns[0][at] << (function.two ? ", " : "")
      << (function.two ? std::to_string(columns[1][at]) : "") << " gives " << results[at] << ", exactly " << exact(at);
}

template <typename T>
void check_all() {
  int bits = host_cpu_target().vector_bits;
  for (const auto& [level, needed] : {std::pair{"x86-64-v2", 128}, {"x86-64-v3", 256}, {"x86-64-v4", 512}}) {
    if (needed > bits) continue;
    std::vector<StructuredKernel> kernels;
    for (const Function& function : functions)
      kernels.push_back(kernel_of(function, dtype_of<T>(), static_cast<int64_t>(inputs_of<T>(function)[0].size())));
    KernelImage image = compile_kernels(kernels, named_cpu_target(level));
    for (size_t i = 0; i < std::size(functions); ++i) check<T>(image, i, functions[i], level);
  }
}

TEST(VectorMath, f32) { check_all<float>(); }
TEST(VectorMath, f64) { check_all<double>(); }

}  // namespace
}  // namespace placewright::testing
