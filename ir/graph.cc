#include "placewright/ir/graph.h"

#include <array>

#include "placewright/ir/op_table.h"

namespace placewright {

std::string_view Op::name() const { return entry->name; }

std::string_view name(InputKind kind) {
  constexpr std::array<std::string_view, 3> names{"argument", "state", "constant"};
  return names[static_cast<size_t>(kind)];
}

InputKind input_kind(const Function& function, Value input) {
  const std::string& kind = function.op(input).attributes.get<std::string>("kind");
  return kind == "state" ? InputKind::state : kind == "constant" ? InputKind::constant : InputKind::argument;
}

const std::string& input_name(const Function& function, Value input) {
  return function.op(input).attributes.get<std::string>("name");
}

std::string replica_name(std::string_view state, const DeviceId& device) {
  return std::string(state) + "@" + device.to_string();
}

std::string_view primary_name(std::string_view state) { return state.substr(0, state.find('@')); }

std::string op_name(const Graph& graph, const Op& op) {
  if (op.is("input")) return "input:" + op.attributes.get<std::string>("name");
  const std::string place = op.origin == 0 ? "unknown" : graph.origins[op.origin].name();
  return place + ":" + std::string(op.name());
}

std::string value_name(const Graph& graph, const Function& function, Value value) {
  const Op& op = function.op(value);
  if (op.is("input")) return input_name(function, value);
  if (!op.is("fused")) return std::string(op.name());
  const Function& body = graph.functions.at(static_cast<size_t>(op.functions.at(0)));
  Value inside = body.results.at(static_cast<size_t>(value.result));
  for (size_t i = 0; i < body.inputs.size(); ++i)
    if (body.inputs[i] == inside) return value_name(graph, function, op.operands.at(i));
  return value_name(graph, body, inside);
}

}  // namespace placewright
