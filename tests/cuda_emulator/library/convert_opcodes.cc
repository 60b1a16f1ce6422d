// cvt: between integers, between floating point and integers, and between floating types.
#include <cfenv>
#include <cmath>
#include <limits>

#include "machine.h"

namespace cuda_emulator {
namespace {

using i8 = int8_t;
using i16 = int16_t;
using i32 = int32_t;
using i64 = int64_t;
using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;

template <class... T>
struct Types {};
using Integers = Types<i8, u8, i16, u16, i32, u32, i64, u64>;

template <class T>
std::string name_of() {
  if constexpr (std::is_floating_point_v<T>) return ".f" + std::to_string(8 * sizeof(T));
  return (std::is_signed_v<T> ? ".s" : ".u") + std::to_string(8 * sizeof(T));
}

template <class T, class... U>
void for_types(Types<U...>, T visit) {
  (visit(U{}), ...);
}

// Values beyond the target are the nearest it has, NaN is zero.
template <class T, class F>
T to_integer(F value) {
  if (std::isnan(value)) return 0;
  if (value >= std::ldexp(F(1), std::numeric_limits<T>::digits)) return std::numeric_limits<T>::max();
  if (value < static_cast<F>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  return static_cast<T>(value);
}

template <int direction, class T, class F>
T convert(F value) {
  std::fesetround(direction);
  volatile F from = value;
  volatile T result = static_cast<T>(from);
  std::fesetround(FE_TONEAREST);
  return result;
}

template <class F>
void add_of_float(OpcodeTable& table) {
  const std::string f = name_of<F>();
  for_types(Integers{}, [&]<class T>(T) {
    const std::string t = name_of<T>();
    add_each_lane<[](F a) { return to_integer<T>(std::trunc(a)); }>(table, "cvt.rzi" + t + f);
    add_each_lane<[](F a) { return to_integer<T>(std::nearbyint(a)); }>(table, "cvt.rni" + t + f);
    add_each_lane<[](F a) { return to_integer<T>(std::floor(a)); }>(table, "cvt.rmi" + t + f);
    add_each_lane<[](F a) { return to_integer<T>(std::ceil(a)); }>(table, "cvt.rpi" + t + f);
    add_each_lane<[](T a) { return static_cast<F>(a); }>(table, "cvt.rn" + f + t);
    add_each_lane<[](T a) { return convert<FE_TOWARDZERO, F>(a); }>(table, "cvt.rz" + f + t);
    add_each_lane<[](T a) { return convert<FE_DOWNWARD, F>(a); }>(table, "cvt.rm" + f + t);
    add_each_lane<[](T a) { return convert<FE_UPWARD, F>(a); }>(table, "cvt.rp" + f + t);
  });
  add_each_lane<[](F a) { return std::trunc(a); }>(table, "cvt.rzi" + f + f);
  add_each_lane<[](F a) { return std::nearbyint(a); }>(table, "cvt.rni" + f + f);
  add_each_lane<[](F a) { return std::floor(a); }>(table, "cvt.rmi" + f + f);
  add_each_lane<[](F a) { return std::ceil(a); }>(table, "cvt.rpi" + f + f);
}

// To 16 bits of a floating type with `fraction` bits of fraction and the exponents of `least` (normal) on; to nearest,
// ties to even. The sum with a power of two does the rounding.
template <int fraction, int least, u16 infinity>
u16 to_half(float value) {
  u16 sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return 0x7fff;
  double magnitude = std::fabs(double(value));
  if (magnitude == 0) return sign;
  int exponent = std::max(std::ilogb(magnitude), least);
  if (std::isinf(value)) return sign | infinity;
  auto units = static_cast<u32>(std::nearbyint(std::ldexp(magnitude, fraction - exponent)));
  // The fraction's carry goes into the exponent by itself; below the least normal number the exponent's bits are zero.
  u32 bits = (static_cast<u32>(exponent - least) << fraction) + units;
  return sign | static_cast<u16>(std::min<u32>(bits, infinity));
}

float from_half(u16 bits) {
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  float magnitude = exponent == 31
                        ? (fraction ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity())
                    : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                    : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}
float from_bf16(u16 bits) { return std::bit_cast<float>(u32(bits) << 16); }
u16 to_f16(float value) { return to_half<10, -14, 0x7c00>(value); }
u16 to_bf16(float value) { return to_half<7, -126, 0x7f80>(value); }

// To nearest, ties away from zero, at 10 bits of fraction.
u32 to_tf32(float value) {
  u32 bits = std::bit_cast<u32>(value);
  if (!std::isfinite(value)) return bits;
  return (bits + 0x1000) & ~0x1fffu;
}

}  // namespace

void add_convert_opcodes(OpcodeTable& table) {
  for_types(Integers{}, [&]<class T>(T) {
    for_types(Integers{}, [&]<class F>(F) {
      add_each_lane<[](F a) { return static_cast<T>(a); }>(table, "cvt" + name_of<T>() + name_of<F>());
    });
  });
  add_of_float<float>(table);
  add_of_float<double>(table);
  add_each_lane<[](float a) { return double(a); }>(table, "cvt.f64.f32");
  add_each_lane<[](double a) { return static_cast<float>(a); }>(table, "cvt.rn.f32.f64");
  add_each_lane<[](float a) { return std::isnan(a) ? 0.0f : std::fmin(std::fmax(a, 0.0f), 1.0f); }>(table,
                                                                                                    "cvt.sat.f32.f32");
  add_each_lane<&from_half>(table, "cvt.f32.f16");
  add_each_lane<&from_bf16>(table, "cvt.f32.bf16");
  add_each_lane<&to_f16>(table, "cvt.rn.f16.f32");
  add_each_lane<&to_bf16>(table, "cvt.rn.bf16.f32");
  // The first operand is the upper half.
  add_each_lane<[](float a, float b) { return u32(to_bf16(a)) << 16 | to_bf16(b); }>(table, "cvt.rn.bf16x2.f32");
  add_each_lane<[](float a, float b) { return u32(to_f16(a)) << 16 | to_f16(b); }>(table, "cvt.rn.f16x2.f32");
  add_each_lane<&to_tf32>(table, "cvt.rna.tf32.f32");
}

}  // namespace cuda_emulator
