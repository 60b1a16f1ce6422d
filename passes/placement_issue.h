// One step as the runtime carries it out: the host hands out all work, what other devices can do before its own.
#pragma once

#include "placewright/passes/placement_makespan.h"

namespace placewright {

SimulatedStep simulate_issued(const PlacementProblem& problem, const Labels& labels, const std::vector<int>& order,
                              int host);

}  // namespace placewright
