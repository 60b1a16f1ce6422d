// Counts as people read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace placewright {

std::string bytes_text(int64_t bytes);                    // "1,234,567 B"
std::string plural(size_t count, std::string_view what);  // "1 op", "12,345 ops"

}  // namespace placewright
