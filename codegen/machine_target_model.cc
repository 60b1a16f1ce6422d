#include "placewright/codegen/machine_target_model.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "costed_target_model.h"
#include "placewright/codegen/code_target.h"
#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

constexpr size_t most_ops = 64;  // of one launch: its code grows with them, and so does its list of arguments

class MachineTargetModel final : public CostedTargetModel {
 public:
  MachineTargetModel(const DeviceSpec& spec, const Profile* profile, std::shared_ptr<OpFactsTable> facts)
      : CostedTargetModel(spec, profile, std::move(facts)), memory_(kernel_memory(spec.target)) {}

  std::unique_ptr<LaunchModel> launches(const Graph& graph, const Function& function) const override;

  LaunchMemory memory(const Graph& graph, const Function& function, const Op& launch) const override {
    return *facts().memory(graph, function, launch, memory_);
  }

 private:
  friend class MachineLaunchModel;

  KernelMemory memory_;
};

class MachineLaunchModel final : public LaunchModel {
 public:
  MachineLaunchModel(const MachineTargetModel& target, const Graph& graph, const Function& function)
      : target_(target), graph_(graph), function_(function), known_(function.ops.size()) {}

  // What every generator of kernels can: chains of elementwise ops, in front of one reduction or behind one product.
  // One that is known to be for a GPU keeps rows in fast memory: what is reduced and computed row by row as well.
  bool can_fuse(const std::vector<int32_t>& group, int32_t consumer) override {
    if (group.size() >= most_ops) return false;
    if (target_.memory_.workspaces && keeps_to_rows(group, consumer)) return true;
    const Work& added = work_of(consumer);
    Kind largest = Kind::moves;
    double results = 0;
    bool same_size = false;
    for (int32_t op : group) {
      const Work& member = work_of(op);
      largest = std::max(largest, member.kind);
      same_size = same_size || member.results == added.results;
      results = std::max(results, member.results);
    }
    if (added.kind == Kind::stands_alone || largest == Kind::stands_alone) return false;
    if (added.kind == Kind::product) return largest == Kind::moves;
    if (largest >= Kind::reduces) return added.kind < Kind::reduces && same_size;
    if (added.kind == Kind::reduces) return added.operands >= results;
    return same_size || added.results >= results;
  }

  double cost(const std::vector<int32_t>& group) override {
    if (group.size() == 1) return target_.cost(graph_, function_, group);  // it may have been measured
    double sum = target_.costs().launch_seconds();
    for (int32_t op : group)
      for (double stage : work_of(op).stages) sum += stage;
    return sum;
  }

 private:
  enum class Kind : uint8_t { moves, computes, reduces, product, stands_alone };
  struct Work {
    Kind kind;
    double operands, results;    // elements
    std::vector<double> stages;  // seconds of each
    std::shared_ptr<const OpFacts> facts;
  };

  // Whether the reductions of the ops are all over the same rows, many or short enough to run side by side, and
  // whatever else they do stays within a row: then what they hand on need not leave it.
  bool keeps_to_rows(const std::vector<int32_t>& group, int32_t consumer) {
    constexpr int64_t enough_rows = 128, long_row = 16384;
    std::optional<Rows> rows;
    auto agrees = [&](int32_t op) {
      const Work& work = work_of(op);
      if (work.kind == Kind::product || work.kind == Kind::stands_alone) return false;
      const std::optional<Rows>& own = work.facts->rows;
      if (work.kind != Kind::reduces) return true;
      if (!own || (rows && *own != *rows)) return false;
      rows = own;
      return true;
    };
    if (!agrees(consumer) || !std::all_of(group.begin(), group.end(), agrees)) return false;
    if (!rows || rows->count < 2 || (rows->count <= enough_rows && rows->length >= long_row)) return false;
    auto is_ours = [&](int32_t op) { return op == consumer || std::binary_search(group.begin(), group.end(), op); };
    auto stays = [&](int32_t op) { return stays_in_rows(op, *rows, is_ours); };
    return stays(consumer) && std::all_of(group.begin(), group.end(), stays);
  }

  // Results are rows, or one value of each; what other ops of the launch make is read in the row that it is made in.
  template <typename IsOurs>
  bool stays_in_rows(int32_t number, const Rows& rows, const IsOurs& is_ours) {
    const Op& op = function_.ops[number];
    const std::vector<Sizes>& pieces = work_of(number).facts->pieces;
    auto is_cut = [&](size_t buffer) {
      return std::find(pieces[buffer].begin(), pieces[buffer].end(), rows.count) != pieces[buffer].end();
    };
    if (pieces.size() != op.operands.size() + op.results.size()) return false;
    for (size_t i = 0; i < op.operands.size(); ++i)
      if (is_ours(op.operands[i].op) && !is_cut(i)) return false;
    for (size_t r = 0; r < op.results.size(); ++r) {
      const int64_t elements = op.results[r].tensor().elements();
      if (elements != rows.count && elements != rows.count * rows.length) return false;
      if (!is_cut(op.operands.size() + r)) return false;
    }
    return true;
  }

  const Work& work_of(int32_t op) {
    std::optional<Work>& known = known_[op];
    if (!known) {
      std::shared_ptr<const OpFacts> facts = target_.facts().find(graph_, function_, function_.ops[op]);
      known = {kind_of(function_.ops[op], *facts), facts->operands, facts->results, {}, facts};
      for (const StageWork& work : facts->stages) known->stages.push_back(target_.costs().seconds(work));
    }
    return *known;
  }

  static Kind kind_of(const Op& op, const OpFacts& facts) {
    if (op.entry->traits.view) return Kind::moves;
    if (facts.stages.size() != 1) return Kind::stands_alone;
    std::string_view op_class = facts.stages[0].op_class;
    if (op_class == "contraction" || op_class == "convolution") return Kind::product;
    if (op_class == "scatter") return Kind::stands_alone;
    if (facts.reduces) return Kind::reduces;
    return facts.cost.flops == 0 ? Kind::moves : Kind::computes;
  }

  const MachineTargetModel& target_;
  const Graph& graph_;
  const Function& function_;
  std::vector<std::optional<Work>> known_;  // by op
};

std::unique_ptr<LaunchModel> MachineTargetModel::launches(const Graph& graph, const Function& function) const {
  return std::make_unique<MachineLaunchModel>(*this, graph, function);
}

}  // namespace

std::unique_ptr<TargetModel> make_machine_target_model(const DeviceSpec& spec, const Profile* profile,
                                                       std::shared_ptr<OpFactsTable> facts) {
  return std::make_unique<MachineTargetModel>(spec, profile, std::move(facts));
}

}  // namespace placewright
