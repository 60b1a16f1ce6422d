#include "placewright/ir/builder.h"

#include <utility>

#include <fmt/core.h>

namespace placewright {

FunctionId add_function(Graph& graph, std::string name) {
  graph.functions.push_back({std::move(name), {}, {}, {}, {}});
  return static_cast<FunctionId>(graph.functions.size()) - 1;
}

std::vector<Value> FunctionBuilder::add(std::string_view op, std::vector<Value> operands, Attributes attributes,
                                        std::vector<FunctionId> functions) {
  const OpEntry& entry = find_op(op);
  Op made{&entry, std::move(operands), {}, {}, std::move(functions), origin, pin};
  std::vector<Type> types;
  for (Value operand : made.operands) types.push_back(type(operand));
  try {
    made.attributes = complete_attributes(entry, std::move(attributes));
    made.results = infer_types({entry, types, {}, made.attributes, &graph_, made.functions});
  } catch (const Error& error) {
    if (origin == 0) throw;
    throw Error(fmt::format("{} ({})", error.what(), graph_.origins[origin].site()));
  }
  return append(std::move(made));
}

std::vector<Value> FunctionBuilder::append(Op op) {
  std::vector<Value> values;
  for (size_t i = 0; i < op.results.size(); ++i)
    values.push_back({static_cast<int32_t>(function().ops.size()), static_cast<int32_t>(i)});
  function().ops.push_back(std::move(op));
  return values;
}

Value FunctionBuilder::operator()(std::string_view op, std::vector<Value> operands, Attributes attributes) {
  std::vector<Value> values = add(op, std::move(operands), std::move(attributes));
  PW_CHECK(values.size() == 1, std::string(op) + " has not one result");
  return values.front();
}

std::vector<Value> FunctionBuilder::add_like(const Op& op, std::vector<Value> operands) {
  if (op.entry->is_structural()) {  // its types are its own to say
    Op copy = op;
    copy.operands = std::move(operands);
    return append(std::move(copy));
  }
  OriginId origin_before = std::exchange(origin, op.origin);
  std::optional<Pin> pin_before = std::exchange(pin, op.pin);
  std::vector<Value> values = add(op.name(), std::move(operands), op.attributes, op.functions);
  origin = origin_before;
  pin = std::move(pin_before);
  return values;
}

Value FunctionBuilder::input(std::string_view name, InputKind kind, Type type) {
  Attributes attributes{{"name", std::string(name)}, {"kind", std::string(placewright::name(kind))}};
  Value value = append({&find_op("input"), {}, {std::move(type)}, std::move(attributes), {}, origin, pin}).front();
  function().inputs.push_back(value);
  return value;
}

Value FunctionBuilder::constant(HostTensor value) { return (*this)("constant", {}, {{"value", std::move(value)}}); }

Value FunctionBuilder::constant(DType dtype, double value) {
  HostTensor scalar(dtype, {});
  scalar.set_number(0, value);
  return constant(std::move(scalar));
}

Value FunctionBuilder::full(DType dtype, const Shape& shape, double value) {
  return broadcast_to(constant(dtype, value), shape);
}

Value FunctionBuilder::broadcast_to(Value value, const Shape& target) {
  const Shape from = shape(value);
  if (from == target) return value;
  if (from.size() > target.size())
    throw Error(fmt::format("cannot broadcast {} to {}: too many dimensions", to_string(from), to_string(target)));
  // Dimensions of size 1 that stretch are dropped first, so that `broadcast` only ever adds dimensions.
  size_t offset = target.size() - from.size();
  Shape kept;
  Sizes dims;
  for (size_t i = 0; i < from.size(); ++i) {
    const Dim& wanted = target[offset + i];
    if (from[i] == wanted) {
      kept.push_back(from[i]);
      dims.push_back(static_cast<int64_t>(offset + i));
    } else if (from[i] != Dim(1)) {
      throw Error(fmt::format("cannot broadcast {} to {}: dimension {} has size {}, expected {} or 1", to_string(from),
                              to_string(target), i, from[i].to_string(), wanted.to_string()));
    }
  }
  if (kept.size() != from.size()) value = (*this)("reshape", {value}, {{"shape", kept}});
  return (*this)("broadcast", {value}, {{"shape", target}, {"dims", dims}});
}

Value FunctionBuilder::cast(Value value, DType dtype) {
  return this->dtype(value) == dtype ? value : (*this)("cast", {value}, {{"dtype", dtype}});
}

}  // namespace placewright
