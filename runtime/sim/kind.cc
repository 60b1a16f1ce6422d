#include "placewright/runtime/device_kinds.h"
#include "placewright/runtime/sim/sim_device.h"
#include "placewright/runtime/thread_pool.h"

namespace placewright {

constexpr int64_t memory_bytes = int64_t{8} << 30;

DeviceKind sim_kind() {
  return {"sim", false, 64, [](const DeviceRequest& request) {
            OpenedDevices opened;
            if (request.count == 0) return opened;
            opened.links = SimDevice::default_links(request.host->id, request.count);
            auto machine = std::make_shared<SimMachine>(opened.links);
            auto pool = std::make_shared<ThreadPool>(request.host->threads);
            for (int i = 0; i < request.count; ++i)
              opened.devices.push_back(std::make_shared<SimDevice>(
                  SimDevice::default_spec(i, request.memory_of(i, memory_bytes)), machine, pool));
            return opened;
          }};
}

}  // namespace placewright
