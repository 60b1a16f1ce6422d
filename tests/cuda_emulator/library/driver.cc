// The exports of libcuda, on the emulator. Work given to a stream runs as late as somebody waits for it, so that
// whoever reads early reads what was there before. The environment variable PLACEWRIGHT_EMULATOR makes it fail on
// purpose:
// "init=803,count=2,memory=1000000,load=209,version=12020,capability=90,get=101,stream=2,event=2,allocate=3,lose=2".
#include <chrono>
#include <cstdlib>
#include <deque>
#include <iterator>
#include <mutex>

#include "machine.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace cuda_emulator {
namespace {

constexpr int invalid_value = 1, out_of_memory = 2, not_initialised = 3, invalid_device = 101, invalid_handle = 400,
              not_found = 500, not_ready = 600, peer_enabled_already = 704;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

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

Process& process() {
  static Process& only = *new Process;  // outlives whoever is destroyed at exit
  return only;
}
thread_local Context* current = nullptr;

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
  process().allocations = process().launches = 0;
}

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

void run_all(Stream& stream) {
  while (!stream.commands.empty()) {
    std::function<void()> command = std::move(stream.commands.front());
    stream.commands.pop_front();
    command();
  }
}

void complete(Event& event) {
  uint64_t wanted = event.recorded;
  while (event.stream && event.completed < wanted && !event.stream->commands.empty()) {
    std::function<void()> command = std::move(event.stream->commands.front());
    event.stream->commands.pop_front();
    command();
  }
}

void run_everything(Context& context) {
  for (const std::unique_ptr<Stream>& stream : context.streams) run_all(*stream);
}

// Where bytes of a device are, for a copy.
uint8_t* find(Context& context, uint64_t address, uint64_t bytes, const char* what) {
  std::string wrong;
  uint8_t* found = context.memory.find(address, bytes, &wrong);
  if (!found) throw Fault(700, std::string(what) + " of " + std::to_string(bytes) + " bytes: " + wrong);
  return found;
}

void copy(Stream* stream, std::function<void()> work) { stream->commands.push_back(std::move(work)); }

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
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {716, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}};

}  // namespace
}  // namespace cuda_emulator

using namespace cuda_emulator;

// What the device table of Placewright looks for: kernels must come as PTX.
EXPORT int placewright_takes_ptx_alone() { return 1; }

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
  if (found == process().contexts.end()) return 201;
  if (--found->second.uses == 0) {
    if (current == &found->second) current = nullptr;
    process().contexts.erase(found);
  }
  return 0;
}

EXPORT int cuCtxSetCurrent(Context* context) {
  current = context;
  return 0;
}

EXPORT int cuMemGetInfo_v2(size_t* free, size_t* total) {
  return guarded(current, [&] {
    *total = current->memory.limit;
    *free = current->memory.limit - current->memory.used();
    return 0;
  });
}

EXPORT int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
  return guarded(current, [&] {
    if (bytes == 0) return invalid_value;
    if (++process().allocations == process().options.get("allocate", 0)) return out_of_memory;
    *address = current->memory.allocate(bytes);
    return *address ? 0 : out_of_memory;
  });
}

EXPORT int cuMemFree_v2(uint64_t address) {
  return guarded(current, [&] {
    run_everything(*current);
    return current->memory.free(address) ? 0 : invalid_value;
  });
}

// Seen by all devices, at the host's address.
EXPORT int cuMemHostAlloc(void** address, size_t bytes, unsigned) {
  return guarded(current, [&] {
    std::vector<uint8_t> memory(bytes, 0xff);
    *address = memory.data();
    for (auto& [device, context] : process().contexts) context.memory.add_host(*address, bytes);
    process().host_memory[*address] = std::move(memory);
    return 0;
  });
}

EXPORT int cuMemFreeHost(void* address) {
  std::lock_guard lock(process().mutex);
  for (auto& [device, context] : process().contexts) {
    if (!context.failed) run_everything(context);
    context.memory.remove_host(address);
  }
  return process().host_memory.erase(address) ? 0 : invalid_value;
}

EXPORT int cuMemHostGetDevicePointer_v2(uint64_t* address, void* host, unsigned) {
  *address = reinterpret_cast<uint64_t>(host);
  return 0;
}

EXPORT int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, Stream* stream) {
  return guarded(current, [&] {
    copy(stream, [=] { std::memcpy(find(*stream->context, to, bytes, "a copy to the device"), from, bytes); });
    return 0;
  });
}

EXPORT int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, Stream* stream) {
  return guarded(current, [&] {
    copy(stream, [=] { std::memcpy(to, find(*stream->context, from, bytes, "a copy to the host"), bytes); });
    return 0;
  });
}

EXPORT int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, Stream* stream) {
  return guarded(current, [&] {
    copy(stream, [=] {
      std::memmove(find(*stream->context, to, bytes, "a copy on the device"),
                   find(*stream->context, from, bytes, "a copy on the device"), bytes);
    });
    return 0;
  });
}

EXPORT int cuMemcpyPeerAsync(uint64_t to, Context* to_context, uint64_t from, Context* from_context, size_t bytes,
                             Stream* stream) {
  return guarded(current, [&] {
    copy(stream, [=] {
      std::memmove(find(*to_context, to, bytes, "a copy to a peer"),
                   find(*from_context, from, bytes, "a copy of a peer"), bytes);
    });
    return 0;
  });
}

EXPORT int cuDeviceCanAccessPeer(int* can, int, int) {
  *can = 1;
  return 0;
}

EXPORT int cuCtxEnablePeerAccess(Context*, unsigned) { return 0; }

EXPORT int cuStreamCreate(Stream** stream, unsigned) {
  return guarded(current, [&] {
    if (auto result = static_cast<int>(process().options.get("stream", 0))) return result;
    current->streams.push_back(std::make_unique<Stream>(Stream{current, {}}));
    *stream = current->streams.back().get();
    return 0;
  });
}

EXPORT int cuStreamDestroy_v2(Stream* stream) {
  std::lock_guard lock(process().mutex);
  auto& streams = stream->context->streams;
  for (auto found = streams.begin(); found != streams.end(); ++found)
    if (found->get() == stream) {
      streams.erase(found);
      return 0;
    }
  return invalid_handle;
}

EXPORT int cuStreamSynchronize(Stream* stream) {
  return guarded(stream->context, [&] {
    run_all(*stream);
    return 0;
  });
}

EXPORT int cuEventCreate(Event** event, unsigned) {
  return guarded(current, [&] {
    if (auto result = static_cast<int>(process().options.get("event", 0))) return result;
    *event = new Event{current, nullptr, 0, 0, 0};
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
  return guarded(event->context, [&] { return event->completed == event->recorded ? 0 : not_ready; });
}

EXPORT int cuEventSynchronize(Event* event) {
  return guarded(event->context, [&] {
    complete(*event);
    return 0;
  });
}

EXPORT int cuEventElapsedTime(float* milliseconds, Event* begin, Event* end) {
  return guarded(begin->context, [&] {
    if (begin->completed == 0 || end->completed == 0) return not_ready;
    *milliseconds = static_cast<float>((end->seconds - begin->seconds) * 1e3);
    return 0;
  });
}

EXPORT int cuModuleLoadDataEx(LoadedModule** module, const void* image, unsigned count, int* options, void** values) {
  return guarded(current, [&] {
    if (auto result = static_cast<int>(process().options.get("load", 0))) return result;
    auto made = std::make_unique<LoadedModule>();
    made->context = current;
    auto place = [](const GlobalVariable& variable, void* context) {
      Memory& memory = static_cast<Context*>(context)->memory;
      uint64_t address = memory.allocate(std::max<size_t>(variable.bytes.size(), 1));
      if (!address) throw Fault(out_of_memory, "no memory for the variable " + variable.name);
      if (!variable.bytes.empty())
        std::memcpy(memory.find(address, variable.bytes.size(), nullptr), variable.bytes.data(), variable.bytes.size());
      return address;
    };
    try {
      made->module = parse_ptx(static_cast<const char*>(image), place, current);
      if (made->module.capability > process().options.get("capability", 80))
        throw Fault(209, "the PTX is for a later architecture");
    } catch (const Fault& fault) {
      for (unsigned i = 0; i < count; ++i)
        if (options[i] == 5) {  // the log of errors; its size is the next option
          std::string text = fault.what();
          size_t size = i + 1 < count ? reinterpret_cast<size_t>(values[i + 1]) : 0;
          if (size == 0) continue;
          text.resize(std::min(text.size(), size - 1));
          std::memcpy(values[i], text.c_str(), text.size() + 1);
        }
      return fault.result;
    }
    *module = made.get();
    current->modules.push_back(std::move(made));
    return 0;
  });
}

EXPORT int cuModuleUnload(LoadedModule* module) {
  std::lock_guard lock(process().mutex);
  Context& context = *module->context;
  if (!context.failed) run_everything(context);
  for (const GlobalVariable& variable : module->module.variables) context.memory.free(variable.address);
  std::erase_if(context.functions, [&](const auto& function) { return function->module == module; });
  std::erase_if(context.modules, [&](const auto& loaded) { return loaded.get() == module; });
  return 0;
}

EXPORT int cuModuleGetFunction(Function** function, LoadedModule* module, const char* symbol) {
  return guarded(module->context, [&] {
    auto found = module->module.kernels.find(symbol);
    if (found == module->module.kernels.end()) return not_found;
    Context& context = *module->context;
    context.functions.push_back(std::make_unique<Function>(Function{module, &found->second}));
    *function = context.functions.back().get();
    return 0;
  });
}

EXPORT int cuFuncSetAttribute(Function* function, int attribute, int value) {
  if (attribute != 8 || value > 163 << 10) return invalid_value;
  function->most_shared = value;
  return 0;
}

EXPORT int cuLaunchKernel(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned tx, unsigned ty,
                          unsigned tz, unsigned shared_bytes, Stream* stream, void** parameters, void**) {
  return guarded(current, [&] {
    if (++process().launches == process().options.get("lose", 0)) {
      current->failed = 719;
      return 0;  // as real ones: said later
    }
    uint64_t threads = uint64_t{tx} * ty * tz;
    const Kernel& kernel = *function->kernel;
    if (gx == 0 || gy == 0 || gz == 0 || gy > 65535 || gz > 65535 || threads == 0 || threads > 1024 || tz > 64)
      return invalid_value;
    if (static_cast<int64_t>(shared_bytes) + kernel.shared_bytes > function->most_shared) return invalid_value;
    LaunchFacts facts{&function->module->module, &kernel, {gx, gy, gz}, {tx, ty, tz}, shared_bytes, {}};
    facts.parameters.resize(static_cast<size_t>(kernel.parameter_bytes));
    for (size_t i = 0; i < kernel.parameters.size(); ++i)
      std::memcpy(facts.parameters.data() + kernel.parameters[i].offset, parameters[i],
                  static_cast<size_t>(kernel.parameters[i].bytes));
    Memory* memory = &current->memory;
    stream->commands.push_back([memory, facts = std::move(facts)] { run_kernel(*memory, facts); });
    return 0;
  });
}
