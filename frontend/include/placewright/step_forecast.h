// When a step of a placed graph would be done, and what it waits for until then: by the graph as it is compiled, one
// launch a fused op, devices and links side by side.
#pragma once

#include <string_view>
#include <vector>

#include "placewright/run_graph.h"

namespace placewright {

enum class StepLimit : uint8_t {
  arithmetic,      // of a device
  memory_traffic,  // of a device
  launches,        // what starting launches on a device takes
  link,            // copies from one device to another
  call,            // the host, before the first launch; known only where it was measured
};
std::string_view name(StepLimit limit);

// Part of the chain of launches and copies that ends last: each begins when the one before it has ended.
struct StepShare {
  StepLimit limit = StepLimit::arithmetic;
  DeviceId device;  // of a link: where it begins
  DeviceId to;      // of a link
  double seconds = 0;
};

struct StepForecast {
  double seconds = 0;
  std::vector<StepShare> shares;  // largest first; they add up to `seconds`
};

// A device runs its launches in the graph's order, a link in each direction its copies; a copy begins when its value is
// made. `profile`: what was measured on the placement's machine, or null.
StepForecast forecast_step(const GraphPlacement& placed, const Profile* profile = nullptr);

}  // namespace placewright
