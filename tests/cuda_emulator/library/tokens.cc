// The text of PTX to tokens.
#include <algorithm>
#include <cctype>

#include "parser.h"

namespace cuda_emulator {

std::vector<Token> tokens_of(const std::string& text) {
  std::vector<Token> tokens;
  int line = 1;
  auto is_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '.' || c == '%';
  };
  for (size_t i = 0; i < text.size();) {
    char c = text[i];
    if (c == '\n') ++line;
    if (c == 0) break;
    if (std::isspace(static_cast<unsigned char>(c))) {
      ++i;
    } else if (text.compare(i, 2, "//") == 0) {
      while (i < text.size() && text[i] != '\n') ++i;
    } else if (text.compare(i, 2, "/*") == 0) {
      size_t end = std::min(text.find("*/", i), text.size() - 2) + 2;
      for (; i < end; ++i) line += text[i] == '\n';
    } else if (c == '"') {
      size_t end = text.find('"', i + 1);
      if (end == std::string::npos) throw Fault(invalid_ptx, "PTX line " + std::to_string(line) + ": open string");
      tokens.push_back({text.substr(i, end + 1 - i), line});
      i = end + 1;
    } else if (is_word(c)) {
      size_t end = i;
      // "::" joins the parts of a modifier, as in ".L1::no_allocate".
      while (end < text.size() && (is_word(text[end]) || (text.compare(end, 2, "::") == 0)))
        end += is_word(text[end]) ? 1 : 2;
      tokens.push_back({text.substr(i, end - i), line});
      i = end;
    } else {
      tokens.push_back({std::string(1, c), line});
      ++i;
    }
  }
  tokens.push_back({"", line});
  return tokens;
}

}  // namespace cuda_emulator
