#include "placewright/passes/memory_need.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "placewright/base/join.h"
#include "placewright/ir/machine.h"
#include "placewright/passes/placement_memory.h"

namespace placewright {
namespace {

// Of a result: written by the step, held by the caller, and kept to serve again.
constexpr int64_t copies_of_results = 3;
constexpr int64_t alignment = 64;

class NeedMeasure {
 public:
  NeedMeasure(const Graph& graph, const PassContext& context)
      : graph_(graph), function_(graph.main()), context_(context), launches_(function_.ops.size()) {}

  MemoryNeed run() {
    for (size_t i = 0; i < function_.ops.size(); ++i) ask(static_cast<int32_t>(i));
    MemoryOptions options;
    options.in_place = [this](const Op& op, int operand, int result) {
      const std::optional<LaunchMemory>& launch = launches_[static_cast<size_t>(&op - function_.ops.data())];
      return launch && std::find(launch->overwritten.begin(), launch->overwritten.end(), std::pair(operand, result)) !=
                           launch->overwritten.end();
    };
    MemoryNeed need{plan_memory(graph_, 0, options), {}};
    find_largest(need.plan);
    for (const DeviceMemoryPlan& memory : need.plan.devices) need.devices.push_back(need_of(need.plan, memory));
    return need;
  }

 private:
  void ask(int32_t number) {
    const Op& op = function_.ops[number];
    if (op.is("all_reduce")) {
      launches_[number].emplace();
      for (int i = 0; i < static_cast<int>(op.operands.size()); ++i) launches_[number]->overwritten.emplace_back(i, i);
      return;
    }
    if (op.results.empty() || op.is("input") || op.is("constant") || op.is("transfer")) return;
    const Where& where = op.results[0].tensor().where;
    auto target = where.is_single() ? context_.targets.find(where.devices[0]) : context_.targets.end();
    if (target == context_.targets.end()) return;
    launches_[number] = target->second->memory(graph_, function_, op);
    std::vector<int64_t>& largest = workspaces_[where.devices[0]];
    const std::vector<int64_t>& own = launches_[number]->workspaces;
    if (largest.size() < own.size()) largest.resize(own.size(), 0);
    for (size_t i = 0; i < own.size(); ++i) largest[i] = std::max(largest[i], own[i]);
  }

  // Temporaries that a launch has in memory at least: of one that may be cut into parts, or run in the place of what it
  // reads, the largest.
  void find_largest(const MemoryPlan& plan) {
    for (size_t i = 0; i < function_.ops.size(); ++i) {
      if (!launches_[i]) continue;
      std::map<DeviceId, int64_t> largest, sum;
      std::set<int32_t> seen;
      auto add = [&](Value value) {
        const Storage& storage = plan.storages[plan.storage(value)];
        if (storage.kind != StorageKind::temporary || !seen.insert(plan.storage(value)).second) return;
        largest[storage.device] = std::max(largest[storage.device], storage.bytes);
        sum[storage.device] += storage.bytes;
      };
      const Op& op = function_.ops[i];
      for (Value operand : op.operands) add(operand);
      for (int32_t r = 0; r < static_cast<int32_t>(op.results.size()); ++r) add({static_cast<int32_t>(i), r});
      const bool is_whole = !op.is("fused") && launches_[i]->overwritten.empty();
      for (const auto& [device, bytes] : is_whole ? sum : largest)
        largest_launch_[device] = std::max(largest_launch_[device], bytes);
    }
  }

  DeviceNeed need_of(const MemoryPlan& plan, const DeviceMemoryPlan& memory) {
    DeviceNeed need{memory.device, 0, 0, 0, 0, unlimited_memory};
    if (context_.machine)
      if (const DeviceSpec* spec = context_.machine->try_find(memory.device); spec && spec->memory_bytes > 0)
        need.capacity = spec->memory_bytes;
    int64_t given = 0, results = 0, moved = 0;  // moved: of a state that is laid out anew while its old place is there
    for (const Storage& storage : plan.storages) {
      if (storage.device != memory.device || storage.kind == StorageKind::temporary) continue;
      if (storage.kind == StorageKind::result)
        results = checked_add(results, copies_of_results * std::max<int64_t>(storage.bytes, 1));
      else
        given = checked_add(given, storage.bytes);
      if (storage.kind == StorageKind::state && !function_.tensor(storage.values.front()).layout.is_row_major())
        moved = std::max(moved, storage.bytes);
    }
    for (int64_t bytes : workspaces_[memory.device])
      need.workspaces = checked_add(round_up(need.workspaces, alignment), bytes);
    int64_t while_running = results + need.workspaces;
    need.beside = given + std::max(while_running, moved - memory.arena_bytes);
    need.bytes = checked_add(need.beside, memory.arena_bytes);
    need.least = given + results + largest_launch_[memory.device];
    return need;
  }

  const Graph& graph_;
  const Function& function_;
  const PassContext& context_;
  std::vector<std::optional<LaunchMemory>> launches_;    // of each op that is one
  std::map<DeviceId, std::vector<int64_t>> workspaces_;  // of all launches
  std::map<DeviceId, int64_t> largest_launch_;           // bytes of temporaries that one launch has in memory
};

}  // namespace

int64_t MemoryNeed::excess() const {
  int64_t sum = 0;
  for (const DeviceNeed& device : devices) sum = checked_add(sum, device.excess());
  return sum;
}

MemoryNeed measure_need(const Graph& compiled, const PassContext& context) {
  return NeedMeasure(compiled, context).run();
}

const DeviceId& lacking_device(const MemoryNeed& need) {
  return std::max_element(need.devices.begin(), need.devices.end(),
                          [](const DeviceNeed& a, const DeviceNeed& b) { return a.excess() < b.excess(); })
      ->device;
}

SourceSite site_near(const Graph& graph, int32_t number) {
  const Function& function = graph.main();
  const Origin& own = graph.origins[function.ops[number].origin];
  if (!own.frames.empty()) return own.frames.front();
  for (const Op& op : function.ops)
    for (Value operand : op.operands)
      if (const Origin& origin = graph.origins[op.origin]; operand.op == number && !origin.frames.empty())
        return origin.frames.front();
  return {};
}

void HolderNames::add(int64_t bytes, const std::string& name, const SourceSite& site) {
  add_workspaces(bytes);
  if (names_.size() < most)
    names_.push_back(
        fmt::format("{} of {} bytes{}", name, bytes, site.file.empty() ? "" : " (" + site.to_string() + ")"));
}

std::vector<std::string> HolderNames::take() {
  add_workspaces(0);
  return std::move(names_);
}

void HolderNames::add_workspaces(int64_t above) {
  if (workspaces_ > above && names_.size() < most)
    names_.push_back(fmt::format("workspaces of {} bytes", std::exchange(workspaces_, 0)));
}

std::string describe_shortage(const Graph& compiled, const MemoryNeed& need) {
  size_t worst = 0;
  for (size_t i = 1; i < need.devices.size(); ++i)
    if (need.devices[i].excess() > need.devices[worst].excess()) worst = i;
  const Function& function = compiled.main();
  const DeviceNeed& device = need.devices[worst];
  HolderNames holders(device.workspaces);
  for (int32_t number : need.plan.devices[worst].holders) {
    const Storage& storage = need.plan.storages[number];
    const Value value = storage.values.front();
    holders.add(storage.bytes,
                (storage.kind == StorageKind::state ? "state " : "") + value_name(compiled, function, value),
                site_near(compiled, value.op));
  }
  return fmt::format("a step needs {} bytes of memory on {}, which has {}; it holds {}", device.bytes,
                     device.device.to_string(), device.capacity, join(holders.take(), ", "));
}

}  // namespace placewright
