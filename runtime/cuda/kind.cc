#include "placewright/runtime/cuda/cuda_absence.h"
#include "placewright/runtime/device_kinds.h"

namespace placewright {

DeviceKind cuda_kind() {
  return {"cuda", false, 0, [](const DeviceRequest&) { return OpenedDevices{{}, {}, {cuda_absence()}}; }};
}

}  // namespace placewright
