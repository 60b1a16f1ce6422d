#include <cstdlib>
#include <string>
#include <unistd.h>

#include <fmt/core.h>

#include "command.h"

namespace placewright::tools {
namespace {

bool in_colour() {
  const char* no_color = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) != 0 && (no_color == nullptr || *no_color == '\0');
}

std::string marked(std::string_view text, int code) {
  return in_colour() ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
}

}  // namespace

std::string bold(std::string_view text) { return marked(text, 1); }
std::string dim(std::string_view text) { return marked(text, 2); }

std::string bytes_text(int64_t bytes) {
  std::string digits = std::to_string(bytes);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<size_t>(at), 1, ',');
  return digits + " B";
}

}  // namespace placewright::tools
