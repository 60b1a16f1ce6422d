// Cuts launches that do several things. A launch waits for all that it reads and keeps in memory what any part of it
// reads: joined updates of parameters, which are less work together, hold gradients and activations to the end.
#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include <fmt/core.h>

#include "placewright/ir/builder.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/launch_order.h"
#include "rewrite.h"

namespace placewright {
namespace {

// Ops of a body that stay in one launch.
struct Part {
  int32_t behind = -1;         // the op of the function after which all that it reads is there
  std::vector<bool> ops;       // of the body
  std::vector<Value> results;  // of the body, that others read
};

class LaunchParts {
 public:
  LaunchParts(const Graph& graph, const MemoryPlan& plan, const std::vector<int32_t>& last_reader)
      : graph_(graph), function_(graph.main()), plan_(plan), last_reader_(last_reader) {}

  // In an order in which each stands behind those that it reads; one: nothing to cut.
  std::vector<Part> find(int32_t number) {
    number_ = number;
    body_ = &graph_.functions[function_.ops[number].functions[0]];
    find_readiness();
    sink();
    find_components();
    return parts();
  }

 private:
  int32_t count() const { return static_cast<int32_t>(body_->ops.size()); }
  bool is_input(int32_t op) const { return body_->ops[op].is("input"); }
  int64_t elements(Value value) const { return body_->tensor(value).elements(); }

  // When what each op of the body reads is there; which ops need nothing and are made in each part.
  void find_readiness() {
    const Op& launch = function_.ops[number_];
    ready_.assign(body_->ops.size(), -1);
    is_free_.assign(body_->ops.size(), true);
    is_scalar_.assign(body_->ops.size(), true);
    std::map<Value, Value> outside;
    for (size_t i = 0; i < body_->inputs.size(); ++i) outside[body_->inputs[i]] = launch.operands[i];
    frees_.assign(body_->ops.size(), 0);
    std::vector<int32_t> reads(body_->ops.size(), 0);
    for (const Op& op : body_->ops)
      for (Value operand : op.operands) ++reads[operand.op];
    for (int32_t i = 0; i < count(); ++i) {
      if (is_input(i)) {
        const Op& maker = function_.op(outside.at({i, 0}));
        if (!maker.is("input") && !maker.is("constant")) ready_[i] = outside.at({i, 0}).op;
        is_free_[i] = false;
        is_scalar_[i] = elements({i, 0}) == 1;
        continue;
      }
      for (Value operand : body_->ops[i].operands) {
        ready_[i] = std::max(ready_[i], ready_[operand.op]);
        is_free_[i] = is_free_[i] && is_free_[operand.op];
        is_scalar_[i] = is_scalar_[i] && is_scalar_[operand.op];
        if (is_input(operand.op) && reads[operand.op] == 1) frees_[i] += freed(outside.at(operand));
      }
      for (size_t r = 0; r < body_->ops[i].results.size(); ++r)
        is_scalar_[i] = is_scalar_[i] && elements({i, static_cast<int32_t>(r)}) == 1;
    }
  }

  // Bytes that are gone once the launch has read the value.
  int64_t freed(Value value) const {
    const int32_t number = plan_.storage(value);
    const Storage& storage = plan_.storages[number];
    return storage.kind == StorageKind::temporary && last_reader_[number] == number_ ? storage.bytes : 0;
  }

  int64_t made(int32_t op) const {
    int64_t bytes = 0;
    for (const Type& type : body_->ops[op].results) bytes += type.tensor().bytes();
    return bytes;
  }

  // An op that frees less than it makes waits for the first op that reads it.
  void sink() {
    std::vector<int32_t> first(body_->ops.size(), std::numeric_limits<int32_t>::max());
    for (Value result : body_->results) first[result.op] = -1;
    for (int32_t i = count(); i-- > 0;) {
      if (is_input(i)) continue;
      if (first[i] != std::numeric_limits<int32_t>::max() && !is_scalar_[i] && frees_[i] <= made(i))
        ready_[i] = std::max(ready_[i], first[i]);
      for (Value operand : body_->ops[i].operands) first[operand.op] = std::min(first[operand.op], ready_[i]);
    }
  }

  // Ops that are ready at once and hand each other more than one number stay together.
  void find_components() {
    component_.resize(body_->ops.size());
    std::iota(component_.begin(), component_.end(), 0);
    std::map<int32_t, int32_t> scalars;  // by readiness
    for (int32_t i = 0; i < count(); ++i) {
      if (is_input(i) || is_free_[i]) continue;
      if (is_scalar_[i]) join(scalars.try_emplace(ready_[i], i).first->second, i);
      for (Value operand : body_->ops[i].operands)
        if (!is_input(operand.op) && !is_free_[operand.op] && !is_scalar_[operand.op] &&
            ready_[operand.op] == ready_[i])
          join(operand.op, i);
    }
  }

  int32_t root(int32_t op) {
    while (component_[op] != op) op = component_[op] = component_[component_[op]];
    return op;
  }
  void join(int32_t a, int32_t b) { component_[root(b)] = root(a); }

  std::vector<Part> parts() {
    std::map<std::tuple<int32_t, bool, int32_t>, Part> parts;  // by readiness, numbers before tensors
    std::vector<Part*> part_of(body_->ops.size(), nullptr);
    for (int32_t i = 0; i < count(); ++i) {
      if (is_input(i) || is_free_[i]) continue;
      Part& part = parts[{ready_[i], !is_scalar_[root(i)], root(i)}];
      if (part.ops.empty()) part = {ready_[i], std::vector<bool>(body_->ops.size(), false), {}};
      part.ops[i] = true;
      part_of[i] = &part;
    }
    std::set<Value> leaving(body_->results.begin(), body_->results.end());
    for (int32_t i = 0; i < count(); ++i)
      for (Value operand : body_->ops[i].operands)
        if (part_of[i] && part_of[operand.op] && part_of[operand.op] != part_of[i]) leaving.insert(operand);
    for (Value value : leaving)
      if (part_of[value.op]) part_of[value.op]->results.push_back(value);
    bool has_all = std::all_of(leaving.begin(), leaving.end(), [&](Value value) { return part_of[value.op]; });
    std::vector<Part> made;
    for (auto& [key, part] : parts)
      if (!part.results.empty()) made.push_back(std::move(part));
    if (!has_all) made.clear();  // a result that comes from constants alone
    return made;
  }

  const Graph& graph_;
  const Function& function_;
  const MemoryPlan& plan_;
  const std::vector<int32_t>& last_reader_;  // of each storage
  int32_t number_ = -1;
  const Function* body_ = nullptr;
  std::vector<int32_t> ready_;   // of each op of the body: the op of the function behind which it can run; -1: at once
  std::vector<bool> is_free_;    // made of constants alone
  std::vector<bool> is_scalar_;  // one element, of such
  std::vector<int64_t> frees_;   // bytes of what nothing else reads
  std::vector<int32_t> component_;  // union-find
};

class PartWriter {
 public:
  PartWriter(Graph& graph, std::map<int32_t, std::vector<Part>> parts)
      : graph_(graph), rewriter_(graph, 0), parts_(std::move(parts)) {
    for (auto& [launch, parts] : parts_)
      for (Part& part : parts) behind_[part.behind].push_back({launch, &part});
  }

  void run() {
    const Function& old = rewriter_.old();
    const auto count = static_cast<int32_t>(old.ops.size());
    for (int32_t i = 0; i < count; ++i)
      if (old.ops[i].is("input") || old.ops[i].is("constant")) rewriter_.copy(i);
    write_behind(-1);
    for (int32_t i = 0; i < count; ++i) {
      if (old.ops[i].is("input") || old.ops[i].is("constant")) continue;
      if (parts_.contains(i))
        finish(i);
      else
        rewriter_.copy(i);
      write_behind(i);
    }
    rewriter_.finish();
    drop_unused_functions(graph_);
  }

 private:
  void write_behind(int32_t op) {
    for (const auto& [launch, part] : behind_[op]) write(launch, *part);
  }

  const Function& body(int32_t launch) const { return graph_.functions[rewriter_.old().ops[launch].functions[0]]; }

  void write(int32_t launch, const Part& part) {
    const Op& whole = rewriter_.old().ops[launch];
    const Function body = this->body(launch);  // a copy: the functions move
    FunctionId id = add_function(graph_, fmt::format("{}_part_{}", body.name, graph_.functions.size()));
    FunctionBuilder builder(graph_, id);
    std::map<Value, Value>& made = made_[launch];  // values of the body to values of the function
    for (size_t i = 0; i < body.inputs.size(); ++i) made[body.inputs[i]] = whole.operands[i];
    std::map<Value, Value> inside;
    Op op{&find_op("fused"), {}, {}, whole.attributes, {id}, whole.origin, {}};
    std::set<OriginId> origins;
    auto enter = [&](Value value) {
      inside[value] =
          builder.input(fmt::format("in{}", builder.function().inputs.size()), InputKind::argument, body.type(value));
      op.operands.push_back(body.op(value).is("input") ? rewriter_(made.at(value)) : made.at(value));
    };
    std::vector<bool> is_needed = part.ops;  // with what is made of constants
    for (size_t i = body.ops.size(); i-- > 0;)
      if (is_needed[i])
        for (Value operand : body.ops[i].operands)
          if (!body.op(operand).is("input") && !part.ops[operand.op] && !made.contains(operand))
            is_needed[operand.op] = true;
    for (size_t i = 0; i < body.ops.size(); ++i)
      for (Value operand : body.ops[i].operands)
        if (is_needed[i] && !is_needed[operand.op] && !inside.contains(operand)) enter(operand);
    for (size_t i = 0; i < body.ops.size(); ++i) {
      if (!is_needed[i]) continue;
      origins.insert(body.ops[i].origin);
      Op copy = body.ops[i];
      for (Value& operand : copy.operands) operand = inside.at(operand);
      std::vector<Value> values = builder.append(std::move(copy));
      for (size_t r = 0; r < values.size(); ++r) inside[{static_cast<int32_t>(i), static_cast<int32_t>(r)}] = values[r];
    }
    op.origin = graph_.origins.merge(std::vector<OriginId>(origins.begin(), origins.end()));
    for (Value result : part.results) {
      builder.function().results.push_back(inside.at(result));
      op.results.push_back(body.type(result));
      give_place(op.results.back(), whole);
    }
    std::vector<Value> values = rewriter_.builder.append(std::move(op));
    for (size_t r = 0; r < values.size(); ++r) made[part.results[r]] = values[r];
  }

  static void give_place(Type& type, const Op& whole) { type.set_where(whole.results[0].tensor().where); }

  void finish(int32_t launch) {
    std::vector<Value> results;
    for (Value result : body(launch).results) results.push_back(made_[launch].at(result));
    rewriter_.replace(launch, std::move(results));
  }

  Graph& graph_;
  Rewriter rewriter_;
  std::map<int32_t, std::vector<Part>> parts_;  // by launch
  std::map<int32_t, std::vector<std::pair<int32_t, const Part*>>> behind_;
  std::map<int32_t, std::map<Value, Value>> made_;
};

}  // namespace

Graph cut_launches(Graph compiled, const MemoryPlan& plan, const DeviceId& device, int& cut) {
  const Function& function = compiled.main();
  std::vector<int32_t> last_reader(plan.storages.size(), -1);
  for (size_t i = 0; i < function.ops.size(); ++i)
    for (Value operand : function.ops[i].operands) last_reader[plan.storage(operand)] = static_cast<int32_t>(i);
  LaunchParts finder(compiled, plan, last_reader);
  std::map<int32_t, std::vector<Part>> parts;
  for (int32_t i = 0; i < static_cast<int32_t>(function.ops.size()); ++i) {
    const Op& op = function.ops[i];
    if (!op.is("fused") || op.results.size() < 2 || op.results[0].tensor().where != Where{{device}, {}, {}}) continue;
    std::vector<Part> found = finder.find(i);
    if (found.size() > 1) parts.emplace(i, std::move(found));
  }
  cut = static_cast<int>(parts.size());
  if (cut > 0) PartWriter(compiled, std::move(parts)).run();
  return compiled;
}

}  // namespace placewright
