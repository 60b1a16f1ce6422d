// What the exports of libcuda share: the process with its contexts, and how a call runs.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "machine.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace cuda_emulator {

constexpr int invalid_value = 1, out_of_memory = 2, not_initialised = 3, invalid_device = 101, invalid_handle = 400,
              not_found = 500, not_ready = 600, peer_enabled_already = 704;

struct Stream;
struct Context;

struct Event {
  Context* context = nullptr;
  Stream* stream = nullptr;  // that it was recorded on last; null: never
  uint64_t recorded = 0, completed = 0;
  double seconds = 0;
};

struct Stream {
  Context* context = nullptr;
  std::deque<std::function<void()>> commands;
};

struct LoadedModule {
  Context* context = nullptr;
  Module module;
};

struct Function {
  const LoadedModule* module = nullptr;
  const Kernel* kernel = nullptr;
  int most_shared = 48 << 10;
};

struct Context {
  int device = 0;
  int uses = 0;
  int failed = 0;  // a sticky error
  Memory memory;
  std::vector<std::unique_ptr<Stream>> streams;
  std::vector<std::unique_ptr<LoadedModule>> modules;
  std::vector<std::unique_ptr<Function>> functions;
};

struct Options {
  std::map<std::string, int64_t> values;
  int64_t get(const std::string& name, int64_t otherwise) const {
    auto found = values.find(name);
    return found == values.end() ? otherwise : found->second;
  }
};

struct Process {
  std::recursive_mutex mutex;
  bool is_initialised = false;
  Options options;
  std::map<int, Context> contexts;
  std::map<void*, std::vector<uint8_t>> host_memory;
  std::map<int, std::string> reports;  // the latest, by error
  int64_t allocations = 0, launches = 0;
};

Process& process();
extern thread_local Context* current;

// Runs a call: with the lock, and with faults as results. A context that has failed answers nothing else any more.
template <class Call>
int guarded(Context* context, Call call) {
  std::lock_guard lock(process().mutex);
  if (!process().is_initialised) return not_initialised;
  if (!context) return 201;
  if (context->failed) return context->failed;
  try {
    return call();
  } catch (const Fault& fault) {
    process().reports[fault.result] = fault.what();
    if (fault.result >= 700 && fault.result < 720) context->failed = fault.result;
    return fault.result;
  }
}

void run_all(Stream& stream);
void run_everything(Context& context);

}  // namespace cuda_emulator
