// Measured costs of the devices that are here: how they are measured, kept, and read again by later planning.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "placewright/compile.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/profile.h"
#include "placewright/passes/step_time.h"

namespace placewright {

// Measures the session's devices: the overhead of a launch, five sizes and more of each op class, dtype and precision,
// and links. Takes one to two seconds on a machine that does nothing else, and longer where kernels take long to
// compile. Devices of equal figures are measured once.
Profile calibrate();

// Runs the graph on the session's devices, with numbers made up, and adds the median of every launch to the profile;
// and for each op inside a launch its share, by what the profile thought of the ops. `symbols` binds symbolic sizes.
void profile_kernels(Profile& profile, const Graph& graph, const std::map<std::string, int64_t>& symbols);

// The machine with the profile's figures in place of its own: overheads, rates of the largest sizes, links.
Machine apply_profile(Machine machine, const Profile& profile);

// What one step of a compiled function is predicted to take on a machine; `profile` may be null.
StepTime predict_step(const Specialisation& step, const Machine& machine, const Profile* profile);

// The profile that calibration of this very machine, whatever of its memories may be used, left behind with this very
// library, in the cache of compiled kernels (its folder, or empty: the default one); nothing if there is none.
// `keep_calibration` puts it where the current session's options say that its cache is, in which sessions with the same
// options look.
std::optional<Profile> try_load_calibration(const Machine& machine, const std::string& cache_folder = {});
void keep_calibration(const Machine& machine, const Profile& profile);

}  // namespace placewright
