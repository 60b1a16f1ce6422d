// What passes must know of a CPU, or of a device that runs the CPU's kernels.
#pragma once

#include <memory>

#include "placewright/codegen/cpu_target.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/target_model.h"

namespace placewright {

std::unique_ptr<TargetModel> make_cpu_target_model(const CpuTarget& target, const DeviceSpec& spec);

}  // namespace placewright
