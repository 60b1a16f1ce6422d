#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

#include "placewright/runtime/cuda/cuda_device.h"
#include "placewright/runtime/cuda/probe.h"
#include "placewright/runtime/device_kinds.h"

namespace placewright {
namespace {

constexpr int most = 64;

OpenedDevices open(const DeviceRequest& request) {
  OpenedDevices opened;
  if (request.count == 0) {
    // The driver is not initialised for a session that was not given it: that takes long.
    if (std::optional<AbsentDevice> absent = find_cuda_absence())
      opened.absent.push_back(*absent);
    else
      opened.absent.push_back({"cuda", "not-given", "an NVIDIA driver is here, but the session was not given a GPU",
                               "give it one: devices \"cpu,cuda:1\""});
    return opened;
  }
  StartedCuda started = start_cuda();
  if (started.absent) {
    opened.absent.push_back(*started.absent);
    return opened;
  }
  if (started.count < request.count)
    opened.absent.push_back(
        {"cuda", "too-few",
         fmt::format("the session asks for {} GPUs, the driver shows {}", request.count, started.count),
         "ask for fewer, or see CUDA_VISIBLE_DEVICES"});
  std::vector<std::shared_ptr<CudaDevice>> devices;
  for (int i = 0; i < std::min(request.count, started.count); ++i) try {
      devices.push_back(
          std::make_shared<CudaDevice>(started.driver, i, request.memory_of(i, INT64_MAX), request.libraries));
    } catch (const Error& error) {
      opened.absent.push_back({"cuda", "not-opened", error.what(), "see placewright doctor"});
      break;  // ordinals have no holes
    }
  opened.devices.assign(devices.begin(), devices.end());
  opened.links = CudaDevice::default_links(request.host->id, devices);
  return opened;
}

}  // namespace

DeviceKind cuda_kind() { return {"cuda", false, most, open, examine_cuda}; }

}  // namespace placewright
