// What a candidate costs, in cycles of one core: per reduction step the larger of arithmetic, loads and the latency of
// a chain; lanes that masks leave idle and tails count; copies that packs make are added.
#pragma once

#include "stage_facts.h"

namespace placewright {

// Infinite if its tiles do not fit the blocks of the layouts.
double price(const StageFacts& facts, const StageCandidate& candidate);

}  // namespace placewright
