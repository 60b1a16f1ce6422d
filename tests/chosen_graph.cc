#include "chosen_graph.h"

#include <algorithm>

#include "placewright/ir/op_table.h"

namespace placewright::testing {

void compute_numbers(const Function& function, const std::vector<HostTensor>& inputs,
                     std::vector<std::vector<HostTensor>>& numbers) {
  for (size_t i = numbers.size(); i < function.ops.size(); ++i) {
    const Op& op = function.ops[i];
    std::vector<HostTensor> results;
    if (op.is("input")) {
      const Value value{static_cast<int32_t>(i), 0};
      auto at = std::find(function.inputs.begin(), function.inputs.end(), value) - function.inputs.begin();
      results = {inputs[static_cast<size_t>(at)]};
    } else if (op.is("constant")) {
      results = {op.attributes.get<HostTensor>("value")};
    } else {
      std::vector<Type> types;
      std::vector<HostTensor> operands;
      for (Value operand : op.operands) {
        types.push_back(function.type(operand));
        operands.push_back(numbers[static_cast<size_t>(operand.op)][static_cast<size_t>(operand.result)]);
      }
      for (const Type& type : op.results) results.emplace_back(type.tensor().dtype, type.tensor().sizes());
      op.entry->evaluate({*op.entry, types, op.results, op.attributes}, operands, results);
    }
    numbers.push_back(std::move(results));
  }
}

}  // namespace placewright::testing
