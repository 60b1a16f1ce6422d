#include "three_digits.h"

#include <cmath>
#include <cstdlib>

#include <fmt/core.h>

namespace placewright::tools {
namespace {
constexpr int in_a_decade = 900;
}

double three_digits(int index) {
  const int decade = index >= 0 ? index / in_a_decade : (index - in_a_decade + 1) / in_a_decade;
  // Read from digits, so that it is what a file that spells it holds.
  return std::strtod(fmt::format("{}e{}", 100 + index - decade * in_a_decade, decade - 2).c_str(), nullptr);
}

int index_from(double number) {
  const int decade = static_cast<int>(std::floor(std::log10(number)));
  int index = decade * in_a_decade + static_cast<int>(number / std::pow(10, decade - 2)) - 100 - 2;
  while (three_digits(index) < number) ++index;
  return index;
}

int index_above(double number) {
  const int index = index_from(number);
  return three_digits(index) > number ? index : index + 1;
}

std::string number_text(double number) {
  std::string text = fmt::format("{:.3g}", number);
  return text.find("e+") == std::string::npos ? text : fmt::format("{:.0f}", number);
}

}  // namespace placewright::tools
