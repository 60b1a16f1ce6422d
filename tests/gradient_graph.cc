#include "gradient_graph.h"

#include <optional>

#include <fmt/core.h>

#include "placewright/ir/builder.h"

namespace placewright::testing {
namespace {

Type reached_from(const Type& type, Reach reach) {
  DType dtype = type.tensor().dtype;
  switch (reach) {
    case Reach::plain:
      return type;
    case Reach::sliced:
      return {dtype, {7, 8}};
    case Reach::transposed:
      return {dtype, {4, 3}};
    case Reach::broadcast:
      return {dtype, {4}};
  }
  return type;
}

Value through(FunctionBuilder& builder, Value value, Reach reach) {  // gives [3,4] but for plain
  switch (reach) {
    case Reach::plain:
      return value;
    case Reach::sliced:
      return builder("slice", {value}, {{"starts", Sizes{1, 1}}, {"limits", Sizes{7, -1}}, {"strides", Sizes{2, 2}}});
    case Reach::transposed:
      return builder("transpose", {value}, {{"permutation", Sizes{1, 0}}});
    case Reach::broadcast:
      return builder("broadcast", {value}, {{"shape", Shape{3, 4}}, {"dims", Sizes{1}}});
  }
  return value;
}

}  // namespace

GradientGraph make_gradient_graph(const DerivedCase& each, const std::vector<Reach>& reach) {
  GradientGraph made;
  FunctionBuilder main(made.graph, add_function(made.graph, "main"));
  FunctionBuilder loss(made.graph, add_function(made.graph, "loss"));
  std::vector<Value> main_inputs, operands;
  auto add_input = [&](const Type& type, double low, double high) {
    std::string name = fmt::format("x{}", main_inputs.size());
    main_inputs.push_back(main.input(name, InputKind::argument, type));
    made.inputs.push_back(
        random_tensor(type.tensor().dtype, type.tensor().sizes(), 17 + main_inputs.size(), low, high));
    return loss.input(name, InputKind::argument, type);
  };
  for (size_t i = 0; i < each.operands.size(); ++i) {
    if (each.operands[i].tensor().dtype == DType::f64) made.wanted.push_back(static_cast<int64_t>(i));
    Type type = reached_from(each.operands[i], reach[i]);
    operands.push_back(through(loss, add_input(type, each.ranges[i].first, each.ranges[i].second), reach[i]));
  }
  std::optional<Value> total;
  for (Value result : loss.add(each.entry->name, operands, each.attributes)) {
    if (loss.dtype(result) != DType::f64) continue;
    Value weighted = loss("mul", {result, add_input(loss.type(result), -1, 1)});
    Sizes all;
    for (int64_t d = 0; d < loss.type(result).tensor().rank(); ++d) all.push_back(d);
    Value sum = loss("reduce_sum", {weighted}, {{"dims", all}});
    total = total ? loss("add", {*total, sum}) : sum;
  }
  loss.function().results = {*total};
  main.function().results = main.add("gradient", main_inputs, {{"with_respect_to", made.wanted}}, {loss.id()});
  return made;
}

}  // namespace placewright::testing
