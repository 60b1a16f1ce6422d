#include "placewright/codegen/machine_target_model.h"

#include <algorithm>

#include "placewright/codegen/launch_costs.h"
#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

class MachineTargetModel final : public TargetModel {
 public:
  MachineTargetModel(const DeviceSpec& spec, const Profile* profile, const std::shared_ptr<OpFactsTable>& facts)
      : facts_(facts), costs_(spec, profile, facts) {}

  std::string refuses(const Graph& graph, const Function& function, const Op& op) const override {
    return costs_.refuses(graph, function, op);
  }

  // What every generator of kernels can: chains of elementwise ops, in front of one reduction or behind one product.
  bool can_fuse(const Graph& graph, const Function& function, const std::vector<int32_t>& group,
                int32_t consumer) const override {
    Kind added = kind_of(graph, function, consumer), largest = Kind::moves;
    double results = 0;
    bool same_size = false;
    for (int32_t op : group) {
      largest = std::max(largest, kind_of(graph, function, op));
      double made = facts_->find(graph, function, function.ops[op])->results;
      same_size = same_size || made == facts_->find(graph, function, function.ops[consumer])->results;
      results = std::max(results, made);
    }
    if (added == Kind::stands_alone || largest == Kind::stands_alone) return false;
    if (added == Kind::product) return largest == Kind::moves;
    if (largest >= Kind::reduces) return added < Kind::reduces && same_size;
    if (added == Kind::reduces) return facts_->find(graph, function, function.ops[consumer])->operands >= results;
    return same_size || facts_->find(graph, function, function.ops[consumer])->results >= results;
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
  enum class Kind : uint8_t { moves, computes, reduces, product, stands_alone };

  Kind kind_of(const Graph& graph, const Function& function, int32_t number) const {
    const Op& op = function.ops[number];
    if (op.entry->traits.view) return Kind::moves;
    std::shared_ptr<const OpFacts> facts = facts_->find(graph, function, op);
    if (facts->stages.size() != 1) return Kind::stands_alone;
    std::string_view op_class = facts->stages[0].op_class;
    if (op_class == "contraction" || op_class == "convolution") return Kind::product;
    if (op_class == "scatter") return Kind::stands_alone;
    if (facts->reduces) return Kind::reduces;
    return facts->cost.flops == 0 ? Kind::moves : Kind::computes;
  }

  std::shared_ptr<OpFactsTable> facts_;
  LaunchCosts costs_;
};

}  // namespace

std::unique_ptr<TargetModel> make_machine_target_model(const DeviceSpec& spec, const Profile* profile,
                                                       std::shared_ptr<OpFactsTable> facts) {
  if (!facts) facts = std::make_shared<OpFactsTable>();
  return std::make_unique<MachineTargetModel>(spec, profile, facts);
}

}  // namespace placewright
