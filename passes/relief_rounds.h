// Steps of relief, round by round, and which ops those of the graph behind a round were. Internal to passes.
#pragma once

#include <cstdint>
#include <vector>

#include "placewright/passes/relief.h"

namespace placewright {

// Where an op behind a round comes from.
struct RoundOp {
  int32_t op = -1;               // before the round; -1: a step made it
  int32_t step = -1, place = 0;  // then its number in the round, and which of the ops that it made
};

// Steps that speak of the same graph, all at once. `ops`: where each op of what is made comes from.
Graph apply_round(Graph compiled, const std::vector<ReliefStep>& steps, std::vector<RoundOp>* ops = nullptr);

using ReliefRounds = std::vector<std::vector<ReliefStep>>;

// The rounds without the steps that others made superfluous, the dearest first: those without which all still fits, by
// a memory plan, and a step is cheaper. `compiled`: what the first round speaks of; with all of them it fits.
ReliefRounds drop_superfluous(const Graph& compiled, const PassContext& context, ReliefRounds rounds);

}  // namespace placewright
