// The exports of libcuda, on the emulator. Work given to a stream runs as late as somebody waits for it, so that
// whoever reads early reads what was there before. The environment variable PLACEWRIGHT_EMULATOR makes it fail on
// purpose:
// "init=803,count=2,memory=1000000,load=209,version=12020,capability=90,get=101,stream=2,event=2,allocate=3,lose=2,
// pinned=3,instantiate=2,pitch=64,peers=0"; pinned=-3: that one and all behind it.
#include "driver.h"

#include <cstdlib>

namespace cuda_emulator {

Process& process() {
  static Process& only = *new Process;  // outlives whoever is destroyed at exit
  return only;
}
thread_local Context* current = nullptr;

void run_all(Stream& stream) {
  while (!stream.commands.empty()) {
    std::function<void()> command = std::move(stream.commands.front());
    stream.commands.pop_front();
    command();
  }
}

void run_everything(Context& context) {
  for (const std::unique_ptr<Stream>& stream : context.streams) run_all(*stream);
}

namespace {

void read_options() {
  Options& options = process().options;
  options.values.clear();
  const char* text = std::getenv("PLACEWRIGHT_EMULATOR");
  std::string all = text ? text : "";
  for (size_t begin = 0; begin < all.size();) {
    size_t end = std::min(all.find(',', begin), all.size()), equals = all.find('=', begin);
    if (equals < end) options.values[all.substr(begin, equals - begin)] = std::atoll(all.c_str() + equals + 1);
    begin = end + 1;
  }
  process().allocations = process().launches = process().graph_launches = process().host_allocations = 0;
}

int attribute_of(int attribute, int* value) {
  int capability = static_cast<int>(process().options.get("capability", 80));
  switch (attribute) {
    case 13:
      *value = 1000000;
      return 0;  // kHz
    case 16:
      *value = 4;
      return 0;  // multiprocessors
    case 36:
      *value = 1000000;
      return 0;  // kHz of the memory
    case 37:
      *value = 128;
      return 0;  // bits of its bus
    case 75:
      *value = capability / 10;
      return 0;
    case 76:
      *value = capability % 10;
      return 0;
    default:
      return invalid_value;
  }
}

struct Named {
  int result;
  const char *name, *text;
};
constexpr Named names[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {34, "CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain"},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {401, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {716, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {902, "CUDA_ERROR_STREAM_CAPTURE_MERGE", "operation would result in a merge of separate capture sequences"},
    {903, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"},
    {904, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"},
    {905, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work in another stream"},
    {907, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
    {908, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "attempt to terminate a thread-local capture from another thread"},
    {910, "CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE", "the graph update was not performed"}};

}  // namespace
}  // namespace cuda_emulator

using namespace cuda_emulator;

// What the device table of Placewright looks for: kernels must come as PTX.
EXPORT int placewright_takes_ptx_alone() { return 1; }

// For tests: how often it was asked since it was initialised.
EXPORT int64_t placewright_emulator_launches() { return process().launches; }
EXPORT int64_t placewright_emulator_graph_launches() { return process().graph_launches; }

EXPORT int cuInit(unsigned) {
  std::lock_guard lock(process().mutex);
  read_options();
  auto result = static_cast<int>(process().options.get("init", 0));
  process().is_initialised = result == 0;
  return result;
}

EXPORT int cuDriverGetVersion(int* version) {
  std::lock_guard lock(process().mutex);
  *version = static_cast<int>(process().options.get("version", 13000));
  return 0;
}

EXPORT int cuGetErrorName(int result, const char** text) {
  *text = nullptr;
  for (const Named& named : names)
    if (named.result == result) *text = named.name;
  return *text ? 0 : invalid_value;
}

// With what the emulator knows of the latest such error.
EXPORT int cuGetErrorString(int result, const char** text) {
  std::lock_guard lock(process().mutex);
  *text = nullptr;
  for (const Named& named : names)
    if (named.result == result) *text = named.text;
  auto report = process().reports.find(result);
  if (report != process().reports.end()) *text = report->second.c_str();
  return *text ? 0 : invalid_value;
}

EXPORT int cuDeviceGetCount(int* count) {
  std::lock_guard lock(process().mutex);
  if (!process().is_initialised) return not_initialised;
  *count = static_cast<int>(process().options.get("count", 2));
  return 0;
}

EXPORT int cuDeviceGet(int* device, int ordinal) {
  std::lock_guard lock(process().mutex);
  if (!process().is_initialised) return not_initialised;
  if (ordinal < 0 || ordinal >= process().options.get("count", 2)) return invalid_device;
  *device = ordinal;
  return static_cast<int>(process().options.get("get", 0));
}

EXPORT int cuDeviceGetName(char* text, int size, int device) {
  std::string name = "PTX emulator " + std::to_string(device);
  if (size <= static_cast<int>(name.size())) return invalid_value;
  std::memcpy(text, name.c_str(), name.size() + 1);
  return 0;
}

EXPORT int cuDeviceGetAttribute(int* value, int attribute, int) {
  std::lock_guard lock(process().mutex);
  return attribute_of(attribute, value);
}

EXPORT int cuDeviceTotalMem_v2(size_t* bytes, int) {
  std::lock_guard lock(process().mutex);
  *bytes = static_cast<size_t>(process().options.get("memory", int64_t{4} << 30));
  return 0;
}

EXPORT int cuDevicePrimaryCtxRetain(Context** context, int device) {
  std::lock_guard lock(process().mutex);
  if (!process().is_initialised) return not_initialised;
  Context& found = process().contexts[device];
  found.device = device;
  found.memory.limit = static_cast<uint64_t>(process().options.get("memory", int64_t{4} << 30));
  if (found.uses++ == 0)
    for (const auto& [host, memory] : process().host_memory) found.memory.add_host(host, memory.size());
  *context = &found;
  return 0;
}

// The last one who lets go of it makes an end of all that is left.
EXPORT int cuDevicePrimaryCtxRelease_v2(int device) {
  std::lock_guard lock(process().mutex);
  auto found = process().contexts.find(device);
  if (found == process().contexts.end()) return invalid_context;
  if (--found->second.uses == 0) {
    for (const std::unique_ptr<Stream>& stream : found->second.streams) leave_capture(*stream);
    if (current == &found->second) current = nullptr;
    std::erase_if(process().peers, [&](const auto& pair) { return pair.first == device || pair.second == device; });
    process().contexts.erase(found);
  }
  return 0;
}

EXPORT int cuCtxSetCurrent(Context* context) {
  std::lock_guard lock(process().mutex);
  bool is_there = context == nullptr;
  for (const auto& [device, each] : process().contexts) is_there |= &each == context;
  if (!is_there) return invalid_context;
  current = context;
  return 0;
}

EXPORT int cuDeviceCanAccessPeer(int* can, int device, int peer) {
  std::lock_guard lock(process().mutex);
  *can = device != peer && process().options.get("peers", 1) != 0 ? 1 : 0;
  return 0;
}

EXPORT int cuCtxEnablePeerAccess(Context* peer, unsigned flags) {
  return guarded(current, [&] {
    int can = 0;
    cuDeviceCanAccessPeer(&can, current->device, peer->device);
    if (flags != 0) return invalid_value;
    if (!can) return peer_unsupported;
    return process().peers.insert({current->device, peer->device}).second ? 0 : peer_enabled_already;
  });
}
