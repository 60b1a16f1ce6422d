// Placement where several devices work at once: what counts is when the last of them is done, which a simulator tells.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "placewright/passes/placement_problem.h"

namespace placewright {

// One step. Each device runs its groups one after the other in program order. A value is copied once to each device
// that reads it, as soon as it is made; copies over one directed link queue in the order in which they can start. What
// is given is there from the start, so that a parameter's update may wait for what was computed from it; other cycles
// are broken by running the first group in program order that waits.
struct SimulatedStep {
  struct Run {
    int64_t start = 0, end = 0;
  };
  struct Copy {
    int value = 0, from = 0, to = 0;
    int64_t start = 0, end = 0;
  };
  std::vector<Run> runs;      // of each group
  std::vector<Copy> copies;   // in the order in which they were queued
  std::vector<int> critical;  // groups that a shorter step would have to move or speed up, the last one first
  int64_t makespan = 0;
};

// `order`: of each group, its position in the program; empty: the group's number. `host`: the label that hands out all
// work, as the runtime does, in the order that the pass `overlap` makes: other devices get what they can do before the
// host does its next group, so that only what needs the host's work waits for it. Each device then has a stream for its
// groups, one for copies to it and one for copies from it to the host; copies to it are handed out so many of its
// groups before the reader as hide them. -1: nobody hands out anything, all begins as soon as it can. `before`: where a
// host hands out, a step that is not done before that may be given up; its makespan is then `before`, and all else
// empty.
SimulatedStep simulate(const PlacementProblem& problem, const Labels& labels, const std::vector<int>& order = {},
                       int host = -1, int64_t before = std::numeric_limits<int64_t>::max());

// No placement is done earlier: the longest chain of groups on their best devices, and all work shared out evenly.
int64_t makespan_bound(const PlacementProblem& problem, const std::vector<int>& order = {});

// Heterogeneous earliest finish time (Topcuoglu 2002, doi:10.1109/71.993206).
Labels heft(const PlacementProblem& problem, const std::vector<int>& order = {});

// Of each group, the position of its last op: what comes first in it is mostly given. `group_of`: of each op; groups
// without any, as the host that reads the results, come last.
std::vector<int> program_order(const std::vector<int>& group_of, int groups);

// In plans the host stands first.
inline constexpr int host_label = 0;

struct MakespanOptions {
  std::vector<int> order;
  int host = -1;        // as `simulate` has it
  int simulations = 0;  // of the local search; 0: by the size of the problem
};

struct MakespanSolution {
  Labels labels;
  int64_t makespan = 0, bound = 0;
  std::string found_by;  // "cut", "cut with copies at 30%", "HEFT" ...
  int simulations = 0;
  // Candidates that are done before `start`, as they were before groups moved; the earliest first, three at most. They
  // are for those who price placements otherwise than group by group.
  struct Candidate {
    Labels labels;
    int64_t makespan = 0;
    std::string found_by;
  };
  std::vector<Candidate> candidates = {};
};

// The best by simulation of minimum cuts whose copies are priced at several parts of what they take, HEFT, and all on
// one device; then groups on the critical path move while that gains. `start` is one more candidate, kept unless
// another is better. Counts bound the work, so that equal problems have equal answers.
MakespanSolution solve_makespan(const PlacementProblem& problem, const Labels& start,
                                const MakespanOptions& options = {});

}  // namespace placewright
