#include <algorithm>

#include "memory_steps.h"

namespace placewright {
namespace {

constexpr int64_t unrunnable = PlacementProblem::unrunnable;

class Enumeration {
 public:
  explicit Enumeration(const CappedProblem& capped)
      : capped_(capped),
        problem_(capped.problem),
        labels_(problem_.costs.size(), 0),
        rest_(problem_.costs.size() + 1, 0) {
    const PlacementProblem& problem = problem_;
    closed_at_.resize(problem.costs.size());
    for (size_t v = 0; v < problem.values.size(); ++v) {
      int last = problem.values[v].producer;
      for (int consumer : problem.values[v].consumers) last = std::max(last, consumer);
      closed_at_[last].push_back(static_cast<int>(v));
    }
    for (size_t g = problem.costs.size(); g-- > 0;)
      rest_[g] = rest_[g + 1] + *std::min_element(problem.costs[g].begin(), problem.costs[g].end());
  }

  Labels run(const Labels& start) {
    best_ = unrunnable;
    if (!start.empty() && fits(start)) {
      best_ = energy(problem_, start);
      best_labels_ = start;
    }
    descend(0, 0);
    return best_labels_;
  }

 private:
  bool fits(const Labels& labels) const { return MemoryState(capped_, labels).fits(); }

  void descend(int group, int64_t cost) {
    if (cost + rest_[group] >= best_) return;
    if (group == problem_.groups()) {
      if (!fits(labels_)) return;
      best_ = cost;
      best_labels_ = labels_;
      return;
    }
    for (int label = 0; label < problem_.labels; ++label) {
      if (problem_.costs[group][label] >= unrunnable) continue;
      labels_[group] = label;
      int64_t sum = cost + problem_.costs[group][label];
      for (int v : closed_at_[group]) sum += copy_cost(problem_, problem_.values[v], labels_);
      descend(group + 1, sum);
    }
  }

  const CappedProblem& capped_;
  const PlacementProblem& problem_;
  Labels labels_, best_labels_;
  int64_t best_ = 0;
  std::vector<int64_t> rest_;                // what the groups from here on cost at least
  std::vector<std::vector<int>> closed_at_;  // values whose groups all have labels from this one on
};

}  // namespace

Labels enumerate_placements(const CappedProblem& capped, const Labels& start) { return Enumeration(capped).run(start); }

}  // namespace placewright
