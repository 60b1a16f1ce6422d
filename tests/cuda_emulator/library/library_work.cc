#include "library_work.h"

#include <algorithm>

#include "driver.h"

namespace cuda_emulator {
namespace {

bool has(const Context& context, const Stream* stream) {
  return std::any_of(context.streams.begin(), context.streams.end(),
                     [&](const auto& each) { return each.get() == stream; });
}

}  // namespace

Context* current_context(int* result) {
  std::lock_guard lock(process().mutex);
  *result = !process().is_initialised ? not_initialised : current ? current->failed : 0;
  return process().is_initialised ? current : nullptr;
}

bool is_alive(const Context* context) {
  std::lock_guard lock(process().mutex);
  return std::any_of(process().contexts.begin(), process().contexts.end(),
                     [&](const auto& each) { return &each.second == context; });
}

int give(Context& context, Stream* stream, std::vector<LibraryWork> works, std::string* why) {
  return guarded(&context, [&] {
    *why = current != &context     ? "the handle is of another context than the current one"
           : !has(context, stream) ? "the stream is none of the handle's context"
                                   : "";
    if (!why->empty()) return invalid_handle;
    for (LibraryWork& work : works) {
      GraphNode node;
      node.kind = GraphNode::Kind::library;
      node.library = std::move(work);
      if (int result = give(*stream, std::move(node))) {
        *why = "the capture has broken";
        return result;
      }
    }
    return 0;
  });
}

bool is_capturing(const Context& context, const Stream* stream) {
  std::lock_guard lock(process().mutex);
  return has(context, stream) && stream->capture;
}

int refuse_if_capturing(const char* call) {
  std::lock_guard lock(process().mutex);
  return refuse_unsafe(call);
}

void lose_device(const std::string& why) { throw Fault(719, why); }

void let_pass(double seconds) {
  std::lock_guard lock(process().mutex);
  process().passed += seconds;
}

}  // namespace cuda_emulator
