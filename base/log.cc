#include "placewright/base/log.h"

#include <memory>
#include <mutex>

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace placewright {
namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}

LogLevel level_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug:
      return LogLevel::debug;
    case spdlog::level::info:
      return LogLevel::info;
    case spdlog::level::warn:
      return LogLevel::warning;
    default:
      return LogLevel::error;
  }
}

// stderr, or the sink of the LogCapture that lives.
class SwitchSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void redirect(LogCapture::Sink sink) {
    std::lock_guard lock(mutex_);
    capture_ = std::move(sink);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (capture_)
      capture_(level_of(message.level), {message.payload.data(), message.payload.size()});
    else
      terminal_.log(message);
  }
  void flush_() override { terminal_.flush(); }
  void set_pattern_(const std::string&) override {}
  void set_formatter_(std::unique_ptr<spdlog::formatter>) override {}

 private:
  struct Terminal : spdlog::sinks::stderr_color_sink_st {
    Terminal() { set_pattern("placewright: %^%l%$: %v"); }
  };
  Terminal terminal_;
  LogCapture::Sink capture_;
};

struct Log {
  std::shared_ptr<SwitchSink> sink = std::make_shared<SwitchSink>();
  spdlog::logger logger{"placewright", sink};
};

// The process's stderr is one thing however many engines live in it; made at the first line, so that a quiet process
// pays nothing.
Log& process_log() {
  static Log log;
  return log;
}

}  // namespace

void log(LogLevel level, std::string_view line) {
  process_log().logger.log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
}

void set_log_level(LogLevel level) { process_log().logger.set_level(spdlog_level(level)); }

LogCapture::LogCapture(Sink sink) { process_log().sink->redirect(std::move(sink)); }
LogCapture::~LogCapture() { process_log().sink->redirect(nullptr); }

}  // namespace placewright
