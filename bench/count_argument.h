// A count on a bench's command line.
#pragma once

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace placewright {

// A whole number of at least one; otherwise one line on what the bench takes, and exit code 2.
inline int count_argument(const char* text, const char* usage) {
  int count = 0;
  auto [end, error] = std::from_chars(text, text + std::strlen(text), count);
  if (error == std::errc() && *end == 0 && count >= 1) return count;
  std::fprintf(stderr, "usage: %s; expected a count of at least 1, found '%s'\n", usage, text);
  std::exit(2);
}

}  // namespace placewright
