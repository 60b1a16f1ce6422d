#include "machine_peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace placewright::tools {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Enough independent chains to hide the latency of a fused multiply-add (4 or 5 cycles, 2 a cycle) with a margin.
constexpr int chains = 12;

// Each runs `count` rounds of `chains` multiply-adds and returns a number that depends on all of them.
float multiply_add_plain(int64_t count) {
  float sums[chains];
  for (int i = 0; i < chains; ++i) sums[i] = static_cast<float>(i);
  for (int64_t n = 0; n < count; ++n)
    for (float& sum : sums) sum = sum * 0.999f + 0.5f;
  float all = 0;
  for (float sum : sums) all += sum;
  return all;
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) float multiply_add_256(int64_t count) {
  __m256 sums[chains], factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(0.5f);
#pragma GCC unroll 16
  for (int i = 0; i < chains; ++i) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int64_t n = 0; n < count; ++n)
#pragma GCC unroll 16
    for (int i = 0; i < chains; ++i) sums[i] = _mm256_fmadd_ps(sums[i], factor, term);
  __m256 all = sums[0];
#pragma GCC unroll 16
  for (int i = 1; i < chains; ++i) all = _mm256_add_ps(all, sums[i]);
  float lanes[8];
  _mm256_storeu_ps(lanes, all);
  return lanes[0] + lanes[7];
}

__attribute__((target("avx512f"))) float multiply_add_512(int64_t count) {
  __m512 sums[chains], factor = _mm512_set1_ps(0.999f), term = _mm512_set1_ps(0.5f);
#pragma GCC unroll 16
  for (int i = 0; i < chains; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t n = 0; n < count; ++n)
#pragma GCC unroll 16
    for (int i = 0; i < chains; ++i) sums[i] = _mm512_fmadd_ps(sums[i], factor, term);
  __m512 all = sums[0];
#pragma GCC unroll 16
  for (int i = 1; i < chains; ++i) all = _mm512_add_ps(all, sums[i]);
  float lanes[16];
  _mm512_storeu_ps(lanes, all);
  return lanes[0] + lanes[15];
}
#endif

// out = x + factor * y
void triad_plain(float* out, const float* x, const float* y, float factor, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = x[i] + factor * y[i];
}

#if defined(__x86_64__)
// Stores pass the caches by, which would otherwise read each line of `out` before it is written.
__attribute__((target("avx2,fma"))) void triad_256(float* out, const float* x, const float* y, float factor,
                                                   int64_t count) {
  const __m256 wide = _mm256_set1_ps(factor);
  for (int64_t i = 0; i < count; i += 8)
    _mm256_stream_ps(out + i, _mm256_fmadd_ps(wide, _mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
  _mm_sfence();
}
#endif

struct Kernel {
  float (*run)(int64_t count);
  int lanes;
};

Kernel widest_kernel() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return {multiply_add_512, 16};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {multiply_add_256, 8};
#endif
  return {multiply_add_plain, 1};
}

}  // namespace

double measure_fma_peak(int rounds) {
  const Kernel kernel = widest_kernel();
  constexpr int64_t count = 2'000'000;
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    auto start = Clock::now();
    volatile float sink = kernel.run(count);
    static_cast<void>(sink);
    best = std::max(best, 2.0 * kernel.lanes * chains * count / seconds_since(start));
  }
  return best;
}

double measure_bandwidth(int rounds) {
  constexpr int64_t count = int64_t{24} << 20;  // 96 MiB an array
  std::vector<float> b(count, 2.0f), c(count, 3.0f);
  std::unique_ptr<float, decltype(&std::free)> a(static_cast<float*>(std::aligned_alloc(64, 4 * count)), &std::free);
  if (!a) throw std::bad_alloc();
  std::fill_n(a.get(), count, 1.0f);
  auto triad = triad_plain;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) triad = triad_256;
#endif
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    auto start = Clock::now();
    const float factor = 0.5f + static_cast<float>(round);
    triad(a.get(), b.data(), c.data(), factor, count);
    volatile float sink = a.get()[count / 2];
    static_cast<void>(sink);
    best = std::max(best, 3.0 * 4.0 * static_cast<double>(count) / seconds_since(start));
  }
  return best;
}

}  // namespace placewright::tools
