// What a step is predicted to take, launch by launch: after all passes, where one op is one launch.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "placewright/passes/pass.h"
#include "placewright/passes/placement.h"

namespace placewright {

struct LaunchTime {
  int32_t op = -1;  // of the compiled graph's entry function
  std::string what;
  DeviceId device;
  double seconds = 0;
};

struct StepTime {
  std::vector<LaunchTime> launches;  // in their order
  double launch_seconds = 0;         // their sum
  double transfer_seconds = 0;       // of the copies of each step
  double call_seconds = 0;           // of the call itself, if it was measured
  double seconds() const { return launch_seconds + transfer_seconds + call_seconds; }
};

// Seconds of an op of the entry function; nothing if it is no launch, or one of a device without a target model.
std::optional<double> price_launch(const Graph& compiled, int32_t op, const PassContext& context);

// Each launch of a compiled graph, in their order.
std::vector<LaunchTime> price_launches(const Graph& compiled, const PassContext& context);

// Nanoseconds of all launches and of the copies of each step, one after the other, each rounded as the planner does.
int64_t price_step(const Graph& compiled, const PassContext& context);

// One after the other. `compiled` and the ledger of `plan` are what a compile made; the context holds the target
// models.
StepTime estimate_step(const Graph& compiled, const PlacementPlan& plan, const PassContext& context);

}  // namespace placewright
