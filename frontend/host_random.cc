#include <cmath>
#include <numbers>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "session_body.h"

namespace placewright {
namespace {

// Philox's multipliers and what it adds to its keys.
constexpr uint32_t multiplier_a = 0xD2511F53, multiplier_b = 0xCD9E8D57, step_a = 0x9E3779B9, step_b = 0xBB67AE85;
constexpr int rounds = 10;

float uniform_value(uint64_t word, double bound) {
  return static_cast<float>((2 * (static_cast<double>(word >> 11) * 0x1p-53) - 1) * bound);
}

#if defined(__x86_64__)
// The float of uniform_value in each lane. Every step but the product with the bound is exact.
[[gnu::target("avx2")]] inline __m128 uniform_values(__m256i words, double bound) {
  const __m256i wanted = _mm256_srli_epi64(words, 11);
  const __m256i low_half = _mm256_set1_epi64x(0xFFFFFFFF);
  // Halves become doubles by standing in the mantissas of 2^52 and 2^84.
  const __m256i low = _mm256_or_si256(_mm256_and_si256(wanted, low_half), _mm256_set1_epi64x(0x4330000000000000));
  const __m256i high = _mm256_or_si256(_mm256_srli_epi64(wanted, 32), _mm256_set1_epi64x(0x4530000000000000));
  const __m256d upper = _mm256_sub_pd(_mm256_castsi256_pd(high), _mm256_set1_pd(0x1p84 + 0x1p52));
  const __m256d number = _mm256_add_pd(upper, _mm256_castsi256_pd(low));
  const __m256d centred = _mm256_sub_pd(_mm256_mul_pd(number, _mm256_set1_pd(0x1p-52)), _mm256_set1_pd(1));
  return _mm256_cvtpd_ps(_mm256_mul_pd(centred, _mm256_set1_pd(bound)));
}

[[gnu::target("avx2")]] inline __m256i join(__m256i low, __m256i high) {
  return _mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi64x(0xFFFFFFFF)), _mm256_slli_epi64(high, 32));
}

// The first `count` values, a multiple of 8: four blocks at a time, each word in the lower half of a lane. What the
// upper halves hold is never read.
[[gnu::target("avx2")]] void fill_uniform_by_fours(uint64_t seed, uint64_t stream, double bound, float* values,
                                                   size_t count) {
  const __m256i a = _mm256_set1_epi64x(multiplier_a), b = _mm256_set1_epi64x(multiplier_b);
  __m256i number = _mm256_set_epi64x(3, 2, 1, 0);
  for (size_t i = 0; i < count; i += 8, number = _mm256_add_epi64(number, _mm256_set1_epi64x(4))) {
    __m256i words[4] = {number, _mm256_srli_epi64(number, 32), _mm256_set1_epi64x(static_cast<int64_t>(stream)),
                        _mm256_set1_epi64x(static_cast<int64_t>(stream >> 32))};
    auto key_a = static_cast<uint32_t>(seed), key_b = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < rounds; ++round, key_a += step_a, key_b += step_b) {
      const __m256i from_a = _mm256_mul_epu32(words[0], a), from_b = _mm256_mul_epu32(words[2], b);
      words[0] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(from_b, 32), words[1]), _mm256_set1_epi64x(key_a));
      words[1] = from_b;
      words[2] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(from_a, 32), words[3]), _mm256_set1_epi64x(key_b));
      words[3] = from_a;
    }
    const __m128 even = uniform_values(join(words[0], words[1]), bound);
    const __m128 odd = uniform_values(join(words[2], words[3]), bound);
    _mm_storeu_ps(values + i, _mm_unpacklo_ps(even, odd));
    _mm_storeu_ps(values + i + 4, _mm_unpackhi_ps(even, odd));
  }
}

size_t fill_quickly(uint64_t seed, uint64_t stream, double bound, std::span<float> values) {
  if (!__builtin_cpu_supports("avx2")) return 0;
  fill_uniform_by_fours(seed, stream, bound, values.data(), values.size() / 8 * 8);
  return values.size() / 8 * 8;
}
#else
size_t fill_quickly(uint64_t, uint64_t, double, std::span<float>) { return 0; }
#endif

}  // namespace

std::array<uint64_t, 2> HostRandom::block(uint64_t number) const {
  uint32_t counter[4] = {static_cast<uint32_t>(number), static_cast<uint32_t>(number >> 32),
                         static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)};
  uint32_t key[2] = {static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32)};
  for (int round = 0; round < rounds; ++round) {
    uint64_t a = uint64_t{multiplier_a} * counter[0], b = uint64_t{multiplier_b} * counter[2];
    uint32_t next[4] = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
                        static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    for (int i = 0; i < 4; ++i) counter[i] = next[i];
    key[0] += step_a;
    key[1] += step_b;
  }
  return {counter[0] | static_cast<uint64_t>(counter[1]) << 32, counter[2] | static_cast<uint64_t>(counter[3]) << 32};
}

uint64_t HostRandom::bits(uint64_t position) const { return block(position / 2)[position % 2]; }

void HostRandom::fill_uniform(std::span<float> values, double bound) const {
  for (size_t i = fill_quickly(seed_, stream_, bound, values); i < values.size(); ++i)
    values[i] = uniform_value(bits(i), bound);
}

double HostRandom::uniform(uint64_t position) const { return static_cast<double>(bits(position) >> 11) * 0x1p-53; }

double HostRandom::normal(uint64_t position) const {
  double radius = std::sqrt(-2 * std::log(1 - uniform(2 * position)));
  return radius * std::cos(2 * std::numbers::pi * uniform(2 * position + 1));
}

uint64_t HostRandom::below(uint64_t bound, uint64_t position) const {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(bits(position)) * bound >> 64);
}

}  // namespace placewright
