#include "placement_report.h"

#include <algorithm>
#include <map>

#include <fmt/core.h>

#include "placewright/base/duration.h"
#include "placewright/ir/op_table.h"
#include "placewright/ir/plan_memory.h"

namespace placewright::tools {
namespace {

const DeviceId& device_of(const PlacementPlan& plan, int32_t op) { return plan.ops[op].where.devices.front(); }

// Parameters have no module of their own: "features.0.weight" belongs to "features.0".
std::string module_of(const Graph& graph, const Op& op) {
  const std::string& path = graph.origins[op.origin].module_path;
  if (!path.empty() || !op.is("input")) return path;
  const std::string& name = op.attributes.get<std::string>("name");
  const size_t dot = name.rfind('.');
  return dot == std::string::npos || name.find('/') != std::string::npos ? "" : name.substr(0, dot);
}

std::vector<CutEdge> find_cuts(const GraphPlacement& placed) {
  const Function& function = placed.planned.main();
  std::vector<CutEdge> cuts;
  std::map<std::pair<Value, DeviceId>, size_t> numbers;
  for (const PlannedTransfer& copy : placed.transfers) {
    if (copy.from == copy.to || device_of(placed.plan, copy.value.op) == copy.to) continue;  // loads of inputs
    if (!numbers.try_emplace({copy.value, copy.to}, cuts.size()).second) continue;
    cuts.push_back({copy.value, copy.from, copy.to, copy.bytes, copy.at_load, copy.seconds, {}});
  }
  for (size_t op = 0; op < function.ops.size(); ++op)
    for (Value operand : function.ops[op].operands) {
      auto at = numbers.find({operand, device_of(placed.plan, static_cast<int32_t>(op))});
      if (at == numbers.end()) continue;
      std::vector<int32_t>& readers = cuts[at->second].readers;
      if (readers.empty() || readers.back() != static_cast<int32_t>(op)) readers.push_back(static_cast<int32_t>(op));
    }
  return cuts;
}

std::string launch_name(const Graph& graph, int32_t number) {
  const Function& function = graph.main();
  const Op& op = function.ops[number];
  std::string text = op.results.empty() ? std::string(op.name()) : value_name(graph, function, {number, 0});
  if (op.is("transfer")) text = "copy of " + text;
  const Origin& origin = graph.origins[op.origin];
  return origin.has_site() ? text + " (" + origin.site() + ")" : text;
}

// What each storage of a device holds from its first to its last launch, summed up: one point where the sum changes.
std::vector<MemoryPoint> memory_points(const MemoryPlan& plan, const DeviceId& device, int32_t launches) {
  std::vector<int64_t> growth(static_cast<size_t>(launches) + 2, 0);
  for (const Storage& storage : plan.storages) {
    if (storage.device != device) continue;
    const bool always = storage.kind == StorageKind::argument || storage.kind == StorageKind::state ||
                        storage.kind == StorageKind::constant;
    growth[always ? 0 : static_cast<size_t>(storage.first)] += storage.bytes;
    growth[always ? static_cast<size_t>(launches) + 1 : static_cast<size_t>(storage.last) + 1] -= storage.bytes;
  }
  std::vector<MemoryPoint> points;
  int64_t bytes = 0;
  for (int32_t launch = 0; launch <= launches; ++launch) {
    bytes += growth[launch];
    if (points.empty() || points.back().bytes != bytes) points.push_back({launch, bytes});
  }
  return points;
}

// Inputs have no line of their own: the first op that reads them has.
SourceSite site_near(const Graph& graph, Value value) {
  auto site_of = [&](const Op& op) {
    const Origin& origin = graph.origins[op.origin];
    return origin.has_site() ? origin.frames.front() : SourceSite{};
  };
  SourceSite site = site_of(graph.main().op(value));
  for (size_t op = 0; site.file.empty() && op < graph.main().ops.size(); ++op) {
    const std::vector<Value>& read = graph.main().ops[op].operands;
    if (std::find(read.begin(), read.end(), value) != read.end()) site = site_of(graph.main().ops[op]);
  }
  return site;
}

double seconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; }

std::optional<PlacementProof> find_proof(const PlacementPlan& plan) {
  if (!plan.solved) return {};
  const SolvedPlacement& solved = *plan.solved;
  int64_t relief = 0;  // whatever fits without it, or with another, is above the bound, too
  for (const ReliefStep& step : plan.relief) relief += nanoseconds(step.seconds);
  const int64_t sum = solved.energy + relief;
  const int64_t chosen = solved.is_simulated ? plan.done : sum,
                bound = solved.is_simulated ? solved.done_bound : solved.bound;
  PlacementProof proof{solved.is_simulated, seconds(chosen), seconds(bound),        chosen == bound,
                       seconds(relief),     seconds(sum),    seconds(solved.bound), solved.priced};
  if (const LeastSum& least = solved.least_sum; solved.is_simulated)
    proof.least_sum = {seconds(least.sum), seconds(least.bound), seconds(least.done)};
  return proof;
}

// Which ops of the planned graph each origin is of.
class OpsOfOrigins {
 public:
  explicit OpsOfOrigins(const PlacementPlan& plan) {
    for (const OpPlacement& op : plan.ops)
      if (op.origin != 0) ops_[op.origin].push_back(op.op);
  }

  std::vector<int32_t> find(const OriginTable& origins, OriginId origin) const {
    std::vector<int32_t> found;
    auto add = [&](OriginId id) {
      if (auto at = ops_.find(id); at != ops_.end()) found.insert(found.end(), at->second.begin(), at->second.end());
    };
    add(origin);
    for (OriginId merged : origins[origin].merged) add(merged);
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
  }

 private:
  std::map<OriginId, std::vector<int32_t>> ops_;
};

Timeline timeline_of(const GraphPlacement& placed) {
  const StepTimeline step = placed.simulate(placed.compiled);
  const OpsOfOrigins ops(placed.plan);
  Timeline timeline;
  timeline.seconds = seconds(step.done);
  std::map<std::string, int32_t> tracks;
  auto track = [&](const std::string& name) {
    auto [at, is_new] = tracks.try_emplace(name, static_cast<int32_t>(timeline.tracks.size()));
    if (is_new) timeline.tracks.push_back(name);
    return at->second;
  };
  for (const DeviceSpec& spec : placed.machine.devices) track(spec.id.to_string());
  for (const StepEvent& event : step.events) {
    const bool is_copy = event.device != event.to;
    timeline.spans.push_back({track(is_copy ? fmt::format("{} -> {}", event.device.to_string(), event.to.to_string())
                                            : event.device.to_string()),
                              event.op, event.result,
                              ops.find(placed.compiled.origins, placed.compiled.main().ops[event.op].origin),
                              seconds(event.begin), seconds(event.end)});
  }
  std::stable_sort(timeline.spans.begin(), timeline.spans.end(),
                   [](const TimeSpan& a, const TimeSpan& b) { return a.begin < b.begin; });
  return timeline;
}

}  // namespace

std::vector<DeviceMemory> find_memory(const GraphPlacement& placed) {
  constexpr size_t most_holders = 12;
  const Graph& graph = placed.compiled;
  const MemoryNeed need = placed.measure(graph);
  const MemoryPlan& plan = need.plan;
  const auto launches = static_cast<int32_t>(graph.main().ops.size());
  std::vector<DeviceMemory> memory;
  for (size_t d = 0; d < plan.devices.size(); ++d) {
    const DeviceMemoryPlan& device = plan.devices[d];
    const DeviceSpec* spec = placed.machine.try_find(device.device);
    DeviceMemory row{device.device,
                     spec ? spec->memory_bytes : 0,
                     need.devices[d].bytes,
                     device.peak_bytes,
                     device.peak_at,
                     device.arena_bytes,
                     need.devices[d].workspaces,
                     {},
                     memory_points(plan, device.device, launches)};
    for (size_t i = 0; i < std::min(most_holders, device.holders.size()); ++i) {
      const Storage& storage = plan.storages[device.holders[i]];
      if (storage.values.empty()) continue;
      const Value value = storage.values.front();
      row.holders.push_back({value_name(graph, graph.main(), value), std::string(name(storage.kind)), storage.bytes,
                             site_near(graph, value)});
    }
    memory.push_back(std::move(row));
  }
  return memory;
}

PlacementReport make_placement_report(GraphPlacement placed, std::string model, std::string machine) {
  PlacementReport report;
  report.placed = std::move(placed);
  report.model = std::move(model);
  report.machine = std::move(machine);
  const GraphPlacement& made = report.placed;
  for (const Op& op : report.function().ops) report.modules.push_back(module_of(made.planned, op));
  report.cuts = find_cuts(made);
  for (size_t i = 0; i < made.compiled.main().ops.size(); ++i)
    report.launches.push_back(launch_name(made.compiled, static_cast<int32_t>(i)));
  try {
    report.memory = find_memory(made);
  } catch (const Error& error) {  // values on several devices at once: the plan stands without a forecast of memory
    report.unplanned_memory = error.what();
  }
  report.timeline = timeline_of(made);
  report.proof = find_proof(made.plan);
  find_hints(report);
  find_islands(report);
  find_radius(report);
  return report;
}

}  // namespace placewright::tools
