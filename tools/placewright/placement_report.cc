#include "placement_report.h"

#include <algorithm>
#include <map>
#include <queue>

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

std::optional<PlacementProof> find_proof(const PlacementPlan& plan) {
  if (!plan.solved) return {};
  const SolvedPlacement& solved = *plan.solved;
  int64_t relief = 0;  // whatever fits without it, or with another, is above the bound, too
  for (const ReliefStep& step : plan.relief) relief += nanoseconds(step.seconds);
  const bool is_simulated = solved.makespan > 0;
  const int64_t chosen = (is_simulated ? solved.makespan : solved.energy) + relief,
                bound = is_simulated ? solved.makespan_bound : solved.bound;
  auto seconds = [](int64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; };
  return PlacementProof{is_simulated,          seconds(chosen), seconds(bound),
                        chosen == bound,       seconds(relief), seconds(solved.energy + relief),
                        seconds(solved.bound), solved.priced};
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
  report.timeline = simulate(report);
  report.proof = find_proof(made.plan);
  find_hints(report);
  find_islands(report);
  find_radius(report);
  return report;
}

double simulated_seconds(const PlacementReport& report, const Graph& graph, PlacementPlan plan) {
  PlacementReport other;
  other.placed.planned = graph;
  other.placed.transfers = plan.transfers;
  other.placed.plan = std::move(plan);
  other.placed.machine = report.placed.machine;
  other.cuts = find_cuts(other.placed);
  return simulate(other).seconds;
}

Timeline simulate(const PlacementReport& report) {
  const PlacementPlan& plan = report.placed.plan;
  const Function& function = report.function();
  Timeline timeline;
  std::map<std::string, int32_t> tracks;
  std::vector<double> free_at;
  auto track = [&](const std::string& name) {
    auto [at, is_new] = tracks.try_emplace(name, static_cast<int32_t>(timeline.tracks.size()));
    if (is_new) {
      timeline.tracks.push_back(name);
      free_at.push_back(0);
    }
    return at->second;
  };
  for (const DeviceSpec& spec : report.placed.machine.devices) track(spec.id.to_string());
  auto run = [&](int32_t on, double ready, double seconds, int32_t op, int32_t cut) {
    const double begin = std::max(ready, free_at[on]);
    if (seconds > 0) timeline.spans.push_back({on, op, cut, begin, begin + seconds});
    return free_at[on] = begin + seconds;
  };

  std::map<Value, std::vector<int32_t>> copies;  // of each value, as numbers of cuts
  for (size_t c = 0; c < report.cuts.size(); ++c)
    if (!report.cuts[c].at_load) copies[report.cuts[c].value].push_back(static_cast<int32_t>(c));
  std::map<std::pair<Value, DeviceId>, double> arrived;
  std::vector<double> made_at(function.ops.size(), 0);
  for (size_t i = 0; i < function.ops.size(); ++i) {
    const auto op = static_cast<int32_t>(i);
    const DeviceId& device = device_of(plan, op);
    double ready = 0;
    for (Value operand : function.ops[i].operands) {
      auto at = arrived.find({operand, device});
      ready = std::max(ready, at != arrived.end() ? at->second : made_at[operand.op]);
    }
    const double seconds = plan.ops[i].seconds;
    made_at[i] = seconds > 0 ? run(track(device.to_string()), ready, seconds, op, -1) : ready;
    for (int32_t r = 0; r < static_cast<int32_t>(function.ops[i].results.size()); ++r) {
      auto moved = copies.find({op, r});
      if (moved == copies.end()) continue;
      for (int32_t c : moved->second) {
        const CutEdge& cut = report.cuts[c];
        const int32_t link = track(fmt::format("{} -> {}", cut.from.to_string(), cut.to.to_string()));
        arrived[{cut.value, cut.to}] = run(link, made_at[i], cut.seconds, -1, c);
      }
    }
  }
  for (const TimeSpan& span : timeline.spans) timeline.seconds = std::max(timeline.seconds, span.end);
  std::stable_sort(timeline.spans.begin(), timeline.spans.end(),
                   [](const TimeSpan& a, const TimeSpan& b) { return a.begin < b.begin; });
  return timeline;
}

}  // namespace placewright::tools
