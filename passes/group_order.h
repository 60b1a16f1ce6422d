// A topological order of groups of ops, kept while groups join. Internal to passes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "placewright/ir/graph.h"

namespace placewright {

// Each op begins as a group of its own. Two groups may not join where the later one depends on the earlier one by way
// of a third, which would then wait for itself.
//
// Groups have labels in the order (after Pearce and Kelly, "A Dynamic Topological Sort Algorithm for Directed Acyclic
// Graphs", 2006). What stands between two groups is searched from both, as evenly as what they read and are read by
// allows (Bender, Fineman, Gilbert and Tarjan, "A New Approach to Incremental Cycle Detection", 2015): whichever search
// ends first tells that they may join and which groups move, so that a value that everybody reads, or an op behind
// everything, costs no more than its partner.
class GroupOrder {
 public:
  // Groups are numbered by one of their ops. `is_free`: of each op, whether nobody waits for it.
  GroupOrder(const Function& function, const std::vector<bool>& is_free);

  int32_t group(int32_t op) const { return group_[op]; }
  // False if they may not join, or if there is too much between them to find out. If they may, `members`, the ops of
  // `second`, belong to `first`, which takes the place of both in the order.
  bool try_join(int32_t first, int32_t second, const std::vector<int32_t>& members);
  // A member leaves its group. From then on there is no order, and nothing may join.
  void assign(int32_t op, int32_t group) { group_[op] = group; }

 private:
  // Groups between two that depend on the earlier one, or that the later one depends on.
  struct Between {
    bool is_behind_early = false;
    std::vector<int32_t> groups;
  };
  struct Search {
    std::vector<int32_t> found;  // the first one is where it began
    size_t next = 0;             // that was found and not looked at
    size_t steps = 0;
    int32_t mark = 0;
    bool is_done() const { return next == found.size(); }
  };
  struct Place {
    int64_t label = 0;                 // ascending in the order
    int32_t before = -1, behind = -1;  // neighbours in the order; -1: none
    int32_t mark = 0;                  // of the last search that found the group
  };

  std::optional<Between> find_between(int32_t early, int32_t late);
  bool look_behind(Search& forward, const Search& backward, int32_t early, int32_t late);
  bool look_before(Search& backward, const Search& forward, int32_t early, int32_t late);
  void move_behind(const std::vector<int32_t>& groups, int32_t first, int32_t early, int32_t late);
  void move_before(const std::vector<int32_t>& groups, int32_t first, int32_t early, int32_t late);
  void join_neighbours(int32_t first, int32_t second);
  void take_place(int32_t group, int32_t other);
  void unlink(int32_t group);
  void link(int32_t group, int32_t before);
  void spread(int32_t from, int32_t to);

  std::vector<int32_t> group_;                         // of each op
  std::vector<std::vector<int32_t>> reads_, read_by_;  // of each group: ops of others
  std::vector<Place> places_;                          // of each group
  int32_t first_ = 0;                                  // of the order
  int32_t mark_ = 0;                                   // that was used last
};

}  // namespace placewright
