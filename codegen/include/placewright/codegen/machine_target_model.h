// What passes must know of a device that a machine file describes. Nothing else is needed: no code generator for it,
// and not the device.
#pragma once

#include <memory>

#include "placewright/codegen/op_facts.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/target_model.h"

namespace placewright {

struct Profile;  // ir/profile.h

// `profile` may be null and must outlive the model; models may share `facts`.
std::unique_ptr<TargetModel> make_machine_target_model(const DeviceSpec& spec, const Profile* profile = nullptr,
                                                       std::shared_ptr<OpFactsTable> facts = nullptr);

}  // namespace placewright
