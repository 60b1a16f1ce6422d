#include "rewrite.h"

#include <algorithm>

namespace placewright {

Rewriter::Rewriter(Graph& graph, FunctionId function) : builder(graph, function) {
  Function& target = graph.functions[function];
  old_ = std::move(target);
  target = Function{old_.name, {}, {}, {}, {}};
  target.ops.reserve(old_.ops.size());
  first_.reserve(old_.ops.size() + 1);
  first_.push_back(0);
  for (const Op& op : old_.ops) first_.push_back(first_.back() + op.results.size());
  map_.resize(first_.back());
}

void Rewriter::replace(int32_t op, std::span<const Value> values) {
  PW_CHECK(values.size() == first_[op + 1] - first_[op], "an op is replaced by other values than it has");
  std::copy(values.begin(), values.end(), map_.begin() + static_cast<std::ptrdiff_t>(first_[op]));
}

void Rewriter::put(int32_t op, Op made) {
  PW_CHECK(made.results.size() == first_[op + 1] - first_[op], "an op is replaced by one with other results");
  std::vector<Op>& ops = builder.function().ops;
  for (size_t i = first_[op]; i < first_[op + 1]; ++i)
    map_[i] = {static_cast<int32_t>(ops.size()), static_cast<int32_t>(i - first_[op])};
  ops.push_back(std::move(made));
}

std::vector<Value> Rewriter::operands(const Op& op) const {
  std::vector<Value> values;
  values.reserve(op.operands.size());
  for (Value operand : op.operands) values.push_back((*this)(operand));
  return values;
}

void Rewriter::copy(int32_t op) {
  Op copy = old_.ops[op];
  for (Value& operand : copy.operands) operand = (*this)(operand);
  put(op, std::move(copy));
}

void Rewriter::take(int32_t op) {
  Op taken = release(op);
  for (Value& operand : taken.operands) operand = (*this)(operand);
  put(op, std::move(taken));
}

void Rewriter::finish() {
  Function& made = builder.function();
  for (Value input : old_.inputs) made.inputs.push_back((*this)(input));
  for (Value result : old_.results) made.results.push_back((*this)(result));
  for (const Update& update : old_.updates) made.updates.push_back({(*this)(update.state), (*this)(update.value)});
}

Graph in_order(Graph graph, const std::vector<int32_t>& order) {
  Rewriter rewriter(graph, 0);
  for (int32_t op : order) rewriter.take(op);
  rewriter.finish();
  return graph;
}

void for_each_function(Graph& graph, const std::function<void(FunctionId)>& rewrite) {
  for (FunctionId id = static_cast<FunctionId>(graph.functions.size()); id-- > 0;) rewrite(id);
}

void drop_unused_functions(Graph& graph) {
  std::vector<bool> used(graph.functions.size(), false);
  used[0] = true;
  for (size_t id = 0; id < graph.functions.size(); ++id) {  // callers stand before what they call
    if (!used[id]) continue;
    for (const Op& op : graph.functions[id].ops)
      for (FunctionId callee : op.functions) used[callee] = true;
  }
  std::vector<FunctionId> renumbered(graph.functions.size(), -1);
  std::vector<Function> kept;
  for (size_t id = 0; id < used.size(); ++id) {
    if (!used[id]) continue;
    renumbered[id] = static_cast<FunctionId>(kept.size());
    kept.push_back(std::move(graph.functions[id]));
  }
  graph.functions = std::move(kept);
  for (Function& function : graph.functions)
    for (Op& op : function.ops)
      for (FunctionId& callee : op.functions) callee = renumbered[callee];
}

std::vector<std::vector<Value>> inline_function(FunctionBuilder& builder, FunctionId callee,
                                                const std::vector<Value>& operands) {
  const Function body = builder.graph().functions[callee];  // a copy: appending may move the functions
  std::vector<std::vector<Value>> map(body.ops.size());
  for (size_t i = 0; i < body.inputs.size(); ++i) map[body.inputs[i].op] = {operands[i]};
  for (size_t i = 0; i < body.ops.size(); ++i) {
    if (!map[i].empty()) continue;
    Op copy = body.ops[i];
    for (Value& operand : copy.operands) operand = map[operand.op][operand.result];
    map[i] = builder.append(std::move(copy));
  }
  return map;
}

OpView view_of(const Graph& graph, const Function& function, const Op& op, std::vector<Type>& types) {
  types.clear();
  for (Value operand : op.operands) types.push_back(function.type(operand));
  return {*op.entry, types, op.results, op.attributes, &graph, op.functions};
}

std::vector<Value> expand_composite(FunctionBuilder& builder, const Op& op, const std::vector<Value>& operands) {
  const Decompose* composite = op.entry->realised_as<Decompose>();
  PW_CHECK(composite, std::string(op.name()) + " is no composite");
  OriginId origin_before = std::exchange(builder.origin, op.origin);
  std::optional<Pin> pin_before = std::exchange(builder.pin, op.pin);
  std::vector<Type> types;
  for (Value operand : operands) types.push_back(builder.type(operand));
  size_t first = builder.function().ops.size();
  std::vector<Value> values = composite->decompose(
      builder, {*op.entry, types, op.results, op.attributes, &builder.graph(), op.functions}, operands);
  builder.origin = origin_before;
  builder.pin = std::move(pin_before);
  PW_CHECK(values.size() == op.results.size(), std::string(op.name()) + " decomposes into other results");
  const Where& where = op.results.front().tensor().where;
  if (where.is_single())
    for (size_t i = first; i < builder.function().ops.size(); ++i)
      for (Type& type : builder.function().ops[i].results) type.set_where(where);
  return values;
}

}  // namespace placewright
