#include "placewright/codegen/cpu_target_model.h"

#include <algorithm>
#include <optional>

#include <fmt/core.h>

#include "costed_target_model.h"
#include "placewright/codegen/apply_schedule.h"
#include "placewright/codegen/strategy.h"
#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

constexpr double small_seconds = 4e-6;  // launches up to this join whatever they do: their overhead is most of them
constexpr double heavy_flops_per_result = 24;  // a reduction of more than this is worth tiles of its own
constexpr int longest_epilogue = 6;            // elementwise ops behind a contraction
constexpr size_t most_ops = 256;               // of one launch: its compile time grows faster than its overhead shrinks

// What one op computes, told by its lowering.
struct Work {
  double seconds = 0;
  double results = 0;   // elements
  double operands = 0;  // elements of the largest operand
  bool heavy = false;   // a contraction, or another reduction with much work a result
  bool reduces = false;
  bool moves_only = false;  // no arithmetic: broadcasts, transposes, reshapes
};

// As emit_images makes its loops.
KernelMemory memory_of(const CpuTarget& target) {
  return {fmt::format("{} {} {} {} {} {} {}", target.vector_bits, target.vector_registers, target.has_fma,
                      target.l1_bytes, target.l2_bytes, target.l3_bytes, target.fma_per_cycle),
          [target](StructuredKernel& own) { split_reductions(own, target); },
          [target](StructuredKernel kernel) {
            kernel = collapse_dimensions(std::move(kernel));
            Schedule schedule = choose_schedule(kernel, target);
            return apply_schedule(std::move(kernel), std::move(schedule), target.vector_bits, "").workspace_bytes;
          }};
}

class CpuTargetModel final : public CostedTargetModel {
 public:
  CpuTargetModel(const CpuTarget& target, const DeviceSpec& spec, const Profile* profile,
                 std::shared_ptr<OpFactsTable> facts)
      : CostedTargetModel(spec, profile, std::move(facts)), target_(target), memory_(memory_of(target)), spec_(spec) {}

  std::unique_ptr<LaunchModel> launches(const Graph& graph, const Function& function) const override;

  std::vector<OperandLayout> layouts(const Graph& graph, const Function& function, const Op& op) const override {
    if (!can_lower(*op.entry) || op.entry->traits.view) return {};
    std::vector<Type> operands;
    for (Value operand : op.operands) operands.push_back(function.type(operand));
    StructuredKernel kernel = lower_op({*op.entry, operands, op.results, op.attributes, &graph, op.functions});
    split_reductions(kernel, target_);
    std::vector<OperandLayout> wishes;
    for (WishedLayout& wish : wished_layouts(kernel, target_))
      wishes.push_back({wish.buffer, std::move(wish.layout), wish.cycles / clock()});
    return wishes;
  }

  LaunchMemory memory(const Graph& graph, const Function& function, const Op& launch) const override {
    return *facts().memory(graph, function, launch, memory_);
  }

 private:
  friend class CpuLaunchModel;

  Work work_of(const Graph& graph, const Function& function, int32_t number) const {
    const Op& op = function.ops[number];
    Work work;
    for (const Type& type : op.results) work.results += static_cast<double>(type.tensor().elements());
    if (op.entry->traits.view) {
      for (Value operand : op.operands)
        work.operands = std::max(work.operands, static_cast<double>(function.tensor(operand).elements()));
      work.moves_only = true;
      return work;
    }
    if (!can_lower(*op.entry)) return work;
    const std::shared_ptr<const OpFacts> known = facts().find(graph, function, op);
    const KernelCost& cost = known->cost;
    work.operands = known->operands;
    work.reduces = known->reduces;
    double rate = spec_.rate("contraction", DType::f32);
    work.seconds = std::max(rate > 0 ? cost.flops / rate : 0,
                            spec_.memory_bandwidth > 0 ? cost.bytes / spec_.memory_bandwidth : 0);
    work.heavy = work.reduces && cost.flops > heavy_flops_per_result * work.results &&
                 cost.flops > 4 * (work.operands + work.results);
    work.moves_only = !work.reduces && cost.flops == 0;
    return work;
  }

  // Cycles a second, from the rate of contractions.
  double clock() const {
    double rate = spec_.rate("contraction", DType::f32);
    return rate > 0 ? rate / (2.0 * target_.vector_bits / 32 * target_.fma_per_cycle) : 1e9;
  }

  CpuTarget target_;
  KernelMemory memory_;
  DeviceSpec spec_;
};

class CpuLaunchModel final : public LaunchModel {
 public:
  CpuLaunchModel(const CpuTargetModel& target, const Graph& graph, const Function& function)
      : target_(target), graph_(graph), function_(function), known_(function.ops.size()) {}

  bool can_fuse(const std::vector<int32_t>& group, int32_t consumer) override {
    if (group.size() >= most_ops) return false;
    const Work& added = work_of(consumer);
    double seconds = added.seconds;
    for (int32_t op : group) seconds += work_of(op).seconds;
    if (seconds <= small_seconds) return true;
    auto any = [&](auto is) {
      return std::any_of(group.begin(), group.end(), [&](int32_t op) { return is(work_of(op)); });
    };
    auto has_size = [&](const Work& work) { return work.results == added.results; };
    if (added.heavy) return !any([](const Work& work) { return !work.moves_only; });
    if (!any([](const Work& work) { return work.heavy; })) {
      // Elementwise chains, and reductions with what they read; never a reader behind a reduction of large operands.
      if (any([](const Work& work) { return work.reduces; })) return !added.reduces && any(has_size);
      double largest = 0;
      for (int32_t op : group) largest = std::max(largest, work_of(op).results);
      return added.reduces ? added.operands >= largest : added.results >= largest || any(has_size);
    }
    if (added.reduces || graph_.origins[function_.ops[consumer].origin].role == Role::update) return false;
    int behind = 0;
    double contracted = 0;
    for (int32_t op : group) {
      const Work& work = work_of(op);
      if (work.heavy) contracted = work.results;
      if (!work.heavy && !work.moves_only) ++behind;
    }
    return added.results == contracted && behind < longest_epilogue;
  }

  double cost(const std::vector<int32_t>& group) override {
    double seconds = target_.spec_.launch_seconds;
    for (int32_t op : group) seconds += work_of(op).seconds;
    return seconds;
  }

 private:
  const Work& work_of(int32_t op) {
    std::optional<Work>& known = known_[op];
    if (!known) known = target_.work_of(graph_, function_, op);
    return *known;
  }

  const CpuTargetModel& target_;
  const Graph& graph_;
  const Function& function_;
  std::vector<std::optional<Work>> known_;  // by op
};

std::unique_ptr<LaunchModel> CpuTargetModel::launches(const Graph& graph, const Function& function) const {
  return std::make_unique<CpuLaunchModel>(*this, graph, function);
}

}  // namespace

std::unique_ptr<TargetModel> make_cpu_target_model(const CpuTarget& target, const DeviceSpec& spec,
                                                   const Profile* profile, std::shared_ptr<OpFactsTable> facts) {
  return std::make_unique<CpuTargetModel>(target, spec, profile, std::move(facts));
}

}  // namespace placewright
