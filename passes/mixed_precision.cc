#include "placewright/passes/mixed_precision.h"

#include <algorithm>
#include <map>

#include "placewright/ir/op_table.h"
#include "placewright/ir/work.h"
#include "rewrite.h"

namespace placewright {
namespace {

// What an op's kernels do, those of its parts if it is a composite.
struct Arithmetic {
  bool multiplies = false;  // products or convolutions
  bool adds_up = false;     // sums of many numbers that are no such products
};

void count(const StructuredKernel& kernel, Arithmetic& found) {
  const std::vector<StageWork> work = count_work(kernel);
  for (size_t i = 0; i < work.size(); ++i) {
    const bool is_product = work[i].op_class == "contraction" || work[i].op_class == "convolution";
    const Reduction::Kind kind = kernel.stages[i].reduction.kind;
    found.multiplies = found.multiplies || is_product;
    found.adds_up = found.adds_up || (!is_product && (kind == Reduction::Kind::sum || kind == Reduction::Kind::prod ||
                                                      kind == Reduction::Kind::custom));
  }
}

void count(const Graph& graph, const Function& function, const Op& op, Arithmetic& found) {
  std::vector<Type> types;
  const OpView view = view_of(graph, function, op, types);
  if (can_lower(*op.entry)) {
    if (!op.entry->traits.view) count(lower_op(view), found);
    return;
  }
  if (!op.entry->realised_as<Decompose>()) return;
  Graph parts;
  FunctionBuilder builder(parts, add_function(parts, "main"));
  std::vector<Value> inputs;
  for (size_t i = 0; i < types.size(); ++i)
    inputs.push_back(builder.input("x" + std::to_string(i), InputKind::argument, types[i]));
  op.entry->realised_as<Decompose>()->decompose(builder, view, inputs);
  for (const Op& part : parts.main().ops) count(parts, parts.main(), part, found);
}

// What is cast to the dtype of what it meets: constants, and what is broadcast of parameters, states that functions are
// handed, and of constant inputs.
class Followers {
 public:
  explicit Followers(const Graph& graph) : graph_(graph), callers_(graph.functions.size()) {
    for (size_t f = 0; f < graph.functions.size(); ++f)
      for (const Op& op : graph.functions[f].ops)
        for (FunctionId callee : op.functions) callers_[callee].push_back({static_cast<FunctionId>(f), &op});
  }

  // Of each op of the function.
  std::vector<bool> find(FunctionId id) const {
    const Function& function = graph_.functions[id];
    std::vector<bool> follows(function.ops.size(), false), is_given(function.ops.size(), false);
    for (size_t i = 0; i < function.ops.size(); ++i) {
      const Op& op = function.ops[i];
      if (op.is("input")) {
        is_given[i] = is_parameter(id, {static_cast<int32_t>(i), 0});
      } else if (op.operands.empty()) {
        follows[i] = true;
      } else if (op.operands.size() == 1 && (op.entry->traits.view || op.is("broadcast") || op.is("cast"))) {
        const int32_t source = op.operands[0].op;
        is_given[i] = is_given[source];
        follows[i] = follows[source] || (op.is("broadcast") && is_given[source]);
      }
    }
    return follows;
  }

 private:
  bool is_parameter(FunctionId id, Value input) const {
    const Function& function = graph_.functions[id];
    if (id == 0) return input_kind(function, input) != InputKind::argument;
    const auto at = std::find(function.inputs.begin(), function.inputs.end(), input) - function.inputs.begin();
    auto hands_parameter = [&](const std::pair<FunctionId, const Op*>& caller) {
      const std::vector<Value>& operands = caller.second->operands;
      if (static_cast<size_t>(at) >= operands.size()) return false;
      const Value operand = operands[static_cast<size_t>(at)];
      return graph_.functions[caller.first].op(operand).is("input") && is_parameter(caller.first, operand);
    };
    return !callers_[id].empty() && std::all_of(callers_[id].begin(), callers_[id].end(), hands_parameter);
  }

  const Graph& graph_;
  std::vector<std::vector<std::pair<FunctionId, const Op*>>> callers_;  // of each function
};

class Narrowing {
 public:
  Narrowing(Graph& graph, FunctionId id, std::vector<bool> follows, DType wide, DType narrow)
      : rewriter_(graph, id), graph_(graph), follows_(std::move(follows)), wide_(wide), narrow_(narrow) {}

  void run() {
    const Function& old = rewriter_.old();
    for (int32_t op = 0; op < static_cast<int32_t>(old.ops.size()); ++op) rewrite(op);
    for (Value result : old.results) restore(result);
    for (const Update& update : old.updates) restore(update.value);
    rewriter_.finish();
  }

 private:
  DType dtype(Value value) const { return rewriter_.builder.dtype(value); }
  DType old_dtype(Value value) const { return rewriter_.old().tensor(value).dtype; }

  void rewrite(int32_t number) {
    const Op& op = rewriter_.old().ops[number];
    std::vector<Value> operands = rewriter_.operands(op);
    const bool reads_wide =
        std::any_of(op.operands.begin(), op.operands.end(), [&](Value operand) { return old_dtype(operand) == wide_; });
    if (op.entry->is_structural() || !reads_wide) {
      for (size_t i = 0; i < operands.size(); ++i) operands[i] = cast(operands[i], old_dtype(op.operands[i]));
      rewriter_.replace(number, rewriter_.builder.add_like(op, std::move(operands)));
      return;
    }
    const DType chosen = choose(op, operands);
    for (size_t i = 0; i < operands.size(); ++i)
      if (old_dtype(op.operands[i]) == wide_) operands[i] = cast(operands[i], chosen);
    rewriter_.replace(number, rewriter_.builder.add_like(op, std::move(operands)));
  }

  DType choose(const Op& op, const std::vector<Value>& operands) const {
    size_t narrowed = 0, floats = 0;
    for (size_t i = 0; i < operands.size(); ++i) {
      if (old_dtype(op.operands[i]) != wide_ || follows_[op.operands[i].op]) continue;
      ++floats;
      narrowed += dtype(operands[i]) == narrow_;
    }
    Arithmetic found;
    count(graph_, rewriter_.old(), op, found);
    if (found.multiplies) return narrow_;
    return found.adds_up || narrowed < floats || floats == 0 ? wide_ : narrow_;
  }

  // Each value is cast once.
  Value cast(Value value, DType to) {
    if (dtype(value) == to) return value;
    auto [at, is_new] = casts_.try_emplace({value, to}, value);
    if (!is_new) return at->second;
    const Op& made = rewriter_.builder.function().op(value);
    rewriter_.builder.origin = made.origin;
    rewriter_.builder.pin = made.pin;
    const Value result = rewriter_.builder.cast(value, to);
    rewriter_.builder.pin.reset();
    return at->second = result;
  }

  void restore(Value old) {
    std::vector<Value> values;
    for (int32_t r = 0; r < static_cast<int32_t>(rewriter_.old().op(old).results.size()); ++r)
      values.push_back(rewriter_({old.op, r}));
    values[old.result] = cast(values[old.result], old_dtype(old));
    rewriter_.replace(old.op, std::move(values));
  }

  Rewriter rewriter_;
  const Graph& graph_;
  std::vector<bool> follows_;
  DType wide_, narrow_;
  std::map<std::pair<Value, DType>, Value> casts_;
};

}  // namespace

Graph mixed_precision(Graph graph, DType wide, DType narrow) {
  const Graph old = graph;
  const Followers followers(old);
  for_each_function(graph, [&](FunctionId id) { Narrowing(graph, id, followers.find(id), wide, narrow).run(); });
  verify_graph(graph);
  return graph;
}

}  // namespace placewright
