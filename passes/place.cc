// The plan: the solver's decisions with their reasons, the transfer ledger, the conflicts of pins; and its application.
#include <algorithm>

#include <fmt/core.h>

#include "ledger.h"
#include "placement_solver.h"
#include "placewright/base/duration.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/profile.h"
#include "placewright/passes/placement.h"
#include "placewright/passes/plan_file.h"

namespace placewright {
namespace {

class Planner {
 public:
  Planner(const Graph& graph, const PassContext& context)
      : graph_(graph), function_(graph.main()), context_(context), solver_(graph, context) {
    first_reader_.resize(function_.ops.size(), -1);
    for (size_t i = function_.ops.size(); i-- > 0;)
      for (Value operand : function_.ops[i].operands) first_reader_[operand.op] = static_cast<int32_t>(i);
  }

  PlacementPlan run() {
    decisions_ = solver_.solve();
    keys_ = op_keys(graph_);
    bool has_costs = context_.machine && solver_.devices().size() > 1;
    for (size_t i = 0; i < decisions_.size(); ++i) {
      places_.push_back(Where{{decisions_[i].device}, {}, {}});
      plan_.ops.push_back(placement(static_cast<int32_t>(i)));
      if (has_costs) plan_.ops.back().seconds = solver_.seconds(static_cast<int32_t>(i));
    }
    std::vector<Movement> movements = find_movements(function_, places_);
    for (const Movement& movement : movements)
      if (is_conflict(movement)) plan_.conflicts.push_back(conflict(movement));
    set_ledger(plan_, forecast_transfers(graph_, places_, movements, context_), graph_, context_);
    if (context_.machine)
      for (const AbsentDevice& absent : context_.machine->absent)
        plan_.absent.push_back(fmt::format("{}: {}; {}", absent.kind, absent.cause, absent.fix));
    plan_.solved = solver_.solved();
    plan_.done = solver_.done();
    if (plan_.solved) plan_.seconds += static_cast<double>(plan_.solved->relief) * 1e-9;
    plan_.objective = has_costs ? objective_of(plan_) : "none: no choice to make";
    check_options();
    return std::move(plan_);
  }

 private:
  SourceSite site_of(int32_t op) const {
    const Origin& origin = graph_.origins[function_.ops[op].origin];
    return origin.frames.empty() ? SourceSite{} : origin.frames.front();
  }

  // Inputs have no line of their own: the first op that reads them has.
  SourceSite site_near(int32_t op) const {
    if (SourceSite own = site_of(op); !own.file.empty()) return own;
    return first_reader_[op] < 0 ? SourceSite{} : site_of(first_reader_[op]);
  }

  std::string what(int32_t op) const {
    const Op& made = function_.ops[op];
    return made.is("input") ? made.attributes.get<std::string>("name") : std::string(made.name());
  }

  OpPlacement placement(int32_t op) const {
    const Decision& decision = decisions_[op];
    OpPlacement placement{
        op, function_.ops[op].origin, what(op), site_of(op), places_[op], decision.cause, reason(op), {}, 0};
    placement.key = keys_[op];
    for (const Type& type : function_.ops[op].results) {
      TensorType bare = type.tensor();
      bare.where = {};
      placement.type += (placement.type.empty() ? "" : ", ") + Type(bare).to_string();
    }
    placement.by_plan_file = decision.by_plan_file;
    if (decision.cause == PlacementCause::pinned) placement.pinned_at = pinned_at(op);
    for (const DeviceId& device : solver_.devices())
      if (device != decision.device) placement.rejected.push_back(rejection(op, device));
    if (!context_.machine || is_given(decision.cause)) return placement;
    for (const AbsentDevice& absent : context_.machine->absent)
      placement.rejected.push_back({DeviceId{absent.kind, 0}, RejectionKind::absent,
                                    fmt::format("{}; {}", absent.cause, absent.fix), site_of(op), 0});
    return placement;
  }

  // Nobody looked for a device.
  static bool is_given(PlacementCause cause) {
    return cause == PlacementCause::pinned || cause == PlacementCause::argument_home;
  }

  // What keeps an op off a device: the user's word, then what the device cannot do, then what decided for its group.
  RejectedDevice rejection(int32_t op, const DeviceId& device) const {
    const Decision& decision = decisions_[op];
    if (decision.cause == PlacementCause::pinned) {
      return {device, RejectionKind::pinned, reason(op), pinned_at(op), 0};
    }
    if (std::string cause = solver_.refusal(op, device); !cause.empty()) return solver_.refused(op, device, cause);
    RejectedDevice why{device, RejectionKind::follows, reason(op), site_near(op), 0};
    if (decision.because >= 0 && !site_of(decision.because).file.empty()) why.site = site_of(decision.because);
    auto decided = decision.rejected.find(device);
    if (decision.cause == PlacementCause::colocated) {
      why.kind = RejectionKind::colocated;
      if (decided == decision.rejected.end()) return why;
      why.cause += ": " + decided->second.cause;
      why.seconds = decided->second.seconds;
      return why;
    }
    if (decided == decision.rejected.end()) return why;
    RejectedDevice found = decided->second;
    if (found.site.file.empty()) found.site = site_near(op);
    return found;
  }

  std::string reason(int32_t op) const {
    const Decision& decision = decisions_[op];
    std::string device = decision.device.to_string();
    std::string because = decision.because >= 0 ? solver_.describe(decision.because) : "";
    switch (decision.cause) {
      case PlacementCause::pinned:
        return "placed on " + device + pin_site(op);
      case PlacementCause::colocated:
        return "stays with " + because;
      case PlacementCause::gradient_of:
        return "gradient of " + because + ", which runs on " + device;
      case PlacementCause::follows_operand:
        return "reads " + because + ", which is on " + device;
      case PlacementCause::follows_consumer:
        return "read by " + because + ", which runs on " + device;
      case PlacementCause::argument_home:
        return "arguments are given in host memory";
      case PlacementCause::only_device:
        return "no other device can run it";
      case PlacementCause::cheapest:
        return "cheapest with its neighbours, transfers included";
      case PlacementCause::planned:
        return "stands there in the plan file, at " + decision.site.to_string();
    }
    return "";
  }

  SourceSite pinned_at(int32_t op) const {
    if (decisions_[op].by_plan_file) return decisions_[op].site;
    return function_.ops[op].pin ? function_.ops[op].pin->site : site_of(op);
  }

  std::string pin_site(int32_t op) const {
    SourceSite site = pinned_at(op);
    return site.file.empty() ? "" : " at " + site.to_string();
  }

  int64_t bytes(Value value) const { return function_.tensor(value).bytes(); }

  // Nobody wrote this copy, and pins made it necessary. Scalars may mix freely; what gradients move follows from what
  // their forward ops moved.
  bool is_conflict(const Movement& movement) const {
    if (movement.by_user || movement.reader < 0 || function_.tensor(movement.value).rank() == 0) return false;
    const Op& reader = function_.ops[movement.reader];
    bool given =
        decisions_[movement.value.op].firm || decisions_[movement.value.op].cause == PlacementCause::argument_home;
    return graph_.origins[reader.origin].role == Role::forward && decisions_[movement.reader].firm && given;
  }

  // The op whose pin decided where `op` is.
  int32_t pinned_op(int32_t op) const {
    for (size_t steps = 0; steps < decisions_.size() && decisions_[op].because >= 0; ++steps)
      op = decisions_[op].because;
    return op;
  }

  static std::string prefix(const SourceSite& site, const char* before, const char* after) {
    return site.file.empty() ? "" : before + site.to_string() + after;
  }

  PinConflict conflict(const Movement& movement) const {
    const TensorType& type = function_.tensor(movement.value);
    int32_t pin = pinned_op(movement.reader);
    std::string message = fmt::format(
        "{}{} reads {} {}, which is on {}{}, but runs on {}, where {} was placed{}: {} {} bytes {}; write .to(\"{}\") "
        "where {} is made, or place both on one device",
        prefix(site_of(movement.reader), "", ": "), function_.ops[movement.reader].name(), what(movement.value.op),
        Type(type.dtype, type.shape).to_string(), movement.from.to_string(),
        prefix(site_of(movement.value.op), " (", ")"), movement.to.to_string(), what(pin), pin_site(pin),
        context_.options.strict ? "it would copy" : "copies", bytes(movement.value),
        movement.at_load ? "once, at load" : "in every step", movement.to.to_string(), what(movement.value.op));
    return {movement.value,
            movement.reader,
            movement.from,
            movement.to,
            bytes(movement.value),
            movement.at_load,
            site_of(movement.value.op),
            site_of(movement.reader),
            message};
  }

  void check_options() const {
    const PassOptions& options = context_.options;
    if (options.strict && !plan_.conflicts.empty()) {
      std::string more = plan_.conflicts.size() == 1 ? "" : fmt::format(" (and {} more)", plan_.conflicts.size() - 1);
      throw Error(plan_.conflicts.front().message + more);
    }
    if (options.max_bytes_per_step < 0 || plan_.bytes_per_step <= options.max_bytes_per_step) return;
    auto largest = std::max_element(plan_.transfers.begin(), plan_.transfers.end(), [](const auto& a, const auto& b) {
      return (a.at_load ? -1 : a.bytes) < (b.at_load ? -1 : b.bytes);
    });
    throw Error(fmt::format(
        "a step copies {} bytes between devices, expected at most {}; the largest is {}: {} bytes "
        "from {} to {}, {} ({})",
        plan_.bytes_per_step, options.max_bytes_per_step, largest->what, largest->bytes, largest->from.to_string(),
        largest->to.to_string(), largest->why, largest->site.file.empty() ? "unknown" : largest->site.to_string()));
  }

  const Graph& graph_;
  const Function& function_;
  const PassContext& context_;
  PlacementSolver solver_;
  std::vector<int32_t> first_reader_;  // of each op; -1: none
  std::vector<Decision> decisions_;
  std::vector<std::string> keys_;
  std::vector<Where> places_;
  PlacementPlan plan_;
};

std::string at_site(const SourceSite& site) { return site.file.empty() ? "" : " " + site.to_string(); }

}  // namespace

std::string_view name(PlacementCause cause) {
  switch (cause) {
    case PlacementCause::pinned:
      return "pinned";
    case PlacementCause::colocated:
      return "colocated";
    case PlacementCause::gradient_of:
      return "gradient of";
    case PlacementCause::follows_operand:
      return "follows operand";
    case PlacementCause::follows_consumer:
      return "follows consumer";
    case PlacementCause::argument_home:
      return "argument";
    case PlacementCause::only_device:
      return "only device";
    case PlacementCause::cheapest:
      return "cheapest";
    case PlacementCause::planned:
      return "planned";
  }
  return "";
}

std::string_view name(RejectionKind kind) {
  switch (kind) {
    case RejectionKind::pinned:
      return "pinned";
    case RejectionKind::follows:
      return "follows";
    case RejectionKind::colocated:
      return "colocated";
    case RejectionKind::no_kernel:
      return "no kernel";
    case RejectionKind::not_allowed:
      return "not allowed";
    case RejectionKind::memory:
      return "memory";
    case RejectionKind::dearer:
      return "dearer";
    case RejectionKind::same_cost:
      return "same cost";
    case RejectionKind::absent:
      return "absent";
  }
  return "";
}

double transfer_seconds(const PassContext& context, const DeviceId& from, const DeviceId& to, int64_t bytes) {
  if (from == to) return 0;
  if (context.profile)
    if (auto measured = context.profile->link_seconds(from, to, static_cast<double>(bytes))) return *measured;
  const Link* link = context.machine ? context.machine->try_link(from, to) : nullptr;
  return link ? link->latency_seconds + static_cast<double>(bytes) / link->bytes_per_second : 0;
}

PlacementPlan plan_placement(const Graph& graph, const PassContext& context) { return Planner(graph, context).run(); }

Graph apply_placement(Graph graph, const PlacementPlan& plan) {
  PW_CHECK(plan.ops.size() == graph.main().ops.size(), "the plan is another graph's");
  for (const OpPlacement& placement : plan.ops)
    if (!graph.main().ops[placement.op].is("all_reduce"))  // its results are on several devices, which it says itself
      for (Type& type : graph.main().ops[placement.op].results) type.set_where(placement.where);
  return graph;
}

Graph place(Graph graph, const PassContext& context) {
  PlacementPlan plan = plan_placement(graph, context);
  return apply_placement(std::move(graph), plan);
}

std::string print_plan(const PlacementPlan& plan) {
  std::string text = fmt::format("objective: {}\n", plan.objective);
  if (plan.seconds > 0) text += fmt::format("a step: {}\n", duration_text(plan.seconds));
  for (const OpPlacement& op : plan.ops) {
    text += fmt::format("{}{} on {}: {}", op.what, at_site(op.site), op.where.devices.front().to_string(), op.reason);
    text += op.seconds > 0 ? fmt::format(" ({})\n", duration_text(op.seconds)) : "\n";
    bool was_chosen = op.cause == PlacementCause::cheapest || op.cause == PlacementCause::only_device;
    for (size_t i = 0; was_chosen && i < op.rejected.size(); ++i)
      if (op.rejected[i].kind != RejectionKind::absent)  // said once, at the end
        text += fmt::format("  not {}: {}\n", op.rejected[i].device.to_string(), op.rejected[i].cause);
  }
  text += fmt::format("transfers: {} bytes a step, {} bytes at load\n", plan.bytes_per_step, plan.bytes_at_load);
  for (const PlannedTransfer& transfer : plan.transfers)
    text += fmt::format("{} {} -> {} {} bytes {}: {}{}\n", transfer.what, transfer.from.to_string(),
                        transfer.to.to_string(), transfer.bytes, transfer.at_load ? "once" : "every step", transfer.why,
                        at_site(transfer.site));
  for (const ReliefStep& step : plan.relief) text += "memory: " + describe(step) + "\n";
  for (const std::string& hint : plan.hints) text += "hint: " + hint + "\n";
  for (const std::string& absent : plan.absent) text += "absent: " + absent + "\n";
  for (const PinConflict& conflict : plan.conflicts) text += "conflict: " + conflict.message + "\n";
  return text;
}

}  // namespace placewright
