// What makes a stage's operands easy to read before a candidate's tiles run: packed copies, and loops cut so that
// guards cannot fail. Both add to the candidate and say whether there was anything to add.
#pragma once

#include "stage_facts.h"

namespace placewright {

// Copies of what the body reads apart along the vector dimension, or under guards, if each element is read often.
bool add_packs(const StageFacts& facts, StageCandidate& candidate);

// The guarded indices of a product's factors that a loop over a reduced dimension can keep inside.
bool clip_guards(const StageFacts& facts, StageCandidate& candidate);

}  // namespace placewright
