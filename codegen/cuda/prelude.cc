#include "prelude.h"

namespace placewright {
namespace {

// Accuracy, from NVIDIA's tables of its functions (CUDA C++ programming guide, mathematical functions), in units in the
// last place, f32 and f64: exp 2 and 1, log 1 and 1, expm1 1 and 1, log1p 1 and 1, sin and cos 2 and 2, tan 4 and 2,
// tanh 2 and 1, erf 2 and 2, pow 4 and 2; +, -, *, /, sqrt and fma are correctly rounded, as --fmad=false leaves them.
constexpr std::string_view prelude = R"cuda(
typedef long long i64;
typedef unsigned long long u64;
namespace pw {
#define PW __device__ __forceinline__
template <class T> struct whole { typedef T type; };
template <> struct whole<int> { typedef unsigned type; };
template <> struct whole<i64> { typedef u64 type; };
template <> struct whole<unsigned char> { typedef unsigned type; };
template <> struct whole<bool> { typedef unsigned type; };
template <class T> struct is_floating { enum { value = 0 }; };
template <> struct is_floating<float> { enum { value = 1 }; };
template <> struct is_floating<double> { enum { value = 1 }; };
template <class T> struct is_signed { enum { value = 0 }; };
template <> struct is_signed<int> { enum { value = 1 }; };
template <> struct is_signed<i64> { enum { value = 1 }; };
template <class A, class B> struct same { enum { value = 0 }; };
template <class A> struct same<A, A> { enum { value = 1 }; };
template <class T> struct smallest { PW static constexpr T number() { return 0; } };
template <> struct smallest<int> { PW static constexpr int number() { return -2147483647 - 1; } };
template <> struct smallest<i64> { PW static constexpr i64 number() { return -9223372036854775807ll - 1; } };
template <class T> struct largest;
template <> struct largest<int> { PW static constexpr int number() { return 2147483647; } };
template <> struct largest<i64> { PW static constexpr i64 number() { return 9223372036854775807ll; } };
template <> struct largest<unsigned char> { PW static constexpr unsigned char number() { return 255; } };
template <> struct largest<unsigned> { PW static constexpr unsigned number() { return 4294967295u; } };
template <> struct largest<u64> { PW static constexpr u64 number() { return 18446744073709551615ull; } };

// Integers wrap; their division never traps.
template <class T> PW T add(T a, T b) { if constexpr (is_floating<T>::value) return a + b; else { typedef typename whole<T>::type U; return (T)((U)a + (U)b); } }
template <class T> PW T sub(T a, T b) { if constexpr (is_floating<T>::value) return a - b; else { typedef typename whole<T>::type U; return (T)((U)a - (U)b); } }
template <class T> PW T mul(T a, T b) { if constexpr (is_floating<T>::value) return a * b; else { typedef typename whole<T>::type U; return (T)((U)a * (U)b); } }
template <class T> PW T neg(T a) { if constexpr (is_floating<T>::value) return -a; else { typedef typename whole<T>::type U; return (T)((U)0 - (U)a); } }
template <class T> PW T div(T a, T b) {
  if constexpr (is_floating<T>::value) return a / b;
  else {
    if (b == 0) return 0;
    if constexpr (is_signed<T>::value) if (b == -1) return neg(a);
    return a / b;
  }
}
PW float rem(float a, float b) { return fmodf(a, b); }
PW double rem(double a, double b) { return fmod(a, b); }
template <class T> PW T rem(T a, T b) {
  if (b == 0) return 0;
  if constexpr (is_signed<T>::value) if (b == -1) return 0;
  return a % b;
}
// NaN if either is; -0 below +0.
#if __CUDA_ARCH__ >= 800
PW float min(float a, float b) { float r; asm("min.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b)); return r; }
PW float max(float a, float b) { float r; asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b)); return r; }
#else
PW float min(float a, float b) { float r; asm("min.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b)); return a != a || b != b ? a + b : r; }
PW float max(float a, float b) { float r; asm("max.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b)); return a != a || b != b ? a + b : r; }
#endif
PW double min(double a, double b) { return a != a ? a : b != b ? b : a < b || (a == b && __double_as_longlong(a) < 0) ? a : b; }
PW double max(double a, double b) { return a != a ? a : b != b ? b : a > b || (a == b && __double_as_longlong(a) >= 0) ? a : b; }
template <class T> PW T min(T a, T b) { return a < b ? a : b; }
template <class T> PW T max(T a, T b) { return a > b ? a : b; }
template <class T> PW T abs(T a) {
  if constexpr (same<T, float>::value) return fabsf(a);
  else if constexpr (same<T, double>::value) return fabs(a);
  else if constexpr (is_signed<T>::value) return a < 0 ? neg(a) : a;
  else return a;
}
template <class T> PW T sign(T a) {
  if constexpr (is_floating<T>::value) return a > 0 ? (T)1 : a < 0 ? (T)-1 : a;
  else if constexpr (is_signed<T>::value) return (T)((a > 0) - (a < 0));
  else return (T)(a != 0);
}
#define PW_MATH(name, f, d) PW float name(float a) { return f(a); } PW double name(double a) { return d(a); }
PW_MATH(exp, ::expf, ::exp) PW_MATH(expm1, ::expm1f, ::expm1) PW_MATH(log, ::logf, ::log) PW_MATH(log1p, ::log1pf, ::log1p)
PW_MATH(sqrt, ::sqrtf, ::sqrt) PW_MATH(sin, ::sinf, ::sin) PW_MATH(cos, ::cosf, ::cos) PW_MATH(tan, ::tanf, ::tan)
PW_MATH(asin, ::asinf, ::asin) PW_MATH(acos, ::acosf, ::acos) PW_MATH(atan, ::atanf, ::atan) PW_MATH(sinh, ::sinhf, ::sinh)
PW_MATH(cosh, ::coshf, ::cosh) PW_MATH(tanh, ::tanhf, ::tanh) PW_MATH(erf, ::erff, ::erf) PW_MATH(floor, ::floorf, ::floor)
PW_MATH(ceil, ::ceilf, ::ceil) PW_MATH(round, ::rintf, ::rint) PW_MATH(trunc, ::truncf, ::trunc)
#undef PW_MATH
template <class T> PW T floor(T a) { return a; }
template <class T> PW T ceil(T a) { return a; }
template <class T> PW T round(T a) { return a; }
template <class T> PW T trunc(T a) { return a; }
template <class T> PW T rsqrt(T a) { return (T)1 / sqrt(a); }
template <class T> PW T sigmoid(T a) { return (T)1 / ((T)1 + exp(-a)); }
PW float pow(float a, float b) { return ::powf(a, b); }
PW double pow(double a, double b) { return ::pow(a, b); }
PW float atan2(float a, float b) { return ::atan2f(a, b); }
PW double atan2(double a, double b) { return ::atan2(a, b); }
template <class T> PW bool equal(T a, T b) { return a == b; }
template <class T> PW bool not_equal(T a, T b) { return a != b; }
template <class T> PW bool less(T a, T b) { return a < b; }
template <class T> PW bool less_equal(T a, T b) { return a <= b; }
template <class T> PW bool greater(T a, T b) { return a > b; }
template <class T> PW bool greater_equal(T a, T b) { return a >= b; }
template <class T> PW bool is_nan(T a) { return a != a; }
PW bool is_finite(float a) { return (__float_as_int(a) & 0x7f800000) != 0x7f800000; }
PW bool is_finite(double a) { return (__double_as_longlong(a) & 0x7ff0000000000000ll) != 0x7ff0000000000000ll; }
template <class T> PW bool is_finite(T) { return true; }
template <class T> PW T logical_and(T a, T b) { return (T)(a & b); }
template <class T> PW T logical_or(T a, T b) { return (T)(a | b); }
template <class T> PW T logical_xor(T a, T b) { return (T)(a ^ b); }
template <class T> PW T logical_not(T a) { if constexpr (same<T, bool>::value) return !a; else return (T)~a; }
template <class T> PW T shift_left(T a, T b) { return b < 8 * sizeof(T) ? (T)(a << b) : (T)0; }
template <class T> PW T shift_right(T a, T b) { return b < 8 * sizeof(T) ? (T)(a >> b) : (T)0; }
PW unsigned multiply_high(unsigned a, unsigned b) { return __umulhi(a, b); }
PW u64 multiply_high(u64 a, u64 b) { return __umul64hi(a, b); }
PW unsigned char multiply_high(unsigned char a, unsigned char b) { return (unsigned char)((unsigned)a * b >> 8); }
template <class T> PW T select(bool condition, T a, T b) { return condition ? a : b; }
// Floating to integer truncates and saturates; NaN gives 0.
template <class To, class From> PW To cast(From a) {
  if constexpr (same<To, bool>::value) return a != 0;
  else if constexpr (is_floating<From>::value && !is_floating<To>::value) {
    constexpr From top = (From)(largest<To>::number() / 2 + 1) * 2, bottom = (From)smallest<To>::number();
    return a != a ? (To)0 : a >= top ? largest<To>::number() : a <= bottom ? smallest<To>::number() : (To)a;
  } else return (To)a;
}
template <class To, class From> PW To bitcast(From a) {
  if constexpr (same<To, From>::value) return a;
  else if constexpr (same<From, float>::value) return (To)__float_as_uint(a);
  else if constexpr (same<To, float>::value) return __uint_as_float((unsigned)a);
  else if constexpr (same<From, double>::value) return (To)__double_as_longlong(a);
  else if constexpr (same<To, double>::value) return __longlong_as_double((i64)a);
  else return (To)a;
}
PW float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
PW double multiply_add(double a, double b, double c) { return __fma_rn(a, b, c); }

template <class T, int n> struct alignas(sizeof(T) * n) vec { T v[n]; };
template <int n, class T> PW vec<T, n> load_vec(const T* at) { return *(const vec<T, n>*)at; }
template <int n, class T> PW void store_vec(T* at, vec<T, n> value) { *(vec<T, n>*)at = value; }

// Copies n elements to shared memory while the thread goes on, or zeros, for which `from` may point anywhere. What was
// begun is committed as one, and waited for until no more than `left` commitments are on their way; before sm_80 it is
// there at once.
template <int n = 1, class T> PW void copy_ahead(T* to, const T* from, bool is_there) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
               "l"(__cvta_generic_to_global(from)), "n"(n * sizeof(T)), "r"(is_there ? (int)(n * sizeof(T)) : 0) : "memory");
#else
  for (int i = 0; i < n; ++i) to[i] = is_there ? from[i] : (T)0;
#endif
}
PW void commit_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int left> PW void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
#endif
}

#if __CUDA_ARCH__ >= 800
// To 10 bits of fraction, to nearest.
PW unsigned to_tf32(float a) { unsigned r; asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(a)); return r; }
// Two of 7 bits, to nearest even; the first is the lower half.
PW unsigned to_bf16(float a, float b) { unsigned r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(b), "f"(a)); return r; }
// A warp's 16 x 8 sums, of which each lane has four, and products of 16 x 8 by 8 x 8 numbers, or of 16 x 16 by 16 x 8.
PW void add_product_tf32(float (&sums)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
PW void add_product_bf16(float (&sums)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

// The value of the lane `offset` above, among the lanes of `mask`.
template <class T> PW T from_above(unsigned mask, T value, int offset, int width) {
  if constexpr (same<T, bool>::value || sizeof(T) == 1) return (T)__shfl_down_sync(mask, (int)value, offset, width);
  else return __shfl_down_sync(mask, value, offset, width);
}
// One device writes the word, and the host reads it when the launch is complete: the device's scope is enough.
PW void raise(u64* status, u64 code) { atomicOr(status, code); }
}  // namespace pw
)cuda";

}  // namespace

std::string_view cuda_prelude() { return prelude; }

}  // namespace placewright
