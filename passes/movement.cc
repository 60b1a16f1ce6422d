#include "movement.h"

#include <set>

#include "placewright/ir/machine.h"
#include "placewright/ir/op_table.h"

namespace placewright {

std::vector<bool> find_replicable(const Function& function) {
  std::vector<bool> replicable;
  for (const Op& op : function.ops) {
    bool all = op.is("constant") || (!op.entry->is_structural() && !op.entry->traits.random);
    for (Value operand : op.operands) all = all && replicable[operand.op];
    replicable.push_back(all && !op.pin);
  }
  return replicable;
}

std::vector<bool> find_fixed(const Function& function) {
  std::vector<bool> fixed;
  for (size_t i = 0; i < function.ops.size(); ++i) {
    const Op& op = function.ops[i];
    if (op.is("input")) {
      fixed.push_back(op.attributes.get<std::string>("kind") == name(InputKind::constant));
      continue;
    }
    // A copy of a constant is a constant; what is computed from one is computed in each step.
    fixed.push_back(op.is("constant") || (op.is("transfer") && fixed[op.operands[0].op]));
  }
  return fixed;
}

DeviceId host_device(const PassContext& context) {
  if (context.machine)
    for (const DeviceSpec& spec : context.machine->devices)
      if (spec.host_memory) return spec.id;
  return context.targets.empty() ? DeviceId{"cpu", 0} : context.targets.begin()->first;
}

const Where& place_of(const Function& function, const std::vector<Where>& places, Value value) {
  return function.op(value).is("all_reduce") ? function.tensor(value).where : places[value.op];
}

std::string reason(const Function& function, const Movement& movement) {
  if (movement.reader < 0) return "new value of a state there";
  return movement.by_user ? "moved by the program" : "read by " + std::string(function.ops[movement.reader].name());
}

std::vector<Movement> find_movements(const Function& function, const std::vector<Where>& places) {
  std::vector<Movement> movements;
  std::vector<bool> replicable = find_replicable(function), fixed = find_fixed(function);
  std::set<std::pair<Value, DeviceId>> seen;
  auto visit = [&](Value value, int32_t reader, const Where& to, bool by_user) {
    const Where& from = place_of(function, places, value);
    if (!from.is_single() || !to.is_single() || from == to || replicable[value.op]) return;
    if (!seen.insert({value, to.devices[0]}).second) return;
    movements.push_back({value, reader, from.devices[0], to.devices[0], static_cast<bool>(fixed[value.op]), by_user});
  };
  for (size_t i = 0; i < function.ops.size(); ++i) {
    if (function.ops[i].is("all_reduce")) continue;  // reads each operand where it is
    for (Value operand : function.ops[i].operands)
      visit(operand, static_cast<int32_t>(i), places[i], function.ops[i].is("transfer"));
  }
  for (const Update& update : function.updates) visit(update.value, -1, places[update.state.op], false);
  return movements;
}

}  // namespace placewright
