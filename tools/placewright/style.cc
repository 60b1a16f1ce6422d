#include <cstdlib>
#include <string>
#include <unistd.h>

#include <fmt/core.h>

#include "command.h"

namespace placewright::tools {
bool in_colour() {
  const char* no_color = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) != 0 && (no_color == nullptr || *no_color == '\0');
}

std::string one_line(std::string_view text) {
  std::string line;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    line += byte >= 0x20 && byte != 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return line;
}

std::string marked(std::string_view text, int code) { return fmt::format("\x1b[{}m{}\x1b[0m", code, text); }

std::string bold(std::string_view text) { return in_colour() ? marked(text, 1) : std::string(text); }
std::string dim(std::string_view text) { return in_colour() ? marked(text, 2) : std::string(text); }

std::string wrapped(std::string_view text, int width, int indent) {
  std::string lines, line(std::min(text.find_first_not_of(' '), text.size()), ' ');
  text.remove_prefix(line.size());
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const bool has_words = line.find_first_not_of(' ') != std::string::npos;
    if (has_words && line.size() + 1 + word.size() > static_cast<size_t>(width)) {
      lines += line + "\n";
      line.assign(static_cast<size_t>(indent), ' ');
      line += word;
    } else {
      if (has_words) line += ' ';
      line += word;
    }
  }
  return lines + line;
}

}  // namespace placewright::tools
