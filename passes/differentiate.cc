// Expands `gradient` ops by reverse-mode differentiation (Griewank & Walther, "Evaluating Derivatives", 2008, ch. 3).
// Inner gradient ops are expanded first, so that second derivatives are gradients of the ops that the first ones
// became.
#include <fmt/core.h>

#include "rewrite.h"

namespace placewright {
namespace {

// For each op of the function and each of its results: whether it depends, through floating values, on a wanted input.
std::vector<std::vector<bool>> find_active(const Function& function, const Sizes& with_respect_to) {
  std::vector<std::vector<bool>> active(function.ops.size());
  for (size_t i = 0; i < function.ops.size(); ++i) {
    const Op& op = function.ops[i];
    bool any = false;
    for (Value operand : op.operands) any = any || active[operand.op][operand.result];
    for (const Type& type : op.results) active[i].push_back(any && is_floating(type.tensor().dtype));
    for (int64_t wanted : with_respect_to)
      if (function.inputs[wanted].op == static_cast<int32_t>(i)) active[i][0] = true;
  }
  return active;
}

bool any_of(const std::vector<bool>& flags) { return std::find(flags.begin(), flags.end(), true) != flags.end(); }

// Expands the composites that are differentiated through their decomposition, as long as a gradient passes them.
// Works on function `id`; composites inside decompositions take further rounds.
void expand_composites(Graph& graph, FunctionId id, const Sizes& with_respect_to) {
  for (;;) {
    std::vector<std::vector<bool>> active = find_active(graph.functions[id], with_respect_to);
    auto must_expand = [&](const Function& function, size_t i) {
      return function.ops[i].entry->gradient.kind() == Gradient::Kind::through_decomposition && any_of(active[i]);
    };
    const Function& function = graph.functions[id];
    bool found = false;
    for (size_t i = 0; i < function.ops.size(); ++i) found = found || must_expand(function, i);
    if (!found) return;
    Rewriter rewriter(graph, id);
    for (size_t i = 0; i < rewriter.old().ops.size(); ++i) {
      const Op& op = rewriter.old().ops[i];
      if (must_expand(rewriter.old(), i))
        rewriter.replace(static_cast<int32_t>(i), expand_composite(rewriter.builder, op, rewriter.operands(op)));
      else
        rewriter.copy(static_cast<int32_t>(i));
    }
    rewriter.finish();
  }
}

// One expansion of one gradient op into the builder's function.
class ReverseSweep {
 public:
  ReverseSweep(FunctionBuilder& builder, Function body, std::vector<std::vector<Value>> values,
               const Sizes& with_respect_to)
      : builder_(builder),
        body_(std::move(body)),
        values_(std::move(values)),
        active_(find_active(body_, with_respect_to)),
        adjoints_(body_.ops.size()) {
    for (size_t i = 0; i < body_.ops.size(); ++i) adjoints_[i].resize(body_.ops[i].results.size());
  }

  // Adjoints of the wanted inputs: zeros where nothing flows.
  std::vector<Value> run(const Sizes& with_respect_to) {
    Value loss = body_.results[0];
    builder_.origin = backward(body_.op(loss).origin);
    if (active_[loss.op][loss.result]) adjoints_[loss.op][loss.result] = builder_.constant(body_.tensor(loss).dtype, 1);
    for (size_t i = body_.ops.size(); i-- > 0;)
      if (any_of(active_[i]) && !body_.ops[i].is("input")) propagate(body_.ops[i], i);
    std::vector<Value> gradients;
    for (int64_t wanted : with_respect_to) {
      Value input = body_.inputs[wanted];
      builder_.origin = backward(body_.op(input).origin);
      const TensorType& type = body_.tensor(input);
      const std::optional<Value>& adjoint = adjoints_[input.op][input.result];
      gradients.push_back(adjoint ? *adjoint : builder_.full(type.dtype, type.shape, 0));
    }
    return gradients;
  }

 private:
  OriginId backward(OriginId origin) { return builder_.graph().origins.with_role(origin, Role::backward); }

  void propagate(const Op& op, size_t i) {
    bool reached = false;
    for (const std::optional<Value>& adjoint : adjoints_[i]) reached = reached || adjoint.has_value();
    if (!reached) return;
    const Gradient& gradient = op.entry->gradient;
    if (gradient.kind() != Gradient::Kind::rule)
      throw Error(fmt::format("{} ({}) cannot be differentiated, but the loss depends on it", op.name(),
                              builder_.graph().origins[op.origin].site()));
    builder_.origin = backward(op.origin);
    std::vector<Type> types;
    std::vector<Value> operands;
    std::vector<bool> needed;
    for (Value operand : op.operands) {
      types.push_back(body_.type(operand));
      operands.push_back(values_[operand.op][operand.result]);
      needed.push_back(active_[operand.op][operand.result]);
    }
    GradientContext context{
        builder_,     {*op.entry, types, op.results, op.attributes, &builder_.graph(), op.functions},
        operands,     values_[i],
        adjoints_[i], needed};
    OperandGradients gradients = gradient.rule()(context);
    PW_CHECK(gradients.size() == operands.size(), std::string(op.name()) + ": one gradient an operand");
    for (size_t k = 0; k < gradients.size(); ++k)
      if (gradients[k] && needed[k]) accumulate(op, op.operands[k], *gradients[k]);
  }

  // Contributions are added in the order of the reverse sweep: the last use of a value first.
  void accumulate(const Op& op, Value operand, Value contribution) {
    const TensorType &expected = body_.tensor(operand), &found = builder_.type(contribution).tensor();
    PW_CHECK(expected.dtype == found.dtype && expected.shape == found.shape,
             fmt::format("{}: its gradient rule gives {} for an operand of type {}", op.name(), Type(found).to_string(),
                         Type(expected).to_string()));
    std::optional<Value>& sum = adjoints_[operand.op][operand.result];
    sum = sum ? builder_("add", {*sum, contribution}) : contribution;
  }

  FunctionBuilder& builder_;
  Function body_;
  std::vector<std::vector<Value>> values_;  // of the expanded forward ops, by op of the body
  std::vector<std::vector<bool>> active_;
  std::vector<std::vector<std::optional<Value>>> adjoints_;
};

std::vector<Value> expand_gradient(FunctionBuilder& builder, const Op& op, const std::vector<Value>& operands) {
  const Sizes& with_respect_to = op.attributes.get<Sizes>("with_respect_to");
  Graph& graph = builder.graph();
  FunctionId working = static_cast<FunctionId>(graph.functions.size());
  graph.functions.push_back(Function(graph.functions[op.functions[0]]));
  expand_composites(graph, working, with_respect_to);
  Function body = graph.functions[working];
  std::vector<std::vector<Value>> values = inline_function(builder, working, operands);
  graph.functions.pop_back();

  std::vector<Value> results;
  for (Value result : body.results) results.push_back(values[result.op][result.result]);
  std::vector<Value> gradients =
      ReverseSweep(builder, std::move(body), std::move(values), with_respect_to).run(with_respect_to);
  results.insert(results.end(), gradients.begin(), gradients.end());
  return results;
}

}  // namespace

Graph differentiate(Graph graph, const PassContext&) {
  for_each_function(graph, [&](FunctionId id) {
    bool found = false;
    for (const Op& op : graph.functions[id].ops) found = found || op.is("gradient");
    if (!found) return;
    Rewriter rewriter(graph, id);
    for (size_t i = 0; i < rewriter.old().ops.size(); ++i) {
      const Op& op = rewriter.old().ops[i];
      if (op.is("gradient"))
        rewriter.replace(static_cast<int32_t>(i), expand_gradient(rewriter.builder, op, rewriter.operands(op)));
      else
        rewriter.copy(static_cast<int32_t>(i));
    }
    rewriter.finish();
  });
  drop_unused_functions(graph);
  return graph;
}

}  // namespace placewright
