// One step, simulated: the host hands out all work in program order, and each device has one queue for what it is
// given.
#pragma once

#include "placewright/passes/placement_makespan.h"

namespace placewright {

SimulatedStep simulate_issued(const PlacementProblem& problem, const Labels& labels, const std::vector<int>& order,
                              int host);

}  // namespace placewright
