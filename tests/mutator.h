// Small damages of a text: what careless editors, full disks and bad memory do to files.
#pragma once

#include <cstdint>
#include <iterator>
#include <random>
#include <string>

namespace placewright {

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  std::string operator()(std::string text) {
    for (size_t changes = 1 + below(3); changes > 0; --changes) change(text);
    return text;
  }

 private:
  size_t below(size_t bound) { return random_() % bound; }

  void change(std::string& text) {
    size_t at = below(text.size());
    switch (below(5)) {
      case 0:
        text[at] = static_cast<char>(32 + below(96));
        break;
      case 1:
        text.erase(at, 1 + below(20));
        break;
      case 2:
        text.insert(at, text.substr(below(text.size()), 1 + below(60)));
        break;
      case 3:
        change_number(text, at);
        break;
      default:
        swap_lines(text);
    }
    if (text.empty()) text = " ";
  }

  // Another number in place of the next one.
  void change_number(std::string& text, size_t at) {
    size_t begin = text.find_first_of("0123456789", at);
    if (begin == std::string::npos) return;
    size_t end = text.find_first_not_of("0123456789", begin);
    const char* const others[] = {
        "0",          "1",   "-1",  "7",   "4294967296", "4611686018427387904", "9223372036854775807",
        "2147483647", "1e9", "nan", "inf", "-inf"};
    text.replace(begin, end - begin, others[below(std::size(others))]);
  }

  void swap_lines(std::string& text) {
    size_t first = text.find('\n', below(text.size())), second = text.find('\n', below(text.size()));
    if (first == std::string::npos || second == std::string::npos || first >= second) return;
    std::string line = text.substr(first, second - first);
    text.erase(first, second - first);
    size_t to = text.find('\n', below(text.size()));
    text.insert(to == std::string::npos ? text.size() : to, line);
  }

  std::mt19937 random_;
};

}  // namespace placewright
