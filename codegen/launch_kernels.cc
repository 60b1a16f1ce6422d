#include "launch_kernels.h"

#include <algorithm>
#include <map>

#include <fmt/core.h>

#include "placed_ops.h"
#include "placewright/codegen/lower.h"
#include "placewright/ir/plan_memory.h"

namespace placewright {
namespace {

// Equal for equal kernels, and mostly not for others: of what usually tells them apart.
size_t hash_of(const StructuredKernel& kernel) {
  size_t hash = kernel.stages.size();
  auto mix = [&](auto more) { hash = (hash ^ static_cast<size_t>(more)) * 0x9e3779b97f4a7c15 + (hash >> 29); };
  for (const KernelBuffer& buffer : kernel.buffers) {
    mix(buffer.dtype);
    for (int64_t size : buffer.sizes) mix(size);
  }
  for (const Stage& stage : kernel.stages) {
    for (int64_t extent : stage.extents) mix(extent);
    for (const Access& access : stage.accesses) mix(access.buffer);
    for (const ScalarBody* body : {&stage.body, &stage.epilogue})
      for (const ScalarNode& node : *body) {
        mix(node.op);
        for (int operand : node.operands) mix(operand);
      }
  }
  return hash;
}

std::string entry_name(size_t number) { return fmt::format("k{}", number); }

}  // namespace

LaunchKernels::LaunchKernels(const Graph& graph, const Function& function, const CompileProgramOptions& options)
    : graph_(graph),
      function_(function),
      options_(options),
      host_target_(make_cpu_code_target(options.target, options.emit)),
      lowered_(function.ops.size(), none) {
  for (size_t i = 0; i < function.ops.size(); ++i) {
    const Op& op = function.ops[i];
    if (!is_input(op) && !is_copy(op) && !is_collective(op)) lowered_[i] = number_of(op);
  }
}

// Devices of one kind may share a target: then they share kernels.
const CodeTarget& LaunchKernels::target_of(const Op& op) const {
  const Where& where = op.results.at(0).tensor().where;
  if (where.devices.empty()) return *host_target_;
  auto found = options_.targets.find(where.devices[0]);
  return found == options_.targets.end() ? *host_target_ : *found->second;
}

size_t LaunchKernels::number_of(const Op& op) {
  const CodeTarget& target = target_of(op);
  std::optional<std::string> signature = lowering_signature(graph_, function_, op);
  if (!signature) return lower(op, target);
  auto [at, is_new] = known_[&target].try_emplace(std::move(*signature), none);
  if (is_new) at->second = lower(op, target);
  return at->second;
}

size_t LaunchKernels::lower(const Op& op, const CodeTarget& target) {
  StructuredKernel kernel = lower_launch(graph_, function_, op, [&](StructuredKernel& own) { split(own, target); });
  const KernelCost cost = count_cost(kernel);
  kernel.name.clear();
  for (Stage& stage : kernel.stages) stage.name.clear();  // equal kernels are emitted once
  Kernel made{std::move(kernel), &target};
  const size_t hash = hash_of(made.structured);
  auto [first, last] = numbers_.equal_range(hash);
  auto known = std::find_if(first, last, [&](const auto& one) { return kernels_[one.second] == made; });
  if (known != last) return known->second;
  numbers_.emplace(hash, kernels_.size());
  kernels_.push_back(std::move(made));
  costs_.push_back(cost);
  return kernels_.size() - 1;
}

// Layers repeat: each kernel's splits are decided once.
void LaunchKernels::split(StructuredKernel& own, const CodeTarget& target) {
  Kernel wanted{own, &target};
  const size_t hash = hash_of(own);
  auto [first, last] = splits_.equal_range(hash);
  auto known = std::find_if(first, last, [&](const auto& one) { return one.second.first == wanted; });
  if (known != last) {
    own = known->second.second;
    return;
  }
  target.split_reductions(own);
  splits_.emplace(hash, std::pair(std::move(wanted), own));
}

bool LaunchKernels::in_place(const Op& op, int operand, int result) const {
  size_t index = static_cast<size_t>(&op - function_.ops.data());
  if (is_input(op) || is_copy(op)) return false;
  if (is_collective(op)) return operand == result;
  return may_run_in_place(kernels_[lowered_.at(index)].structured, operand,
                          static_cast<int>(op.operands.size()) + result);
}

void LaunchKernels::fill(Launch& launch, int32_t op) {
  const size_t number = lowered_[op];
  used_.insert(number);
  launch.entry = entry_name(number);
  launch.flops = costs_[number].flops;
  launch.bytes = costs_[number].bytes;
}

void LaunchKernels::emit(CompiledProgram& compiled) const {
  std::vector<const CodeTarget*> targets;  // in the order of their first kernels
  for (size_t number : used_)
    if (std::find(targets.begin(), targets.end(), kernels_[number].target) == targets.end())
      targets.push_back(kernels_[number].target);
  std::map<std::string, int> image_of;
  for (const CodeTarget* target : targets) {
    std::vector<StructuredKernel> kernels;
    std::vector<std::string> names;
    for (size_t number : used_) {
      if (kernels_[number].target != target) continue;
      names.push_back(entry_name(number));
      kernels.push_back(kernels_[number].structured);
      kernels.back().name = names.back();
    }
    EmittedKernels emitted = target->emit(std::move(kernels), options_.threads, options_.store);
    auto first = static_cast<int>(compiled.images.size());
    for (KernelImage& image : emitted.images) compiled.images.push_back(std::move(image));
    for (size_t i = 0; i < names.size(); ++i) image_of[names[i]] = first + emitted.image_of[i];
  }
  for (Block& block : compiled.program.blocks)
    for (Instruction& instruction : block.instructions)
      if (Launch* launch = std::get_if<Launch>(&instruction)) launch->image = image_of.at(launch->entry);
}

}  // namespace placewright
