// How threads share out a kernel's stages. Decides by shapes and accesses alone; knows no ops and no device.
#include <algorithm>
#include <bit>

#include "placewright/base/checked.h"
#include "placewright/codegen/cuda/cuda_code.h"

namespace placewright {
namespace {

bool is_sequential(const Stage& stage, int dim) { return !stage.sequential.empty() && stage.sequential[dim]; }

// One thread an output element, the last dimension fastest; what is reduced or must run in order is serial.
StageSchedule plain_schedule(const Stage& stage) {
  StageSchedule how;
  for (int d = 0; d < stage.rank(); ++d)
    if (!stage.reduced[d] && !is_sequential(stage, d)) how.loops.push_back({d, 1, Loop::Binding::thread});
  for (bool reduced : {false, true})
    for (int d = 0; d < stage.rank(); ++d)
      if (reduced ? stage.reduced[d] : is_sequential(stage, d)) how.loops.push_back({d, 1, Loop::Binding::serial});
  return how;
}

}  // namespace

Schedule choose_grid_schedule(const StructuredKernel& kernel) {
  Schedule schedule;
  for (const Stage& stage : kernel.stages) {
    schedule.stages.push_back(plain_schedule(stage));
    schedule.groups.push_back({});
    schedule.phases.push_back({});
  }
  return schedule;
}

}  // namespace placewright
