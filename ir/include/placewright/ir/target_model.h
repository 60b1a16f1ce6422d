// What passes must know of a target. codegen implements it, the frontend injects it through PassContext. A pure
// function of machine and profile data: it never probes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "placewright/ir/graph.h"

namespace placewright {

// A layout in which a target would rather read an operand, and the seconds that each run of the op saves by it.
struct OperandLayout {
  int operand = -1;
  Layout layout;
  double seconds = 0;
};

// What a launch does with memory besides reading its operands and writing its results.
struct LaunchMemory {
  std::vector<int64_t> workspaces;               // bytes of each; the launches of a device use the same ones by turns
  std::vector<std::pair<int, int>> overwritten;  // (operand, result): may be stored over it, if nothing reads it later
};

// A target's view of one function while its ops are grouped into launches. It remembers what it learns about each op,
// so the function must stay as it is. Ops go by their numbers.
class LaunchModel {
 public:
  virtual ~LaunchModel() = default;
  // Whether `consumer` may join the ops of `group`, already one launch, and gains by it.
  virtual bool can_fuse(const std::vector<int32_t>& group, int32_t consumer) = 0;
  // As TargetModel::cost.
  virtual double cost(const std::vector<int32_t>& group) = 0;
};

class TargetModel {
 public:
  virtual ~TargetModel() = default;
  // Empty if the target runs the op as it stands; else the cause ("no kernel for gather of f64").
  virtual std::string refuses(const Graph& graph, const Function& function, const Op& op) const = 0;
  // Both must outlive the model.
  virtual std::unique_ptr<LaunchModel> launches(const Graph& graph, const Function& function) const = 0;
  // Layouts other than row-major that the op would gain by.
  virtual std::vector<OperandLayout> layouts(const Graph&, const Function&, const Op&) const { return {}; }
  // Seconds that one launch of these ops takes, launch overhead included.
  virtual double cost(const Graph& graph, const Function& function, const std::vector<int32_t>& group) const = 0;
  // Of the op, which is one launch.
  virtual LaunchMemory memory(const Graph& graph, const Function& function, const Op& launch) const;
};

}  // namespace placewright
