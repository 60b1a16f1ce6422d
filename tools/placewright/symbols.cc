#include <charconv>

#include <fmt/core.h>

#include "command.h"
#include "placewright/base/error.h"

namespace placewright::tools {

std::map<std::string, int64_t> parse_symbols(const std::vector<std::string>& texts) {
  std::map<std::string, int64_t> symbols;
  for (const std::string& text : texts) {
    size_t equals = text.find('=');
    int64_t size = -1;
    bool good = equals != std::string::npos && equals > 0;
    if (good) {
      const char* end = text.data() + text.size();
      auto [at, fault] = std::from_chars(text.data() + equals + 1, end, size);
      good = fault == std::errc() && at == end && size >= 0;
    }
    if (!good) throw Error(fmt::format("--symbol '{}': expected NAME=SIZE, such as B=32", text));
    symbols[text.substr(0, equals)] = size;
  }
  return symbols;
}

}  // namespace placewright::tools
