// How many readers of each value stand on each label: what the move of one group costs, however many others read what
// it reads. Internal to passes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "placewright/passes/placement_problem.h"

namespace placewright {

class ReaderCounts {
 public:
  // The problem must outlive this.
  ReaderCounts(const PlacementProblem& problem, const Labels& labels);

  // What the copies of a value take with `group`, which makes or reads it, on `label` and all others where they are.
  int64_t copies(int value, int group, int label) const;
  // By how much they grow if the group moves there.
  int64_t growth(int value, int group, int to) const {
    return copies(value, group, to) - copies(value, group, labels_[group]);
  }
  // `values`: all that the group makes or reads.
  void move(const std::vector<int>& values, int group, int to);

 private:
  int32_t& count(int value, int label) { return counts_[static_cast<size_t>(value) * labels_of_problem() + label]; }
  size_t labels_of_problem() const { return static_cast<size_t>(problem_.labels); }

  const PlacementProblem& problem_;
  Labels labels_;
  std::vector<int32_t> counts_;  // [value][label]
};

}  // namespace placewright
