// Streams that capture what they are given into a graph, by the rules of the driver's documentation ("Stream
// Management", and "Prohibited and Unhandled Operations" of the programming guide). What must not be done while a
// stream captures breaks the capture: all that follows is refused, until its end says so and gives no graph.
#include <algorithm>

#include "driver.h"

namespace cuda_emulator {
namespace {

constexpr int global = 0, relaxed = 2;

int report(int result, const std::string& what) {
  process().reports[result] = what;
  return result;
}

int break_capture(Capture& capture, int result, const std::string& what) {
  capture.is_broken = true;
  return report(result, what);
}

void end(Capture& capture) {
  for (Stream* stream : capture.streams) {
    stream->after.clear();
    stream->capture = nullptr;  // the caller holds one more
  }
  capture.streams.clear();
  capture.has_ended = true;
  std::erase_if(process().captures, [&](const auto& each) { return each.get() == &capture; });
}

void add_missing(std::vector<size_t>& to, const std::vector<size_t>& more) {
  for (size_t each : more)
    if (std::find(to.begin(), to.end(), each) == to.end()) to.push_back(each);
}

// All that the origin's next work would stand behind.
std::vector<bool> joined(const Capture& capture) {
  std::vector<bool> all(capture.graph->nodes.size());
  for (size_t each : capture.origin->after) all[each] = true;
  for (size_t i = all.size(); i > 0; --i)
    if (all[i - 1])
      for (size_t before : capture.graph->nodes[i - 1]->after) all[before] = true;
  return all;
}

bool is_joined(const Capture& capture) {
  const std::vector<bool> all = joined(capture);
  for (const Stream* stream : capture.streams)
    for (size_t each : stream->after)
      if (!all[each]) return false;
  return true;
}

}  // namespace

int capture_node(Stream& stream, GraphNode node) {
  Capture& capture = *stream.capture;
  if (capture.is_broken) return capture_invalidated;
  node.after = stream.after;
  stream.after = {capture.graph->nodes.size()};
  capture.graph->nodes.push_back(std::make_unique<GraphNode>(std::move(node)));
  return 0;
}

int refuse_unsafe(const char* call) {
  int result = 0;
  for (const std::shared_ptr<Capture>& capture : process().captures)
    if (capture->mode == global || (capture->mode != relaxed && capture->thread == std::this_thread::get_id()))
      result = break_capture(*capture, capture_unsupported,
                             std::string(call) + " might wait for work that a stream captures");
  return result;
}

int refuse_captured(Stream& stream, const char* call) {
  if (!stream.capture) return 0;
  return break_capture(*stream.capture, capture_unsupported, std::string(call) + " on a stream that captures");
}

int refuse_captured(Event& event, const char* call) {
  if (!event.capture) return 0;
  return break_capture(*event.capture, captured_event, std::string(call) + " of an event that was captured");
}

int record_captured(Event& event, Stream& stream) {
  if (stream.capture->is_broken) return capture_invalidated;
  event.stream = &stream;
  event.capture = stream.capture;
  event.after = stream.after;
  return 0;
}

int wait_captured(Stream& stream, Event& event) {
  if (stream.capture && stream.capture->is_broken) return capture_invalidated;
  if (!event.capture) {
    if (!event.stream) return 0;  // never recorded
    return break_capture(*stream.capture, capture_isolation,
                         "a stream that captures waits for an event that was not captured");
  }
  if (event.capture->has_ended) return report(captured_event, "the event was recorded in a capture that has ended");
  if (event.capture->is_broken) return capture_invalidated;
  if (stream.capture && stream.capture != event.capture) {
    break_capture(*event.capture, capture_merge, "");
    return break_capture(*stream.capture, capture_merge,
                         "a stream that captures waits for an event of another capture");
  }
  if (!stream.capture) {
    stream.capture = event.capture;
    stream.capture->streams.push_back(&stream);
  }
  add_missing(stream.after, event.after);
  return 0;
}

// It is destroyed.
void leave_capture(Stream& stream) {
  if (!stream.capture) return;
  const std::shared_ptr<Capture> capture = stream.capture;
  break_capture(*capture, capture_invalidated, "a stream was destroyed while it captured");
  std::erase(capture->streams, &stream);
  if (capture->origin == &stream) end(*capture);
}

}  // namespace cuda_emulator

using namespace cuda_emulator;

EXPORT int cuStreamBeginCapture_v2(Stream* stream, int mode) {
  if (!stream) return capture_unsupported;  // the default stream
  return guarded(stream->context, [&] {
    if (mode < global || mode > relaxed) return invalid_value;
    if (stream->capture) return report(illegal_state, "the stream captures already");
    auto capture = std::make_shared<Capture>();
    capture->origin = stream;
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    capture->graph = std::make_unique<Graph>(Graph{stream->context, {}});
    capture->streams = {stream};
    stream->capture = capture;
    process().captures.push_back(std::move(capture));
    return 0;
  });
}

EXPORT int cuStreamEndCapture(Stream* stream, Graph** graph) {
  return guarded(stream->context, [&] {
    *graph = nullptr;
    if (!stream->capture) return report(illegal_state, "the stream does not capture");
    const std::shared_ptr<Capture> capture = stream->capture;
    if (capture->origin != stream) return capture_unmatched;
    if (capture->mode != relaxed && capture->thread != std::this_thread::get_id()) return capture_wrong_thread;
    const bool is_whole = is_joined(*capture);
    end(*capture);
    if (capture->is_broken) return capture_invalidated;
    if (!is_whole) return capture_unjoined;
    *graph = capture->graph.get();
    stream->context->graphs.push_back(std::move(capture->graph));
    return 0;
  });
}

// 0: it does not, 1: it does, 2: and has broken.
EXPORT int cuStreamIsCapturing(Stream* stream, int* status) {
  return guarded(stream->context, [&] {
    *status = !stream->capture ? 0 : stream->capture->is_broken ? 2 : 1;
    return 0;
  });
}
