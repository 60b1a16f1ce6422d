#include <cmath>
#include <numbers>

#include "session_body.h"

namespace placewright {

std::array<uint64_t, 2> HostRandom::block(uint64_t number) const {
  uint32_t counter[4] = {static_cast<uint32_t>(number), static_cast<uint32_t>(number >> 32),
                         static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)};
  uint32_t key[2] = {static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32)};
  for (int round = 0; round < 10; ++round) {
    uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    uint32_t next[4] = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
                        static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    for (int i = 0; i < 4; ++i) counter[i] = next[i];
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return {counter[0] | static_cast<uint64_t>(counter[1]) << 32, counter[2] | static_cast<uint64_t>(counter[3]) << 32};
}

uint64_t HostRandom::bits(uint64_t position) const { return block(position / 2)[position % 2]; }

void HostRandom::fill_uniform(std::span<float> values, double bound) const {
  for (size_t i = 0; i < values.size(); i += 2) {
    std::array<uint64_t, 2> words = block(i / 2);
    for (size_t k = 0; k < 2 && i + k < values.size(); ++k)
      values[i + k] = static_cast<float>((2 * (static_cast<double>(words[k] >> 11) * 0x1p-53) - 1) * bound);
  }
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
