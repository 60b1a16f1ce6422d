// The report as JSON: docs/placement-report.md and its schema say what each field means.
#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "json_text.h"
#include "placement_document.h"
#include "placement_report.h"

namespace placewright::tools {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const SourceSite& site) { return site.file.empty() ? Json() : Json(site.to_string()); }

const char* when(bool at_load) { return at_load ? "once" : "step"; }

Json op_json(const PlacementReport& report, const OpPlacement& op) {
  const Op& made = report.function().ops[op.op];
  const Origin& origin = report.origin(op);
  Json row{{"op", op.op},
           {"what", op.what},
           {"kind", made.name()},
           {"origin", op.origin == 0 ? Json() : Json(origin.name())},
           {"module", report.modules[op.op]},
           {"role", name(origin.role)},
           {"site", to_json(op.site)},
           {"frames", Json::array()},
           {"type", Json()},
           {"bytes", 0},
           {"operands", Json::array()},
           {"devices", Json::array()},
           {"cause", name(op.cause)},
           {"reason", op.reason},
           {"seconds", op.seconds},
           {"rejected", Json::array()}};
  for (const SourceSite& frame : origin.frames) row["frames"].push_back(frame.to_string());
  if (!made.results.empty()) {
    const TensorType& type = made.results.front().tensor();
    row["type"] = Type(type.dtype, type.shape).to_string();
    int64_t bytes = 0;
    for (const Type& result : made.results) bytes += result.tensor().bytes();
    row["bytes"] = bytes;
  }
  for (Value operand : made.operands) row["operands"].push_back(operand.op);
  for (const DeviceId& device : op.where.devices) row["devices"].push_back(device.to_string());
  for (const RejectedDevice& rejected : op.rejected)
    row["rejected"].push_back({{"device", rejected.device.to_string()},
                               {"kind", name(rejected.kind)},
                               {"cause", rejected.cause},
                               {"site", to_json(rejected.site)},
                               {"seconds", rejected.seconds}});
  return row;
}

Json memory_json(const DeviceMemory& memory) {
  Json row{{"device", memory.device.to_string()},
           {"capacity_bytes", memory.capacity_bytes},
           {"needed_bytes", memory.needed_bytes},
           {"peak_bytes", memory.peak_bytes},
           {"peak_launch", memory.peak_launch},
           {"arena_bytes", memory.arena_bytes},
           {"workspace_bytes", memory.workspace_bytes},
           {"holders", Json::array()},
           {"points", Json::array()}};
  for (const MemoryHolder& holder : memory.holders)
    row["holders"].push_back(
        {{"what", holder.what}, {"kind", holder.kind}, {"bytes", holder.bytes}, {"site", to_json(holder.site)}});
  for (const MemoryPoint& point : memory.points) row["points"].push_back({point.launch, point.bytes});
  return row;
}

Json relief_json(const ReliefStep& step) {
  return {{"what", step.what},
          {"how", name(step.kind)},
          {"device", step.device.to_string()},
          {"waits_on", step.kind == ReliefKind::offloaded ? Json(step.waits_on.to_string()) : Json()},
          {"before", step.reader},
          {"launches", step.launches.size()},
          {"bytes", step.bytes},
          {"seconds", step.seconds},
          {"because", step.because},
          {"site", to_json(step.site)}};
}

Json kernel_json(const KernelReport& kernel) {
  const KernelResources& uses = kernel.uses;
  const bool is_known = uses.most_threads > 0;
  return {{"target", kernel.target},
          {"image", kernel.image},
          {"entry", kernel.entry},
          {"symbol", kernel.phase.symbol},
          {"origins", kernel.origins},
          {"groups", kernel.phase.groups},
          {"group_threads", kernel.phase.group_threads},
          {"registers", uses.registers},
          {"shared_bytes", uses.shared_bytes + kernel.phase.shared_bytes},
          {"stack_bytes", uses.stack_bytes},
          {"spill_store_bytes", uses.spill_store_bytes},
          {"spill_load_bytes", uses.spill_load_bytes},
          {"occupancy", is_known ? Json(uses.occupancy()) : Json()},
          {"occupancy_limit", is_known ? Json(uses.limit) : Json()}};
}

Json timeline_json(const Timeline& timeline) {
  Json document{{"simulation", "launch by launch, as the runtime hands them out; devices and links are serial"},
                {"seconds", timeline.seconds},
                {"tracks", timeline.tracks},
                {"spans", Json::array()}};
  for (const TimeSpan& span : timeline.spans)
    document["spans"].push_back({{"track", span.track},
                                 {"launch", span.launch},
                                 {"result", span.result < 0 ? Json() : Json(span.result)},
                                 {"ops", span.ops},
                                 {"begin", span.begin},
                                 {"end", span.end}});
  return document;
}

Json least_sum_json(const std::optional<LeastSumPlacement>& least) {
  if (!least) return {};
  return {{"seconds", least->seconds},
          {"bound_seconds", least->bound_seconds},
          {"is_optimal", least->is_optimal()},
          {"done_seconds", least->done_seconds}};
}

Json proof_json(const std::optional<PlacementProof>& proof) {
  if (!proof) return {};
  return {{"of", proof->is_simulated ? "simulated time" : "sum of times"},
          {"is_optimal", proof->is_optimal},
          {"chosen_seconds", proof->chosen_seconds},
          {"bound_seconds", proof->bound_seconds},
          {"gap", proof->gap()},
          {"relief_seconds", proof->relief_seconds},
          {"sum_seconds", proof->sum_seconds},
          {"sum_bound_seconds", proof->sum_bound_seconds},
          {"placements_priced", proof->priced},
          {"least_sum", least_sum_json(proof->least_sum)}};
}

Json radius_json(const std::optional<PlacementRadius>& radius) {
  if (!radius) return {};
  return {{"relative", radius->relative},
          {"is_proven", radius->is_proven},
          {"ops", radius->ops},
          {"copied", radius->copied}};
}

Json devices_json(const PlacementReport& report) {
  Json rows = Json::array();
  for (const DeviceSpec& spec : report.placed.machine.devices) {
    int64_t ops = 0;
    double seconds = 0;
    for (const OpPlacement& op : report.placed.plan.ops)
      if (op.where.devices.front() == spec.id) {
        ++ops;
        seconds += op.seconds;
      }
    rows.push_back({{"device", spec.id.to_string()},
                    {"name", spec.name},
                    {"memory_bytes", spec.memory_bytes},
                    {"ops", ops},
                    {"seconds", seconds}});
  }
  return rows;
}

}  // namespace

Json placement_document(const PlacementReport& report) {
  const PlacementPlan& plan = report.placed.plan;
  Json document{{"format", "placewright placement report"},
                {"version", 2},
                {"model", report.model},
                {"machine", report.machine.empty() ? Json() : Json(report.machine)},
                {"objective", plan.objective},
                {"seconds", plan.seconds},
                {"proof", proof_json(report.proof)},
                {"radius", radius_json(report.radius)},
                {"bytes_per_step", plan.bytes_per_step},
                {"bytes_at_load", plan.bytes_at_load},
                {"devices", devices_json(report)},
                {"absent", plan.absent},
                {"ops", Json::array()},
                {"cuts", Json::array()},
                {"transfers", Json::array()},
                {"conflicts", Json::array()},
                {"pins", Json::array()},
                {"hints", Json::array()},
                {"islands", Json::array()},
                {"memory", Json::array()},
                {"relief", Json::array()},
                {"kernels", Json::array()},
                {"launches", report.launches},
                {"timeline", timeline_json(report.timeline)}};
  for (const OpPlacement& op : plan.ops) document["ops"].push_back(op_json(report, op));
  for (const CutEdge& cut : report.cuts)
    document["cuts"].push_back({{"op", cut.value.op},
                                {"result", cut.value.result},
                                {"from", cut.from.to_string()},
                                {"to", cut.to.to_string()},
                                {"bytes", cut.bytes},
                                {"when", when(cut.at_load)},
                                {"seconds", cut.seconds},
                                {"readers", cut.readers}});
  for (const PlannedTransfer& transfer : plan.transfers)
    document["transfers"].push_back({{"what", transfer.what},
                                     {"from", transfer.from.to_string()},
                                     {"to", transfer.to.to_string()},
                                     {"bytes", transfer.bytes},
                                     {"when", when(transfer.at_load)},
                                     {"why", transfer.why},
                                     {"site", to_json(transfer.site)},
                                     {"seconds", transfer.seconds}});
  for (const PinConflict& conflict : plan.conflicts)
    document["conflicts"].push_back({{"op", conflict.reader},
                                     {"from", conflict.from.to_string()},
                                     {"to", conflict.to.to_string()},
                                     {"bytes", conflict.bytes},
                                     {"when", when(conflict.at_load)},
                                     {"value_site", to_json(conflict.value_site)},
                                     {"reader_site", to_json(conflict.reader_site)},
                                     {"message", conflict.message}});
  for (const PinPrice& pin : report.pins)
    document["pins"].push_back({{"site", to_json(pin.site)},
                                {"device", pin.device.to_string()},
                                {"ops", pin.ops},
                                {"seconds", pin.seconds ? Json(*pin.seconds) : Json()}});
  for (const PlacementHint& hint : report.hints)
    document["hints"].push_back({{"text", hint.text}, {"seconds", hint.seconds}});
  for (const PlacementIsland& island : report.islands) {
    Json elsewhere = Json::array();
    for (const auto& [device, seconds] : island.elsewhere)
      elsewhere.push_back({{"device", device.to_string()}, {"seconds", seconds}});
    document["islands"].push_back(
        {{"device", island.device.to_string()}, {"ops", island.ops}, {"elsewhere", std::move(elsewhere)}});
  }
  for (const ReliefStep& step : plan.relief) document["relief"].push_back(relief_json(step));
  for (const KernelReport& kernel : report.kernels) document["kernels"].push_back(kernel_json(kernel));
  for (const DeviceMemory& memory : report.memory) document["memory"].push_back(memory_json(memory));
  return document;
}

std::string placement_json(const PlacementReport& report) { return json_text(placement_document(report)); }

}  // namespace placewright::tools
