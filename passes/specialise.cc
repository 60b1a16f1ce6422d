// Binds symbolic sizes: what follows sees numbers only.
#include <fmt/core.h>

#include "rewrite.h"

namespace placewright {
namespace {

Dim bound(const Dim& dim, const PassContext& context) {
  if (dim.is_number()) return dim;
  auto at = context.options.symbols.find(dim.symbol_name());
  if (at == context.options.symbols.end())
    throw Error(fmt::format("size {} is not bound: give a number for {}", dim.to_string(), dim.symbol_name()));
  if (at->second < 0 || at->second > dim.bound())
    throw Error(fmt::format("size {} is bound to {}, expected 0 to {}", dim.symbol_name(), at->second, dim.bound()));
  return at->second;
}

Shape bound(const Shape& shape, const PassContext& context) {
  Shape numbers;
  for (const Dim& dim : shape) numbers.push_back(bound(dim, context));
  return numbers;
}

bool has_symbol(const Graph& graph) {
  auto symbolic = [](const Shape& shape) {
    for (const Dim& dim : shape)
      if (!dim.is_number()) return true;
    return false;
  };
  for (const Function& function : graph.functions)
    for (const Op& op : function.ops) {
      for (const Type& type : op.results)
        if (symbolic(type.tensor().shape)) return true;
      for (const auto& [name, value] : op.attributes)
        if (const Shape* shape = std::get_if<Shape>(&value); shape && symbolic(*shape)) return true;
    }
  return false;
}

}  // namespace

Graph specialise(Graph graph, const PassContext& context) {
  if (!has_symbol(graph)) return graph;
  // Callees first, so that an op that infers its results from its function sees numbers.
  for_each_function(graph, [&](FunctionId id) {
    Function& function = graph.functions[id];
    for (Op& op : function.ops) {
      for (const auto& [name, value] : Attributes(op.attributes))
        if (const Shape* shape = std::get_if<Shape>(&value)) op.attributes.set(name, bound(*shape, context));
      std::vector<Type> declared = op.results;
      for (Type& type : declared) type.set_shape(bound(type.tensor().shape, context));
      std::vector<Type> operands;
      for (Value operand : op.operands) operands.push_back(function.type(operand));
      std::vector<Type> inferred;
      try {
        inferred = infer_types({*op.entry, operands, declared, op.attributes, &graph, op.functions});
      } catch (const Error& error) {
        throw Error(fmt::format("{} ({})", error.what(), graph.origins[op.origin].site()));
      }
      for (size_t i = 0; i < declared.size(); ++i) op.results[i].set_shape(inferred[i].tensor().shape);
    }
  });
  return graph;
}

}  // namespace placewright
