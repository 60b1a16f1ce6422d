// What target models ask of ops again and again, told by their lowerings and remembered by what the ops are.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "placewright/codegen/lower.h"
#include "placewright/ir/graph.h"
#include "placewright/ir/target_model.h"
#include "placewright/ir/work.h"

namespace placewright {

// What one reduction joins: `count` rows of `length` elements each, one behind the other in memory.
struct Rows {
  int64_t count = 0, length = 0;
  friend bool operator==(const Rows&, const Rows&) = default;
};

struct OpFacts {
  std::vector<StageWork> stages;  // of its kernel; empty for what has none: views, structural ops, composites
  KernelCost cost;
  double results = 0;   // elements
  double operands = 0;  // elements of the largest operand
  bool reduces = false;
  std::optional<Rows> rows = {};  // of a reduction over its trailing dimensions
  // Of each operand, then of each result: into how many equal pieces, in the order of memory, it can be cut so that the
  // op makes each piece of its results from the same piece of the operand. Empty where nothing is known.
  std::vector<Sizes> pieces = {};
};

// What a code generator decides of a launch's memory. Without functions: of a target of which nothing but the lowering
// is known.
struct KernelMemory {
  std::string key;                                                   // another one where the functions are others
  SplitReductions split;                                             // of an op's own reductions
  std::function<std::vector<int64_t>(StructuredKernel)> workspaces;  // bytes of each that the launch's kernel needs
};

// Safe to use from several threads. Ops that are equal in name, types and attributes are lowered once.
class OpFactsTable {
 public:
  std::shared_ptr<const OpFacts> find(const Graph& graph, const Function& function, const Op& op);
  // The name of its kernel in profiles; empty for what has none.
  std::string key(const Graph& graph, const Function& function, const Op& op);
  // As the code generator will have it.
  std::shared_ptr<const LaunchMemory> memory(const Graph& graph, const Function& function, const Op& op,
                                             const KernelMemory& generator);

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::string> keys_;
  std::unordered_map<std::string, std::shared_ptr<const OpFacts>> facts_;
  // By the generators' keys.
  std::map<std::string, std::unordered_map<std::string, std::shared_ptr<const LaunchMemory>>> memory_;
};

// All that the lowering of an op depends on, equal for equal ones of one process; nothing where that would be long.
std::optional<std::string> lowering_signature(const Graph& graph, const Function& function, const Op& op);

// The name of a kernel in profiles: equal for kernels that differ in names only.
std::string kernel_key(StructuredKernel kernel);

}  // namespace placewright
