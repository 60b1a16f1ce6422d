// What a launch takes of the part of a device that runs its groups of threads, as the target's compiler reports it.
#pragma once

#include <cstdint>
#include <string>

namespace placewright {

struct KernelResources {
  std::string symbol;
  int64_t registers = 0;     // of a thread
  int64_t shared_bytes = 0;  // static, of a group
  int64_t stack_bytes = 0;   // of a thread
  int64_t spill_store_bytes = 0;
  int64_t spill_load_bytes = 0;
  // Occupancy: how many threads a multiprocessor holds at once, of how many it could; none: its limits are not known.
  int64_t resident_threads = 0;
  int64_t most_threads = 0;
  std::string limit = {};  // what keeps out the next group: "threads", "groups", "registers" or "shared memory"
  double occupancy() const {
    return most_threads > 0 ? static_cast<double>(resident_threads) / static_cast<double>(most_threads) : 0;
  }
  friend bool operator==(const KernelResources&, const KernelResources&) = default;
};

}  // namespace placewright
