#include "reader_counts.h"

namespace placewright {

ReaderCounts::ReaderCounts(const PlacementProblem& problem, const Labels& labels) : problem_(problem), labels_(labels) {
  counts_.assign(problem.values.size() * labels_of_problem(), 0);
  for (size_t v = 0; v < problem.values.size(); ++v)
    for (int consumer : problem.values[v].consumers) ++count(static_cast<int>(v), labels[consumer]);
}

int64_t ReaderCounts::copies(int value, int group, int label) const {
  const PlacementProblem::Value& made = problem_.values[value];
  const bool reads = made.producer != group;
  const int from = reads ? labels_[made.producer] : label;
  const int64_t* moves = made.moves.data() + static_cast<size_t>(from) * labels_of_problem();
  int64_t sum = 0;
  if (made.consumers.size() < labels_of_problem()) {  // few to look at
    uint64_t reached = uint64_t{1} << from;
    for (int consumer : made.consumers) {
      const int to = consumer == group ? label : labels_[consumer];
      if (!(reached >> to & 1)) sum += moves[to];
      reached |= uint64_t{1} << to;
    }
    return sum;
  }
  const int32_t* counts = counts_.data() + static_cast<size_t>(value) * labels_of_problem();
  for (int to = 0; to < problem_.labels; ++to) {
    if (to == from) continue;
    const int32_t readers = counts[to] + (reads && to == label ? 1 : 0) - (reads && to == labels_[group] ? 1 : 0);
    if (readers > 0) sum += moves[to];
  }
  return sum;
}

void ReaderCounts::move(const std::vector<int>& values, int group, int to) {
  for (int v : values) {
    if (problem_.values[v].producer == group) continue;
    --count(v, labels_[group]);
    ++count(v, to);
  }
  labels_[group] = to;
}

}  // namespace placewright
