#include "placewright/base/hash.h"

#include <array>

#include <fmt/format.h>

#define XXH_INLINE_ALL  // header-only: nothing to link
#include <xxhash.h>

namespace placewright {
namespace {

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t remainder = i;
    for (int bit = 0; bit < 8; ++bit) remainder = remainder & 1 ? (remainder >> 1) ^ 0xEDB88320U : remainder >> 1;
    table[i] = remainder;
  }
  return table;
}
constexpr std::array<uint32_t, 256> crc_table = make_crc_table();

}  // namespace

std::string hash_text(std::string_view text) {
  XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

uint32_t crc32(std::string_view bytes) {
  uint32_t remainder = 0xFFFFFFFFU;
  for (char byte : bytes) remainder = crc_table[(remainder ^ static_cast<uint8_t>(byte)) & 0xFF] ^ (remainder >> 8);
  return ~remainder;
}

}  // namespace placewright
