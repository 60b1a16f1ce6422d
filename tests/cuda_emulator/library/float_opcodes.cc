// Arithmetic of f32 and f64. Compiled with -frounding-math: PTX names a rounding direction in each instruction.
#include <cfenv>
#include <cmath>

#include "machine.h"

namespace cuda_emulator {
namespace {

float flush(float value) { return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value; }

// Runs under another direction; `volatile` keeps the arithmetic between the two calls.
template <int direction, class T, class F>
T rounded(T a, T b, T c, F arithmetic) {
  if constexpr (direction == FE_TONEAREST) return arithmetic(a, b, c);
  std::fesetround(direction);
  volatile T x = a, y = b, z = c;
  volatile T result = arithmetic(x, y, z);
  std::fesetround(FE_TONEAREST);
  return result;
}

template <class T>
T nan_of() {
  return std::bit_cast<T>(std::conditional_t < sizeof(T) == 4, uint32_t,
                          uint64_t > (sizeof(T) == 4 ? 0x7fffffffull : 0xfff8000000000000ull));
}

template <class T, int direction>
void add_rounded(OpcodeTable& table, const std::string& rounding, const std::string& type) {
  auto names = [&](const char* op) {
    // Rounding to nearest needs not be said for sums and products.
    bool may_be_left_out = direction == FE_TONEAREST && std::string(op) != "fma";
    return op + rounding + type + (may_be_left_out ? " " + (op + type) : "");
  };
  add_each_lane<[](T a, T b) { return rounded<direction>(a, b, T(0), [](T x, T y, T) { return x + y; }); }>(
      table, names("add"));
  add_each_lane<[](T a, T b) { return rounded<direction>(a, b, T(0), [](T x, T y, T) { return x - y; }); }>(
      table, names("sub"));
  add_each_lane<[](T a, T b) { return rounded<direction>(a, b, T(0), [](T x, T y, T) { return x * y; }); }>(
      table, names("mul"));
  add_each_lane<[](T a, T b, T c) {
    return rounded<direction>(a, b, c, [](T x, T y, T z) { return std::fma(x, y, z); });
  }>(table, names("fma"));
}

// NaN is the other operand's value; .NaN keeps it.
template <class T>
T smaller(T a, T b) {
  if (a == b) return std::signbit(a) ? a : b;
  return std::fmin(a, b);
}
template <class T>
T larger(T a, T b) {
  if (a == b) return std::signbit(a) ? b : a;
  return std::fmax(a, b);
}

template <class T>
void add_common(OpcodeTable& table, const std::string& type) {
  add_rounded<T, FE_TONEAREST>(table, ".rn", type);
  add_rounded<T, FE_TOWARDZERO>(table, ".rz", type);
  add_rounded<T, FE_DOWNWARD>(table, ".rm", type);
  add_rounded<T, FE_UPWARD>(table, ".rp", type);
  add_each_lane<[](T a, T b) { return a / b; }>(table, "div.rn" + type);
  add_each_lane<[](T a) { return T(1) / a; }>(table, "rcp.rn" + type);
  add_each_lane<[](T a) { return std::sqrt(a); }>(table, "sqrt.rn" + type);
  add_each_lane<[](T a) { return -a; }>(table, "neg" + type);
  add_each_lane<[](T a) { return std::fabs(a); }>(table, "abs" + type);
  add_each_lane<&smaller<T>>(table, "min" + type);
  add_each_lane<&larger<T>>(table, "max" + type);
  // copysign d, a, b: the sign of a, the rest of b.
  add_each_lane<[](T a, T b) { return std::copysign(b, a); }>(table, "copysign" + type);
  add_each_lane<[](T a) { return std::isfinite(a); }>(table, "testp.finite" + type);
  add_each_lane<[](T a) { return std::isinf(a); }>(table, "testp.infinite" + type);
  add_each_lane<[](T a) { return std::isnan(a); }>(table, "testp.notanumber" + type);
  add_each_lane<[](T a) { return !std::isnan(a); }>(table, "testp.number" + type);
}

}  // namespace

void add_float_opcodes(OpcodeTable& table) {
  add_common<float>(table, ".f32");
  add_common<double>(table, ".f64");
  add_each_lane<[](float a, float b) { return std::isnan(a) || std::isnan(b) ? nan_of<float>() : smaller(a, b); }>(
      table, "min.NaN.f32");
  add_each_lane<[](float a, float b) { return std::isnan(a) || std::isnan(b) ? nan_of<float>() : larger(a, b); }>(
      table, "max.NaN.f32");
  // Approximations are computed exactly: their bits are not modelled.
  add_each_lane<[](float a, float b) { return a / b; }>(table, "div.approx.f32 div.full.f32");
  add_each_lane<[](float a, float b) { return flush(flush(a) / flush(b)); }>(table,
                                                                             "div.approx.ftz.f32 div.full.ftz.f32");
  add_each_lane<[](float a) { return 1 / a; }>(table, "rcp.approx.f32");
  add_each_lane<[](float a) { return flush(1 / flush(a)); }>(table, "rcp.approx.ftz.f32");
  // Its low 32 bits of a result are zero: the start of an iteration.
  add_each_lane<[](double a) {
    double cut = std::bit_cast<double>(std::bit_cast<uint64_t>(a) & 0xffffffff00000000);
    return std::bit_cast<double>(std::bit_cast<uint64_t>(1 / cut) & 0xffffffff00000000);
  }>(table, "rcp.approx.ftz.f64");
  add_each_lane<[](double a) {
    double cut = std::bit_cast<double>(std::bit_cast<uint64_t>(a) & 0xffffffff00000000);
    return std::bit_cast<double>(std::bit_cast<uint64_t>(1 / std::sqrt(cut)) & 0xffffffff00000000);
  }>(table, "rsqrt.approx.ftz.f64");
  add_each_lane<[](double a) { return 1 / std::sqrt(a); }>(table, "rsqrt.approx.f64");
  add_each_lane<[](float a) { return std::sqrt(a); }>(table, "sqrt.approx.f32");
  add_each_lane<[](float a) { return std::sqrt(flush(a)); }>(table, "sqrt.approx.ftz.f32");
  add_each_lane<[](float a) { return static_cast<float>(1 / std::sqrt(double(a))); }>(table, "rsqrt.approx.f32");
  add_each_lane<[](float a) { return static_cast<float>(1 / std::sqrt(double(flush(a)))); }>(table,
                                                                                             "rsqrt.approx.ftz.f32");
  add_each_lane<[](float a) { return static_cast<float>(std::exp2(double(a))); }>(table, "ex2.approx.f32");
  add_each_lane<[](float a) { return flush(static_cast<float>(std::exp2(double(flush(a))))); }>(table,
                                                                                                "ex2.approx.ftz.f32");
  add_each_lane<[](float a) { return static_cast<float>(std::log2(double(a))); }>(table, "lg2.approx.f32");
  add_each_lane<[](float a) { return static_cast<float>(std::log2(double(flush(a)))); }>(table, "lg2.approx.ftz.f32");
  add_each_lane<[](float a) { return static_cast<float>(std::sin(double(a))); }>(table, "sin.approx.f32");
  add_each_lane<[](float a) { return static_cast<float>(std::cos(double(a))); }>(table, "cos.approx.f32");
  add_each_lane<[](float a) { return static_cast<float>(std::tanh(double(a))); }>(table, "tanh.approx.f32");
}

}  // namespace cuda_emulator
