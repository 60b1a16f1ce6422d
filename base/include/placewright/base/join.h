// Lists in text. fmt::join costs each file that uses it half a second of compilation, as a type of its own to format.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace placewright {

std::string join(std::span<const std::string> parts, std::string_view separator);
std::string join(std::span<const std::string_view> parts, std::string_view separator);
std::string join(std::span<const int64_t> numbers, std::string_view separator);
std::string join(std::span<const int> numbers, std::string_view separator);

}  // namespace placewright
