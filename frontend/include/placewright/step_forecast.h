// What a step of a placed graph waits for until it is done: what simulation of the graph as it is compiled shows, read
// off the chain of launches and copies that ends last.
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
  double seconds = 0;             // when all is done, the results on the host: StepTimeline::done
  std::vector<StepShare> shares;  // largest first; they add up to `seconds`
};

// By the machine's figures, which nothing measured corrects.
StepForecast forecast_step(const GraphPlacement& placed);

}  // namespace placewright
