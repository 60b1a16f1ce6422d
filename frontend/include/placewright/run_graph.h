// Graphs that come from files rather than from captured code: planned and run on the session's devices.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "placewright/ir/graph.h"
#include "placewright/ir/host_tensor.h"
#include "placewright/ir/machine.h"
#include "placewright/passes/placement.h"
#include "placewright/passes/step_timeline.h"

namespace placewright {

struct PlanFile;  // passes/plan_file.h
struct Profile;   // ir/profile.h

// Where each op would run, why, and what would be copied. `symbols` binds symbolic sizes. In the session's strict mode
// a transfer that nobody asked for is an Error.
PlacementPlan plan_graph(const Graph& graph, const std::map<std::string, int64_t>& symbols = {});

// The same for a machine that may be another one: no device is opened, and no code generator is asked. What its devices
// run, the machine says; `profile` (or null) holds what was measured on it. A pure function: the same graph, machine
// and profile give the same plan everywhere. Error unless the machine is whole and the profile is its own.
PlacementPlan plan_graph(const Graph& graph, const Machine& machine, const std::map<std::string, int64_t>& symbols,
                         bool strict = false, const Profile* profile = nullptr);

// Other figures of the same devices: what links and memories are in `machine`, and how many times as long ops take on
// some of them.
struct MachineFigures {
  Machine machine;
  std::map<DeviceId, double> durations;
};

// What place_graph decides, before the passes that follow it; plan.ops has the numbers of the graph's ops.
struct PlacementForecast {
  Graph planned;
  PlacementPlan plan;
};

// A plan, and the graphs that it speaks of.
struct GraphPlacement {
  Graph planned;                           // plan.ops has the numbers of its ops
  std::vector<PlannedTransfer> transfers;  // between those ops, before later passes dropped or shared some
  Graph compiled;                          // behind all passes: plan.transfers is its ledger
  PlacementPlan plan;
  Machine machine;
  // The plan of another version of `planned` (a pin less, an input elsewhere) for the same devices, conflicts or not.
  // Its ledger is a forecast.
  std::function<PlacementPlan(const Graph&)> replan;
  // The same with other figures of those devices.
  std::function<PlacementPlan(const Graph&, const MachineFigures&)> replan_with;
  // Only where the ops of `planned` would then run.
  std::function<std::vector<DeviceId>(const Graph& planned, const MachineFigures&)> probe;
  // Of another version of the graph that was given, with other sizes: another batch.
  std::function<PlacementForecast(const Graph&, const std::map<std::string, int64_t>& symbols)> forecast;
  // What a step of a compiled graph needs of the devices' memories.
  std::function<MemoryNeed(const Graph& compiled)> measure;
  // When each of its launches and copies runs.
  std::function<StepTimeline(const Graph& compiled)> simulate;
  std::string profile_hash = "none";  // of what was measured and planned with
};
// `plan`: a plan file that placement follows, or null.
GraphPlacement place_graph(const Graph& graph, const std::map<std::string, int64_t>& symbols = {},
                           const PlanFile* plan = nullptr);
GraphPlacement place_graph(const Graph& graph, const Machine& machine, const std::map<std::string, int64_t>& symbols,
                           bool strict = false, const Profile* profile = nullptr, const PlanFile* plan = nullptr);

struct GraphRun {
  std::vector<HostTensor> results;
  std::map<std::string, HostTensor> states;  // those that the graph updates, after the call
  PlacementPlan plan;
  int64_t step_transfer_bytes = 0;  // between devices in the call, as the runtime counted
  int64_t load_transfer_bytes = 0;  // before it
};

// Runs main once, by a plan file or by none. `inputs` gives every argument, state and constant by its name; symbolic
// sizes are taken from them. Error names the input that is missing, unknown, or of another dtype or shape.
GraphRun run_graph(const Graph& graph, const std::map<std::string, HostTensor>& inputs, const PlanFile* plan = nullptr);

}  // namespace placewright
