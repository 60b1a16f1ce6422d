// What would change a placement: costs of moving groups and islands, how far costs may err, and where along a parameter
// another placement takes over. All answers come from exact re-solves where there are two labels.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "placewright/passes/placement_problem.h"

namespace placewright {

// Groups on one label that values connect.
struct Island {
  int label = 0;
  std::vector<int> groups;  // ascending
};
std::vector<Island> find_islands(const PlacementProblem& problem, const Labels& labels);  // by their first groups

// What `energy` would grow by if all these groups moved. Groups that cannot run there stay.
int64_t flip_cost(const PlacementProblem& problem, const std::vector<std::vector<int>>& values_of, const Labels& labels,
                  const std::vector<int>& groups, int to);

// As long as every cost of a group and of a copy errs by at most `parts / whole` of itself, each on its own and all at
// once, the placement stays optimal; with one part more, there are errors for which `rival` costs less.
struct Radius {
  int64_t parts = 0, whole = 1;
  bool is_proven = false;   // that the placement is optimal inside; always with two labels
  Labels rival;             // empty if no error below 100% matters
  std::vector<int> groups;  // whose costs decide between the two, largest first: measure these best
  std::vector<int> values;  // whose copies do
  double relative() const { return static_cast<double>(parts) / static_cast<double>(whole); }
};
// Nothing if the placement is not optimal.
std::optional<Radius> error_radius(const PlacementProblem& problem, const Labels& labels);

// A problem as a function of a parameter: a batch size, the speed of a link, a device's. Always the same groups, labels
// and values.
using ParametricProblem = std::function<PlacementProblem(int64_t parameter)>;

// The first number from `low` to `high` at which the best placement is `wanted`, from range to range, each as long as
// its placement stays optimal. Exact if the numbers for which a placement is optimal have no gap, as where all costs
// are linear in it. Nothing if there is none, or beyond `most` ranges.
std::optional<int64_t> find_first(const ParametricProblem& problem_at, int64_t low, int64_t high,
                                  const std::function<bool(const Labels&)>& wanted, int most = 256);

}  // namespace placewright
