#include "placewright/base/counts.h"

namespace placewright {
namespace {

std::string grouped(uint64_t number) {
  std::string digits = std::to_string(number);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<size_t>(at), 1, ',');
  return digits;
}

}  // namespace

std::string bytes_text(int64_t bytes) {
  return (bytes < 0 ? "-" : "") + grouped(static_cast<uint64_t>(bytes < 0 ? -bytes : bytes)) + " B";
}

std::string plural(size_t count, std::string_view what) {
  return grouped(count) + " " + std::string(what) + (count == 1 ? "" : "s");
}

}  // namespace placewright
