// The one exception type for faults of the user or the environment, and CHECK for our own bugs.
// An Error's message is one clear line: what, where, what was found, what was expected, what to do.
#pragma once

#include <stdexcept>
#include <string>

namespace placewright {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

namespace detail {
[[noreturn]] void check_failed(const char* condition, const char* file, int line, const std::string& message);
}  // namespace detail

}  // namespace placewright

// PW_CHECK(condition[, message]): an invariant of ours. Throws std::logic_error, for a violated one is a bug, never bad
// input.
#define PW_CHECK(condition, ...)                                                                     \
  do {                                                                                               \
    if (!(condition)) [[unlikely]]                                                                   \
      ::placewright::detail::check_failed(#condition, __FILE__, __LINE__, std::string{__VA_ARGS__}); \
  } while (false)
