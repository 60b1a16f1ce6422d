// One way to run a stage, which the planner prices: its vector dimension, register tile, packs and chains.
#pragma once

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "placewright/ir/schedule.h"

namespace placewright {

struct StageCandidate {
  int vector_dim = -1;
  int lanes = 1;
  int64_t vectors = 1;                        // per tile, along the vector dimension
  std::vector<std::pair<int, int64_t>> tile;  // other parallel dimensions and their steps
  std::vector<Pack> packs;
  // With a parallel vector dimension: a reduced dimension whose positions go to `chains` states by turns, so that their
  // latencies overlap, and one that is unrolled, so that what is contiguous along it is loaded in runs and transposed.
  int chain_dim = -1;
  int64_t chains = 1;
  int run_dim = -1;
  int64_t run = 1;
  // Guarded indices (access, dimension) that loops over reduced dimensions keep inside; the parallel dimensions that
  // they read must not be tiled.
  std::vector<std::pair<int, int>> clipped;
  std::vector<int> untiled;
  double steps_left = 1;  // the part of the reduction that clipped loops run
  double cycles = std::numeric_limits<double>::infinity();

  // Vectors of states that are alive at once.
  int64_t accumulators() const {
    int64_t count = vectors * chains;
    for (auto [dim, step] : tile) count *= step;
    return count;
  }
  const Pack* pack_of(int access) const {
    for (const Pack& pack : packs)
      if (pack.access == access) return &pack;
    return nullptr;
  }
};

}  // namespace placewright
