#include "placewright/codegen/cpu_target_model.h"

#include <algorithm>

#include "placewright/codegen/lower.h"
#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

class CpuTargetModel final : public TargetModel {
 public:
  explicit CpuTargetModel(const DeviceSpec& spec) : spec_(spec) {}

  std::string refuses(const Graph&, const Function&, const Op& op) const override {
    if (op.entry->is_structural() || can_lower(*op.entry)) return {};
    return "no kernel for " + std::string(op.name());
  }

  bool can_fuse(const Graph&, const Function&, const std::vector<int32_t>&, int32_t) const override { return false; }

  double cost(const Graph& graph, const Function& function, const std::vector<int32_t>& group) const override {
    double flops = 0, bytes = 0;
    for (int32_t number : group) {
      const Op& op = function.ops[number];
      if (!can_lower(*op.entry)) continue;
      KernelCost cost = count_cost(lower_launch(graph, function, op));
      flops += cost.flops;
      bytes += cost.bytes;
    }
    double rate = spec_.rate("contraction", DType::f32);
    return spec_.launch_seconds +
           std::max(rate > 0 ? flops / rate : 0, spec_.memory_bandwidth > 0 ? bytes / spec_.memory_bandwidth : 0);
  }

  int64_t workspace(const Graph&, const Function&, const std::vector<int32_t>&) const override { return 0; }

 private:
  DeviceSpec spec_;
};

}  // namespace

std::unique_ptr<TargetModel> make_cpu_target_model(const CpuTarget&, const DeviceSpec& spec) {
  return std::make_unique<CpuTargetModel>(spec);
}

}  // namespace placewright
