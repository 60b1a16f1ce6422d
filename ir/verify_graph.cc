#include <set>

#include <fmt/core.h>

#include "placewright/ir/graph.h"
#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

class Verifier {
 public:
  Verifier(const Graph& graph, FunctionId id) : graph_(graph), function_(graph.functions[id]), id_(id) {}

  void run() {
    for (size_t i = 0; i < function_.ops.size(); ++i) {
      at_ = static_cast<int32_t>(i);
      verify_op(function_.ops[i]);
    }
    at_ = static_cast<int32_t>(function_.ops.size());
    verify_inputs();
    for (Value result : function_.results) verify_value(result, "result");
    std::set<Value> updated;
    for (const Update& update : function_.updates) verify_update(update, updated);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    std::string where = fmt::format("function {}", function_.name);
    if (at_ < static_cast<int32_t>(function_.ops.size())) {
      const Op& op = function_.ops[at_];
      where += fmt::format(", op {}{} ({})", at_, op.entry ? fmt::format(" {}", op.name()) : "",
                           graph_.origins[op.origin].site());
    }
    throw Error(fmt::format("invalid graph: {}: {}", where, what));
  }

  void verify_value(Value value, std::string_view use) const {
    if (value.op < 0 || value.op >= at_ || value.result < 0 ||
        value.result >= static_cast<int32_t>(function_.ops[value.op].results.size()))
      fail(fmt::format("{} is value ({}, {}), which does not stand before it", use, value.op, value.result));
  }

  void verify_op(const Op& op) const {
    if (op.origin < 0 || op.origin >= graph_.origins.size())
      throw Error(fmt::format("invalid graph: function {}, op {}: origin {} is not in the table", function_.name, at_,
                              op.origin));
    if (!op.entry) fail("has no entry in the op table");
    std::vector<Type> operands;
    for (Value operand : op.operands) {
      verify_value(operand, "operand");
      operands.push_back(function_.type(operand));
    }
    // A function calls later functions only: no recursion, and passes may walk them in order.
    for (FunctionId callee : op.functions)
      if (callee <= id_ || callee >= static_cast<FunctionId>(graph_.functions.size()))
        fail(fmt::format("calls function {}, expected one after {}", callee, id_));
    std::vector<Type> inferred;
    try {
      if (complete_attributes(*op.entry, op.attributes) != op.attributes)
        fail("an attribute's fallback is not filled in");
      inferred = infer_types({*op.entry, operands, op.results, op.attributes, &graph_, op.functions});
    } catch (const Error& error) {
      fail(error.what());
    }
    if (inferred.size() != op.results.size())
      fail(fmt::format("has {} results, expected {}", op.results.size(), inferred.size()));
    for (size_t i = 0; i < inferred.size(); ++i) {
      const TensorType &found = op.results[i].tensor(), &expected = inferred[i].tensor();
      if (found.dtype != expected.dtype || found.shape != expected.shape)
        fail(fmt::format("result {} has type {}, expected {}", i, op.results[i].to_string(), inferred[i].to_string()));
    }
  }

  void verify_inputs() const {
    std::set<std::string> names;
    size_t input_ops = 0;
    for (const Op& op : function_.ops) input_ops += op.is("input");
    if (input_ops != function_.inputs.size())
      fail(fmt::format("{} input ops, but {} inputs", input_ops, function_.inputs.size()));
    for (Value input : function_.inputs) {
      verify_value(input, "input");
      if (!function_.op(input).is("input")) fail(fmt::format("input {} is no input op", input.op));
      if (!names.insert(input_name(function_, input)).second)
        fail(fmt::format("two inputs are named '{}'", input_name(function_, input)));
    }
  }

  void verify_update(const Update& update, std::set<Value>& updated) const {
    verify_value(update.state, "updated state");
    verify_value(update.value, "update");
    if (!function_.op(update.state).is("input") || input_kind(function_, update.state) != InputKind::state)
      fail(fmt::format("value {} is updated, but is no state input", update.state.op));
    if (!updated.insert(update.state).second)
      fail(fmt::format("state '{}' is updated twice", input_name(function_, update.state)));
    const TensorType &state = function_.tensor(update.state), &value = function_.tensor(update.value);
    if (state.dtype != value.dtype || state.shape != value.shape)
      fail(fmt::format("state '{}' of type {} is updated with {}", input_name(function_, update.state),
                       Type(state).to_string(), Type(value).to_string()));
  }

  const Graph& graph_;
  const Function& function_;
  FunctionId id_;
  int32_t at_ = 0;
};

}  // namespace

void verify_graph(const Graph& graph) {
  if (graph.functions.empty()) throw Error("invalid graph: it has no function");
  for (const PlacementRule& rule : graph.rules) verify_placement_rule(rule);
  for (FunctionId id = 0; id < static_cast<FunctionId>(graph.functions.size()); ++id) Verifier(graph, id).run();
}

}  // namespace placewright
