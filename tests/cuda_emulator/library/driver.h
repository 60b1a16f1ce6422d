// What the exports of libcuda share: the process with its contexts, and how a call runs.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "library_work.h"
#include "machine.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace cuda_emulator {

constexpr int invalid_value = 1, out_of_memory = 2, not_initialised = 3, invalid_device = 101, invalid_context = 201,
              peer_unsupported = 217, invalid_ptx = 218, invalid_handle = 400, illegal_state = 401, not_found = 500,
              not_ready = 600, peer_enabled_already = 704, not_supported = 801, capture_unsupported = 900,
              capture_invalidated = 901, capture_merge = 902, capture_unmatched = 903, capture_unjoined = 904,
              capture_isolation = 905, captured_event = 907, capture_wrong_thread = 908, update_failure = 910;

struct Stream;
struct Context;
struct Capture;

struct Event {
  Context* context = nullptr;
  Stream* stream = nullptr;  // that it was recorded on last; null: never
  uint64_t recorded = 0, completed = 0;
  double seconds = 0;
  // Of its latest record, if that was captured: places in the capture's graph.
  std::shared_ptr<Capture> capture = nullptr;
  std::vector<size_t> after = {};
};

struct Stream {
  Context* context = nullptr;
  std::deque<std::function<void()>> commands;
  std::shared_ptr<Capture> capture = nullptr;  // null: what is given to it runs
  std::vector<size_t> after = {};              // what the next thing that is captured stands behind
};

struct LoadedModule {
  Context* context = nullptr;
  Module module;
};

struct Function {
  const LoadedModule* module = nullptr;
  const Kernel* kernel = nullptr;
  int64_t most_dynamic = 0;  // shared memory that a launch may ask for
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

// What a stream is given, and what stands in a graph.
struct GraphNode {
  enum class Kind : uint8_t { kernel, copy, library, child };
  Kind kind = Kind::kernel;
  std::vector<size_t> after;  // places in its graph
  LaunchFacts launch;
  CopyNodeParameters copy{};
  LibraryWork library;
  std::shared_ptr<const std::vector<GraphNode>> child;
};
struct Graph {
  Context* context = nullptr;
  std::vector<std::unique_ptr<GraphNode>> nodes;
};

// What streams are given from cuStreamBeginCapture to cuStreamEndCapture.
struct Capture {
  Stream* origin = nullptr;  // null: destroyed
  int mode = 0;              // 0: global, 1: of the thread, 2: relaxed
  std::thread::id thread;
  std::unique_ptr<Graph> graph;
  std::vector<Stream*> streams;  // that take part, the origin among them
  bool is_broken = false, has_ended = false;
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
  std::set<std::pair<int, int>> peers;             // who reaches whose memory
  std::map<int, std::string> reports;              // the latest, by error
  std::vector<std::shared_ptr<Capture>> captures;  // that go on
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
  if (!context) return invalid_context;
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

// To its stream, or to what that captures.
int give(Stream& stream, GraphNode node);
GraphNode copy_node(const CopyEnd& from, const CopyEnd& to, size_t bytes);
void run_node(Context& context, const GraphNode& node);
void run_nodes(Context& context, const std::vector<GraphNode>& nodes);
std::vector<GraphNode> copies_of_nodes(const Graph& graph);

// driver_capture.cc: 0, or a result of the driver, which it explains; what must not be done breaks the capture.
int capture_node(Stream& stream, GraphNode node);
int refuse_unsafe(const char* call);                    // what might wait for captured work
int refuse_captured(Stream& stream, const char* call);  // what needs work that runs
int refuse_captured(Event& event, const char* call);
int record_captured(Event& event, Stream& stream);
int wait_captured(Stream& stream, Event& event);
void leave_capture(Stream& stream);

void run_all(Stream& stream);
void run_everything(Context& context);

}  // namespace cuda_emulator
