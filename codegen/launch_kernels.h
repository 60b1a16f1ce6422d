// The kernels that a placed function launches: each op lowered once, equal kernels emitted once.
#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "placewright/codegen/compile_program.h"
#include "placewright/ir/graph.h"
#include "placewright/ir/kernel.h"
#include "placewright/ir/program.h"

namespace placewright {

class LaunchKernels {
 public:
  // Lowers every op that may be launched; `graph` and `options` must outlive this.
  LaunchKernels(const Graph& graph, const Function& function, const CompileProgramOptions& options);

  // Whether the op may write its result over its operand.
  bool in_place(const Op& op, int operand, int result) const;
  // Entry, flops and bytes of an op's launch; its kernel will be emitted.
  void fill(Launch& launch, int32_t op);
  // Emits what was launched: adds the images and names each launch's.
  void emit(CompiledProgram& compiled) const;

 private:
  static constexpr size_t none = static_cast<size_t>(-1);
  struct Kernel {
    StructuredKernel structured;
    const CodeTarget* target = nullptr;
    friend bool operator==(const Kernel&, const Kernel&) = default;
  };

  const CodeTarget& target_of(const Op& op) const;
  size_t number_of(const Op& op);
  size_t lower(const Op& op, const CodeTarget& target);
  void split(StructuredKernel& own, const CodeTarget& target);

  const Graph& graph_;
  const Function& function_;
  const CompileProgramOptions& options_;
  const std::shared_ptr<const CodeTarget> host_target_;
  std::vector<size_t> lowered_;  // by op: its kernel's number; none: it is not launched
  std::vector<Kernel> kernels_;
  std::vector<KernelCost> costs_;  // of kernels_
  // Of kernels_, by all that lowering to them depends on: layers repeat.
  std::map<const CodeTarget*, std::unordered_map<std::string, size_t>> known_;
  std::unordered_multimap<size_t, size_t> numbers_;  // of kernels_, by hash
  // Without their splits and with them, by the hash of the former.
  std::unordered_multimap<size_t, std::pair<Kernel, StructuredKernel>> splits_;
  std::set<size_t> used_;  // kernels that something launches
};

}  // namespace placewright
