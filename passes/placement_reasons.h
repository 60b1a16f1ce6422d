// Why a group of ops that was placed by cost is not on another device. Internal to passes.
#pragma once

#include <vector>

#include "placewright/passes/placement_problem.h"
#include "reader_counts.h"

namespace placewright {

// What a step would take longer, in nanoseconds, if one group alone ran elsewhere.
struct FlipPrice {
  int64_t running = 0;
  int64_t copying = 0;
  int dearest = -1;          // the value whose copies grow most, as number in problem.values; -1: none grow
  int64_t dearest_copy = 0;  // by how much
  int64_t total() const { return running + copying; }
};

// `readers`: with these labels.
FlipPrice price_flip(const PlacementProblem& problem, const std::vector<std::vector<int>>& values_of,
                     const ReaderCounts& readers, const Labels& labels, int group, int to);

}  // namespace placewright
