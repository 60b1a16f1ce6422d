#include "placewright/runtime/device_kinds.h"

#include <algorithm>

namespace placewright {

#define PLACEWRIGHT_DEVICE_KIND(name) DeviceKind name##_kind();
#include "device_kinds.inc"
#undef PLACEWRIGHT_DEVICE_KIND

std::vector<DeviceKind> device_kinds() {
  std::vector<DeviceKind> kinds{
#define PLACEWRIGHT_DEVICE_KIND(name) name##_kind(),
#include "device_kinds.inc"
#undef PLACEWRIGHT_DEVICE_KIND
  };
  std::stable_sort(kinds.begin(), kinds.end(),
                   [](const DeviceKind& a, const DeviceKind& b) { return a.is_host > b.is_host; });
  return kinds;
}

}  // namespace placewright
