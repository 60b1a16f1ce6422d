// Programs compiled for machines that need not be here: no device is opened.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "placewright/ir/program.h"
#include "placewright/run_graph.h"

namespace placewright {

// Image `number` of a program, for one target.
struct TargetImage {
  std::string target;  // "sm_90", "x86-64-v3"
  int number = 0;
  KernelImage image;
};

struct AheadOfTime {
  Program program;  // the same for all targets
  std::map<std::string, HostTensor> constants;
  std::vector<TargetImage> images;  // by target, then by number
};

// Compiles what was placed for every device of its machine, and for the kin of a device's target that the same program
// runs on. Uses no cache. Error if a target's compiler is not here, or a kernel cannot be compiled.
AheadOfTime compile_ahead_of_time(const GraphPlacement& placed);

}  // namespace placewright
