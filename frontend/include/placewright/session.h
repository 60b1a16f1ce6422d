// The process-wide session, the library's sole global: devices, threads, seed, mode. Made at first use from its
// options.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "placewright/ir/type.h"

namespace placewright {

struct Machine;

struct SessionOptions {
  std::string devices = "cpu";  // "cpu,sim:2": kinds, each with how many of them
  int threads = 0;              // of the CPU; 0: all
  uint64_t seed = 0;
  // Bytes that this process may use of a device, by name ("sim:1") or of each of a kind ("cpu"); without one, all that
  // it has. Plans keep within them: docs/placement.md, Memory. Values that the program holds as host tensors are not
  // counted.
  std::map<std::string, int64_t> memory = {};
  // To what devices that gain from it may round the f32 factors of products and convolutions that are captured,
  // gradients included: "f32" (not at all), "tf32" or "bf16" (10 and 7 bits of fraction). Sums stay f32. The CPU rounds
  // nothing.
  std::string product_precision = "f32";
  // Devices may run a product of matrices by their vendor's library where that was timed and found faster than the
  // kernel: it may take sums in another order. Without, results of a machine depend on nothing that was timed.
  bool use_libraries = true;
  bool strict = false;               // an unasked-for transfer is an error before anything runs, not a printed line
  std::string cache_directory = {};  // of compiled programs; empty: the user's cache folder
  bool use_cache = true;
  // Several devices: plan with what `placewright machine --calibrate` found in that folder.
  bool use_calibration = true;
  bool check_bounds = false;                               // generated code checks every access
  bool check_memory = false;                               // arenas get canaries and NaN poison
  std::function<void(std::string_view line)> notice = {};  // where notices go; empty: standard error
};

// Replaces the session. Error while executables or tensors on devices of the old one are alive is not raised: they keep
// what they need; new work uses the new session. Not to be called while other threads use the library.
void configure(const SessionOptions& options);
const SessionOptions& session_options();

// Restarts the session's random numbers: initial weights, shuffles, dropout, randn.
void manual_seed(uint64_t seed);

// All devices, the host first.
std::vector<DeviceId> devices();
int device_count(std::string_view kind);
// The machine as placement sees it.
const Machine& machine();

struct Availability {
  bool available = false;
  std::string reason;  // why not, and what to do
  explicit operator bool() const { return available; }
};
Availability is_available(std::string_view kind);

}  // namespace placewright
