// What passes must know of a target. codegen implements it, the frontend injects it through PassContext. A pure
// function of machine and profile data: it never probes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placewright/ir/graph.h"

namespace placewright {

// A layout in which a target would rather read an operand, and the seconds that each run of the op saves by it.
struct OperandLayout {
  int operand = -1;
  Layout layout;
  double seconds = 0;
};

class TargetModel {
 public:
  virtual ~TargetModel() = default;
  // Empty if the target runs the op as it stands; else the cause ("no kernel for gather of f64").
  virtual std::string refuses(const Graph& graph, const Function& function, const Op& op) const = 0;
  // Whether `consumer` may join `producers` (op numbers of `function`, already one group) in one launch, and gains by
  // it.
  virtual bool can_fuse(const Graph& graph, const Function& function, const std::vector<int32_t>& group,
                        int32_t consumer) const = 0;
  // Layouts other than row-major that the op would gain by.
  virtual std::vector<OperandLayout> layouts(const Graph&, const Function&, const Op&) const { return {}; }
  // Seconds that one launch of these ops takes, launch overhead included.
  virtual double cost(const Graph& graph, const Function& function, const std::vector<int32_t>& group) const = 0;
  // Bytes of workspace that the launch needs.
  virtual int64_t workspace(const Graph& graph, const Function& function, const std::vector<int32_t>& group) const = 0;
};

}  // namespace placewright
