// Makes plan files: ops by name, what the plan says of them, the memory that it takes.
#include "placewright/passes/plan_file.h"

#include <algorithm>
#include <set>

#include <fmt/core.h>

#include "placewright/base/duration.h"
#include "placewright/base/hash.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/plan_memory.h"
#include "placewright/ir/profile.h"

namespace placewright {
namespace {

std::string word(PlacementCause cause) {
  std::string text(name(cause));
  std::replace(text.begin(), text.end(), ' ', '_');
  return text;
}

// The cause alone says why; of the others the reason names who decided.
bool says_all(PlacementCause cause) {
  return cause == PlacementCause::cheapest || cause == PlacementCause::only_device ||
         cause == PlacementCause::argument_home || cause == PlacementCause::pinned;
}

PlanFile::Row make_row(const OpPlacement& op, const PlanFile* followed) {
  PlanFile::Row row{op.key, op.type, op.where.devices, word(op.cause), "", nanoseconds(op.seconds), op.site, {}, 0};
  if (op.cause == PlacementCause::pinned) row.pinned = op.pinned_at;
  if (!says_all(op.cause)) row.reason = op.reason;
  if (op.by_plan_file && op.cause == PlacementCause::pinned) {
    row.cause = "pin";
    row.line = op.pinned_at.line;
    row.pinned = {};
  } else if (op.by_plan_file && followed) {
    if (const PlanFile::Row* old = followed->find(op.key)) {
      row.cause = old->cause;
      row.reason = old->reason;
    }
  }
  return row;
}

}  // namespace

std::vector<std::string> op_keys(const Graph& graph) {
  std::vector<std::string> keys;
  std::map<std::string, int> counts;
  for (const Op& op : graph.main().ops) {
    std::string key = op_name(graph, op);
    int before = counts[key]++;
    if (before > 0) key += fmt::format("+{}", before);
    keys.push_back(std::move(key));
  }
  return keys;
}

bool PlanFile::Row::says_the_same(const Row& other) const {
  return key == other.key && type == other.type && devices == other.devices && cause == other.cause &&
         reason == other.reason && nanoseconds == other.nanoseconds && site == other.site && pinned == other.pinned;
}

const PlanFile::Row* PlanFile::find(std::string_view key) const {
  auto at = std::lower_bound(by_key.begin(), by_key.end(), key,
                             [&](int row, std::string_view wanted) { return rows[row].key < wanted; });
  return at != by_key.end() && rows[*at].key == key ? &rows[*at] : nullptr;
}

bool PlanFile::has_only_pins() const {
  return std::all_of(rows.begin(), rows.end(), [](const Row& row) { return row.is_pin(); });
}

void PlanFile::index() {
  by_key.resize(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) by_key[i] = static_cast<int>(i);
  std::sort(by_key.begin(), by_key.end(), [&](int a, int b) { return rows[a].key < rows[b].key; });
}

std::string profile_hash(const Profile* profile) { return profile ? hash_text(print_profile(*profile)) : "none"; }

PlanHeader make_plan_header(const Graph& captured, const Machine& machine, std::string profile_hash,
                            const std::map<std::string, int64_t>& symbols) {
  PlanHeader header;
  header.model = captured.main().name;
  header.model_hash = hash_text(print_graph(captured));
  header.machine_hash = hash_text(print_machine(machine));
  header.profile_hash = std::move(profile_hash);
  for (const DeviceSpec& device : machine.devices)
    header.devices.push_back({device.id, device.name, hash_text(print_machine({{device}, {}, {}}))});
  std::stable_partition(header.devices.begin(), header.devices.end(),
                        [&](const PlanHeader::Device& device) { return machine.find(device.id).host_memory; });
  header.links = machine.links;
  header.symbols = symbols;
  return header;
}

PlanFile make_plan_file(const PlacementPlan& plan, const Graph& compiled, PlanHeader header, const PlanFile* followed) {
  PlanFile file;
  file.header = std::move(header);
  file.objective = plan.objective;
  file.nanoseconds = nanoseconds(plan.seconds);
  file.bytes_per_step = plan.bytes_per_step;
  file.bytes_at_load = plan.bytes_at_load;
  for (const DeviceMemoryPlan& device : plan_memory(compiled, 0).devices)
    file.peaks.push_back({device.device, device.peak_bytes});
  for (const OpPlacement& op : plan.ops) file.rows.push_back(make_row(op, followed));
  for (const PlannedTransfer& transfer : plan.transfers)
    file.transfers.push_back({op_name(compiled, compiled.main().op(transfer.value)), transfer.from, transfer.to,
                              transfer.bytes, transfer.at_load, transfer.why, transfer.site});
  for (const ReliefStep& step : plan.relief) {
    std::string how(name(step.kind));
    std::replace(how.begin(), how.end(), ' ', '_');
    file.relief.push_back({how, step.what, step.device, step.bytes, nanoseconds(step.seconds), step.site});
  }
  if (followed) file.name = followed->name;
  file.index();
  return file;
}

std::optional<PlanFile::Proof> make_proof(const PlacementPlan& plan) {
  if (!plan.solved || plan.solved->problem.labels < 2) return {};
  const SolvedPlacement& solved = *plan.solved;
  PlanFile::Proof proof{solved.devices, {}, solved.problem, solved.labels, solved.energy, 0, certify(solved.problem)};
  for (const ReliefStep& step : plan.relief) proof.relief += nanoseconds(step.seconds);
  proof.rows.resize(solved.problem.costs.size() - 1);
  for (size_t op = 0; op < solved.group_of.size(); ++op)
    proof.rows[static_cast<size_t>(solved.group_of[op])].push_back(static_cast<int>(op));
  return proof;
}

PlanFile pins_of(const PlanFile& plan) {
  PlanFile pins;
  pins.name = plan.name;
  for (const PlanFile::Row& row : plan.rows)
    if (row.is_pin()) pins.rows.push_back(row);
  pins.index();
  return pins;
}

void require_plan_of(const PlanFile& plan, const std::vector<std::string>& keys) {
  std::set<std::string_view> here(keys.begin(), keys.end());
  for (const PlanFile::Row& row : plan.rows)
    if (here.contains(row.key) || row.is_pin()) return;
  if (plan.rows.empty()) return;
  throw Error(fmt::format("{}: the plan is another model's ({}): none of its {} ops is in this one, nor '{}'",
                          plan.name, plan.header.model, plan.rows.size(), plan.rows.front().key));
}

}  // namespace placewright
