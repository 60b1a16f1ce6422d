// Ops that passes, evaluator and codegen know: inputs, constants, nested functions, movement between devices.
#include <fmt/core.h>

#include "families.h"

namespace placewright::ops {
namespace {

std::vector<Type> declared(const OpView& view) { return {view.results.begin(), view.results.end()}; }
std::vector<Type> same_as_operand(const OpView& view) { return {Type(view.operand(0).dtype, view.operand(0).shape)}; }

const Function& nested(const OpView& view) {
  if (view.functions.size() != 1) throw Error(fmt::format("found {} functions, expected one", view.functions.size()));
  const Function& function = view.graph->functions.at(view.functions[0]);
  if (function.inputs.size() != view.operands.size())
    throw Error(fmt::format("function {} takes {} inputs, found {} operands", function.name, function.inputs.size(),
                            view.operands.size()));
  for (size_t i = 0; i < view.operands.size(); ++i) {
    const TensorType& expected = function.tensor(function.inputs[i]);
    const TensorType& found = view.operands[i].tensor();
    if (expected.dtype != found.dtype || expected.shape != found.shape)
      throw Error(fmt::format("operand {} is {}, expected {} by function {}", i, view.operands[i].to_string(),
                              Type(expected).to_string(), function.name));
  }
  return function;
}

std::vector<Type> function_results(const OpView& view) {
  std::vector<Type> types;
  const Function& function = nested(view);
  for (Value result : function.results) types.push_back(function.type(result));
  return types;
}

std::vector<Type> infer_gradient(const OpView& view) {
  std::vector<Type> types = function_results(view);
  if (types.empty() || types[0].tensor().rank() != 0 || !is_floating(types[0].tensor().dtype))
    throw Error(fmt::format("the function's first result is {}, expected a floating scalar: the loss",
                            types.empty() ? "missing" : types[0].to_string()));
  for (int64_t operand : view.attributes.get<Sizes>("with_respect_to")) {
    if (operand < 0 || operand >= static_cast<int64_t>(view.operands.size()))
      throw Error(fmt::format("with_respect_to names operand {} of {}", operand, view.operands.size()));
    const TensorType& type = view.operands[operand].tensor();
    if (!is_floating(type.dtype))
      throw Error(fmt::format("operand {} is {}, expected a floating dtype to differentiate by", operand,
                              view.operands[operand].to_string()));
    types.emplace_back(type.dtype, type.shape);
  }
  return types;
}

Signature any_operands() { return {.operands = {{"operands", DTypeClass::any, true}}, .same_dtype = false}; }

}  // namespace

std::vector<OpEntry> structural() {
  return {
      {.name = "input",
       .summary = "An input of the function: argument, state or constant, of the declared type.",
       .signature = {.attributes = {{"name", AttributeKind::string, {}, "unique in the function"},
                                    {"kind", AttributeKind::string, {}, "argument, state or constant"}}},
       .infer = declared,
       .gradient = Gradient::not_differentiable(),
       .realisation = Structural{},
       .traits = {.keep = true}},
      {.name = "constant",
       .summary = "A tensor that is known when the graph is compiled.",
       .signature = {.attributes = {{"value", AttributeKind::tensor, {}, "the elements"}}},
       .infer =
           [](const OpView& view) {
             const HostTensor& value = view.attributes.get<HostTensor>("value");
             return std::vector<Type>{Type(value.dtype(), Shape(value.sizes().begin(), value.sizes().end()))};
           },
       .gradient = Gradient::not_differentiable(),
       .realisation = Structural{}},
      {.name = "fused",
       .summary = "Runs its function as one launch.",
       .signature = any_operands(),
       .infer = function_results,
       .gradient = Gradient::not_differentiable(),
       .realisation = Structural{}},
      {.name = "gradient",
       .summary =
           "Results of its function, whose first one is a scalar loss, then the loss's gradients with respect to "
           "the operands that are named. `differentiate` expands it.",
       .signature = {.operands = {{"operands", DTypeClass::any, true}},
                     .attributes = {{"with_respect_to", AttributeKind::sizes, {}, "operand numbers"}},
                     .same_dtype = false},
       .infer = infer_gradient,
       .gradient = Gradient::not_differentiable(),
       .realisation = Structural{}},
      {.name = "transfer",
       .summary = "The operand on the device that the result's type names. At load: once, before the first step.",
       .signature =
           {.operands = {{"value"}},
            .attributes = {{"at_load", AttributeKind::boolean, Attribute(false), "once, before the first step"},
                           {"why", AttributeKind::string, Attribute(std::string()), "reason, for the ledger"}}},
       .infer = same_as_operand,
       .gradient = Gradient([](GradientContext& context) { return OperandGradients{context.gradients[0]}; }),
       .realisation = Structural{},
       .traits = {.view = true}},
      {.name = "relayout",
       .summary = "The operand in the layout that the result's type names.",
       .signature = {.operands = {{"value"}}},
       .infer = same_as_operand,
       .gradient = Gradient([](GradientContext& context) { return OperandGradients{context.gradients[0]}; }),
       .realisation = Structural{}},
      {.name = "all_reduce",
       .summary =
           "Sums its operands, one on each device of a mesh, in their order: as many results, each on the device "
           "of its operand.",
       .signature = {.operands = {{"values", DTypeClass::numeric, true}}},
       .infer =
           [](const OpView& view) {
             std::vector<Type> types;
             for (const Type& operand : view.operands) {
               if (operand.tensor().shape != view.operand(0).shape)
                 throw Error(fmt::format("operands are {} and {}, expected one shape", view.operands[0].to_string(),
                                         operand.to_string()));
               types.emplace_back(operand.tensor().dtype, operand.tensor().shape);
             }
             return types;
           },
       .gradient = Gradient::not_differentiable(),  // made after differentiation
       .realisation = Structural{}},
  };
}

}  // namespace placewright::ops
