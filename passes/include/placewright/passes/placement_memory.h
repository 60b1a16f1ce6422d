// Placement where memories are limited: the same problem as in placement_problem.h, with what each group holds on each
// device and how much there is. A parameter is a group like any other: it lives where it is placed, and if that is not
// where it is read, it is copied there in each step.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "placewright/passes/placement_problem.h"

namespace placewright {

inline constexpr int64_t unlimited_memory = std::numeric_limits<int64_t>::max();

struct MemoryLimits {
  std::vector<int64_t> caps;                // [label]
  std::vector<std::vector<int64_t>> bytes;  // [group][label]: held on that device all through a step
  // [group]: position along the program, backward ops at that of their forward op, updates at that of their parameter:
  // what equal devices split. Empty: the number of the group.
  std::vector<int> folded_order;
};

// Bytes on each label: what groups hold there, and two buffers for the largest value that is there before a step begins
// and is copied to that label in it: one is read while the other is filled.
std::vector<int64_t> memory_use(const PlacementProblem& problem, const MemoryLimits& limits, const Labels& labels);

// Why no placement fits.
struct MemoryShortage {
  int label = 0;
  int64_t needed = 0, available = 0;
  std::vector<int> holders;  // groups on the label that hold most, largest first, at most eight
  bool is_proven = false;    // else no placement was found, and `needed` is what the best attempt holds
};

struct CappedSolution {
  Labels labels;  // with a shortage: the attempt that it speaks of
  int64_t energy = 0;
  int64_t bound = 0;                       // no placement that fits costs less
  std::vector<int64_t> used;               // memory_use
  std::optional<MemoryShortage> shortage;  // nothing fits

  double gap() const { return energy > bound ? static_cast<double>(energy - bound) / static_cast<double>(energy) : 0; }
};

// At most twelve groups with a choice, of at most 512: exact. Else the memory of a device that is too full gets a price
// for a byte, found by the secant method (a Lagrangian relaxation, which also gives the bound), and what is left free
// is filled. Devices that are alike are first taken as one and then split along the folded order.
CappedSolution solve_with_memory(const PlacementProblem& problem, const MemoryLimits& limits);

}  // namespace placewright
