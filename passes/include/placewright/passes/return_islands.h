// Placements where several devices work at once are found group by group: launch by launch some of what they moved away
// gains nothing.
#pragma once

#include <cstddef>
#include <functional>

#include "placewright/passes/placement_problem.h"

namespace placewright {

// Puts back what `labels` has elsewhere than `base`: islands of groups that values join, and single groups; what saves
// most in the sum of `problem` first, while it saves something, at most `most_tried` times. `keep` is given each
// placement that is tried, says whether it is kept, and has it then: the last one is what is found.
void return_islands(const PlacementProblem& problem, Labels labels, const Labels& base, size_t most_tried,
                    const std::function<bool(const Labels&)>& keep);

}  // namespace placewright
