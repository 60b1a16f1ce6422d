#include "placewright/runtime/sim/sim_truth.h"

#include <algorithm>
#include <string>

namespace placewright {
namespace {

// In [0, 1): FNV-1a, mixed as SplitMix64 does.
double draw(uint64_t seed, std::string_view what, std::string_view more = "") {
  uint64_t hash = 14695981039346656037u ^ seed;
  for (std::string_view text : {what, std::string_view("\n"), more})
    for (char letter : text) hash = (hash ^ static_cast<uint8_t>(letter)) * 1099511628211u;
  hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
  hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
  return static_cast<double>((hash ^ hash >> 31) >> 11) * 0x1p-53;
}

}  // namespace

double SimTruth::of_op(const DeviceId& device, std::string_view op) const {
  return seed == 0 ? 1 : 1 - spread + 2 * spread * draw(seed, device.to_string(), op);
}

double SimTruth::of_launches(const DeviceId& device) const {
  return seed == 0 ? 1 : 1 + launch_overhead * draw(seed, device.to_string());
}

double SimTruth::of_link(const DeviceId& from, const DeviceId& to) const {
  return seed == 0 ? 1 : 1 - spread + 2 * spread * draw(seed, from.to_string(), to.to_string());
}

double SimTruth::launch_seconds(const DeviceSpec& spec, const KernelLaunch& launch) const {
  double rate = 1;
  for (const Rate& entry : spec.rates) rate = std::max(rate, entry.per_second);
  double work = std::max(launch.flops / rate, launch.bytes / std::max(spec.memory_bandwidth, 1.0));
  return spec.launch_seconds * of_launches(spec.id) + work * of_op(spec.id, launch.origin);
}

}  // namespace placewright
