// A compiled graph's launches and copies as tasks: for the pass `overlap`, which orders them, and for whoever asks when
// they run. Internal to passes.
#pragma once

#include <optional>
#include <vector>

#include "placewright/passes/pass.h"
#include "step_issue.h"

namespace placewright {

struct LaunchTasks {
  StepTasks tasks;
  std::vector<int32_t> op_of;     // of each task
  std::vector<int> task_of;       // of each op; -1: there before the step, or nothing
  std::vector<DeviceId> devices;  // of their numbers
  int host = 0;

  int number_of(const DeviceId& device) const;  // -1: none
};

// Of each op, as `price_launch` has it.
std::vector<std::optional<double>> price_each(const Graph& compiled, const PassContext& context);

// Views and what nobody can price take no time.
LaunchTasks launch_tasks(const Graph& compiled, const PassContext& context,
                         const std::vector<std::optional<double>>& seconds);

// The pass `overlap`: the numbers of a graph's ops in their new order; empty: as they are. `seconds`: of each.
std::vector<int32_t> overlap_order(const Graph& graph, const PassContext& context,
                                   const std::vector<std::optional<double>>& seconds);

// When the last device is done with a step of a compiled graph, whose order is final, and the host has its results.
int64_t when_done(const Graph& compiled, const PassContext& context, const std::vector<std::optional<double>>& seconds);

}  // namespace placewright
