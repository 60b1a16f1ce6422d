#include "placewright/ir/target_model.h"

#include "placewright/ir/op_table.h"

namespace placewright {

// What holds on every target: elementwise ops run in place, and nothing is said of workspaces.
LaunchMemory TargetModel::memory(const Graph&, const Function&, const Op& launch) const {
  LaunchMemory memory;
  if (!launch.entry->realised_as<Scalar>()) return memory;
  for (int operand = 0; operand < static_cast<int>(launch.operands.size()); ++operand)
    memory.overwritten.emplace_back(operand, 0);
  return memory;
}

}  // namespace placewright
