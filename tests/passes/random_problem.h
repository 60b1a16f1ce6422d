// Small random placement problems, and their optimum by trying everything.
#pragma once

#include <cstdlib>
#include <limits>
#include <random>

#include "placewright/passes/placement_problem.h"

namespace placewright {

inline int draw(std::mt19937& random, int low, int high) {
  return low + static_cast<int>(random() % static_cast<uint32_t>(high - low + 1));
}

// Few distinct costs make ties; some groups run on one device only.
inline PlacementProblem random_problem(std::mt19937& random, int labels, int groups) {
  PlacementProblem problem{labels, {}, {}};
  int scale = draw(random, 0, 1) ? 4 : 1000;
  for (int g = 0; g < groups; ++g) {
    std::vector<int64_t> costs;
    for (int label = 0; label < labels; ++label) costs.push_back(draw(random, 0, scale));
    if (draw(random, 0, 5) == 0) costs[draw(random, 0, labels - 1)] = PlacementProblem::unrunnable;
    problem.costs.push_back(costs);
  }
  for (int v = draw(random, 0, 3 * groups); v-- > 0;) {
    PlacementProblem::Value value;
    value.producer = draw(random, 0, groups - 1);
    for (int from = 0; from < labels; ++from)
      for (int to = 0; to < labels; ++to) value.moves.push_back(from == to ? 0 : draw(random, 0, scale));
    for (int g = 0; g < groups; ++g)
      if (g != value.producer && draw(random, 0, 3) == 0) value.consumers.push_back(g);
    problem.values.push_back(value);
  }
  return problem;
}

// Calls `visit` with every placement.
template <typename Visit>
void for_all_placements(const PlacementProblem& problem, const Visit& visit) {
  Labels labels(problem.costs.size(), 0);
  while (true) {
    visit(labels);
    size_t g = 0;
    while (g < labels.size() && ++labels[g] == problem.labels) labels[g++] = 0;
    if (g == labels.size()) return;
  }
}

inline int64_t cheapest_of_all(const PlacementProblem& problem) {
  int64_t best = std::numeric_limits<int64_t>::max();
  for_all_placements(problem, [&](const Labels& labels) { best = std::min(best, energy(problem, labels)); });
  return best;
}

inline bool full_counts() { return std::getenv("PLACEWRIGHT_FULL_COUNTS") != nullptr; }

}  // namespace placewright
