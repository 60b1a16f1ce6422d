#include "ledger.h"

#include <algorithm>

#include <fmt/core.h>

#include "placewright/base/duration.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/step_time.h"
#include "placewright/passes/step_timeline.h"

namespace placewright {
namespace {

class LedgerWriter {
 public:
  LedgerWriter(const Graph& graph, const PassContext& context)
      : graph_(graph), function_(graph.main()), context_(context), host_(host_device(context)) {}

  std::vector<PlannedTransfer> forecast(const std::vector<Where>& places, const std::vector<Movement>& movements) {
    for (Value input : function_.inputs)
      if (input_kind(function_, input) != InputKind::argument) add_load(input, places[input.op].devices.at(0));
    for (const Movement& movement : movements)
      add({movement.value, what(movement.value), movement.from, movement.to, bytes(movement.value), movement.at_load,
           reason(function_, movement), site(movement.reader < 0 ? movement.value.op : movement.reader), 0});
    list_sums();
    return std::move(transfers_);
  }

  std::vector<PlannedTransfer> list() {
    for (Value input : function_.inputs)
      if (input_kind(function_, input) != InputKind::argument) add_load(input, device(input));
    for (int32_t i = 0; i < static_cast<int32_t>(function_.ops.size()); ++i) {
      const Op& op = function_.ops[i];
      if (op.is("constant")) add_load({i, 0}, device({i, 0}));
      if (op.is("transfer")) add_transfer(i);
    }
    list_sums();
    return std::move(transfers_);
  }

 private:
  const DeviceId& device(Value value) const { return function_.tensor(value).where.devices.at(0); }
  int64_t bytes(Value value) const { return function_.tensor(value).bytes(); }
  std::string what(Value value) const { return value_name(graph_, function_, value); }

  SourceSite site(int32_t op) const {
    const Origin& origin = graph_.origins[function_.ops[op].origin];
    return origin.frames.empty() ? SourceSite{} : origin.frames.front();
  }

  void add(PlannedTransfer transfer) {
    transfer.seconds = transfer_seconds(context_, transfer.from, transfer.to, transfer.bytes);
    transfers_.push_back(std::move(transfer));
  }

  // What reaches its device once, when the program is bound.
  void add_load(Value value, const DeviceId& to) {
    if (to == host_) return;
    const Op& op = function_.op(value);
    std::string_view kind = op.is("input") ? name(input_kind(function_, value)) : op.name();
    add({value, what(value), host_, to, bytes(value), true, fmt::format("{} kept on {}", kind, to.to_string()),
         site(value.op), 0});
  }

  void add_transfer(int32_t number) {
    const Op& op = function_.ops[number];
    const DeviceId &from = device(op.operands[0]), &to = device({number, 0});
    if (from == to) return;
    if (is_filled_from_host(op)) return add_load(op.operands[0], to);
    add({op.operands[0], what(op.operands[0]), from, to, bytes({number, 0}), op.attributes.get<bool>("at_load"),
         op.attributes.get<std::string>("why"), site(number), 0});
  }

  // A copy of a `constant` is made from the tensor again, wherever the first one is.
  bool is_filled_from_host(const Op& transfer) const {
    const Op* op = &transfer;
    if (!op->attributes.get<bool>("at_load")) return false;
    while (op->entry->traits.view) op = &function_.op(op->operands[0]);
    return op->is("constant");
  }

  // Every member's summand travels to the sum and the sum back, once for each member but the first.
  void list_sums() {
    for (int32_t i = 0; i < static_cast<int32_t>(function_.ops.size()); ++i) {
      const Op& op = function_.ops[i];
      if (!op.is("all_reduce")) continue;
      int64_t copies = 2 * (static_cast<int64_t>(op.operands.size()) - 1);
      add({op.operands[0], what(op.operands[0]), op.results.front().tensor().where.devices[0],
           op.results.back().tensor().where.devices[0], copies * bytes(op.operands[0]), false,
           fmt::format("sum over {} devices", op.operands.size()), site(i), 0});
    }
  }

  const Graph& graph_;
  const Function& function_;
  const PassContext& context_;
  DeviceId host_;
  std::vector<PlannedTransfer> transfers_;
};

// An argument that is copied in every step could live where it is read.
std::vector<std::string> make_hints(const PlacementPlan& plan, const Graph& graph, const DeviceId& host) {
  const Function& function = graph.main();
  std::vector<const PlannedTransfer*> copies;
  for (const PlannedTransfer& transfer : plan.transfers)
    if (!transfer.at_load && transfer.from == host && function.op(transfer.value).is("input") &&
        function.tensor(transfer.value).rank() > 0)
      copies.push_back(&transfer);
  std::stable_sort(copies.begin(), copies.end(), [](const auto* a, const auto* b) { return a->bytes > b->bytes; });
  std::vector<std::string> hints;
  for (const PlannedTransfer* copy : copies)
    hints.push_back(
        fmt::format("{} is copied to {} in every step ({} bytes{}); keep the data it comes from on {} "
                    "and no step copies it",
                    copy->what, copy->to.to_string(), copy->bytes,
                    copy->seconds > 0 ? ", " + duration_text(copy->seconds) : "", copy->to.to_string()));
  return hints;
}

}  // namespace

std::vector<PlannedTransfer> forecast_transfers(const Graph& graph, const std::vector<Where>& places,
                                                const std::vector<Movement>& movements, const PassContext& context) {
  return LedgerWriter(graph, context).forecast(places, movements);
}

void set_ledger(PlacementPlan& plan, std::vector<PlannedTransfer> transfers, const Graph& graph,
                const PassContext& context) {
  plan.transfers = std::move(transfers);
  plan.bytes_per_step = plan.bytes_at_load = 0;
  plan.seconds = 0;
  for (const OpPlacement& op : plan.ops) plan.seconds += op.seconds;
  for (const PlannedTransfer& transfer : plan.transfers) {
    (transfer.at_load ? plan.bytes_at_load : plan.bytes_per_step) += transfer.bytes;
    if (!transfer.at_load) plan.seconds += transfer.seconds;
  }
  plan.hints = make_hints(plan, graph, host_device(context));
}

void settle_ledger(PlacementPlan& plan, const Graph& compiled, const PassContext& context) {
  set_ledger(plan, LedgerWriter(compiled, context).list(), compiled, context);
  if (plan.relief.empty()) return;
  // Launches that run again, or in parts, are no op's share. Without a choice of devices nothing is priced.
  double shares = 0, launches = 0;
  for (const OpPlacement& op : plan.ops) shares += op.seconds;
  for (const LaunchTime& launch : price_launches(compiled, context)) launches += launch.seconds;
  plan.seconds = shares > 0 ? plan.seconds - shares + launches : 0;
  if (!plan.solved) return;
  plan.done = simulate_step(compiled, context).done;
  plan.objective = objective_of(plan);
}

std::string objective_of(const PlacementPlan& plan) {
  if (plan.solved && plan.solved->is_simulated)
    return fmt::format("time until the last device is done, by simulation: {}, no placement takes less than {}",
                       duration_text(static_cast<double>(plan.done) * 1e-9),
                       duration_text(static_cast<double>(plan.solved->done_bound) * 1e-9));
  return std::string("sum of launch times, as fused, and of transfers") +
         (plan.solved && plan.solved->is_limited ? ", within the devices' memories" : "");
}

}  // namespace placewright
