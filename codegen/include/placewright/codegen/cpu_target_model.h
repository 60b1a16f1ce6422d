// What passes must know of a CPU, or of a device that runs the CPU's kernels.
#pragma once

#include <memory>

#include "placewright/codegen/cpu_target.h"
#include "placewright/codegen/op_facts.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/target_model.h"

namespace placewright {

struct Profile;  // ir/profile.h

// `profile` may be null and must outlive the model; models may share `facts`.
std::unique_ptr<TargetModel> make_cpu_target_model(const CpuTarget& target, const DeviceSpec& spec,
                                                   const Profile* profile = nullptr,
                                                   std::shared_ptr<OpFactsTable> facts = nullptr);

}  // namespace placewright
