// The steps of solve_with_memory. Internal to passes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "placewright/passes/placement_memory.h"

namespace placewright {

// What the steps read.
struct CappedProblem {
  const PlacementProblem& problem;
  const MemoryLimits& limits;
  std::vector<std::vector<int>> values_of;  // values_of_groups

  CappedProblem(const PlacementProblem& numbers, const MemoryLimits& caps)
      : problem(numbers), limits(caps), values_of(values_of_groups(numbers)) {}
};

// A placement whose energy and memory use are kept while groups move.
class MemoryState {
 public:
  MemoryState(const CappedProblem& capped, Labels labels);

  const Labels& labels() const { return labels_; }
  int64_t energy() const { return energy_; }
  const std::vector<int64_t>& used() const { return used_; }
  int64_t excess() const;  // over all caps, summed
  bool fits() const { return excess() == 0; }
  int64_t growth(int group, int to) const {
    return flip_cost(capped_->problem, capped_->values_of, labels_, group, to);
  }
  void move(int group, int to);

 private:
  int64_t buffers(int label) const { return streamed_[label].empty() ? 0 : 2 * streamed_[label].back(); }
  void add_streams(int value, int sign);

  const CappedProblem* capped_;
  Labels labels_;
  std::vector<std::vector<int64_t>> streamed_;  // of each label: sizes of what is copied there, ascending
  std::vector<int64_t> used_;
  int64_t energy_ = 0;
};

// Moves groups off labels that are too full, those first that cost least for each byte; then back and forth whatever
// gains and fits. Whether it fits in the end.
bool mend(const CappedProblem& capped, MemoryState& state);
// Moves groups toward `wish`, in the order of the folded program from either end, as far as that gains and fits; then
// single groups as far as that gains and fits.
void fill(const CappedProblem& capped, const Labels& wish, MemoryState& state);

// Branch and bound over all placements. Empty if none fits.
Labels enumerate_placements(const CappedProblem& capped, const Labels& start);

// Shares what stands on the labels `members`, which are alike, out among them: contiguous along the folded order, with
// the least copies between them. Empty if no such split fits.
Labels split_along_order(const CappedProblem& capped, const Labels& labels, const std::vector<int>& members);

// What a byte costs: `nanoseconds` for each `bytes`. At most 2^61 for all that is held, so that sums do not overflow.
struct BytePrice {
  int64_t nanoseconds = 0, bytes = 1;
  int64_t of(int64_t held) const {
    constexpr auto most = static_cast<unsigned __int128>(int64_t{1} << 61);
    return static_cast<int64_t>(
        std::min(most, static_cast<unsigned __int128>(held) * static_cast<unsigned __int128>(nanoseconds) /
                           static_cast<unsigned __int128>(bytes)));
  }
};

}  // namespace placewright
