#include "placewright/runtime/cpu/cpu_device.h"
#include "placewright/runtime/device_kinds.h"

namespace placewright {

DeviceKind cpu_kind() {
  return {"cpu", true, 1, [](const DeviceRequest& request) {
            DeviceSpec spec = CpuDevice::probe();
            if (request.threads > 0) spec.threads = request.threads;
            spec.memory_bytes = request.memory_of(0, spec.memory_bytes);
            return OpenedDevices{{std::make_shared<CpuDevice>(spec)}, {}, {}};
          }};
}

}  // namespace placewright
