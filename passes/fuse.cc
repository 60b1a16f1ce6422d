// Groups ops into `fused` ops: after this pass one op is one launch. A group has one device, may have several results,
// computes nothing twice but constants, and never waits for itself. Which ops may share a launch, the target model
// says.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <utility>

#include <fmt/core.h>

#include "group_order.h"
#include "rewrite.h"

namespace placewright {
namespace {

// An op joins no group that stands further back than this many groups, unless it reads it: keeps the pass linear.
constexpr size_t sibling_reach = 8;
// Groups that do not read each other join only where that saves this part of their time: otherwise they would but keep
// each other's memory alive.
constexpr double sibling_gain = 0.05;

class Grouping {
 public:
  Grouping(const Graph& graph, const PassContext& context)
      : function_(graph.main()), free_(find_free(function_)), order_(function_, free_) {
    for (const auto& [device, target] : context.targets) launches_[device] = target->launches(graph, function_);
    seconds_.assign(function_.ops.size(), -1);
    readers_.resize(function_.ops.size());
    for (int32_t op = 0; op < count(); ++op) {
      members_.push_back({op});
      model_.push_back(free_[op] ? nullptr : model_of(function_.ops[op]));
      for (Value operand : function_.ops[op].operands) readers_[operand.op].push_back(op);
    }
  }

  void run() {
    for (int32_t op = 0; op < count(); ++op)
      if (model_[op])
        for (Value operand : function_.ops[op].operands) try_join(order_.group(operand.op), order_.group(op));
    join_siblings();
    for (int32_t op = count(); op-- > 0;) release_view(op);
    for (int32_t op = 0; op < count(); ++op) release_view(op);
  }

  const std::vector<int32_t>& members(int32_t group) const { return members_[group]; }
  int32_t group(int32_t op) const { return order_.group(op); }
  const std::vector<int32_t>& readers(int32_t op) const { return readers_[op]; }
  // Constants of one element and what repeats them: each group makes its own.
  bool is_free(int32_t op) const { return free_[op]; }
  bool may_launch(int32_t op) const { return model_[op] != nullptr; }

 private:
  int32_t count() const { return static_cast<int32_t>(function_.ops.size()); }

  static std::vector<bool> find_free(const Function& function) {
    std::vector<bool> free;
    for (const Op& op : function.ops) {
      auto is_free_scalar = [&](Value operand) { return free[operand.op] && function.tensor(operand).elements() == 1; };
      if (op.is("constant"))
        free.push_back(op.results[0].tensor().elements() == 1);
      else
        free.push_back(can_lower(*op.entry) && !op.entry->traits.random &&
                       std::all_of(op.operands.begin(), op.operands.end(), is_free_scalar));
    }
    return free;
  }

  // Null: the op stands alone.
  LaunchModel* model_of(const Op& op) const {
    if (!can_lower(*op.entry) || op.results.empty()) return nullptr;
    const Where& where = op.results[0].tensor().where;
    if (!where.is_single()) return nullptr;
    auto at = launches_.find(where.devices[0]);
    return at == launches_.end() ? nullptr : at->second.get();
  }

  const DeviceId& device(int32_t group) const {
    return function_.ops[members_[group][0]].results[0].tensor().where.devices[0];
  }

  bool try_join(int32_t first, int32_t second) {
    if (first == second || !model_[members_[first][0]] || !model_[members_[second][0]]) return false;
    if (device(first) != device(second)) return false;
    LaunchModel* model = model_[members_[first][0]];
    std::vector<int32_t> joined;  // empty before the first one has joined: most do not
    for (int32_t op : members_[second]) {
      if (!model->can_fuse(joined.empty() ? members_[first] : joined, op)) return false;
      if (joined.empty()) joined = members_[first];
      joined.insert(std::upper_bound(joined.begin(), joined.end(), op), op);
    }
    if (!order_.try_join(first, second, members_[second])) return false;
    members_[first] = std::move(joined);
    members_[second].clear();
    seconds_[first] = -1;
    return true;
  }

  double seconds(int32_t group) {
    if (seconds_[group] < 0) seconds_[group] = model_[members_[group][0]]->cost(members_[group]);
    return seconds_[group];
  }

  bool gains(int32_t first, int32_t second) {
    LaunchModel* model = model_[members_[first][0]];
    std::vector<int32_t> joined = members_[first];
    joined.insert(joined.end(), members_[second].begin(), members_[second].end());
    std::sort(joined.begin(), joined.end());
    double apart = seconds(first) + seconds(second);
    return apart - model->cost(joined) >= sibling_gain * apart;
  }

  // Groups that need not read one another: updates of several parameters, or a whole small step.
  void join_siblings() {
    std::map<DeviceId, std::vector<int32_t>> recent;
    for (int32_t op = 0; op < count(); ++op) {
      int32_t group = order_.group(op);
      if (!model_[op] || members_[group].front() != op) continue;
      if (members_[group].size() == 1 && function_.ops[op].entry->traits.view) continue;
      std::vector<int32_t>& candidates = recent[device(group)];
      bool joined = false;
      for (size_t i = candidates.size(); i-- > 0 && !joined;)
        joined = gains(candidates[i], group) && try_join(candidates[i], group);
      if (joined) continue;
      candidates.push_back(group);
      if (candidates.size() > sibling_reach) candidates.erase(candidates.begin());
    }
  }

  // A view at a group's border costs nothing outside; inside, its elements would be written out a second time.
  void release_view(int32_t op) {
    int32_t group = order_.group(op);
    if (!function_.ops[op].entry->traits.view || members_[group].size() == 1 || !model_[op]) return;
    bool is_read = false;
    for (int32_t reader : readers_[op]) is_read = is_read || order_.group(reader) == group;
    if (is_read && order_.group(function_.ops[op].operands[0].op) == group) return;
    std::erase(members_[group], op);
    if (group == op) {  // groups are numbered by one of their ops
      int32_t number = members_[group].front();
      members_[number] = std::move(members_[group]);
      for (int32_t member : members_[number]) order_.assign(member, number);
    }
    members_[op] = {op};
    order_.assign(op, op);
  }

  const Function& function_;
  std::vector<bool> free_;                     // of each op
  GroupOrder order_;                           // of the groups
  std::vector<std::vector<int32_t>> members_;  // of each group, ascending
  std::vector<std::vector<int32_t>> readers_;  // of each op
  std::vector<double> seconds_;                // of each group; -1: not asked yet
  std::map<DeviceId, std::unique_ptr<LaunchModel>> launches_;
  std::vector<LaunchModel*> model_;
};

// Writes the groups in an order in which each stands behind what it reads: the earliest first op goes first.
class GroupWriter {
 public:
  GroupWriter(Graph& graph, const Grouping& grouping) : graph_(graph), grouping_(grouping), rewriter_(graph, 0) {
    const Function& old = rewriter_.old();
    for (Value result : old.results) kept_.insert(result);
    for (const Update& update : old.updates) kept_.insert(update.value);
  }

  void run() {
    for (int32_t group : order()) write(group);
    for (Value value : kept_) materialise(value);
    rewriter_.finish();
  }

 private:
  std::vector<int32_t> order() const {
    const Function& old = rewriter_.old();
    std::vector<int32_t> waits(old.ops.size(), 0);  // of each group: how often it reads others that are not written
    std::vector<std::vector<int32_t>> followers(old.ops.size());
    std::vector<int32_t> groups;
    for (int32_t op = 0; op < static_cast<int32_t>(old.ops.size()); ++op) {
      if (grouping_.is_free(op)) continue;
      const int32_t group = grouping_.group(op);
      if (op == grouping_.members(group).front()) groups.push_back(group);
      for (Value operand : old.ops[op].operands) {
        const int32_t from = grouping_.group(operand.op);
        if (grouping_.is_free(operand.op) || from == group) continue;
        ++waits[group];
        followers[from].push_back(group);
      }
    }
    auto later = [&](int32_t a, int32_t b) { return grouping_.members(a).front() > grouping_.members(b).front(); };
    std::priority_queue<int32_t, std::vector<int32_t>, decltype(later)> ready(later);
    for (int32_t group : groups)
      if (waits[group] == 0) ready.push(group);
    std::vector<int32_t> order;
    while (!ready.empty()) {
      int32_t group = ready.top();
      ready.pop();
      order.push_back(group);
      for (int32_t next : followers[group])
        if (--waits[next] == 0) ready.push(next);
    }
    PW_CHECK(order.size() == groups.size(), "groups wait for each other");
    return order;
  }

  // A constant, or what repeats one, as an op of its own, where a reader is no group.
  void materialise(Value value) {
    if (!grouping_.is_free(value.op) || rewriter_.has(value)) return;
    for (Value operand : rewriter_.old().op(value).operands) materialise(operand);
    rewriter_.copy(value.op);
  }

  void write(int32_t group) {
    const std::vector<int32_t>& members = grouping_.members(group);
    const Op& first = rewriter_.old().ops[members.front()];
    bool reads_free = false;
    for (Value operand : first.operands) reads_free = reads_free || grouping_.is_free(operand.op);
    if (members.size() > 1 || (reads_free && grouping_.may_launch(members.front()))) {
      write_fused(members);
      return;
    }
    for (Value operand : first.operands) materialise(operand);
    rewriter_.take(members.front());
  }

  void write_fused(const std::vector<int32_t>& members) {
    const Function& old = rewriter_.old();
    FunctionId body = add_function(graph_, fmt::format("fused_{}", ++fused_count_));
    FunctionBuilder builder(graph_, body);
    std::map<Value, Value> inside;  // old values to those of the body
    std::vector<Value> operands;    // new values outside
    for (int32_t op : members) {
      for (Value operand : old.ops[op].operands) enter(operand, builder, inside, operands);
    }
    return write_body(members, builder, inside, std::move(operands));
  }

  // Inputs stand first in the body; members' results are not known yet and are skipped.
  void enter(Value operand, FunctionBuilder& builder, std::map<Value, Value>& inside, std::vector<Value>& operands) {
    if (inside.contains(operand) || grouping_.is_free(operand.op) || !rewriter_.has(operand)) return;
    Value outside = rewriter_(operand);
    inside[operand] =
        builder.input("in" + std::to_string(operands.size()), InputKind::argument, rewriter_.builder.type(outside));
    operands.push_back(outside);
  }

  void write_body(const std::vector<int32_t>& members, FunctionBuilder& builder, std::map<Value, Value>& inside,
                  std::vector<Value> operands) {
    const Function& old = rewriter_.old();
    std::vector<OriginId> origins;
    std::vector<Value> results;
    std::vector<std::pair<int32_t, std::vector<Value>>>
        made;  // of each member: the fused op's results, where they leave
    for (int32_t op : members) {
      origins.push_back(old.ops[op].origin);
      const auto count = static_cast<int32_t>(old.ops[op].results.size());
      made.push_back({op, std::vector<Value>(static_cast<size_t>(count))});
      for (int32_t r = 0; r < count; ++r)
        if (leaves({op, r})) results.push_back({op, r});
      append(op, builder, inside);
    }
    std::sort(origins.begin(), origins.end());
    OriginId origin = graph_.origins.merge(origins);
    Op fused{&find_op("fused"), std::move(operands), {}, {}, {builder.id()}, origin, {}};
    for (Value result : results) {
      const Value value = inside.at(result);
      builder.function().results.push_back(value);
      fused.results.push_back(builder.type(value));
    }
    std::vector<Value> values = rewriter_.builder.append(std::move(fused));
    auto member = made.begin();
    for (size_t i = 0; i < results.size(); ++i) {
      while (member->first != results[i].op) ++member;
      member->second[results[i].result] = values[i];
    }
    for (auto& [op, replacement] : made) rewriter_.replace(op, std::move(replacement));
  }

  // What is free is made in each group that reads it, so that the old op must stay.
  void append(int32_t op, FunctionBuilder& builder, std::map<Value, Value>& inside) {
    for (Value operand : rewriter_.old().ops[op].operands)
      if (!inside.contains(operand)) append(operand.op, builder, inside);
    Op made = grouping_.is_free(op) ? rewriter_.old().ops[op] : rewriter_.release(op);
    for (Value& operand : made.operands) operand = inside.at(operand);
    std::vector<Value> values = builder.append(std::move(made));
    for (size_t r = 0; r < values.size(); ++r) inside[{op, static_cast<int32_t>(r)}] = values[r];
  }

  bool leaves(Value value) const {
    if (kept_.contains(value)) return true;
    const int32_t group = grouping_.group(value.op);
    const std::vector<int32_t>& readers = grouping_.readers(value.op);
    return std::any_of(readers.begin(), readers.end(), [&](int32_t reader) {
      const std::vector<Value>& operands = rewriter_.old().ops[reader].operands;
      return grouping_.group(reader) != group && std::find(operands.begin(), operands.end(), value) != operands.end();
    });
  }

  Graph& graph_;
  const Grouping& grouping_;
  Rewriter rewriter_;
  std::set<Value> kept_;  // results and updates
  int fused_count_ = 0;
};

// What repeats one element, such as a learning rate, costs the launch that reads it nothing, but as a result of another
// launch as much memory as any value: each of its readers makes its own. Of constants, groups make their own anyway.
void repeat_splats(Graph& graph) {
  Rewriter rewriter(graph, 0);
  const Function& old = rewriter.old();
  std::vector<int32_t> readers(old.ops.size(), 0), reader(old.ops.size(), -1);  // how many, the last
  for (const Op& op : old.ops)
    for (Value operand : op.operands) ++readers[operand.op];
  for (Value result : old.results) readers[result.op] = 0;
  for (const Update& update : old.updates) readers[update.value.op] = 0;
  std::vector<bool> is_shared(old.ops.size(), false);
  for (size_t i = 0; i < old.ops.size(); ++i)
    is_shared[i] = readers[i] > 1 && old.ops[i].is("broadcast") && !old.op(old.ops[i].operands[0]).is("constant") &&
                   old.tensor(old.ops[i].operands[0]).elements() == 1;
  for (int32_t i = 0; i < static_cast<int32_t>(old.ops.size()); ++i) {
    if (is_shared[i]) continue;
    for (Value operand : old.ops[i].operands)
      if (is_shared[operand.op] && std::exchange(reader[operand.op], i) != i) rewriter.copy(operand.op);
    rewriter.take(i);
  }
  rewriter.finish();
}

}  // namespace

Graph fuse(Graph graph, const PassContext& context) {
  repeat_splats(graph);
  Grouping grouping(graph, context);
  grouping.run();  // from here on it tells its groups, and looks at the graph no more
  GroupWriter(graph, grouping).run();
  drop_unused_functions(graph);
  return graph;
}

}  // namespace placewright
