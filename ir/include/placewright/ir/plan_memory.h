// Where the values of a placed function live: liveness, storage shared by views and by in-place ops, states updated in
// place, and offsets in one arena a device. Ops are taken as launches that run one after the other in their order: who
// runs some of them on other streams must wait not only for what an op reads but also for the readers and the writer of
// what its storage held before.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "placewright/ir/graph.h"
#include "placewright/ir/kernel.h"

namespace placewright {

enum class StorageKind : uint8_t {
  argument,   // the caller's memory; only read
  state,      // the StateStore's
  constant,   // filled once at load: constants, and their copies on other devices
  temporary,  // at `offset` in its device's arena
  result,     // handed to the caller
};
std::string_view name(StorageKind kind);

struct Storage {
  StorageKind kind = StorageKind::temporary;
  DeviceId device;
  int64_t bytes = 0;
  int64_t offset = 0;         // temporaries only
  int32_t first = 0;          // op that writes it first; 0 for what is there before the step
  int32_t last = 0;           // op that reads it last; the number of ops for what is needed after the step
  std::vector<Value> values;  // that live here, one after the other or as views of each other
};

struct DeviceMemoryPlan {
  DeviceId device;
  int64_t arena_bytes = 0;
  int64_t other_bytes = 0;       // arguments, states, constants and results
  int64_t peak_bytes = 0;        // most that is alive at once, all kinds together
  int32_t peak_at = 0;           // op at which that is
  std::vector<int32_t> holders;  // storages alive there, largest first
};

struct MemoryPlan {
  std::vector<Storage> storages;
  std::vector<std::vector<int32_t>> storage_of;  // [op][result]
  std::vector<bool> updated_in_place;            // of each update; else the value is copied to the state at the end
  // Updates in the order in which their copies must run: one that reads another state comes before that is overwritten.
  std::vector<int32_t> update_order;
  std::vector<DeviceMemoryPlan> devices;  // sorted by device

  int32_t storage(Value value) const { return storage_of[value.op][value.result]; }
};

struct MemoryOptions {
  // Whether the op may write `result` over `operand`, which nothing reads later, while it runs. Empty: elementwise ops
  // may, where both have the same bytes.
  std::function<bool(const Op& op, int operand, int result)> in_place;
  int64_t alignment = 64;
};

// A function result has a storage of kind result, unless it is an input, a constant, or shares the storage of another
// result: those are copied out by whoever runs the function. Error if values are not on one device each, or if states
// swap their values.
MemoryPlan plan_memory(const Graph& graph, FunctionId function, const MemoryOptions& options = {});

// Replays the function against the plan and shares no code with the planner. Error says which op reads what is not
// there, or which results, updates, states or arenas are not as they must be.
void check_memory_plan(const Graph& graph, FunctionId function, const MemoryPlan& plan,
                       const MemoryOptions& options = {});

// Whether a kernel may store its buffer `result` over its buffer `operand`: at every point it loads only the element
// that it then stores, and no stage loads it later.
bool may_run_in_place(const StructuredKernel& kernel, int operand, int result);

// "sim:0: peak 1,234 bytes at op 7, arena 512" and the largest holders by name.
std::string describe_memory(const Graph& graph, FunctionId function, const MemoryPlan& plan);

}  // namespace placewright
