// Launches of a compiled graph in an order, and in parts, in which a device holds less at once.
#pragma once

#include <cstdint>
#include <vector>

#include "placewright/passes/memory_need.h"
#include "placewright/passes/pass.h"

namespace placewright {

// The value whose elements each result is, by op and result: itself unless it is a view that `plan` stores nowhere
// else.
std::vector<std::vector<Value>> find_roots(const Function& function, const MemoryPlan& plan);

// The launches on `device` that do several things, cut into launches of their own where one thing waits for what
// another does not read, as the updates of parameters do that were joined: each part stands behind what it reads.
// `cut`: how many launches that were.
Graph cut_launches(Graph compiled, const MemoryPlan& plan, const DeviceId& device, int& cut);

// List scheduling: launches on `device` run as soon as they free more than they make; what makes more than it frees,
// for one reader, runs just before that; all else keeps its order.
Graph order_for_memory(Graph compiled, const MemoryPlan& plan, const DeviceId& device);

}  // namespace placewright
