#include "ir/op_testing.h"

#include <cmath>

#include <fmt/core.h>
#include <gtest/gtest.h>

namespace placewright::testing {
namespace {

std::vector<Value> add_inputs(FunctionBuilder& builder, const std::vector<HostTensor>& tensors) {
  std::vector<Value> values;
  for (const HostTensor& tensor : tensors) {
    Shape shape(tensor.sizes().begin(), tensor.sizes().end());
    values.push_back(
        builder.input(fmt::format("x{}", values.size()), InputKind::argument, Type(tensor.dtype(), std::move(shape))));
  }
  return values;
}

// The types and completed attributes of an op, and a view of them.
struct Viewed {
  const OpEntry& entry;
  std::vector<Type> operands, results;
  Attributes attributes;
  OpView view() const { return {entry, operands, results, attributes}; }
};

Viewed view_of(const Function& function, const Op& op) {
  Viewed viewed{*op.entry, {}, op.results, op.attributes};
  for (Value operand : op.operands) viewed.operands.push_back(function.type(operand));
  return viewed;
}

// Reverse mode over the ops of the builder's function: by rule, or over the ops of the decomposition.
class Differentiation {
 public:
  explicit Differentiation(FunctionBuilder& builder) : builder_(builder) {}

  // Decompositions go first: appends `op`, or what it is made of where its gradient goes through that.
  std::vector<Value> append(const OpEntry& entry, const std::vector<Value>& operands, const Attributes& attributes) {
    if (entry.gradient.kind() != Gradient::Kind::through_decomposition)
      return builder_.add(entry.name, operands, attributes);
    Graph scratch;
    FunctionBuilder inner(scratch, add_function(scratch, "scratch"));
    std::vector<Value> inputs;
    std::vector<Type> types;
    for (Value operand : operands) types.push_back(builder_.type(operand));
    for (const Type& type : types)
      inputs.push_back(inner.input(fmt::format("x{}", inputs.size()), InputKind::argument, type));
    Attributes completed = complete_attributes(entry, attributes);
    std::vector<Type> results = infer_types({entry, types, {}, completed});
    std::vector<Value> outer =
        entry.realised_as<Decompose>()->decompose(inner, {entry, types, results, completed}, inputs);
    std::vector<std::vector<Value>> values;
    for (size_t i = 0; i < inner.function().ops.size(); ++i) {
      const Op& op = inner.function().ops[i];
      std::vector<Value> mapped;
      for (Value operand : op.operands) mapped.push_back(values[operand.op][operand.result]);
      values.push_back(i < operands.size() ? std::vector<Value>{operands[i]}
                                           : append(*op.entry, mapped, op.attributes));
    }
    std::vector<Value> made;
    for (Value value : outer) made.push_back(values[value.op][value.result]);
    return made;
  }

  std::vector<std::optional<Value>> run(Value seeded, Value seed, const std::vector<Value>& wanted) {
    auto last = static_cast<int32_t>(builder_.function().ops.size()) - 1;
    std::vector<std::vector<std::optional<Value>>> gradients(last + 1);
    for (int32_t i = 0; i <= last; ++i) gradients[i].resize(builder_.function().ops[i].results.size());
    gradients[seeded.op][seeded.result] = seed;
    for (int32_t i = last; i >= 0; --i) {
      Op op = builder_.function().ops[i];
      bool any = false;
      for (const auto& gradient : gradients[i]) any = any || gradient;
      if (!any || op.entry->gradient.kind() != Gradient::Kind::rule) continue;
      Viewed viewed = view_of(builder_.function(), op);
      GradientContext context{builder_, viewed.view(), op.operands, {}, gradients[i], {}};
      for (size_t r = 0; r < op.results.size(); ++r) context.results.push_back({i, static_cast<int32_t>(r)});
      for (const Type& type : viewed.operands) context.needed.push_back(is_floating(type.tensor().dtype));
      OperandGradients made = op.entry->gradient.rule()(context);
      EXPECT_EQ(made.size(), op.operands.size()) << op.name();
      for (size_t o = 0; o < made.size(); ++o)
        if (made[o] && context.needed[o]) accumulate(gradients[op.operands[o].op][op.operands[o].result], *made[o]);
    }
    std::vector<std::optional<Value>> found;
    for (Value value : wanted) found.push_back(gradients[value.op][value.result]);
    return found;
  }

 private:
  void accumulate(std::optional<Value>& total, Value value) {
    total = total ? builder_("add", {*total, value}) : value;
  }
  FunctionBuilder& builder_;
};

}  // namespace

std::vector<HostTensor> evaluate_op(const OpCase& each) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  std::vector<Value> results = builder.add(each.op, add_inputs(builder, each.operands), each.attributes);
  builder.function().results = results;
  return evaluate(graph, each.operands).results;
}

std::vector<HostTensor> evaluate_decomposition(const OpCase& each) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  std::vector<Value> inputs = add_inputs(builder, each.operands);
  const OpEntry& entry = find_op(each.op);
  std::vector<Type> types;
  for (Value input : inputs) types.push_back(builder.type(input));
  Attributes attributes = complete_attributes(entry, each.attributes);
  std::vector<Type> results = infer_types({entry, types, {}, attributes});
  std::vector<Value> made =
      entry.realised_as<Decompose>()->decompose(builder, {entry, types, results, attributes}, inputs);
  for (size_t i = 0; i < made.size(); ++i) EXPECT_EQ(builder.type(made[i]), results[i]) << each.op;
  builder.function().results = made;
  verify_graph(graph);
  return evaluate(graph, each.operands).results;
}

std::vector<std::optional<HostTensor>> evaluate_gradients(const OpCase& each, const HostTensor& cotangent) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  std::vector<HostTensor> tensors = each.operands;
  tensors.push_back(cotangent);
  std::vector<Value> inputs = add_inputs(builder, tensors);
  Value seed = inputs.back();
  inputs.pop_back();
  Differentiation differentiation(builder);
  Value result = differentiation.append(find_op(each.op), inputs, each.attributes).front();
  std::vector<std::optional<Value>> gradients = differentiation.run(result, seed, inputs);
  std::vector<std::optional<HostTensor>> found(inputs.size());
  std::vector<size_t> places;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (gradients[i]) {
      EXPECT_EQ(builder.type(*gradients[i]), builder.type(inputs[i])) << each.op << ", gradient of operand " << i;
      builder.function().results.push_back(*gradients[i]);
      places.push_back(i);
    }
  verify_graph(graph);
  std::vector<HostTensor> values = evaluate(graph, tensors).results;
  for (size_t i = 0; i < places.size(); ++i) found[places[i]] = values[i];
  return found;
}

void expect_near(const HostTensor& found, const HostTensor& expected, double tolerance, const std::string& where) {
  ASSERT_EQ(found.sizes(), expected.sizes()) << where;
  for (int64_t i = 0; i < expected.elements(); ++i) {
    double a = found.number(i), b = expected.number(i);
    bool same = std::isnan(b) ? std::isnan(a) : a == b || std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
    ASSERT_TRUE(same) << where << ": element " << i << " is " << fmt::format("{}", a) << ", expected "
                      << fmt::format("{}", b);
  }
}

}  // namespace placewright::testing
