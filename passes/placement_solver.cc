#include "placement_solver.h"

#include <algorithm>
#include <set>
#include <tuple>

#include <fmt/core.h>

#include "movement.h"
#include "placewright/base/join.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/placement_problem.h"

namespace placewright {
namespace {

// A place that the user, the frontend or `shard` gave: a pin, or the device in the op's type.
std::optional<DeviceId> given_device(const Op& op) {
  if (op.pin) return op.pin->device;
  if (op.results.empty()) return {};
  const Where& where = op.results.front().tensor().where;
  return where.is_single() ? std::optional(where.devices[0]) : std::nullopt;
}

bool is_input_of_kind(const Op& op, InputKind kind) {
  return op.is("input") && op.attributes.get<std::string>("kind") == name(kind);
}

}  // namespace

PlacementSolver::PlacementSolver(const Graph& graph, const PassContext& context, CompiledPlacements* compiled)
    : graph_(graph), function_(graph.main()), context_(context), compiled_(compiled) {
  for (const auto& [device, model] : context.targets) devices_.push_back(device);
  host_ = host_device(context);
  if (devices_.size() > PlacementProblem::most_labels)
    throw Error(fmt::format("placement chooses among {} devices, expected at most {}; open fewer", devices_.size(),
                            PlacementProblem::most_labels));
  if (devices_.empty()) devices_ = {host_};
  std::stable_partition(devices_.begin(), devices_.end(), [&](const DeviceId& device) { return device == host_; });

  size_t count = function_.ops.size();
  runs_.resize(count * devices_.size(), false);
  for (size_t i = 0; i < count; ++i) parents_.push_back(static_cast<int32_t>(i));
  decisions_.resize(count);
  decided_op_.resize(count, -1);
  readers_.resize(count);
  for (size_t i = 0; i < count; ++i)
    for (Value operand : function_.ops[i].operands) readers_[operand.op].push_back(static_cast<int32_t>(i));
}

std::vector<Decision> PlacementSolver::solve() {
  colocate_states();
  read_rules();
  fix_pins();
  if (context_.plan) {
    const std::vector<std::string> keys = op_keys(graph_);
    require_plan_of(*context_.plan, keys);
    fix_pins_of_plan(keys);
    follow_plan(keys);
  }
  require_common_devices();
  if (devices_.size() > 1) {
    fix_only_devices();
    while (spread_forward() || spread_backward()) {
    }
    choose_by_cost();
  }
  std::vector<Decision> answer;
  for (size_t i = 0; i < function_.ops.size(); ++i) {
    int32_t op = static_cast<int32_t>(i), group = root(op);
    if (!decisions_[group]) decide(op, {devices_.front(), PlacementCause::only_device, -1, false, {}});
    Decision decision = *decisions_[group];
    if (decided_op_[group] != op && function_.ops[i].pin) {
      decision = {decision.device, PlacementCause::pinned, -1, true, {}};
    } else if (decided_op_[group] != op) {
      decision.cause = PlacementCause::colocated;
      decision.because = decided_op_[group];
    }
    answer.push_back(std::move(decision));
  }
  return answer;
}

int32_t PlacementSolver::root(int32_t op) {
  while (parents_[op] != op) op = parents_[op] = parents_[parents_[op]];
  return op;
}

// A state and the op that makes its new value stay together. An update that hands one state's value to another, or that
// is read from an argument, leaves both free.
void PlacementSolver::colocate_states() {
  for (const Update& update : function_.updates)
    if (!function_.op(update.value).is("input")) parents_[root(update.value.op)] = root(update.state.op);
}

void PlacementSolver::decide(int32_t op, Decision decision) {
  int32_t group = root(op);
  decisions_[group] = std::move(decision);
  decided_op_[group] = op;
}

std::string PlacementSolver::describe(int32_t op) const {
  const Op& made = function_.ops[op];
  std::string text = made.is("input") ? made.attributes.get<std::string>("name") : std::string(made.name());
  return !graph_.origins[made.origin].has_site() ? text
                                                 : fmt::format("{} ({})", text, graph_.origins[made.origin].site());
}

SourceSite PlacementSolver::site(int32_t op) const {
  const Origin& origin = graph_.origins[function_.ops[op].origin];
  return origin.has_site() ? origin.frames.front() : SourceSite{};
}

std::string PlacementSolver::refusal(int32_t op, const DeviceId& device) const {
  const auto label = static_cast<size_t>(std::find(devices_.begin(), devices_.end(), device) - devices_.begin());
  if (label == devices_.size()) return find_refusal(op, device);
  const size_t at = static_cast<size_t>(op) * devices_.size() + label;
  if (runs_[at]) return {};
  std::string cause = find_refusal(op, device);
  runs_[at] = cause.empty();
  return cause;
}

std::string PlacementSolver::find_refusal(int32_t op, const DeviceId& device) const {
  if (const PlacementRule* rule = rule_against(op, device)) return disallowance(*rule);
  const Op& made = function_.ops[op];
  auto at = context_.targets.find(device);
  if (at == context_.targets.end() || made.entry->is_structural()) return {};
  if (made.entry->realised_as<Host>()) return device == host_ ? "" : "runs on the host only";
  std::string cause = at->second->refuses(graph_, function_, made);
  if (cause.empty() || !made.entry->realised_as<Decompose>()) return cause;
  const Graph& whole = parts(op);
  for (const Op& part : whole.main().ops) {
    if (part.entry->is_structural()) continue;
    cause = part.entry->realised_as<Host>() && device != host_ ? "runs on the host only"
                                                               : at->second->refuses(whole, whole.main(), part);
    if (!cause.empty()) return cause;
  }
  return {};
}

void PlacementSolver::require_device(const Op& op, const DeviceId& device, const std::string& site) const {
  if (std::find(devices_.begin(), devices_.end(), device) != devices_.end()) return;
  std::vector<std::string> names;
  for (const DeviceId& known : devices_) names.push_back(known.to_string());
  std::string cause;
  if (context_.machine)
    for (const AbsentDevice& absent : context_.machine->absent)
      if (absent.kind == device.kind) cause = fmt::format(": {}; {}", absent.cause, absent.fix);
  throw Error(fmt::format("{}: {} is placed on {}, which is not here{}; devices: {}", site, op.name(),
                          device.to_string(), cause, join(names, ", ")));
}

void PlacementSolver::fix_pins() {
  for (size_t i = 0; i < function_.ops.size(); ++i) {
    const Op& op = function_.ops[i];
    int32_t number = static_cast<int32_t>(i);
    std::optional<DeviceId> device = given_device(op);
    if (device) {
      std::string site = op.pin ? op.pin->site.to_string() : graph_.origins[op.origin].site();
      require_device(op, *device, site);
      if (std::string cause = refusal(number, *device); !cause.empty())
        throw NoPlacement(fmt::format("{}: {} is placed on {}, which cannot run it: {}", site, describe(number),
                                      device->to_string(), cause));
      const std::optional<Decision>& before = decisions_[root(number)];
      if (before && before->firm && before->device != *device)
        throw NoPlacement(conflict_of_pins(number, *device, site));
      // An argument that simply lies in host memory is no wish of the user's, nor is what `shard` did.
      bool is_moved =
          op.is("transfer") || (op.is("input") && (*device != host_ || !is_input_of_kind(op, InputKind::argument)));
      bool firm = op.pin || (is_moved && graph_.origins[op.origin].role != Role::transfer);
      decide(number, {*device, PlacementCause::pinned, -1, firm, {}});
    } else if (is_input_of_kind(op, InputKind::argument) && !decided(number) && !rule_against(number, host_)) {
      decide(number, {host_, PlacementCause::argument_home, -1, false, {}});
    }
  }
}

// Ops that only one device can run, and inputs that rules leave one.
void PlacementSolver::fix_only_devices() {
  for (size_t i = 0; i < function_.ops.size(); ++i) {
    int32_t op = static_cast<int32_t>(i);
    if (decided(op)) continue;
    std::map<DeviceId, RejectedDevice> rejected;
    for (const DeviceId& device : devices_)
      if (std::string cause = refusal(op, device); !cause.empty()) rejected[device] = refused(op, device, cause);
    if (rejected.size() == devices_.size()) {
      std::vector<std::string> causes;
      for (const auto& [device, why] : rejected) causes.push_back(device.to_string() + ": " + why.cause);
      throw NoPlacement(fmt::format("no device runs {}: {}", describe(op), join(causes, "; ")));
    }
    if (rejected.size() + 1 < devices_.size()) continue;
    for (const DeviceId& device : devices_)
      if (!rejected.contains(device)) decide(op, {device, PlacementCause::only_device, -1, false, rejected});
  }
}

// What a gradient's origin has in common with that of its forward op.
Origin forward_key(const Origin& origin) {
  Origin key = origin;
  key.role = Role::forward;
  key.merged.clear();
  return key;
}

// The operand that decides where an op runs: a pinned state if it reads one, else the largest one; devices other than
// the host go first. Scalars decide nothing. -1: no operand is firmly placed.
int32_t PlacementSolver::deciding_operand(const Op& op) {
  int32_t best = -1;
  std::tuple<bool, bool, int64_t> best_weight;
  for (Value operand : op.operands) {
    const TensorType& type = function_.tensor(operand);
    const std::optional<Decision>& decision = decisions_[root(operand.op)];
    if (!decision || !decision->firm || type.rank() == 0) continue;
    bool is_state = is_input_of_kind(function_.op(operand), InputKind::state);
    std::tuple weight{is_state, decision->device != host_, type.bytes()};
    if (best >= 0 && weight <= best_weight) continue;
    best = operand.op;
    best_weight = weight;
  }
  return best;
}

// An op runs where its forward op ran if it is a gradient of it, else where the deciding operand is.
bool PlacementSolver::spread_forward() {
  bool changed = false;
  std::map<Origin, int32_t> forward_ops;
  for (size_t i = 0; i < function_.ops.size(); ++i) {
    const Op& op = function_.ops[i];
    int32_t number = static_cast<int32_t>(i);
    const Origin& origin = graph_.origins[op.origin];
    if (!decided(number) && !op.operands.empty()) {
      auto twin = origin.role == Role::backward ? forward_ops.find(forward_key(origin)) : forward_ops.end();
      int32_t because = twin != forward_ops.end() ? twin->second : deciding_operand(op);
      PlacementCause cause = twin != forward_ops.end() ? PlacementCause::gradient_of : PlacementCause::follows_operand;
      if (because >= 0) changed = try_decide(number, because, cause) || changed;
    }
    if (origin.role == Role::forward && op.origin != 0 && decided(number) && decisions_[root(number)]->firm &&
        !op.operands.empty())
      forward_ops.try_emplace(forward_key(origin), number);
  }
  return changed;
}

// What nothing but its readers can place: states, constants, and what is computed from them.
bool PlacementSolver::spread_backward() {
  bool changed = false;
  for (size_t i = function_.ops.size(); i-- > 0;) {
    int32_t number = static_cast<int32_t>(i), because = -1;
    if (decided(number)) continue;
    for (int32_t reader : readers_[i]) {
      if (!decided(reader) || !decisions_[root(reader)]->firm) continue;
      if (because < 0 || (decisions_[root(because)]->device == host_ && decisions_[root(reader)]->device != host_))
        because = reader;
    }
    if (because < 0) continue;
    // What several devices read comes to each of them from the host, at load; where rules keep it off, costs choose.
    bool is_constant = is_input_of_kind(function_.ops[i], InputKind::constant);
    if (!is_constant || !read_on_several_devices(number))
      changed = try_decide(number, because, PlacementCause::follows_consumer) || changed;
    else if (!rule_against(number, host_))
      decide(number, {host_, PlacementCause::follows_consumer, because, false, {}});
  }
  return changed;
}

bool PlacementSolver::read_on_several_devices(int32_t op) {
  std::set<DeviceId> devices;
  for (int32_t reader : readers_[op])
    if (decided(reader)) devices.insert(decisions_[root(reader)]->device);
  return devices.size() > 1;
}

// The op takes the device of `because`, unless that cannot run it.
bool PlacementSolver::try_decide(int32_t op, int32_t because, PlacementCause cause) {
  DeviceId device = decisions_[root(because)]->device;
  if (!refusal(op, device).empty()) return false;
  decide(op, {device, cause, because, true, {}});
  return true;
}

}  // namespace placewright
