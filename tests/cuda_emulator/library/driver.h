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

#include "library_work.h"
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

// As the driver's CUDA_KERNEL_NODE_PARAMS_v2 and CUDA_MEMCPY3D_v2.
struct KernelNodeParameters {
  Function* function;
  unsigned gx, gy, gz, tx, ty, tz, shared_bytes;
  void **parameters, **extra;
  void* kernel;
  Context* context;
};
struct CopyEnd {
  size_t x_bytes, y, z, level;
  int memory;  // 1: the host's, 2: the device's
  void* host;
  uint64_t device;
  void *array, *reserved;
  size_t pitch, height;
};
struct CopyNodeParameters {
  CopyEnd from, to;
  size_t bytes, height, depth;
};

struct Graph;
struct GraphNode {
  Graph* graph = nullptr;
  std::vector<size_t> after;  // places in its graph
  bool is_kernel = false;
  LaunchFacts launch;
  CopyNodeParameters copy{};
};
struct Graph {
  Context* context = nullptr;
  std::vector<std::unique_ptr<GraphNode>> nodes;
};
struct GraphExec {
  Context* context = nullptr;
  std::vector<const GraphNode*> originals;
  std::vector<GraphNode> nodes;  // copies: what is done to the graph later does not reach them
};

struct Context {
  int device = 0;
  int uses = 0;
  int failed = 0;  // a sticky error
  Memory memory;
  std::vector<std::unique_ptr<Stream>> streams;
  std::vector<std::unique_ptr<LoadedModule>> modules;
  std::vector<std::unique_ptr<Function>> functions;
  std::vector<std::unique_ptr<Graph>> graphs;
  std::vector<std::unique_ptr<GraphExec>> execs;
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
  int64_t allocations = 0, launches = 0, graph_launches = 0, host_allocations = 0;
  double passed = 0;  // seconds that libraries pretend to have worked
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

// What cuLaunchKernel and a graph's node ask for; 0 if it may be.
int check_launch(const KernelNodeParameters& wanted, LaunchFacts* facts);

void run_all(Stream& stream);
void run_everything(Context& context);

}  // namespace cuda_emulator
