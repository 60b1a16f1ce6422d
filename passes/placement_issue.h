// One step as the runtime carries it out: the host hands out all work, what other devices can do before its own.
#pragma once

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "placewright/passes/placement_makespan.h"
#include "step_issue.h"

namespace placewright {

// Simulates placements of one problem, one after the other: a placement's groups and copies, in program order.
class IssuedSimulator {
 public:
  // `problem` must outlive this. `order`, `host`: as `simulate` has them.
  IssuedSimulator(const PlacementProblem& problem, const std::vector<int>& order, int host);

  // As `simulate` does.
  SimulatedStep simulate(const Labels& labels, int64_t before = std::numeric_limits<int64_t>::max());

 private:
  void find_behind();
  bool is_too_much(const Labels& labels, int64_t before);
  bool waits_for(int group, int v) const;
  void add(int g, const Labels& labels);
  int add_copy(int v, int to, const Labels& labels, const std::vector<int>& needs);
  bool is_group(int task) const { return copied_[task].first < 0; }

  const PlacementProblem& problem_;
  int host_;
  std::vector<size_t> read_begin_;   // of each group, in `read_`
  std::vector<int> read_;            // values
  std::vector<int> program_;         // groups
  std::vector<int> rank_;            // of each group, its place in the program
  std::vector<bool> is_always_new_;  // of each value: all readers wait for it, and so does each copy
  std::vector<int64_t> behind_;  // [group * labels + label]: what a step takes at least when the group is done there

  // Of the last placement.
  std::vector<int64_t> loads_;               // of each label
  std::vector<int64_t> done_;                // of each group, when it is done at the earliest
  std::vector<int> needs_;                   // of the group that is being added
  std::vector<int> task_of_;                 // of each group
  std::vector<int> copy_to_;                 // [value * labels + label]: its task; -1: none
  std::vector<std::pair<int, int>> copied_;  // of each task: (value, to), or (-1, group)
  StepTasks tasks_;
};

}  // namespace placewright
