#include "placewright/passes/launch_order.h"

#include <algorithm>
#include <limits>
#include <map>
#include <queue>
#include <set>

#include "placewright/base/checked.h"
#include "placewright/ir/op_table.h"
#include "rewrite.h"

namespace placewright {
namespace {

constexpr int64_t kept_forever = std::numeric_limits<int32_t>::max();
// What makes no more than this part of what is in memory may run early: numbers that much else waits for.
constexpr int64_t little = 4096;

// Groups of launches: one, and those whose results it alone reads and that make more than they free ("feeders").
class LaunchOrder {
 public:
  LaunchOrder(const Graph& graph, const MemoryPlan& plan, const DeviceId& device)
      : function_(graph.main()), plan_(plan), device_(device), roots_(find_roots(function_, plan)) {}

  std::vector<int32_t> find() {
    find_readers();
    find_groups();
    find_waits();
    is_run_.assign(function_.ops.size(), false);
    is_emitted_.assign(function_.ops.size(), false);
    for (int32_t i = 0; i < count(); ++i)
      if (is_given(i)) emit(i);
    for (int32_t i = 0; i < count(); ++i)
      if (is_head(i) && pending_[i] == 0) make_ready(i);
    while (true) {
      int32_t next = take(eager_);
      if (next < 0) next = take(ready_);
      if (next < 0) break;
      run(next);
    }
    for (int32_t i = 0; i < count(); ++i) emit(i);  // views that only results and updates show
    return std::move(order_);
  }

 private:
  // By what it adds to the memory, then in the order of the program.
  using Queue = std::priority_queue<std::pair<int64_t, int32_t>, std::vector<std::pair<int64_t, int32_t>>,
                                    std::greater<std::pair<int64_t, int32_t>>>;

  int32_t count() const { return static_cast<int32_t>(function_.ops.size()); }
  Value root(Value value) const { return roots_[value.op][value.result]; }
  bool is_view(int32_t op) const { return !function_.ops[op].results.empty() && root({op, 0}) != Value{op, 0}; }
  bool is_given(int32_t op) const { return function_.ops[op].is("input") || function_.ops[op].is("constant"); }
  bool is_head(int32_t op) const { return !is_given(op) && !is_view(op) && head_[op] == op; }
  bool runs_here(int32_t op) const {
    const Op& launch = function_.ops[op];
    return !launch.results.empty() && launch.results[0].tensor().where.is_single() &&
           launch.results[0].tensor().where.devices[0] == device_;
  }

  // Bytes that the value takes of the device's arena.
  int64_t bytes(Value value) const {
    const Storage& storage = plan_.storages[plan_.storage(value)];
    if (storage.kind != StorageKind::temporary || storage.device != device_) return 0;
    return round_up(function_.tensor(value).bytes(), int64_t{64});
  }

  std::vector<Value> reads(int32_t op) const {
    std::vector<Value> values;
    for (Value operand : function_.ops[op].operands) values.push_back(root(operand));
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    return values;
  }

  void find_readers() {
    for (const Op& op : function_.ops) readers_.emplace_back(op.results.size());
    kept_.resize(function_.ops.size());
    for (size_t i = 0; i < function_.ops.size(); ++i) kept_[i].assign(function_.ops[i].results.size(), false);
    for (int32_t i = 0; i < count(); ++i)
      if (!is_view(i) && !is_given(i))
        for (Value value : reads(i)) readers_[value.op][value.result].push_back(i);
    for (Value result : function_.results) kept_[root(result).op][root(result).result] = true;
    for (const Update& update : function_.updates) kept_[root(update.value).op][root(update.value).result] = true;
    for (size_t i = 0; i < function_.updates.size(); ++i)
      if (plan_.updated_in_place[i] && function_.updates[i].value != function_.updates[i].state)
        updater_[function_.updates[i].state] = root(function_.updates[i].value).op;
  }

  // The one launch that reads what `op` makes, if it is wiser to wait for it; else -1.
  int32_t fed_by(int32_t op) const {
    const Op& launch = function_.ops[op];
    if (is_given(op) || is_view(op) || launch.is("transfer") || launch.entry->traits.keep || !runs_here(op)) return -1;
    int32_t reader = -1;
    int64_t made = 0, freed = 0;
    for (int32_t r = 0; r < static_cast<int32_t>(launch.results.size()); ++r) {
      const std::vector<int32_t>& readers = readers_[op][r];
      if (kept_[op][r] || readers.size() != 1 || (reader >= 0 && readers[0] != reader)) return -1;
      reader = readers[0];
      made += bytes({op, r});
    }
    if (reader < 0 || !runs_here(reader) || function_.ops[reader].entry->traits.keep) return -1;
    for (Value value : reads(op)) {
      if (auto at = updater_.find(value); at != updater_.end() && at->second != reader) return -1;
      if (!kept_[value.op][value.result] && readers_[value.op][value.result].back() <= op) freed += bytes(value);
    }
    return made > freed ? reader : -1;
  }

  void find_groups() {
    head_.resize(function_.ops.size());
    feeders_.resize(function_.ops.size());
    for (int32_t i = count(); i-- > 0;) {
      int32_t reader = fed_by(i);
      head_[i] = reader < 0 ? i : head_[reader];
      if (reader >= 0) feeders_[head_[i]].push_back(i);
    }
    for (std::vector<int32_t>& feeders : feeders_) std::reverse(feeders.begin(), feeders.end());
  }

  std::vector<int32_t> members(int32_t head) const {
    std::vector<int32_t> members = feeders_[head];
    members.push_back(head);
    return members;
  }

  void wait(int32_t group, int32_t behind) {
    if (group == behind || is_given(behind)) return;
    followers_[behind].push_back(group);
    ++pending_[group];
  }

  void find_waits() {
    pending_.assign(function_.ops.size(), 0);
    growth_.assign(function_.ops.size(), 0);
    followers_.resize(function_.ops.size());
    outside_.resize(function_.ops.size());
    int32_t last_kept = -1;  // ops that are never dropped keep their order
    for (int32_t i = 0; i < count(); ++i) {
      if (!is_head(i)) continue;
      std::set<Value> read;
      for (int32_t member : members(i))
        for (Value value : reads(member))
          if (head_[value.op] != i || is_given(value.op)) read.insert(value);
      std::set<int32_t> behind;
      for (Value value : read) behind.insert(head_[value.op]);
      for (int32_t other : behind) wait(i, other);
      for (Value value : read) {
        auto at = updater_.find(value);
        if (at != updater_.end()) wait(head_[at->second], i);
      }
      if (function_.ops[i].entry->traits.keep) {
        if (last_kept >= 0) wait(i, last_kept);
        last_kept = i;
      }
      outside_[i].assign(read.begin(), read.end());
      for (int32_t r = 0; r < static_cast<int32_t>(function_.ops[i].results.size()); ++r)
        if (!readers_[i][r].empty() || kept_[i][r]) growth_[i] += bytes({i, r});
      for (Value value : outside_[i]) {
        left_[value].count += 1;
        left_[value].sum += i;
      }
    }
    for (auto& [value, left] : left_) {
      if (kept_[value.op][value.result]) left.count = kept_forever;
      if (left.count == 1) growth_[left.sum] -= bytes(value);
    }
  }

  void make_ready(int32_t group) {
    ready_.push({0, group});
    offer(group);
  }

  void offer(int32_t group) {
    if (pending_[group] == 0 && runs_here(group) && !function_.ops[group].is("transfer") && growth_[group] <= little)
      eager_.push({growth_[group], group});
  }

  int32_t take(Queue& queue) {
    while (!queue.empty()) {
      int32_t group = queue.top().second;
      queue.pop();
      if (!is_run_[group]) return group;
    }
    return -1;
  }

  void run(int32_t group) {
    is_run_[group] = true;
    for (int32_t member : members(group)) emit(member);
    for (Value value : outside_[group]) {
      Left& left = left_.at(value);
      left.sum -= group;
      if (left.count == kept_forever || --left.count != 1) continue;
      growth_[left.sum] -= bytes(value);
      offer(static_cast<int32_t>(left.sum));
    }
    for (int32_t follower : followers_[group])
      if (--pending_[follower] == 0) make_ready(follower);
  }

  // Views stand before the first that reads through them.
  void emit(int32_t op) {
    if (is_emitted_[op]) return;
    for (Value operand : function_.ops[op].operands)
      if (is_view(operand.op)) emit(operand.op);
    is_emitted_[op] = true;
    order_.push_back(op);
  }

  struct Left {
    int64_t count = 0;  // groups that have yet to read it
    int64_t sum = 0;    // of their numbers: with one left, that one
  };

  const Function& function_;
  const MemoryPlan& plan_;
  DeviceId device_;
  std::vector<std::vector<Value>> roots_;
  std::vector<std::vector<std::vector<int32_t>>> readers_;  // [op][result]; of views at what they show
  std::vector<std::vector<bool>> kept_;                     // [op][result]: needed after the step
  std::map<Value, int32_t> updater_;                        // of states that are written in place: who does it
  std::vector<int32_t> head_;                               // the launch with which each runs
  std::vector<std::vector<int32_t>> feeders_, followers_;   // of each head
  std::vector<std::vector<Value>> outside_;                 // what each group reads of others
  std::vector<int32_t> pending_;                            // groups that each still waits for
  std::vector<int64_t> growth_;                             // bytes that are in use more behind it than before it
  std::map<Value, Left> left_;
  std::vector<bool> is_run_, is_emitted_;
  Queue ready_, eager_;
  std::vector<int32_t> order_;
};

}  // namespace

std::vector<std::vector<Value>> find_roots(const Function& function, const MemoryPlan& plan) {
  std::vector<std::vector<Value>> roots;
  for (int32_t i = 0; i < static_cast<int32_t>(function.ops.size()); ++i) {
    const Op& op = function.ops[i];
    roots.emplace_back();
    for (int32_t r = 0; r < static_cast<int32_t>(op.results.size()); ++r) {
      const bool is_view = op.entry->traits.view && plan.storage_of[i][0] == plan.storage(op.operands[0]);
      roots.back().push_back(is_view ? roots[op.operands[0].op][op.operands[0].result] : Value{i, r});
    }
  }
  return roots;
}

Graph order_for_memory(Graph compiled, const MemoryPlan& plan, const DeviceId& device) {
  const std::vector<int32_t> order = LaunchOrder(compiled, plan, device).find();
  return in_order(std::move(compiled), order);
}

}  // namespace placewright
