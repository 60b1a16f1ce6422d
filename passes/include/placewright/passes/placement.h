// Placement: which device each op of a graph's entry function runs on, what is copied between devices, and why.
// plan_placement is the analysis, apply_placement writes its answer into the types; `place` does both.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "placewright/base/error.h"
#include "placewright/passes/pass.h"
#include "placewright/passes/placement_problem.h"
#include "placewright/passes/relief.h"

namespace placewright {

enum class PlacementCause : uint8_t {
  pinned,            // the user said so
  colocated,         // a state and the op that makes its new value stay together
  gradient_of,       // a backward op runs where its forward op does
  follows_operand,   // the op runs where a pinned value is
  follows_consumer,  // the value is made where a pinned op reads it
  argument_home,     // arguments are given in host memory
  only_device,       // no other device can run it
  cheapest,          // by estimated cost, transfers included
  planned,           // the plan file that is followed has it there
};
std::string_view name(PlacementCause cause);

enum class RejectionKind : uint8_t {
  pinned,       // the user placed the op elsewhere
  follows,      // what decided its place is elsewhere: a pinned neighbour, its forward op, the caller's memory
  colocated,    // the op that it stays with is elsewhere
  no_kernel,    // the device runs neither the op nor its parts
  not_allowed,  // a rule of the user's leaves it other devices only
  memory,       // what it holds does not fit there
  dearer,       // the step would take longer
  same_cost,    // the step would take as long; the device that comes first was taken
  absent,       // the device is not here
};
std::string_view name(RejectionKind kind);

struct RejectedDevice {
  DeviceId device;
  RejectionKind kind = RejectionKind::dearer;
  std::string cause;   // for people: names the values and the lines that decided
  SourceSite site;     // of what decided: the pin, the op that it stays with; else the op's own line
  double seconds = 0;  // that a step would take longer if the op alone, with what stays with it, ran there
};

struct OpPlacement {
  int32_t op = -1;  // number in the entry function
  OriginId origin = 0;
  std::string what;  // the input's name, or the op's
  SourceSite site;   // the user's line; no file if unknown
  Where where;
  PlacementCause cause = PlacementCause::only_device;
  std::string reason;  // for people: names the value and the line that decided
  std::vector<RejectedDevice> rejected;
  double seconds = 0;         // estimated on its device; 0 without a cost model
  std::string key = {};       // names the op in plan files (passes/plan_file.h)
  std::string type = {};      // of its results
  SourceSite pinned_at = {};  // of the pin, in the program or in the plan file
  bool by_plan_file = false;  // the plan file that was followed says so
};

// One copy between devices. A value is copied at most once to each device.
struct PlannedTransfer {
  Value value;       // what is copied: of the graph that was planned, or that settle_ledger read
  std::string what;  // the input's name, or the op that makes the value
  DeviceId from, to;
  int64_t bytes = 0;
  bool at_load = false;  // once, before the first step; else in every step
  std::string why;
  SourceSite site;  // of the value's first reader on `to`; for values moved by the user, of that line
  double seconds = 0;
};

// A copy that nobody wrote: the user's pins put an operand elsewhere than its op.
struct PinConflict {
  Value value;
  int32_t reader = -1;
  DeviceId from, to;
  int64_t bytes = 0;
  bool at_load = false;
  SourceSite value_site, reader_site;
  std::string message;  // one line: what, bytes, how often, both source lines and the fix
};

// The placement that the sum of all times alone would take, by its own prices as fused, in nanoseconds.
struct LeastSum {
  int64_t sum = 0;    // relief included
  int64_t bound = 0;  // proven: no placement within the devices' memories takes less
  int64_t done = 0;   // when its last device is done, as PlacementPlan has it
};

// What was left to choose by cost, as numbers, and the answer.
struct SolvedPlacement {
  PlacementProblem problem;
  std::vector<DeviceId> devices;  // of each label
  std::vector<int> group_of;      // of each op; one more group, the last, is the host, which reads the results
  std::vector<Value> sources;     // of each of problem.values
  Labels labels;                  // of each group
  int64_t energy = 0;             // nanoseconds
  int64_t bound = 0;              // proven: no placement within the devices' memories takes less
  bool is_limited = false;        // by the devices' memories: with more, another placement would take less
  int64_t relief = 0;             // besides, what leaves a memory and comes back
  // Devices that work at once make a step shorter: what was minimised is when the last one is done, which `done_bound`
  // bounds for all placements. Then `energy` is not the least, and `least_sum` is of another placement, which costs as
  // much by these prices, too.
  bool is_simulated = false;
  int64_t done_bound = 0;
  int priced = 0;  // placements whose launches were priced as they would be compiled
  LeastSum least_sum = {};
};

struct PlacementPlan {
  std::vector<OpPlacement> ops;  // one for each op of the entry function
  std::vector<PlannedTransfer> transfers;
  std::vector<ReliefStep> relief;  // of the compiled graph: what leaves a memory that is too small, and comes back
  std::vector<PinConflict> conflicts;
  std::vector<std::string> hints;   // what would save most, one line each, largest saving first
  std::vector<std::string> absent;  // devices that are not here: cause and fix
  std::string objective;            // what `seconds` sums
  double seconds = 0;               // of one step, one thing after the other; 0 without a cost model
  // When the last device is done and the host has the results, in nanoseconds: as compiled, launch by launch
  // (passes/step_timeline.h), relief included. 0 on one device.
  int64_t done = 0;
  int64_t bytes_per_step = 0;
  int64_t bytes_at_load = 0;
  std::shared_ptr<const SolvedPlacement> solved;  // null on one device
};

// Pins and rules that leave an op no device, an op that no device runs, memories that hold no step.
class NoPlacement : public Error {
 public:
  using Error::Error;
};

// NoPlacement. Error: a pin names a device that is absent; in strict mode, any conflict of pins; transfers above the
// options' limit.
PlacementPlan plan_placement(const Graph& graph, const PassContext& context);
Graph apply_placement(Graph graph, const PlacementPlan& plan);

// Makes the ledger anew from the graph that is compiled, behind all passes: the copies that they dropped or shared are
// gone, the constants that it loads are there. Before that, the ledger is a forecast. The runtime counts the same
// bytes. What relief takes is then known as compiled, too.
void settle_ledger(PlacementPlan& plan, const Graph& compiled, const PassContext& context);

// The text form: a line for each op with its device and reason, then the transfer ledger.
std::string print_plan(const PlacementPlan& plan);

// What one copy over the machine's link takes, by profile, else by the link's rate; 0 if nothing is known.
double transfer_seconds(const PassContext& context, const DeviceId& from, const DeviceId& to, int64_t bytes);

}  // namespace placewright
