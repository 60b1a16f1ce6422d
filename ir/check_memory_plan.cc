// Replays a function against a memory plan: which value's bytes each piece of memory holds after each op. Shares no
// code with the planner, so that a bug there does not hide here.
#include <algorithm>
#include <map>
#include <vector>

#include <fmt/core.h>

#include "placewright/ir/op_table.h"
#include "placewright/ir/plan_memory.h"

namespace placewright {
namespace {

class Replay {
 public:
  Replay(const Graph& graph, FunctionId id, const MemoryPlan& plan, const MemoryOptions& options)
      : graph_(graph), function_(graph.functions.at(id)), plan_(plan), options_(options) {}

  void run() {
    check_storages();
    for (size_t i = 0; i < function_.ops.size(); ++i) {
      at_ = i;
      step(function_.ops[i]);
    }
    at_ = function_.ops.size();
    finish();
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    std::string where = "at the end";
    if (at_ < function_.ops.size())
      where = fmt::format("op {} {} ({})", at_, function_.ops[at_].name(),
                          graph_.origins[function_.ops[at_].origin].site());
    throw Error(fmt::format("invalid memory plan: {}: {}", where, what));
  }

  const Storage& storage(Value value) const { return plan_.storages[static_cast<size_t>(plan_.storage(value))]; }

  void check_storages() {
    if (plan_.storage_of.size() != function_.ops.size()) fail("it is another function's");
    for (size_t i = 0; i < function_.ops.size(); ++i) {
      at_ = i;
      const Op& op = function_.ops[i];
      if (plan_.storage_of[i].size() != op.results.size()) fail("a result has no storage");
      for (size_t r = 0; r < op.results.size(); ++r) {
        int32_t number = plan_.storage_of[i][r];
        if (number < 0 || number >= static_cast<int32_t>(plan_.storages.size())) fail("a storage does not exist");
        const Storage& home = plan_.storages[static_cast<size_t>(number)];
        if (home.bytes < op.results[r].tensor().bytes()) fail("the storage is too small");
        if (op.results[r].tensor().where.devices != std::vector<DeviceId>{home.device})
          fail("the storage is on another device");
        if (home.kind == StorageKind::temporary) check_arena(home);
      }
    }
  }

  void check_arena(const Storage& home) const {
    if (home.offset < 0 || home.offset % options_.alignment != 0) fail("the offset is not aligned");
    auto memory = std::find_if(plan_.devices.begin(), plan_.devices.end(),
                               [&](const DeviceMemoryPlan& candidate) { return candidate.device == home.device; });
    if (memory == plan_.devices.end() || home.offset > memory->arena_bytes - home.bytes)
      fail("the storage leaves its arena");
  }

  // Whether two storages are, in part, the same bytes.
  bool overlap(int32_t a, int32_t b) const {
    if (a == b) return true;
    const Storage &x = plan_.storages[static_cast<size_t>(a)], &y = plan_.storages[static_cast<size_t>(b)];
    return x.kind == StorageKind::temporary && y.kind == StorageKind::temporary && x.device == y.device &&
           x.offset < y.offset + y.bytes && y.offset < x.offset + x.bytes;
  }

  bool shares_elements(const Op& op) const {
    return op.entry->traits.view && function_.tensor(op.operands[0]).where == op.results[0].tensor().where &&
           function_.tensor(op.operands[0]).layout.is_row_major() && op.results[0].tensor().layout.is_row_major();
  }

  bool is_held(Value value) const {
    auto at = holds_.find(plan_.storage(value));
    return at != holds_.end() && std::find(at->second.begin(), at->second.end(), value) != at->second.end();
  }

  void require(Value value, const std::string& use) const {
    if (storage(value).bytes > 0 && !is_held(value))
      fail(fmt::format("{} ({}, {}) is no longer in its storage", use, value.op, value.result));
  }

  void step(const Op& op) {
    int32_t number = static_cast<int32_t>(at_);
    if (shares_elements(op)) {  // nothing runs: only who reads the view needs its elements
      if (plan_.storage({number, 0}) != plan_.storage(op.operands[0])) fail("a view has a storage of its own");
      if (is_held(op.operands[0])) holds_[plan_.storage({number, 0})].push_back({number, 0});
      return;
    }
    for (Value operand : op.operands) require(operand, "operand");
    std::vector<int32_t> written;
    for (int32_t r = 0; r < static_cast<int32_t>(op.results.size()); ++r) write(op, {number, r}, written);
  }

  void write(const Op& op, Value value, std::vector<int32_t>& written) {
    int32_t target = plan_.storage(value);
    if (storage(value).bytes > 0) {
      for (int32_t other : written)
        if (overlap(other, target)) fail("two results overlap");
      for (size_t i = 0; i < op.operands.size(); ++i) check_overwrite(op, static_cast<int>(i), value);
    }
    StorageKind kind = storage(value).kind;
    bool is_load = op.is("constant") || (op.is("transfer") && op.attributes.get<bool>("at_load"));
    if (!op.is("input") && (kind == StorageKind::argument || (kind == StorageKind::constant && !is_load)))
      fail("it writes to memory that is only read");
    for (auto& [other, values] : holds_)
      if (overlap(other, target)) values.clear();
    holds_[target] = {value};
    written.push_back(target);
  }

  void check_overwrite(const Op& op, int operand, Value value) const {
    int32_t source = plan_.storage(op.operands[static_cast<size_t>(operand)]), target = plan_.storage(value);
    if (storage(op.operands[static_cast<size_t>(operand)]).bytes == 0 || !overlap(source, target)) return;
    if (source != target) fail("a result overlaps an operand in part");
    bool allowed = options_.in_place ? options_.in_place(op, operand, value.result)
                                     : std::holds_alternative<Scalar>(op.entry->realisation);
    if (!allowed)
      fail(fmt::format("result {} is written over operand {}, which its kernel forbids", value.result, operand));
  }

  void finish() {
    for (Value result : function_.results) require(result, "result");
    if (plan_.updated_in_place.size() != function_.updates.size()) fail("an update is missing");
    std::vector<Value> updated;
    std::vector<bool> seen(function_.updates.size(), false);
    for (int32_t i : plan_.update_order) {
      if (i < 0 || i >= static_cast<int32_t>(seen.size()) || seen[i]) fail("the order of updates names one twice");
      seen[i] = true;
      const Update& update = function_.updates[i];
      updated.push_back(update.state);
      require(update.value, "new value of a state");
      if (plan_.updated_in_place[i] && plan_.storage(update.value) != plan_.storage(update.state))
        fail("a state that is updated in place has its new value elsewhere");
      if (!plan_.updated_in_place[i]) holds_[plan_.storage(update.state)] = {};  // the copy
    }
    if (updated.size() != seen.size()) fail("the order of updates leaves one out");
    for (Value input : function_.inputs)
      if (std::find(updated.begin(), updated.end(), input) == updated.end()) require(input, "input");
  }

  const Graph& graph_;
  const Function& function_;
  const MemoryPlan& plan_;
  const MemoryOptions& options_;
  size_t at_ = 0;
  std::map<int32_t, std::vector<Value>> holds_;  // by storage: the values whose elements are there now
};

}  // namespace

void check_memory_plan(const Graph& graph, FunctionId function, const MemoryPlan& plan, const MemoryOptions& options) {
  Replay(graph, function, plan, options).run();
}

}  // namespace placewright
