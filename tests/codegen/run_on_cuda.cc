#include "run_on_cuda.h"

#include <cstdlib>

namespace placewright::testing {

const CudaDevices& cuda_devices() {
  static const CudaDevices opened = [] {
    ::setenv("PLACEWRIGHT_LIBCUDA", PLACEWRIGHT_CUDA_EMULATOR, 0);
    CudaDevices found;
    std::vector<DeviceKind> kinds = device_kinds();
    found.host = kinds.front().open({1, 1, nullptr}).devices.at(0);
    for (const DeviceKind& kind : kinds) {
      if (kind.name != "cuda") continue;
      OpenedDevices cuda = kind.open({1, 1, &found.host->spec()});
      if (cuda.devices.empty())
        found.absence = cuda.absent.empty() ? "no CUDA device" : cuda.absent[0].cause;
      else
        found.cuda = cuda.devices[0];
    }
    return found;
  }();
  return opened;
}

Status run_on_cuda(const LoadedImage& image, int entry, std::vector<HostTensor>& buffers) {
  const CudaDevices& all = cuda_devices();
  int stream = all.cuda->open_stream();
  std::vector<DeviceMemory> memory;
  for (const HostTensor& buffer : buffers) {
    memory.emplace_back(all.cuda, buffer.bytes(), 64, "a test's buffer");
    BufferView source{all.host.get(), const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(buffer.raw())),
                      buffer.bytes()};
    if (buffer.bytes() > 0) all.cuda->copy(stream, memory.back().view(), source, buffer.bytes(), "operand");
  }
  for (int64_t bytes : image.entries()[static_cast<size_t>(entry)].workspace_bytes)
    memory.emplace_back(all.cuda, bytes, 64, "a test's workspace");
  std::vector<void*> addresses;
  std::vector<int64_t> bytes;
  for (const DeviceMemory& each : memory) addresses.push_back(each.address()), bytes.push_back(each.bytes());
  uint64_t status = 0;
  KernelLaunch launch;
  launch.image = &image;
  launch.entry = entry;
  launch.buffers = addresses.data();
  launch.buffer_bytes = bytes.data();
  launch.buffer_count = static_cast<int>(addresses.size());
  launch.status = &status;
  launch.name = "a test's kernel";
  all.cuda->launch(stream, launch);
  for (size_t i = 0; i < buffers.size(); ++i) {
    BufferView destination{all.host.get(), buffers[i].raw(), buffers[i].bytes()};
    if (buffers[i].bytes() > 0) all.cuda->copy(stream, destination, memory[i].view(), buffers[i].bytes(), "result");
  }
  all.cuda->finish(all.cuda->record(stream));
  all.cuda->close_stream(stream);
  return static_cast<Status>(status);
}

}  // namespace placewright::testing
