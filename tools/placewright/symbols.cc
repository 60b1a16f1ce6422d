#include <charconv>

#include <fmt/core.h>

#include "command.h"
#include "placewright/base/error.h"

namespace placewright::tools {
namespace {

// "NAME=NUMBER" of an option that may be repeated.
std::map<std::string, int64_t> numbers_by_name(const char* option, const std::vector<std::string>& texts, int64_t least,
                                               const char* expected) {
  std::map<std::string, int64_t> numbers;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    int64_t number = -1;
    bool good = equals != std::string::npos && equals > 0;
    if (good) {
      const char* end = text.data() + text.size();
      auto [at, fault] = std::from_chars(text.data() + equals + 1, end, number);
      good = fault == std::errc() && at == end && number >= least;
    }
    if (!good) throw Error(fmt::format("{} '{}': expected {}", option, text, expected));
    const std::string name = text.substr(0, equals);
    if (!numbers.emplace(name, number).second)
      throw Error(fmt::format("{} '{}': {} is given twice, expected once", option, text, name));
  }
  return numbers;
}

}  // namespace

std::map<std::string, int64_t> parse_symbols(const std::vector<std::string>& texts) {
  return numbers_by_name("--symbol", texts, 0, "NAME=SIZE, such as B=32");
}

std::map<std::string, int64_t> parse_memory(const std::vector<std::string>& texts) {
  return numbers_by_name("--memory", texts, 1, "DEVICE=BYTES with more than 0 bytes, such as sim:0=1000000");
}

}  // namespace placewright::tools
