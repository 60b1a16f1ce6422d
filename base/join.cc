#include "placewright/base/join.h"

namespace placewright {
namespace {

std::string_view text_of(std::string_view part) { return part; }
std::string text_of(int64_t number) { return std::to_string(number); }

template <typename Part>
std::string joined(std::span<const Part> parts, std::string_view separator) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += separator;
    text += text_of(parts[i]);
  }
  return text;
}

}  // namespace

std::string join(std::span<const std::string> parts, std::string_view separator) { return joined(parts, separator); }
std::string join(std::span<const std::string_view> parts, std::string_view separator) {
  return joined(parts, separator);
}
std::string join(std::span<const int64_t> numbers, std::string_view separator) { return joined(numbers, separator); }
std::string join(std::span<const int> numbers, std::string_view separator) { return joined(numbers, separator); }

}  // namespace placewright
