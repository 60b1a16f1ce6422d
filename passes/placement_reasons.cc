#include "placement_reasons.h"

namespace placewright {
namespace {

// What the copies of a value take with `group` on `label` and all others where they are.
int64_t copies(const PlacementProblem& problem, const PlacementProblem::Value& value, const Labels& labels, int group,
               int label) {
  auto label_of = [&](int g) { return g == group ? label : labels[g]; };
  const int from = label_of(value.producer);
  uint64_t reached = uint64_t{1} << from;
  int64_t sum = 0;
  for (int consumer : value.consumers) {
    const int to = label_of(consumer);
    if (!(reached >> to & 1)) sum += value.moves[from * problem.labels + to];
    reached |= uint64_t{1} << to;
  }
  return sum;
}

}  // namespace

FlipPrice price_flip(const PlacementProblem& problem, const std::vector<std::vector<int>>& values_of,
                     const Labels& labels, int group, int to) {
  FlipPrice price;
  price.running = problem.costs[group][to] - problem.costs[group][labels[group]];
  for (int v : values_of[group]) {
    const PlacementProblem::Value& value = problem.values[v];
    const int64_t growth =
        copies(problem, value, labels, group, to) - copies(problem, value, labels, group, labels[group]);
    price.copying += growth;
    if (growth <= price.dearest_copy) continue;
    price.dearest = v;
    price.dearest_copy = growth;
  }
  return price;
}

}  // namespace placewright
