// Groups ops into `fused` ops: after this pass one op is one launch. A group has one device, may have several results,
// computes nothing twice but constants, and never waits for itself. Which ops may share a launch, the target model
// says.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>

#include <fmt/core.h>

#include "rewrite.h"

namespace placewright {
namespace {

// An op joins no group that stands further back than this many groups, unless it reads it: keeps the pass linear.
constexpr size_t sibling_reach = 8;
// Groups that do not read each other join only where that saves this part of their time: otherwise they would but keep
// each other's memory alive.
constexpr double sibling_gain = 0.05;
constexpr size_t longest_search = 1000;  // groups that depend on the earlier one of two that might join
constexpr int64_t label_step = int64_t{1} << 40;

class Grouping {
 public:
  Grouping(const Graph& graph, const PassContext& context)
      : function_(graph.main()), group_(function_.ops.size()), searched_(function_.ops.size(), 0) {
    for (const auto& [device, target] : context.targets) launches_[device] = target->launches(graph, function_);
    for (size_t i = 0; i < function_.ops.size(); ++i) {
      group_[i] = static_cast<int32_t>(i);
      members_.push_back({static_cast<int32_t>(i)});
      label_.push_back(static_cast<int64_t>(i + 1) * label_step);
      before_.push_back(static_cast<int32_t>(i) - 1);
      behind_.push_back(i + 1 < function_.ops.size() ? static_cast<int32_t>(i) + 1 : -1);
      seconds_.push_back(-1);
      readers_.emplace_back();
      for (Value operand : function_.ops[i].operands) readers_[operand.op].push_back(static_cast<int32_t>(i));
      free_.push_back(is_free(function_.ops[i]));
      model_.push_back(free_.back() ? nullptr : model_of(function_.ops[i]));
    }
  }

  void run() {
    for (int32_t op = 0; op < count(); ++op)
      if (model_[op])
        for (Value operand : function_.ops[op].operands) try_join(group_[operand.op], group_[op]);
    join_siblings();
    for (int32_t op = count(); op-- > 0;) release_view(op);
    for (int32_t op = 0; op < count(); ++op) release_view(op);
  }

  const std::vector<int32_t>& members(int32_t group) const { return members_[group]; }
  int32_t group(int32_t op) const { return group_[op]; }
  // Constants of one element and what repeats them: each group makes its own.
  bool is_free(int32_t op) const { return free_[op]; }
  bool may_launch(int32_t op) const { return model_[op] != nullptr; }

 private:
  int32_t count() const { return static_cast<int32_t>(function_.ops.size()); }

  bool is_free(const Op& op) const {
    if (op.is("constant")) return op.results[0].tensor().elements() == 1;
    if (!can_lower(*op.entry) || op.entry->traits.random) return false;
    return std::all_of(op.operands.begin(), op.operands.end(),
                       [&](Value operand) { return free_[operand.op] && function_.tensor(operand).elements() == 1; });
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
    std::vector<int32_t> joined = members_[first];
    for (int32_t op : members_[second]) {
      if (!model->can_fuse(joined, op)) return false;
      joined.insert(std::upper_bound(joined.begin(), joined.end(), op), op);
    }
    if (!join_in_order(first, second)) return false;
    for (int32_t op : members_[second]) group_[op] = first;
    members_[first] = std::move(joined);
    members_[second].clear();
    seconds_[first] = -1;
    return true;
  }

  // Groups have labels in a topological order, kept as they join (after Pearce and Kelly, "A Dynamic Topological Sort
  // Algorithm for Directed Acyclic Graphs", 2006). Two groups may not join where the later one depends on the earlier
  // one by way of a third, which would then wait for itself. If they may, what depends on the earlier one moves behind.
  bool join_in_order(int32_t first, int32_t second) {
    int32_t early = first, late = second;
    if (label_[early] > label_[late]) std::swap(early, late);
    std::optional<std::vector<int32_t>> behind = dependents(early, late);
    if (!behind) return false;
    std::sort(behind->begin(), behind->end(), [&](int32_t a, int32_t b) { return label_[a] < label_[b]; });
    unlink(early);
    for (int32_t group : *behind) unlink(group);
    if (first != late) {  // it takes the place of the later one
      label_[first] = label_[late];
      link(first, late);
      unlink(late);
    }
    int32_t last = first;
    for (int32_t group : *behind) {
      link(group, last);
      last = group;
    }
    spread(first, last);
    return true;
  }

  // Groups between the two that depend on the earlier one. Nothing if the later one depends on one of them, or if there
  // are too many to find out: then it most probably does.
  std::optional<std::vector<int32_t>> dependents(int32_t early, int32_t late) {
    ++search_;
    std::vector<int32_t> found, open{early};
    while (!open.empty()) {
      int32_t group = open.back();
      open.pop_back();
      for (int32_t op : members_[group])
        for (int32_t reader : readers_[op]) {
          int32_t next = group_[reader];
          if (next == late && group != early) return {};
          if (next == group || label_[next] >= label_[late] || searched_[next] == search_) continue;
          if (found.size() == longest_search) return {};
          searched_[next] = search_;
          found.push_back(next);
          open.push_back(next);
        }
    }
    return found;
  }

  void unlink(int32_t group) {
    int32_t before = before_[group], behind = behind_[group];
    (before < 0 ? first_ : behind_[before]) = behind;
    if (behind >= 0) before_[behind] = before;
  }

  void link(int32_t group, int32_t before) {
    before_[group] = before;
    behind_[group] = behind_[before];
    if (behind_[group] >= 0) before_[behind_[group]] = group;
    behind_[before] = group;
  }

  // New labels for what stands behind `from`, up to `to`; for all groups where there is no room.
  void spread(int32_t from, int32_t to) {
    if (from == to) return;
    int64_t count = 1, low = label_[from];
    for (int32_t group = from; group != to; group = behind_[group]) ++count;
    int64_t high = behind_[to] < 0 ? low + count * label_step : label_[behind_[to]];
    if (high - low < count) {
      int64_t label = 0;
      for (int32_t group = first_; group >= 0; group = behind_[group]) label_[group] = label += label_step;
      return;
    }
    int64_t step = (high - low) / count;
    for (int32_t group = from; group != to; low += step) label_[group = behind_[group]] = low + step;
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
      int32_t group = group_[op];
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
    int32_t group = group_[op];
    if (!function_.ops[op].entry->traits.view || members_[group].size() == 1 || !model_[op]) return;
    bool is_read = false;
    for (int32_t reader : readers_[op]) is_read = is_read || group_[reader] == group;
    if (is_read && group_[function_.ops[op].operands[0].op] == group) return;
    std::erase(members_[group], op);
    if (group == op) {  // groups are numbered by one of their ops
      int32_t number = members_[group].front();
      members_[number] = std::move(members_[group]);
      for (int32_t member : members_[number]) group_[member] = number;
    }
    members_[op] = {op};
    group_[op] = op;
  }

  const Function& function_;
  std::vector<int32_t> group_;                 // of each op
  std::vector<std::vector<int32_t>> members_;  // of each group, ascending
  std::vector<int64_t> label_;                 // of each group, ascending in the order
  std::vector<int32_t> before_, behind_;       // neighbours in the order; -1: none
  int32_t first_ = 0;                          // of the order
  std::vector<int32_t> searched_;              // of each group, the last search that found it
  int32_t search_ = 0;
  std::vector<double> seconds_;  // of each group; -1: not asked yet
  std::vector<std::vector<int32_t>> readers_;
  std::vector<bool> free_;
  std::map<DeviceId, std::unique_ptr<LaunchModel>> launches_;
  std::vector<LaunchModel*> model_;
};

// Writes the groups in an order in which each stands behind what it reads: the earliest first op goes first.
class GroupWriter {
 public:
  GroupWriter(Graph& graph, const Grouping& grouping) : graph_(graph), grouping_(grouping), rewriter_(graph, 0) {
    const Function& old = rewriter_.old();
    for (const Op& op : old.ops)
      for (Value operand : op.operands) readers_[operand].push_back(static_cast<int32_t>(&op - old.ops.data()));
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
    std::map<int32_t, std::set<int32_t>> waits, followers;
    for (int32_t op = 0; op < static_cast<int32_t>(old.ops.size()); ++op) {
      if (grouping_.is_free(op)) continue;
      int32_t group = grouping_.group(op);
      waits.try_emplace(group);
      for (Value operand : old.ops[op].operands) {
        int32_t from = grouping_.group(operand.op);
        if (grouping_.is_free(operand.op) || from == group) continue;
        waits[group].insert(from);
        followers[from].insert(group);
      }
    }
    auto later = [&](int32_t a, int32_t b) { return grouping_.members(a).front() > grouping_.members(b).front(); };
    std::priority_queue<int32_t, std::vector<int32_t>, decltype(later)> ready(later);
    for (const auto& [group, from] : waits)
      if (from.empty()) ready.push(group);
    std::vector<int32_t> order;
    while (!ready.empty()) {
      int32_t group = ready.top();
      ready.pop();
      order.push_back(group);
      for (int32_t next : followers[group])
        if (waits[next].erase(group) && waits[next].empty()) ready.push(next);
    }
    PW_CHECK(order.size() == waits.size(), "groups wait for each other");
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
    rewriter_.copy(members.front());
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
        builder.input("in" + std::to_string(operands.size()), InputKind::argument, rewriter_.old().type(operand));
    operands.push_back(outside);
  }

  void write_body(const std::vector<int32_t>& members, FunctionBuilder& builder, std::map<Value, Value>& inside,
                  std::vector<Value> operands) {
    const Function& old = rewriter_.old();
    std::set<OriginId> origins;
    std::vector<Value> results;
    for (int32_t op : members) {
      append(op, builder, inside);
      origins.insert(old.ops[op].origin);
      for (int32_t r = 0; r < static_cast<int32_t>(old.ops[op].results.size()); ++r)
        if (leaves({op, r}, members)) results.push_back({op, r});
    }
    OriginId origin = graph_.origins.merge(std::vector<OriginId>(origins.begin(), origins.end()));
    Op fused{&find_op("fused"), std::move(operands), {}, {}, {builder.id()}, origin, {}};
    for (Value result : results) {
      builder.function().results.push_back(inside.at(result));
      fused.results.push_back(old.type(result));
    }
    std::vector<Value> values = rewriter_.builder.append(std::move(fused));
    std::map<int32_t, std::vector<Value>> made;
    for (int32_t op : members) made[op].resize(old.ops[op].results.size());
    for (size_t i = 0; i < results.size(); ++i) made[results[i].op][results[i].result] = values[i];
    for (auto& [op, replacement] : made) rewriter_.replace(op, std::move(replacement));
  }

  void append(int32_t op, FunctionBuilder& builder, std::map<Value, Value>& inside) {
    Op copy = rewriter_.old().ops[op];
    for (Value& operand : copy.operands) {
      if (!inside.contains(operand)) append(operand.op, builder, inside);  // free: made here
      operand = inside.at(operand);
    }
    std::vector<Value> values = builder.append(std::move(copy));
    for (size_t r = 0; r < values.size(); ++r) inside[{op, static_cast<int32_t>(r)}] = values[r];
  }

  bool leaves(Value value, const std::vector<int32_t>& members) const {
    if (kept_.contains(value)) return true;
    auto at = readers_.find(value);
    return at != readers_.end() && std::any_of(at->second.begin(), at->second.end(), [&](int32_t reader) {
             return !std::binary_search(members.begin(), members.end(), reader);
           });
  }

  Graph& graph_;
  const Grouping& grouping_;
  Rewriter rewriter_;
  std::map<Value, std::vector<int32_t>> readers_;
  std::set<Value> kept_;  // results and updates
  int fused_count_ = 0;
};

}  // namespace

Graph fuse(Graph graph, const PassContext& context) {
  Graph before = graph;  // what the grouping looks at while the graph is rewritten
  Grouping grouping(before, context);
  grouping.run();
  GroupWriter(graph, grouping).run();
  drop_unused_functions(graph);
  return graph;
}

}  // namespace placewright
