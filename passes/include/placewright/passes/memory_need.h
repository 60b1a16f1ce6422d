// What a step needs of each device's memory, as the runtime allocates it: the arena of a memory plan, states, constants
// and results, and the workspaces of launches.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placewright/ir/plan_memory.h"
#include "placewright/passes/pass.h"

namespace placewright {

struct DeviceNeed {
  DeviceId device;
  int64_t bytes = 0;       // a step runs with this much
  int64_t beside = 0;      // of these, what is not in the arena
  int64_t workspaces = 0;  // of that, what launches work in
  int64_t least = 0;       // what is there all through a step, and with the largest launch: no relief needs less
  int64_t capacity = 0;    // as the machine says it; unlimited_memory (passes/placement_memory.h) where it does not

  int64_t excess() const { return bytes > capacity ? bytes - capacity : 0; }
};

struct MemoryNeed {
  MemoryPlan plan;
  std::vector<DeviceNeed> devices;  // as plan.devices

  int64_t excess() const;  // over all capacities, summed
};

// `compiled`: behind all passes. The targets of the context say what launches need; where they are exact, so is this.
// What other programs keep in memory is not counted, nor what a caller keeps of earlier results beyond the last.
MemoryNeed measure_need(const Graph& compiled, const PassContext& context);

// The largest holders of a device's memory, in words with their lines: workspaces, and what is added, largest first.
class HolderNames {
 public:
  explicit HolderNames(int64_t workspaces) : workspaces_(workspaces) {}
  void add(int64_t bytes, const std::string& name, const SourceSite& site);
  std::vector<std::string> take();

 private:
  static constexpr size_t most = 5;
  void add_workspaces(int64_t above);

  int64_t workspaces_;  // that are not named yet
  std::vector<std::string> names_;
};

// "a step needs 1234 bytes of memory on cpu:0, which has 1000; it holds ...": the device that lacks most, its largest
// holders with their lines.
std::string describe_shortage(const Graph& compiled, const MemoryNeed& need);

// The device that lacks most, as far as one does.
const DeviceId& lacking_device(const MemoryNeed& need);

// The line of an op of the entry function; inputs have none of their own: of the first op that reads it.
SourceSite site_near(const Graph& graph, int32_t op);

}  // namespace placewright
