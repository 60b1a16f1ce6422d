#include "placewright/codegen/cpu_target_model.h"

#include <algorithm>

#include "placewright/codegen/launch_costs.h"
#include "placewright/codegen/strategy.h"
#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

constexpr double small_seconds = 4e-6;  // launches up to this join whatever they do: their overhead is most of them
constexpr double heavy_flops_per_result = 24;  // a reduction of more than this is worth tiles of its own
constexpr int longest_epilogue = 6;            // elementwise ops behind a contraction

// What one op computes, told by its lowering.
struct Work {
  double seconds = 0;
  double results = 0;   // elements
  double operands = 0;  // elements of the largest operand
  bool heavy = false;   // a contraction, or another reduction with much work a result
  bool reduces = false;
  bool moves_only = false;  // no arithmetic: broadcasts, transposes, reshapes
};

class CpuTargetModel final : public TargetModel {
 public:
  CpuTargetModel(const CpuTarget& target, const DeviceSpec& spec, const Profile* profile,
                 std::shared_ptr<OpFactsTable> facts)
      : target_(target), spec_(spec), facts_(facts), costs_(spec, profile, std::move(facts)) {}

  std::string refuses(const Graph& graph, const Function& function, const Op& op) const override {
    return costs_.refuses(graph, function, op);
  }

  bool can_fuse(const Graph& graph, const Function& function, const std::vector<int32_t>& group,
                int32_t consumer) const override {
    Work added = work_of(graph, function, consumer);
    std::vector<Work> members;
    double seconds = added.seconds;
    for (int32_t op : group) {
      members.push_back(work_of(graph, function, op));
      seconds += members.back().seconds;
    }
    if (seconds <= small_seconds) return true;
    bool has_heavy = std::any_of(members.begin(), members.end(), [](const Work& work) { return work.heavy; });
    bool moves_only = std::all_of(members.begin(), members.end(), [](const Work& work) { return work.moves_only; });
    if (added.heavy) return moves_only;
    auto role = [&](int32_t op) { return graph.origins[function.ops[op].origin].role; };
    if (!has_heavy) {
      // Elementwise chains, and reductions with what they read; never a reader behind a reduction of large operands.
      bool reduced = std::any_of(members.begin(), members.end(), [](const Work& work) { return work.reduces; });
      if (reduced) return !added.reduces && same_size(members, added.results);
      double largest = 0;
      for (const Work& work : members) largest = std::max(largest, work.results);
      return added.reduces ? added.operands >= largest : added.results >= largest || same_size(members, added.results);
    }
    if (added.reduces || role(consumer) == Role::update) return false;
    int behind = 0;
    double contracted = 0;
    for (size_t i = 0; i < members.size(); ++i) {
      if (members[i].heavy) contracted = members[i].results;
      if (!members[i].heavy && !members[i].moves_only) ++behind;
    }
    return added.results == contracted && behind < longest_epilogue;
  }

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

  double cost(const Graph& graph, const Function& function, const std::vector<int32_t>& group) const override {
    return costs_.seconds(graph, function, group);
  }

  int64_t workspace(const Graph&, const Function& function, const std::vector<int32_t>& group) const override {
    int64_t bytes = 0;
    for (int32_t op : group)
      for (const Type& type : function.ops[op].results) bytes = std::max(bytes, type.tensor().bytes());
    return bytes;
  }

 private:
  static bool same_size(const std::vector<Work>& members, double results) {
    return std::any_of(members.begin(), members.end(), [&](const Work& work) { return work.results == results; });
  }

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
    std::shared_ptr<const OpFacts> facts = facts_->find(graph, function, op);
    const KernelCost& cost = facts->cost;
    work.operands = facts->operands;
    work.reduces = facts->reduces;
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
  DeviceSpec spec_;
  std::shared_ptr<OpFactsTable> facts_;
  LaunchCosts costs_;
};

}  // namespace

std::unique_ptr<TargetModel> make_cpu_target_model(const CpuTarget& target, const DeviceSpec& spec,
                                                   const Profile* profile, std::shared_ptr<OpFactsTable> facts) {
  if (!facts) facts = std::make_shared<OpFactsTable>();
  return std::make_unique<CpuTargetModel>(target, spec, profile, std::move(facts));
}

}  // namespace placewright
