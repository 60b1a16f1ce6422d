#include "launch_kernels.h"

#include <algorithm>
#include <map>

#include <fmt/core.h>

#include "emit_images.h"
#include "placed_ops.h"
#include "placewright/codegen/lower.h"
#include "placewright/codegen/strategy.h"
#include "placewright/ir/plan_memory.h"

namespace placewright {
namespace {

std::string entry_name(size_t number) { return fmt::format("k{}", number); }

}  // namespace

LaunchKernels::LaunchKernels(const Graph& graph, const Function& function, const CpuTarget& target)
    : graph_(graph), function_(function), target_(target), lowered_(function.ops.size()) {
  for (size_t i = 0; i < function.ops.size(); ++i) {
    const Op& op = function.ops[i];
    if (!is_input(op) && !is_copy(op) && !is_collective(op)) lowered_[i] = lower(op);
  }
}

LaunchKernels::Lowered LaunchKernels::lower(const Op& op) {
  StructuredKernel kernel = lower_launch(graph_, function_, op, [this](StructuredKernel& own) { split(own); });
  KernelCost cost = count_cost(kernel);
  kernel.name.clear();
  for (Stage& stage : kernel.stages) stage.name.clear();  // equal kernels are emitted once
  size_t number = static_cast<size_t>(std::find(kernels_.begin(), kernels_.end(), kernel) - kernels_.begin());
  if (number == kernels_.size()) kernels_.push_back(kernel);
  return {std::move(kernel), cost, number};
}

// Layers repeat: each kernel's splits are decided once.
void LaunchKernels::split(StructuredKernel& own) {
  auto known = std::find_if(splits_.begin(), splits_.end(), [&](const auto& one) { return one.first == own; });
  if (known != splits_.end()) {
    own = known->second;
    return;
  }
  splits_.emplace_back(own, own);
  split_reductions(splits_.back().second, target_);
  own = splits_.back().second;
}

bool LaunchKernels::in_place(const Op& op, int operand, int result) const {
  size_t index = static_cast<size_t>(&op - function_.ops.data());
  if (is_input(op) || is_copy(op)) return false;
  if (is_collective(op)) return operand == result;
  return may_run_in_place(lowered_.at(index).kernel, operand, static_cast<int>(op.operands.size()) + result);
}

void LaunchKernels::fill(Launch& launch, int32_t op) {
  const Lowered& lowered = lowered_[op];
  used_.insert(lowered.number);
  launch.entry = entry_name(lowered.number);
  launch.flops = lowered.cost.flops;
  launch.bytes = lowered.cost.bytes;
}

void LaunchKernels::emit(CompiledProgram& compiled, const EmitOptions& options, int threads) const {
  std::vector<StructuredKernel> kernels;
  for (size_t number : used_) {
    kernels.push_back(kernels_[number]);
    kernels.back().name = entry_name(number);
  }
  EmittedKernels emitted = emit_images(std::move(kernels), target_, options, threads);
  compiled.images = std::move(emitted.images);
  std::map<std::string, int> image_of;
  size_t at = 0;
  for (size_t number : used_) image_of[entry_name(number)] = emitted.image_of[at++];
  for (Block& block : compiled.program.blocks)
    for (Instruction& instruction : block.instructions)
      if (Launch* launch = std::get_if<Launch>(&instruction)) launch->image = image_of.at(launch->entry);
}

}  // namespace placewright
