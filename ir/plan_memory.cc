#include "placewright/ir/plan_memory.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/core.h>

#include "pack_memory.h"
#include "placewright/base/checked.h"
#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

bool elementwise_in_place(const Op& op, int, int) { return op.entry->realised_as<Scalar>() != nullptr; }

const DeviceId& device_of(const Function& function, Value value) {
  const Where& where = function.tensor(value).where;
  if (!where.is_single())
    throw Error(fmt::format("memory cannot be planned: {} has no single device", function.type(value).to_string()));
  return where.devices[0];
}

class MemoryPlanner {
 public:
  MemoryPlanner(const Graph& graph, FunctionId id, const MemoryOptions& options)
      : function_(graph.functions.at(id)),
        in_place_(options.in_place ? options.in_place : elementwise_in_place),
        alignment_(options.alignment),
        end_(static_cast<int32_t>(function_.ops.size())) {}

  MemoryPlan run() {
    find_views();
    find_reads();
    plan_.updated_in_place.resize(function_.updates.size(), false);
    plan_.storage_of.resize(function_.ops.size());
    choose_donations();
    for (int32_t op = 0; op < end_; ++op) assign(op);
    close_lives();
    for (const DeviceId& device : devices()) pack(device);
    order_updates();
    return std::move(plan_);
  }

 private:
  // The value whose elements a value shares.
  Value root(Value value) const { return roots_[index(value)]; }
  size_t index(Value value) const { return first_value_[value.op] + static_cast<size_t>(value.result); }
  // Of a root; -1: nothing reads it.
  int32_t last_read(Value value) const { return last_reads_[index(value)]; }
  bool becomes_state(Value value) const { return last_value_reads_[index(value)] > 0; }

  bool is_view(const Op& op) const {
    if (!op.entry->traits.view) return false;
    const TensorType &from = function_.tensor(op.operands[0]), &to = op.results[0].tensor();
    return from.where == to.where && from.layout.is_row_major() && to.layout.is_row_major();
  }

  void find_views() {
    for (int32_t op = 0; op < end_; ++op) {
      const Op& made = function_.ops[op];
      first_value_.push_back(roots_.size());
      for (int32_t r = 0; r < static_cast<int32_t>(made.results.size()); ++r)
        roots_.push_back(is_view(made) ? root(made.operands[0]) : Value{op, r});
    }
  }

  void find_reads() {
    last_reads_.assign(roots_.size(), -1);
    last_value_reads_.assign(roots_.size(), 0);
    for (int32_t op = 0; op < end_; ++op)
      if (!is_view(function_.ops[op]))
        for (Value operand : function_.ops[op].operands) last_reads_[index(root(operand))] = op;
    for (Value result : function_.results) {
      last_reads_[index(root(result))] = end_;
      results_.insert(root(result));
    }
    for (const Update& update : function_.updates) last_value_reads_[index(root(update.value))] += 1;
  }

  bool is_state(Value value) const {
    const Op& op = function_.op(value);
    return op.is("input") && op.attributes.get<std::string>("kind") == name(InputKind::state);
  }

  // The new value of a state is written straight into the state where nothing reads the old one later, nothing else
  // keeps the new one, and the op that makes it stands behind the state's own and may write over what it reads.
  void choose_donations() {
    for (size_t i = 0; i < function_.updates.size(); ++i) {
      const Update& update = function_.updates[i];
      Value value = root(update.value);
      if (value == update.state) {
        plan_.updated_in_place[i] = true;
        continue;
      }
      const Op& maker = function_.op(value);
      bool free = !maker.is("input") && !maker.is("constant") && !is_loaded_once(maker) && !results_.contains(value) &&
                  last_value_reads_[index(value)] == 1 && !becomes_state(update.state) && update.state.op < value.op &&
                  fits(update.state, value);
      bool late = last_read(update.state) > value.op;
      if (!free || late || !may_overwrite(value.op, value.result, update.state)) continue;
      plan_.updated_in_place[i] = true;
      donated_[value] = update.state;
    }
  }

  // Same device, same bytes in memory.
  bool fits(Value old, Value made) const {
    const TensorType &a = function_.tensor(old), &b = function_.tensor(made);
    return a.where == b.where && a.layout == b.layout && a.bytes() == b.bytes() &&
           info(a.dtype).bits == info(b.dtype).bits;
  }

  // Whether every operand of the op that lives with `old` may be written over by the result.
  bool may_overwrite(int32_t op, int32_t result, Value old) const {
    const Op& made = function_.ops[op];
    for (size_t i = 0; i < made.operands.size(); ++i)
      if (root(made.operands[i]) == old &&
          !(function_.tensor(made.operands[i]).shape == made.results[result].tensor().shape &&
            in_place_(made, static_cast<int>(i), result)))
        return false;
    return true;
  }

  bool is_loaded_once(const Op& op) const { return op.is("transfer") && op.attributes.get<bool>("at_load"); }

  StorageKind kind_of(const Op& op, Value value) const {
    if (op.is("input")) {
      const std::string& kind = op.attributes.get<std::string>("kind");
      return kind == name(InputKind::state)      ? StorageKind::state
             : kind == name(InputKind::constant) ? StorageKind::constant
                                                 : StorageKind::argument;
    }
    if (op.is("constant") || is_loaded_once(op)) return StorageKind::constant;
    return results_.contains(value) ? StorageKind::result : StorageKind::temporary;
  }

  void assign(int32_t op) {
    const Op& made = function_.ops[op];
    std::set<int32_t> taken;  // storages that a result of this op was written over
    for (int32_t r = 0; r < static_cast<int32_t>(made.results.size()); ++r) {
      Value value{op, r};
      int32_t storage = is_view(made) ? plan_.storage(root(value)) : storage_for(value, taken);
      plan_.storages[storage].values.push_back(value);
      plan_.storage_of[op].push_back(storage);
    }
  }

  int32_t storage_for(Value value, std::set<int32_t>& taken) {
    const Op& made = function_.op(value);
    if (auto at = donated_.find(value); at != donated_.end()) return plan_.storage(at->second);
    StorageKind kind = kind_of(made, value);
    if (kind == StorageKind::temporary)
      for (Value operand : made.operands)
        if (int32_t storage = plan_.storage(operand); can_reuse(value, root(operand), storage, taken)) {
          taken.insert(storage);
          return storage;
        }
    bool before = made.is("input") || kind == StorageKind::constant;
    int32_t first = before ? 0 : value.op;
    plan_.storages.push_back({kind, device_of(function_, value), function_.tensor(value).bytes(), 0, first, first, {}});
    return static_cast<int32_t>(plan_.storages.size()) - 1;
  }

  // Whether the result may be written over a dying temporary.
  bool can_reuse(Value value, Value old, int32_t storage, const std::set<int32_t>& taken) const {
    if (plan_.storages[storage].kind != StorageKind::temporary || taken.contains(storage)) return false;
    return last_read(old) == value.op && !becomes_state(old) && fits(old, value) &&
           may_overwrite(value.op, value.result, old);
  }

  // A storage lives until its last value was read for the last time.
  void close_lives() {
    for (Storage& storage : plan_.storages) {
      for (Value value : storage.values) {
        storage.last = std::max(storage.last, value.op);
        storage.last = std::max(storage.last, last_read(root(value)));
        if (becomes_state(root(value))) storage.last = end_;
      }
      if (storage.kind != StorageKind::temporary) storage.last = end_;
    }
  }

  std::set<DeviceId> devices() const {
    std::set<DeviceId> devices;
    for (const Storage& storage : plan_.storages) devices.insert(storage.device);
    return devices;
  }

  void pack(const DeviceId& device) {
    DeviceMemoryPlan memory{device, 0, 0, 0, 0, {}};
    std::vector<int32_t> open;
    std::vector<PackedBuffer> buffers;
    for (int32_t number = 0; number < static_cast<int32_t>(plan_.storages.size()); ++number) {
      const Storage& storage = plan_.storages[number];
      if (storage.device != device) continue;
      if (storage.kind != StorageKind::temporary || storage.bytes == 0) {
        memory.other_bytes += storage.bytes;
        continue;
      }
      open.push_back(number);
      buffers.push_back({storage.bytes, storage.first, storage.last, storage.first, storage.last});
    }
    stretch_for_copies(device, open, buffers);
    memory.arena_bytes = pack_memory(buffers, alignment_);
    for (size_t i = 0; i < open.size(); ++i) plan_.storages[open[i]].offset = buffers[i].offset;
    find_peak(memory);
    plan_.devices.push_back(std::move(memory));
  }

  // Copies run beside launches, and a device may be far behind what was handed out to it. It has caught up where a
  // launch elsewhere reads what was copied from it: between two such launches, what copies write and what they read is
  // better not what others use, too, for then they would wait for each other.
  void stretch_for_copies(const DeviceId& device, const std::vector<int32_t>& open,
                          std::vector<PackedBuffer>& buffers) const {
    std::vector<int32_t> copies, caught_up;
    for (int32_t op = 0; op < end_; ++op) {
      const Op& made = function_.ops[op];
      if (made.results.empty() || is_loaded_once(made)) continue;
      if (made.is("transfer")) copies.push_back(op);
      auto was_there = [&](Value operand) {
        const Op& from = function_.op(operand);
        return from.is("transfer") && !is_loaded_once(from) && device_of(function_, from.operands[0]) == device;
      };
      if (!made.is("transfer") && device_of(function_, {op, 0}) != device &&
          std::any_of(made.operands.begin(), made.operands.end(), was_there))
        caught_up.push_back(op);
    }
    auto stretch = [&](Value value, auto change) {
      auto at = std::lower_bound(open.begin(), open.end(), plan_.storage(value));
      if (at != open.end() && *at == plan_.storage(value)) change(buffers[static_cast<size_t>(at - open.begin())]);
    };
    for (int32_t copy : copies) {
      auto next = std::lower_bound(caught_up.begin(), caught_up.end(), copy);
      const int32_t before = next == caught_up.begin() ? 0 : *std::prev(next);
      const int32_t behind = next == caught_up.end() ? end_ : *next;
      stretch({copy, 0}, [&](PackedBuffer& to) { to.calm_first = std::min(to.calm_first, before); });
      stretch(function_.ops[copy].operands[0],
              [&](PackedBuffer& from) { from.calm_last = std::max(from.calm_last, behind); });
    }
  }

  void find_peak(DeviceMemoryPlan& memory) const {
    std::map<int32_t, int64_t> changes;
    for (const Storage& storage : plan_.storages) {
      if (storage.device != memory.device) continue;
      changes[storage.first] += storage.bytes;
      changes[storage.last + 1] -= storage.bytes;
    }
    int64_t alive = 0;
    for (const auto& [op, change] : changes) {
      alive += change;
      if (alive > memory.peak_bytes) {
        memory.peak_bytes = alive;
        memory.peak_at = op;
      }
    }
    for (size_t i = 0; i < plan_.storages.size(); ++i) {
      const Storage& storage = plan_.storages[i];
      if (storage.device == memory.device && storage.first <= memory.peak_at && memory.peak_at <= storage.last)
        memory.holders.push_back(static_cast<int32_t>(i));
    }
    std::stable_sort(memory.holders.begin(), memory.holders.end(),
                     [&](int32_t a, int32_t b) { return plan_.storages[a].bytes > plan_.storages[b].bytes; });
  }

  // A copy at the end that reads another state's old value comes before that state is overwritten.
  void order_updates() {
    const std::vector<Update>& updates = function_.updates;
    const auto count = static_cast<int32_t>(updates.size());
    std::map<Value, std::vector<int32_t>> overwriting;
    for (int32_t i = 0; i < count; ++i) overwriting[updates[i].state].push_back(i);
    auto held_up_by = [&](int32_t i) -> const std::vector<int32_t>& {
      static const std::vector<int32_t> none;
      auto at = overwriting.find(root(updates[i].value));
      return at == overwriting.end() ? none : at->second;
    };
    std::vector<int> waits(updates.size(), 0);
    for (int32_t i = 0; i < count; ++i)
      for (int32_t other : held_up_by(i)) waits[other] += other != i ? 1 : 0;
    std::set<int32_t> ready;  // the first one goes first
    for (int32_t i = 0; i < count; ++i)
      if (waits[i] == 0) ready.insert(i);
    while (!ready.empty()) {
      const int32_t next = *ready.begin();
      ready.erase(ready.begin());
      plan_.update_order.push_back(next);
      for (int32_t other : held_up_by(next))
        if (other != next && --waits[other] == 0) ready.insert(other);
    }
    for (int32_t i = 0; i < count; ++i)
      if (waits[i] > 0)
        throw Error(fmt::format("states '{}' and others swap their values, which is not supported: compute one anew",
                                input_name(function_, updates[i].state)));
  }

  const Function& function_;
  std::function<bool(const Op&, int, int)> in_place_;
  int64_t alignment_;
  int32_t end_;
  std::vector<size_t> first_value_;        // of each op: the index of its first result among all values
  std::vector<Value> roots_;               // of each value
  std::vector<int32_t> last_reads_;        // of each value that is a root, by ops and results; -1: none
  std::vector<int32_t> last_value_reads_;  // of each value that is a root: how many updates take it
  std::set<Value> results_;                // roots of function results
  std::map<Value, Value> donated_;         // new value to the state in whose storage it is made
  MemoryPlan plan_;
};

// The dimension that an index expression is, without scale or offset; -1: it is more than that.
int plain_dim(const AffineExpr& index) {
  int dim = -1;
  for (size_t d = 0; d < index.coefficients.size(); ++d) {
    if (index.coefficients[d] == 0) continue;
    if (index.coefficients[d] != 1 || dim >= 0) return -1;
    dim = static_cast<int>(d);
  }
  return index.constant == 0 && index.divisor == 1 ? dim : -1;
}

// Whether the access names each kept dimension of the stage's domain once: different points, different elements.
bool is_one_to_one(const Stage& stage, const Access& access) {
  if (access.guarded || !access.indirect.empty()) return false;
  std::set<int> dims;
  for (size_t d = 0; d < access.index.size(); ++d) {
    int dim = plain_dim(access.index[d]);
    if (dim < 0 || stage.reduced[dim] || !dims.insert(dim).second) return false;
  }
  for (int dim = 0; dim < stage.rank(); ++dim)
    if (!stage.reduced[dim] && !dims.contains(dim) && stage.extents[dim] != 1) return false;
  return true;
}

bool loads(const ScalarBody& body, int access) {
  return std::any_of(body.begin(), body.end(),
                     [&](const ScalarNode& node) { return node.op == ScalarOp::load && node.slot == access; });
}

}  // namespace

std::string_view name(StorageKind kind) {
  switch (kind) {
    case StorageKind::argument:
      return "argument";
    case StorageKind::state:
      return "state";
    case StorageKind::constant:
      return "constant";
    case StorageKind::temporary:
      return "temporary";
    case StorageKind::result:
      return "result";
  }
  return "";
}

bool may_run_in_place(const StructuredKernel& kernel, int operand, int result) {
  const KernelBuffer &from = kernel.buffers[operand], &to = kernel.buffers[result];
  if (from.sizes != to.sizes || from.layout != to.layout || info(from.dtype).bits != info(to.dtype).bits) return false;
  for (const KernelBuffer& buffer : kernel.buffers)
    if (buffer.alias_of == operand || buffer.alias_of == result) return false;
  if (from.alias_of >= 0 || to.alias_of >= 0) return false;
  bool stored = false;
  for (const Stage& stage : kernel.stages) {
    const Access* store = nullptr;
    for (const std::vector<Store>* stores : {&stage.stores, &stage.epilogue_stores})
      for (const Store& made : *stores) {
        if (stage.accesses[made.access].buffer != result) continue;
        if (store || made.add) return false;
        store = &stage.accesses[made.access];
      }
    bool may_load = !stored;
    if (store && (stored || !is_one_to_one(stage, *store))) return false;
    for (size_t i = 0; i < stage.accesses.size(); ++i) {
      const Access& access = stage.accesses[i];
      bool in_body = loads(stage.body, static_cast<int>(i)), in_epilogue = loads(stage.epilogue, static_cast<int>(i));
      if (access.buffer != operand || (!in_body && !in_epilogue)) continue;
      if (!may_load) return false;
      if (store && (access.index != store->index || access.guarded || !access.indirect.empty() ||
                    (in_body && stage.has_reduction())))
        return false;
    }
    stored = stored || store;
  }
  return stored;
}

MemoryPlan plan_memory(const Graph& graph, FunctionId function, const MemoryOptions& options) {
  return MemoryPlanner(graph, function, options).run();
}

std::string describe_memory(const Graph& graph, FunctionId id, const MemoryPlan& plan) {
  const Function& function = graph.functions.at(id);
  std::string text;
  for (const DeviceMemoryPlan& memory : plan.devices) {
    text += fmt::format("{}: peak {} bytes at op {}, arena {} bytes, other {} bytes\n", memory.device.to_string(),
                        memory.peak_bytes, memory.peak_at, memory.arena_bytes, memory.other_bytes);
    for (size_t i = 0; i < std::min<size_t>(memory.holders.size(), 5); ++i) {
      const Storage& storage = plan.storages[memory.holders[i]];
      const Op& op = function.op(storage.values[0]);
      std::string what = op.is("input") ? input_name(function, storage.values[0]) : std::string(op.name());
      text += fmt::format("  {} bytes: {} {} {}\n", storage.bytes, name(storage.kind), what,
                          graph.origins[op.origin].site());
    }
  }
  return text;
}

}  // namespace placewright
