#include "memory_fit.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/core.h>

#include "movement.h"
#include "placewright/base/duration.h"
#include "placewright/base/join.h"
#include "placewright/ir/machine.h"
#include "placewright/passes/memory_need.h"
#include "placewright/passes/placement.h"
#include "placewright/passes/placement_memory.h"
#include "placewright/passes/relief.h"
#include "placewright/passes/step_timeline.h"
#include "surely_fits.h"

namespace placewright {
namespace {

// What a placement needs, by a memory plan of what would be compiled.
struct Need {
  Labels labels;
  std::vector<int64_t> peaks;                     // [label]
  std::vector<std::vector<int64_t>> alive;        // [label][group]: alive at the peak, states apart
  std::vector<std::vector<std::string>> holders;  // [label]: for people, largest first
  int64_t step = 0;                               // nanoseconds of launches and copies, as compiled
  int64_t relief = 0;                             // and of what is recomputed or offloaded
  int64_t relieved_done = 0;                      // as FittedPlacement has it

  int64_t total() const { return step + relief; }
};

class MemoryFit {
 public:
  MemoryFit(const Graph& graph, const PassContext& context, const PlacementProblem& problem,
            const std::vector<int>& group_of, const std::vector<DeviceId>& devices, const StepPrice& price,
            CompiledPlacements* known)
      : graph_(graph),
        function_(graph.main()),
        context_(context),
        problem_(problem),
        group_of_(group_of),
        devices_(devices),
        price_(price),
        known_(known),
        states_(problem.costs.size(), 0) {}

  std::vector<int64_t> peaks(const Labels& labels) const { return plan(labels).peaks; }

  FittedPlacement run() {
    Solution free = solve_placement(problem_);
    FittedPlacement fitted{free.labels, free.energy, free.energy, false, caps(), {}};
    if (!free.is_optimal) fitted.bound = certify(problem_).bound;
    if (surely_fits(graph_, context_)) return fitted;
    for (Value input : function_.inputs)
      if (input_kind(function_, input) == InputKind::state) states_[group_of_[input.op]] += bytes(input);
    Need need = plan(free.labels);
    fitted.peaks = need.peaks;
    if (excess(need, fitted.caps) == 0) return fitted;
    return shrink(std::move(fitted), std::move(need));
  }

 private:
  int64_t bytes(Value value) const { return function_.tensor(value).bytes(); }

  std::vector<int64_t> caps() const {
    std::vector<int64_t> caps;
    for (const DeviceId& device : devices_) {
      const DeviceSpec* spec = context_.machine ? context_.machine->try_find(device) : nullptr;
      caps.push_back(spec && spec->memory_bytes > 0 ? spec->memory_bytes : unlimited_memory);
    }
    return caps;
  }

  int64_t excess(const Need& need, const std::vector<int64_t>& caps) const {
    int64_t sum = 0;
    for (size_t label = 0; label < caps.size(); ++label) sum += std::max<int64_t>(0, need.peaks[label] - caps[label]);
    return sum;
  }

  // What is alive at the peaks that were seen has a price; the last attempt counts everything that a group makes.
  FittedPlacement shrink(FittedPlacement fitted, Need need) {
    Need nearest = need;
    std::optional<Need> best = best_of_single_devices(fitted);
    std::vector<int64_t> counted = states_;
    constexpr int attempts = 5;
    for (int attempt = 0; attempt < attempts; ++attempt) {
      if (attempt + 1 < attempts)
        count_alive(need, fitted.caps, counted);
      else
        count_all(counted);
      need = plan(solve_with_memory(problem_without_streams(), limits(need, fitted.caps, counted)).labels);
      int64_t over = excess(need, fitted.caps);
      if (over < excess(nearest, fitted.caps)) nearest = need;
      if (over > 0) continue;
      if (!best || need.total() < best->total()) best = need;
      break;
    }
    // What fits in less fits, and with several devices the search is no exact one: a little less may find more.
    for (int sixteenths : {15, 14}) {
      if (problem_.labels < 3) break;
      std::vector<int64_t> less = fitted.caps;
      for (int64_t& cap : less)
        if (cap < unlimited_memory) cap = cap / 16 * sixteenths;
      Need other = plan(solve_with_memory(problem_without_streams(), limits(need, less, counted)).labels);
      if (excess(other, fitted.caps) > 0) continue;
      if (!best || other.total() < best->total()) best = std::move(other);
    }
    const Need lowest = consider_relief(fitted, nearest, best);
    if (!best) refuse(lowest, fitted.caps);
    fitted.is_limited = true;
    fitted.energy = energy(problem_, best->labels);
    fitted.labels = std::move(best->labels);
    fitted.peaks = std::move(best->peaks);
    fitted.relief = best->relief;
    fitted.relieved_done = best->relieved_done;
    // Whatever fits holds its states at least.
    MemoryLimits least{fitted.caps, {}, folded_order()};
    for (int64_t state : states_) least.bytes.emplace_back(devices_.size(), state);
    fitted.bound = std::max(fitted.bound, solve_with_memory(problem_without_streams(), least).bound);
    return fitted;
  }

  // What does not fit may do so once values are recomputed or offloaded: the best placement without limits, which may
  // still be the best then, and where nothing fits, any that was tried; at last with as little memory as is possible.
  // Returns what comes nearest to fitting.
  Need consider_relief(const FittedPlacement& fitted, const Need& nearest, std::optional<Need>& best) const {
    Need lowest = nearest;
    std::vector<Labels> candidates{fitted.labels};
    auto add = [&](Labels labels) {
      if (std::find(candidates.begin(), candidates.end(), labels) == candidates.end())
        candidates.push_back(std::move(labels));
    };
    if (!best) {
      add(nearest.labels);
      for (int label = 0; label < problem_.labels; ++label) add(all_on(problem_, label, fitted.labels));
    }
    std::vector<DeviceId> lacking;  // of each candidate
    for (const Labels& labels : candidates) {
      lacking.emplace_back();
      const TracedGraph traced = this->traced(labels);
      const int64_t step = price_(labels, traced);
      if (best && step >= best->total()) continue;
      Relief relief = try_relief(traced.compiled(), context_);
      if (!relief.fits) lacking.back() = lacking_device(relief.need);
      take_relieved(labels, step, relief, fitted.caps, lowest, best);
    }
    for (size_t i = 0; i < candidates.size() && !best; ++i) {
      const TracedGraph traced = this->traced(candidates[i]);
      const Relief relief = find_least(traced.compiled(), context_, lacking[i]);
      take_relieved(candidates[i], price_(candidates[i], traced), relief, fitted.caps, lowest, best);
    }
    return lowest;
  }

  // As the best, if it fits, or as the nearest.
  void take_relieved(const Labels& labels, int64_t step, const Relief& relief, const std::vector<int64_t>& caps,
                     Need& lowest, std::optional<Need>& best) const {
    if (!relief.fits && relief.need.excess() >= excess(lowest, caps)) return;
    Need need = need_of(labels, relief.graph, measure_need(relief.graph, context_));
    need.step = step;
    need.relief = nanoseconds(relief.seconds);
    if (relief.fits && !relief.steps.empty()) need.relieved_done = simulate_step(relief.graph, context_).done;
    if (!relief.fits)
      lowest = std::move(need);
    else if (!best || need.total() < best->total())
      best = std::move(need);
  }

  // The cheapest that fits of those with all that can on one device: coarse, but what fits so is never refused.
  std::optional<Need> best_of_single_devices(const FittedPlacement& fitted) const {
    std::optional<Need> best;
    for (int label = 0; label < problem_.labels; ++label) {
      Labels labels = all_on(problem_, label, fitted.labels);
      if (best && energy(problem_, labels) >= energy(problem_, best->labels)) continue;
      Need need = plan(labels);
      if (excess(need, fitted.caps) == 0) best = std::move(need);
    }
    return best;
  }

  void count_alive(const Need& need, const std::vector<int64_t>& caps, std::vector<int64_t>& counted) const {
    for (size_t label = 0; label < caps.size(); ++label)
      for (size_t g = 0; need.peaks[label] > caps[label] && g < counted.size(); ++g)
        counted[g] = std::max(counted[g], states_[g] + need.alive[label][g]);
  }

  void count_all(std::vector<int64_t>& counted) const {
    std::fill(counted.begin(), counted.end(), 0);
    for (size_t op = 0; op < function_.ops.size(); ++op)
      for (const Type& type : function_.ops[op].results) counted[group_of_[op]] += type.tensor().bytes();
  }

  // The memory plan counts the buffers of what is streamed.
  PlacementProblem problem_without_streams() const {
    PlacementProblem problem = problem_;
    for (PlacementProblem::Value& value : problem.values) value.is_given = false;
    return problem;
  }

  // What the groups do not account for is taken off the caps.
  MemoryLimits limits(const Need& need, const std::vector<int64_t>& caps, const std::vector<int64_t>& counted) const {
    MemoryLimits limits{caps, {}, folded_order()};
    std::vector<int64_t> held(caps.size(), 0);
    for (size_t g = 0; g < counted.size(); ++g) {
      limits.bytes.emplace_back(caps.size(), counted[g]);
      held[need.labels[g]] += counted[g];
    }
    for (size_t label = 0; label < caps.size(); ++label)
      if (caps[label] < unlimited_memory)
        limits.caps[label] = std::max<int64_t>(0, caps[label] - std::max<int64_t>(0, need.peaks[label] - held[label]));
    return limits;
  }

  // Backward ops at the position of their forward op, states at that of their first reader.
  std::vector<int> folded_order() const {
    auto count = static_cast<int>(function_.ops.size());
    std::vector<int> position(function_.ops.size()), order(problem_.costs.size(), count);
    std::map<std::pair<std::string_view, int32_t>, int> forward;
    for (int op = 0; op < count; ++op) {
      const Origin& origin = graph_.origins[function_.ops[op].origin];
      position[op] = op;
      if (origin.role == Role::forward && function_.ops[op].origin != 0)
        forward.try_emplace({origin.module_path, origin.ordinal}, op);
      else if (auto at = forward.find({origin.module_path, origin.ordinal});
               origin.role == Role::backward && at != forward.end())
        position[op] = at->second;
      for (Value operand : function_.ops[op].operands)
        if (function_.op(operand).is("input") && position[operand.op] == operand.op) position[operand.op] = op;
    }
    for (int op = 0; op < count; ++op) order[group_of_[op]] = std::min(order[group_of_[op]], position[op]);
    return order;
  }

  Need plan(const Labels& labels) const {
    const TracedGraph traced = this->traced(labels);
    Need need = need_of(labels, traced.compiled(), measure_need(traced.compiled(), context_));
    need.step = price_(labels, traced);
    return need;
  }

  TracedGraph traced(const Labels& labels) const {
    Labels of_ops;
    of_ops.reserve(group_of_.size());
    for (int group : group_of_) of_ops.push_back(labels[group]);
    return TracedGraph(graph_, context_, devices_, of_ops, known_);
  }

  Need need_of(const Labels& labels, const Graph& placed, const MemoryNeed& memory) const {
    auto count = devices_.size();
    Need need{labels, std::vector<int64_t>(count, 0), {}, {}, 0, 0, 0};
    need.alive.assign(count, std::vector<int64_t>(labels.size(), 0));
    need.holders.resize(count);
    OpSources sources_of(placed);
    for (size_t i = 0; i < memory.devices.size(); ++i) {
      auto at = std::find(devices_.begin(), devices_.end(), memory.devices[i].device);
      if (at == devices_.end()) continue;
      auto label = static_cast<size_t>(at - devices_.begin());
      need.peaks[label] = memory.devices[i].bytes;
      HolderNames names(memory.devices[i].workspaces);
      for (int32_t holder : memory.plan.devices[i].holders)
        add_holder(placed, sources_of, memory.plan.storages[holder], need.alive[label], names);
      need.holders[label] = names.take();
    }
    return need;
  }

  void add_holder(const Graph& placed, OpSources& sources_of, const Storage& storage, std::vector<int64_t>& alive,
                  HolderNames& names) const {
    Value value = storage.values.front();
    const Op* op = &placed.main().op(value);
    bool is_state = storage.kind == StorageKind::state;
    while (op->is("transfer")) op = &placed.main().op(op->operands[0]);
    const std::span<const int32_t> sources = sources_of.of(op->origin);
    if (sources.empty()) return;
    const int32_t old = sources.front();
    if (!is_state) alive[group_of_[old]] += storage.bytes;
    names.add(storage.bytes, (is_state ? "state " : "") + value_name(graph_, function_, {old, 0}),
              site_near(graph_, old));
  }

  [[noreturn]] void refuse(const Need& need, const std::vector<int64_t>& caps) const {
    size_t worst = 0;
    for (size_t label = 1; label < caps.size(); ++label)
      if (need.peaks[label] - caps[label] > need.peaks[worst] - caps[worst]) worst = label;
    throw NoPlacement(
        fmt::format("a step needs {} bytes of memory on {}, which has {}; it holds {}; use a smaller batch, or "
                    "let more run on other devices",
                    need.peaks[worst], devices_[worst].to_string(), caps[worst], join(need.holders[worst], ", ")));
  }

  const Graph& graph_;
  const Function& function_;
  const PassContext& context_;
  const PlacementProblem& problem_;
  const std::vector<int>& group_of_;
  const std::vector<DeviceId>& devices_;
  const StepPrice& price_;
  CompiledPlacements* known_;
  std::vector<int64_t> states_;  // bytes of each group's states
};

}  // namespace

FittedPlacement place_within_memory(const Graph& graph, const PassContext& context, const PlacementProblem& problem,
                                    const std::vector<int>& group_of, const std::vector<DeviceId>& devices,
                                    const StepPrice& price, CompiledPlacements* known) {
  return MemoryFit(graph, context, problem, group_of, devices, price, known).run();
}

std::vector<int64_t> memory_peaks(const Graph& graph, const PassContext& context, const PlacementProblem& problem,
                                  const std::vector<int>& group_of, const std::vector<DeviceId>& devices,
                                  const Labels& labels, CompiledPlacements* known) {
  const StepPrice unpriced = [](const Labels&, const TracedGraph&) { return 0; };
  return MemoryFit(graph, context, problem, group_of, devices, unpriced, known).peaks(labels);
}

}  // namespace placewright
