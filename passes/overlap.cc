// The order of a step's work where several devices share it. The host does its own launches when it comes to them;
// what it gives to other devices runs beside that. So those get theirs first, and a copy to a device stands so many of
// that device's launches before its reader as it takes to hide it, and no more: its memory is in use from there on.
#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "movement.h"
#include "placewright/base/checked.h"
#include "placewright/ir/machine.h"
#include "placewright/passes/memory_need.h"
#include "placewright/passes/placement.h"
#include "placewright/passes/step_time.h"
#include "rewrite.h"

namespace placewright {
namespace {

class StepOrder {
 public:
  StepOrder(const Graph& graph, const PassContext& context)
      : graph_(graph), function_(graph.main()), context_(context), host_(host_device(context)) {}

  // Numbers of ops; nothing if they stay as they are.
  std::optional<std::vector<int32_t>> find() {
    if (!is_shared()) return {};
    fill_queues();
    while (order_.size() < function_.ops.size()) {
      const bool has_given = give_to_devices();
      if (!has_given) issue(own_);
    }
    bool is_same = std::is_sorted(order_.begin(), order_.end());
    return is_same ? std::nullopt : std::optional(std::move(order_));
  }

 private:
  using Queue = std::deque<int32_t>;
  struct DeviceQueues {
    Queue launches, copies_in, copies_out;
    int issued = 0;  // launches
  };

  const DeviceId& device(const Op& op) const { return op.results[0].tensor().where.devices.at(0); }

  bool is_shared() const {
    for (const Op& op : function_.ops)
      if (!op.results.empty() && !op.results[0].tensor().where.devices.empty() && device(op) != host_) return true;
    return false;
  }

  double copy_seconds(const Op& op) const {
    const TensorType& from = function_.tensor(op.operands[0]);
    if (op.attributes.get<bool>("at_load") || !from.where.is_single()) return 0;
    return transfer_seconds(context_, from.where.devices[0], device(op), from.bytes());
  }

  void fill_queues() {
    anchor_.assign(function_.ops.size(), 0);
    is_issued_.assign(function_.ops.size(), false);
    for (int32_t i = 0; i < static_cast<int32_t>(function_.ops.size()); ++i) {
      const Op& op = function_.ops[i];
      if (op.is("input") || op.is("constant") || op.results.empty()) {
        order_.push_back(i);
        is_issued_[i] = true;
      } else if (op.is("transfer")) {
        fill_copy(i);
      } else if (device(op) == host_) {
        own_.push_back(i);
      } else {
        queues_[device(op)].launches.push_back(i);
      }
    }
    for (auto& [id, queues] : queues_)
      if (!queues.copies_in.empty()) anchor_copies(queues);
  }

  // From the host a copy waits for its time, to the host it begins as soon as there is something to copy.
  void fill_copy(int32_t i) {
    const Op& op = function_.ops[i];
    if (device(op) == host_) {
      queues_[function_.tensor(op.operands[0]).where.devices.at(0)].copies_out.push_back(i);
      return;
    }
    DeviceQueues& queues = queues_[device(op)];
    anchor_[i] = static_cast<int>(queues.launches.size());
    queues.copies_in.push_back(i);
  }

  // Each begins at the last launch from which on there is enough to hide it and those that follow it: they take turns.
  void anchor_copies(const DeviceQueues& queues) {
    std::vector<double> before{0};  // seconds of the launches in front of each, and of all
    for (int32_t launch : queues.launches)
      before.push_back(before.back() + price_launch(graph_, launch, context_).value_or(0));
    double begin = before.back();
    for (size_t c = queues.copies_in.size(); c-- > 0;) {
      int& anchor = anchor_[queues.copies_in[c]];
      begin = std::min(begin, before[anchor]) - copy_seconds(function_.ops[queues.copies_in[c]]);
      auto late = std::upper_bound(before.begin(), before.begin() + anchor + 1, begin);
      anchor = std::max(static_cast<int>(late - before.begin()) - 1, 0);
    }
  }

  bool is_ready(int32_t i) const {
    const std::vector<Value>& operands = function_.ops[i].operands;
    return std::all_of(operands.begin(), operands.end(), [&](Value operand) { return is_issued_[operand.op]; });
  }

  void issue(Queue& queue) {
    PW_CHECK(!queue.empty() && is_ready(queue.front()), "the step's order has come to a stop");
    order_.push_back(queue.front());
    is_issued_[queue.front()] = true;
    queue.pop_front();
  }

  bool give_to_devices() {
    bool any = false;
    for (auto& [id, queues] : queues_) {
      while (true) {
        if (!queues.copies_out.empty() && is_ready(queues.copies_out.front())) {
          issue(queues.copies_out);
        } else if (!queues.copies_in.empty() && anchor_[queues.copies_in.front()] <= queues.issued &&
                   is_ready(queues.copies_in.front())) {
          issue(queues.copies_in);
        } else if (!queues.launches.empty() && is_ready(queues.launches.front())) {
          issue(queues.launches);
          ++queues.issued;
        } else {
          break;
        }
        any = true;
      }
    }
    return any;
  }

  const Graph& graph_;
  const Function& function_;
  const PassContext& context_;
  DeviceId host_;
  Queue own_;  // the host's launches
  std::map<DeviceId, DeviceQueues> queues_;
  std::vector<int> anchor_;  // of each copy in: launches of its device that are given before it
  std::vector<bool> is_issued_;
  std::vector<int32_t> order_;
};

// Whether some device may need more than it has. All that the graph ever has there, with room for what a step needs
// besides, is a bound that needs no plan.
bool may_be_full(const Graph& graph, const Machine& machine) {
  std::map<DeviceId, int64_t> bytes;
  for (const Op& op : graph.main().ops)
    for (const Type& type : op.results)
      for (const DeviceId& device : type.tensor().where.devices)
        bytes[device] = checked_add(bytes[device], type.tensor().bytes());
  for (const DeviceSpec& spec : machine.devices)
    if (spec.memory_bytes > 0 && bytes[spec.id] > spec.memory_bytes / 4) return true;
  return false;
}

}  // namespace

Graph overlap(Graph graph, const PassContext& context) {
  std::optional<std::vector<int32_t>> order = StepOrder(graph, context).find();
  if (!order) return graph;
  if (!context.machine || !may_be_full(graph, *context.machine)) return in_order(std::move(graph), *order);
  Graph ordered = in_order(graph, *order);
  return measure_need(ordered, context).excess() > 0 ? graph : ordered;
}

}  // namespace placewright
