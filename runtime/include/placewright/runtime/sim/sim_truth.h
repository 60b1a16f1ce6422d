// What a simulated machine is really like, where its specs and links say otherwise. Planners see the specs alone, so
// that plans can be judged on a machine that they do not know.
#pragma once

#include <cstdint>
#include <string_view>

#include "placewright/runtime/device.h"

namespace placewright {

// All of it follows from the seed: the same op takes the same time on a device in every program and at every step.
struct SimTruth {
  uint64_t seed = 0;             // 0: all is as specs and links say
  double spread = 0.3;           // an op on a device, and a link, takes 1 - spread to 1 + spread times as long
  double launch_overhead = 0.5;  // launches on a device take up to that part of their overhead more
  bool shared_links = true;      // one copy at a time on all links together

  double of_op(const DeviceId& device, std::string_view op) const;
  double of_launches(const DeviceId& device) const;
  double of_link(const DeviceId& from, const DeviceId& to) const;

  // The overhead, and the larger of arithmetic at the device's best rate and of traffic.
  double launch_seconds(const DeviceSpec& spec, const KernelLaunch& launch) const;
};

}  // namespace placewright
