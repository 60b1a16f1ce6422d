// Short names of long texts. They tell apart what differs by chance or by mistake, not what somebody forged.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace placewright {

std::string hash_text(std::string_view text);  // XXH3, 128 bits, as 32 hexadecimal digits
uint32_t crc32(std::string_view bytes);        // as zlib's, which most languages bring

}  // namespace placewright
