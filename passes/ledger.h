// The transfer ledger: what is copied between devices, for whom, and what it costs. Internal to passes.
#pragma once

#include <string>
#include <vector>

#include "movement.h"
#include "placewright/passes/placement.h"

namespace placewright {

// By the rule of insert_transfers, for a graph whose transfers are not inserted yet: later passes may drop or share
// some of them, and add constants that are loaded.
std::vector<PlannedTransfer> forecast_transfers(const Graph& graph, const std::vector<Where>& places,
                                                const std::vector<Movement>& movements, const PassContext& context);

// Makes `transfers` the plan's ledger: totals, estimated time and hints follow from it. `graph` is theirs.
void set_ledger(PlacementPlan& plan, std::vector<PlannedTransfer> transfers, const Graph& graph,
                const PassContext& context);

// What the plan was chosen by, for people.
std::string objective_of(const PlacementPlan& plan);

}  // namespace placewright
