#include "placewright/codegen/code_target.h"

#include <utility>

#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

class RefusingModel final : public TargetModel {
 public:
  RefusingModel(std::unique_ptr<TargetModel> model, std::string cause)
      : model_(std::move(model)), cause_(std::move(cause)) {}

  std::string refuses(const Graph& graph, const Function& function, const Op& op) const override {
    return can_lower(*op.entry) ? cause_ : model_->refuses(graph, function, op);
  }
  std::unique_ptr<LaunchModel> launches(const Graph& graph, const Function& function) const override {
    return model_->launches(graph, function);
  }
  std::vector<OperandLayout> layouts(const Graph& graph, const Function& function, const Op& op) const override {
    return model_->layouts(graph, function, op);
  }
  double cost(const Graph& graph, const Function& function, const std::vector<int32_t>& group) const override {
    return model_->cost(graph, function, group);
  }
  LaunchMemory memory(const Graph& graph, const Function& function, const Op& launch) const override {
    return model_->memory(graph, function, launch);
  }

 private:
  std::unique_ptr<TargetModel> model_;
  std::string cause_;
};

}  // namespace

std::unique_ptr<TargetModel> make_refusing_model(std::unique_ptr<TargetModel> model, std::string cause) {
  return std::make_unique<RefusingModel>(std::move(model), std::move(cause));
}

std::shared_ptr<const CodeTarget> make_code_target(const std::string& target, const CpuTarget& host,
                                                   const EmitOptions& options, int latest_compiler) {
  if (std::shared_ptr<const CodeTarget> made = try_make_cuda_code_target(target, latest_compiler)) return made;
  return make_cpu_code_target(host, options);
}

KernelMemory kernel_memory(const std::string& target) {
  return try_cuda_kernel_memory(target).value_or(KernelMemory{});
}

std::vector<std::filesystem::path> toolkit_folders() { return cuda_toolkit_folders(); }

std::vector<NamedTarget> ahead_of_time_targets(const std::string& target) {
  std::vector<NamedTarget> targets;
  for (const std::string& kin : cuda_kin(target)) targets.push_back({kin, try_make_cuda_code_target(kin)});
  if (targets.empty()) {
    const std::string level = cpu_level(target);
    targets.push_back({level, make_cpu_code_target(named_cpu_target(level), {})});
  }
  return targets;
}

}  // namespace placewright
