// What a library of CUDA's asks of the driver that it runs on: a stand-in for such a library is a shared library of its
// own, and sees of this one what stands here.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#define SHARED __attribute__((visibility("default")))

namespace cuda_emulator {

struct Context;
struct Stream;

// One kernel, to the stream or graph that it is given to.
struct LibraryWork {
  std::string name;
  std::function<void(Context&)> run;  // Fault if it does anything wrong
  // Device memory that nothing else may touch until the library's call has ended.
  uint64_t scratch = 0, scratch_bytes = 0;
};

// The caller's; null if none is current. A result that is not 0: the driver is not initialised, or the device lost.
SHARED Context* current_context(int* result);
SHARED bool is_alive(const Context* context);
// One behind the other, in the stream's order. `why` if it is refused: a stream that is not of this context, or a
// capture that has broken.
SHARED int give(Context& context, Stream* stream, std::vector<LibraryWork> works, std::string* why);
SHARED bool is_capturing(const Context& context, const Stream* stream);
// Not 0 where this thread must not call what might wait for captured work; that breaks the capture.
SHARED int refuse_if_capturing(const char* call);
// Where bytes of a device are. Fault if they are not within one allocation.
SHARED uint8_t* find(Context& context, uint64_t address, uint64_t bytes, const char* what);
[[noreturn]] SHARED void lose_device(const std::string& why);
// As much later do events say that they are reached.
SHARED void let_pass(double seconds);

}  // namespace cuda_emulator
