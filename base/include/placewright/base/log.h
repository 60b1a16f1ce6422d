// One line to stderr for people who run the program: notes, warnings. Text is formatted by the caller.
#pragma once

#include <functional>
#include <string_view>

namespace placewright {

enum class LogLevel { debug, info, warning, error, off };

void log(LogLevel level, std::string_view line);
inline void log_info(std::string_view line) { log(LogLevel::info, line); }
inline void log_warning(std::string_view line) { log(LogLevel::warning, line); }

// What is below `level` is dropped; info at first.
void set_log_level(LogLevel level);

// Sends the lines elsewhere (a test, a progress bar that must not be torn) while it lives. Not to be nested across
// threads.
class LogCapture {
 public:
  using Sink = std::function<void(LogLevel, std::string_view)>;
  explicit LogCapture(Sink sink);
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
};

}  // namespace placewright
