// Memory of devices and of the host, and copies.
#include "driver.h"

namespace cuda_emulator {

// Where bytes of a device are, for a copy.
uint8_t* find(Context& context, uint64_t address, uint64_t bytes, const char* what) {
  std::string wrong;
  uint8_t* found = context.memory.find(address, bytes, &wrong);
  if (!found) throw Fault(700, std::string(what) + " of " + std::to_string(bytes) + " bytes: " + wrong);
  return found;
}

namespace {

CopyEnd on_device(uint64_t address) {
  CopyEnd end{};
  end.memory = 2;
  end.device = address;
  return end;
}
CopyEnd on_host(const void* address) {
  CopyEnd end{};
  end.memory = 1;
  end.host = const_cast<void*>(address);
  return end;
}

}  // namespace
}  // namespace cuda_emulator

using namespace cuda_emulator;

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
    if (int result = refuse_unsafe("cuMemAlloc")) return result;
    if (++process().allocations == process().options.get("allocate", 0)) return out_of_memory;
    *address = current->memory.allocate(bytes);
    return *address ? 0 : out_of_memory;
  });
}

EXPORT int cuMemFree_v2(uint64_t address) {
  return guarded(current, [&] {
    if (int result = refuse_unsafe("cuMemFree")) return result;
    run_everything(*current);
    return current->memory.free(address) ? 0 : invalid_value;
  });
}

// Seen by all devices, at the host's address.
EXPORT int cuMemHostAlloc(void** address, size_t bytes, unsigned) {
  return guarded(current, [&] {
    if (int result = refuse_unsafe("cuMemHostAlloc")) return result;
    const int64_t count = ++process().host_allocations, failing = process().options.get("pinned", 0);
    if (count == failing || (failing < 0 && count >= -failing)) return out_of_memory;
    std::vector<uint8_t> memory(bytes, 0xff);
    *address = memory.data();
    for (auto& [device, context] : process().contexts) context.memory.add_host(*address, bytes);
    process().host_memory[*address] = std::move(memory);
    return 0;
  });
}

EXPORT int cuMemFreeHost(void* address) {
  std::lock_guard lock(process().mutex);
  if (int result = refuse_unsafe("cuMemFreeHost")) return result;
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
  return guarded(current, [&] { return give(*stream, copy_node(on_host(from), on_device(to), bytes)); });
}

EXPORT int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, Stream* stream) {
  return guarded(current, [&] { return give(*stream, copy_node(on_device(from), on_host(to), bytes)); });
}

EXPORT int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, Stream* stream) {
  return guarded(current, [&] { return give(*stream, copy_node(on_device(from), on_device(to), bytes)); });
}

// Not implemented: copies between devices in graphs.
EXPORT int cuMemcpyPeerAsync(uint64_t to, Context* to_context, uint64_t from, Context* from_context, size_t bytes,
                             Stream* stream) {
  return guarded(current, [&] {
    if (stream->capture && refuse_captured(*stream, "cuMemcpyPeerAsync")) return not_supported;
    stream->commands.push_back([=] {
      std::memmove(find(*to_context, to, bytes, "a copy to a peer"),
                   find(*from_context, from, bytes, "a copy of a peer"), bytes);
    });
    return 0;
  });
}
