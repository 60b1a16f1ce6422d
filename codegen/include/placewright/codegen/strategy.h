// Chooses schedules for CPUs by cost: vector dimension, register tile, packing, loop order, threads. A pure function of
// kernel and target; the number of threads plays no part, so results do not depend on it.
#pragma once

#include "placewright/codegen/cpu_target.h"
#include "placewright/ir/schedule.h"

namespace placewright {

// Rewrites a kernel into an equal one that schedules better: dimensions that all accesses walk together become one.
StructuredKernel collapse_dimensions(StructuredKernel kernel);

// Decides the splits of an op's own reductions that are open, by what is cheapest for the op alone.
void split_reductions(StructuredKernel& kernel, const CpuTarget& target);

// An operand that choose_schedule would pack in every run, the layout it would give it, and the cycles that a run saves
// if it comes in that layout.
struct WishedLayout {
  int buffer = -1;
  Layout layout;
  double cycles = 0;
};
std::vector<WishedLayout> wished_layouts(const StructuredKernel& kernel, const CpuTarget& target);

Schedule choose_schedule(const StructuredKernel& kernel, const CpuTarget& target);

}  // namespace placewright
