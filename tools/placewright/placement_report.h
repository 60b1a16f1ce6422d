// What `place` prints, gathered once for all of its formats: the plan, the graph that it is of, what is cut, the memory
// of each device over the step, and a simulated time line.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "placewright/kernel_report.h"
#include "placewright/run_graph.h"

namespace placewright::tools {

// A value that is copied because ops that read it run elsewhere.
struct CutEdge {
  Value value;  // of the planned graph
  DeviceId from, to;
  int64_t bytes = 0;
  bool at_load = false;
  double seconds = 0;
  std::vector<int32_t> readers;  // ops of the planned graph
};

struct MemoryHolder {
  std::string what;
  std::string kind;  // of its storage
  int64_t bytes = 0;
  SourceSite site;
};

// Bytes in use from one launch to the next point's.
struct MemoryPoint {
  int32_t launch = 0;  // number in the compiled graph
  int64_t bytes = 0;
};

struct DeviceMemory {
  DeviceId device;
  int64_t capacity_bytes = 0;  // 0: unknown
  int64_t needed_bytes = 0;    // a step runs with this much: the peak, gaps in the arena, workspaces, kept results
  int64_t peak_bytes = 0;
  int32_t peak_launch = 0;
  int64_t arena_bytes = 0;
  int64_t workspace_bytes = 0;        // what launches work in, beside the peak
  std::vector<MemoryHolder> holders;  // at the peak, largest first
  std::vector<MemoryPoint> points;
};

// One launch on a device, or one copy on a link.
struct TimeSpan {
  int32_t track = 0;
  int32_t launch = -1;       // number in `launches`; of a result that the host reads, what made it
  int32_t result = -1;       // its number, if it is that
  std::vector<int32_t> ops;  // of the planned graph: what the launch is for, as far as origins tell
  double begin = 0, end = 0;
};

struct Timeline {
  std::vector<std::string> tracks;  // devices, then links "cpu:0 -> sim:0"
  std::vector<TimeSpan> spans;      // by begin
  double seconds = 0;               // when the last one ends
};

// The placement that the sum of all times alone would take, where another one is done earlier.
struct LeastSumPlacement {
  double seconds = 0, bound_seconds = 0;  // by its own prices, relief included; what no placement can undercut
  double done_seconds = 0;                // until its last device is done
  bool is_optimal() const { return seconds == bound_seconds; }
};

// How good the placement of what was left to choose by cost is: op times and copies that depend on it, and what no
// placement can undercut.
struct PlacementProof {
  bool is_simulated = false;  // what counts is when the last device is done; else the sum of all times
  double chosen_seconds = 0;  // relief included
  double bound_seconds = 0;
  bool is_optimal = false;
  double relief_seconds = 0;                        // that what leaves a memory and comes back adds
  double sum_seconds = 0, sum_bound_seconds = 0;    // the sum of all times, whichever counts
  int priced = 0;                                   // placements whose launches were priced as compiled
  std::optional<LeastSumPlacement> least_sum = {};  // if simulated
  double gap() const { return bound_seconds > 0 ? chosen_seconds / bound_seconds - 1 : 0; }
  double sum_gap() const { return sum_bound_seconds > 0 ? sum_seconds / sum_bound_seconds - 1 : 0; }
};

// How far every cost may err, all at once, before another placement is better; and whose costs decide that.
struct PlacementRadius {
  double relative = 0;
  bool is_proven = false;       // that the placement is optimal inside
  std::vector<int32_t> ops;     // to be measured best, dearest first
  std::vector<int32_t> copied;  // ops whose values' copies decide too
};

// What the user's word costs: a step with all pins, less one without those of this line.
struct PinPrice {
  SourceSite site;
  DeviceId device;
  size_t ops = 0;
  std::optional<double> seconds;  // nothing: without them there is no placement
};

struct PlacementHint {
  std::string text;
  double seconds = 0;  // that a step would take less
};

// Ops on one device that values connect, and what a step would take longer with all of them that are free elsewhere.
struct PlacementIsland {
  DeviceId device;
  std::vector<int32_t> ops;
  std::vector<std::pair<DeviceId, double>> elsewhere;
};

struct PlacementReport {
  GraphPlacement placed;
  std::string model, machine;            // files; no machine: the one that this runs on
  std::vector<std::string> modules;      // of each op: its module path; of inputs, what their name says
  std::vector<CutEdge> cuts;             // between ops of the planned graph
  std::vector<DeviceMemory> memory;      // sorted by device
  std::vector<std::string> launches;     // of the compiled graph, for people
  Timeline timeline;                     // of the compiled graph; no spans without costs
  std::optional<PlacementProof> proof;   // nothing where there was no choice
  std::vector<PinPrice> pins;            // dearest first
  std::vector<PlacementHint> hints;      // largest saving first
  std::vector<PlacementIsland> islands;  // largest first; those whose ops have no choice are left out
  std::optional<PlacementRadius> radius;
  std::string unplanned_memory;            // why `memory` is empty
  std::vector<KernelReport> kernels = {};  // where they were compiled; by target

  const Function& function() const { return placed.planned.main(); }
  const Origin& origin(const OpPlacement& op) const { return placed.planned.origins[op.origin]; }
};

PlacementReport make_placement_report(GraphPlacement placed, std::string model, std::string machine);

// What each device holds, by a memory plan of the compiled graph. Error if values are on several devices at once.
std::vector<DeviceMemory> find_memory(const GraphPlacement& placed);

// What re-solves say: prices of pins and hints; islands.
void find_hints(PlacementReport& report);
void find_islands(PlacementReport& report);
void find_radius(PlacementReport& report);

// The formats. Text is at most 100 columns wide; docs/placement-report.md describes the JSON.
std::string placement_text(const PlacementReport& report, bool every_op, bool colour);
std::string placement_json(const PlacementReport& report);
// A part of the text: empty without kernels.
std::string kernels_text(const std::vector<KernelReport>& kernels, bool colour);
std::string placement_dot(const PlacementReport& report);
std::string placement_page(const PlacementReport& report);

}  // namespace placewright::tools
