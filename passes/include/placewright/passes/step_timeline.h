// When each launch and each copy of a compiled step runs, as the runtime carries the step out: by the prices and the
// order of issue that placement weighs, so that a report, a forecast and a plan's objective say the same.
#pragma once

#include <cstdint>
#include <vector>

#include "placewright/passes/pass.h"

namespace placewright {

struct StepEvent {
  int32_t op = -1;      // of the compiled graph's entry function: a launch, a copy, or whose result the host reads
  int32_t result = -1;  // number of the function's result that the host reads, where that is what happens
  DeviceId device;      // where it runs; of a copy, from where
  DeviceId to;          // of a copy; else the same
  int64_t begin = 0, end = 0;  // nanoseconds; never equal
  int32_t cause = -1;          // number of the event that it waited for last, and with whose end it begins; -1: none
};

struct StepTimeline {
  std::vector<StepEvent> events;  // as they are handed out
  int64_t done = 0;               // when the last one ends
};

// `compiled`: behind all passes, its order final. The host reads the results, each once; what happens at load has
// happened, and what nobody can price takes no time.
StepTimeline simulate_step(const Graph& compiled, const PassContext& context);

}  // namespace placewright
