// Measured costs of the devices that are here: how they are measured, kept, and read again by later planning.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "placewright/compile.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/profile.h"

namespace placewright {

// Measures the session's devices: the overhead of a launch, five sizes of each op class and dtype, and links. Takes one
// to two seconds on a machine that does nothing else. Devices of equal figures are measured once.
Profile calibrate();

// The machine with the profile's figures in place of its own: overheads, rates of the largest sizes, links.
Machine apply_profile(Machine machine, const Profile& profile);

// The profile that calibration of this very machine left behind with this very library, in the cache of compiled
// kernels; nothing if there is none. `keep_calibration` puts it there.
std::optional<Profile> try_load_calibration(const Machine& machine);
void keep_calibration(const Machine& machine, const Profile& profile);

}  // namespace placewright
