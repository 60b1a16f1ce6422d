#include "placewright/ir/evaluate.h"

#include <fmt/core.h>

#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

class Evaluator {
 public:
  Evaluator(const Graph& graph, const Function& function)
      : graph_(graph), function_(function), values_(function.ops.size()) {}

  Evaluation run(std::span<const HostTensor> inputs) {
    bind(inputs);
    for (size_t i = 0; i < function_.ops.size(); ++i)
      if (!function_.ops[i].is("input")) values_[i] = compute(function_.ops[i]);
    Evaluation evaluation;
    for (Value result : function_.results) evaluation.results.push_back(value(result));
    for (const Update& update : function_.updates) evaluation.updates.push_back(value(update.value));
    return evaluation;
  }

 private:
  void bind(std::span<const HostTensor> inputs) {
    if (inputs.size() != function_.inputs.size())
      throw Error(
          fmt::format("function {} takes {} inputs, found {}", function_.name, function_.inputs.size(), inputs.size()));
    for (size_t i = 0; i < inputs.size(); ++i) {
      const TensorType& expected = function_.tensor(function_.inputs[i]);
      if (inputs[i].dtype() != expected.dtype || inputs[i].sizes() != expected.sizes())
        throw Error(fmt::format("input {} of function {} is {}{}, expected {}",
                                input_name(function_, function_.inputs[i]), function_.name, name(inputs[i].dtype()),
                                to_string(inputs[i].sizes()), Type(expected.dtype, expected.shape).to_string()));
      values_[function_.inputs[i].op] = {inputs[i]};
    }
  }

  const HostTensor& value(Value value) const { return values_[value.op][value.result]; }

  // Added in the order of the operands, each sum rounded to the dtype.
  static std::vector<HostTensor> all_reduce(const std::vector<HostTensor>& operands) {
    HostTensor sum = operands.at(0).clone();
    for (size_t member = 1; member < operands.size(); ++member)
      for (int64_t i = 0; i < sum.elements(); ++i)
        if (is_floating(sum.dtype()))
          sum.set_number(i, sum.number(i) + operands[member].number(i));
        else
          sum.set_integer(i, sum.integer(i) + operands[member].integer(i));
    return std::vector<HostTensor>(operands.size(), sum);
  }

  std::vector<HostTensor> compute(const Op& op) {
    std::vector<HostTensor> operands;
    for (Value operand : op.operands) operands.push_back(value(operand));
    if (op.is("constant")) return {op.attributes.get<HostTensor>("value")};
    if (op.is("fused")) return Evaluator(graph_, graph_.functions[op.functions[0]]).run(operands).results;
    if (op.is("transfer") || op.is("relayout")) return operands;  // one place, whole tensors
    if (op.is("all_reduce")) return all_reduce(operands);
    if (!op.entry->evaluate)
      throw Error(fmt::format("{} cannot be evaluated as it stands: expand it by its pass first ({})", op.name(),
                              graph_.origins[op.origin].site()));
    std::vector<Type> types;
    for (Value operand : op.operands) types.push_back(function_.type(operand));
    std::vector<HostTensor> results;
    for (const Type& type : op.results) results.emplace_back(type.tensor().dtype, type.tensor().sizes());
    try {
      op.entry->evaluate({*op.entry, types, op.results, op.attributes, &graph_, op.functions}, operands, results);
    } catch (const Error& error) {
      throw Error(fmt::format("{}: {} ({})", op.name(), error.what(), graph_.origins[op.origin].site()));
    }
    return results;
  }

  const Graph& graph_;
  const Function& function_;
  std::vector<std::vector<HostTensor>> values_;
};

}  // namespace

Evaluation evaluate(const Graph& graph, FunctionId function, std::span<const HostTensor> inputs) {
  return Evaluator(graph, graph.functions.at(function)).run(inputs);
}

}  // namespace placewright
