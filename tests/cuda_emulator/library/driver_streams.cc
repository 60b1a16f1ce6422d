// Streams and events.
#include <chrono>

#include "driver.h"

namespace cuda_emulator {
namespace {

double now() {
  return process().passed + std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void complete(Event& event) {
  uint64_t wanted = event.recorded;
  while (event.stream && event.completed < wanted && !event.stream->commands.empty()) {
    std::function<void()> command = std::move(event.stream->commands.front());
    event.stream->commands.pop_front();
    command();
  }
}

}  // namespace
}  // namespace cuda_emulator

using namespace cuda_emulator;

EXPORT int cuStreamCreate(Stream** stream, unsigned) {
  return guarded(current, [&] {
    if (auto result = static_cast<int>(process().options.get("stream", 0))) return result;
    current->streams.push_back(std::make_unique<Stream>());
    current->streams.back()->context = current;
    *stream = current->streams.back().get();
    return 0;
  });
}

EXPORT int cuStreamDestroy_v2(Stream* stream) {
  std::lock_guard lock(process().mutex);
  auto& streams = stream->context->streams;
  for (auto found = streams.begin(); found != streams.end(); ++found)
    if (found->get() == stream) {
      leave_capture(*stream);
      streams.erase(found);
      return 0;
    }
  return invalid_handle;
}

EXPORT int cuStreamSynchronize(Stream* stream) {
  return guarded(stream->context, [&] {
    if (int result = refuse_captured(*stream, "cuStreamSynchronize")) return result;
    if (int result = refuse_unsafe("cuStreamSynchronize")) return result;
    run_all(*stream);
    return 0;
  });
}

EXPORT int cuEventCreate(Event** event, unsigned) {
  return guarded(current, [&] {
    if (auto result = static_cast<int>(process().options.get("event", 0))) return result;
    *event = new Event{current};
    return 0;
  });
}

EXPORT int cuEventDestroy_v2(Event* event) {
  std::lock_guard lock(process().mutex);
  delete event;
  return 0;
}

EXPORT int cuEventRecord(Event* event, Stream* stream) {
  return guarded(current, [&] {
    if (event->context != stream->context) return invalid_handle;
    if (stream->capture) return record_captured(*event, *stream);
    event->capture = nullptr;
    event->stream = stream;
    uint64_t number = ++event->recorded;
    stream->commands.push_back([=] {
      event->completed = number;
      event->seconds = now();
    });
    return 0;
  });
}

EXPORT int cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
  return guarded(current, [&] {
    if (stream->capture || event->capture) return wait_captured(*stream, *event);
    uint64_t number = event->recorded;
    Stream* other = event->stream;
    if (!other || other == stream) return 0;
    stream->commands.push_back([=] {
      while (event->completed < number && !other->commands.empty()) {
        std::function<void()> command = std::move(other->commands.front());
        other->commands.pop_front();
        command();
      }
    });
    return 0;
  });
}

EXPORT int cuEventQuery(Event* event) {
  return guarded(event->context, [&] {
    if (int result = refuse_captured(*event, "cuEventQuery")) return result;
    if (int result = refuse_unsafe("cuEventQuery")) return result;
    return event->completed == event->recorded ? 0 : not_ready;
  });
}

EXPORT int cuEventSynchronize(Event* event) {
  return guarded(event->context, [&] {
    if (int result = refuse_captured(*event, "cuEventSynchronize")) return result;
    if (int result = refuse_unsafe("cuEventSynchronize")) return result;
    complete(*event);
    return 0;
  });
}

EXPORT int cuEventElapsedTime(float* milliseconds, Event* begin, Event* end) {
  return guarded(begin->context, [&] {
    for (Event* event : {begin, end})
      if (int result = refuse_captured(*event, "cuEventElapsedTime")) return result;
    if (begin->context != end->context || begin->recorded == 0 || end->recorded == 0) return invalid_handle;
    if (begin->completed < begin->recorded || end->completed < end->recorded) return not_ready;
    *milliseconds = static_cast<float>((end->seconds - begin->seconds) * 1e3);
    return 0;
  });
}
