// The kernels that a placed function launches: each op lowered once, equal kernels emitted once.
#pragma once

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
  struct Lowered {
    StructuredKernel kernel;
    KernelCost cost;
    size_t number = 0;  // in kernels_
  };

  struct Kernel {
    StructuredKernel structured;
    const CodeTarget* target = nullptr;
    friend bool operator==(const Kernel&, const Kernel&) = default;
  };

  const CodeTarget& target_of(const Op& op) const;
  Lowered lower(const Op& op);
  void split(StructuredKernel& own, const CodeTarget& target);

  const Graph& graph_;
  const Function& function_;
  const CompileProgramOptions& options_;
  const std::shared_ptr<const CodeTarget> host_target_;
  std::vector<Lowered> lowered_;  // by op
  std::vector<Kernel> kernels_;
  std::unordered_multimap<size_t, size_t> numbers_;  // of kernels_, by hash
  // Without their splits and with them, by the hash of the former.
  std::unordered_multimap<size_t, std::pair<Kernel, StructuredKernel>> splits_;
  std::set<size_t> used_;  // kernels that something launches
};

}  // namespace placewright
