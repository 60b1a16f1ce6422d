// Appends ops to a function: completes attributes, infers types, stamps origins.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "placewright/ir/graph.h"
#include "placewright/ir/op_table.h"

namespace placewright {

class FunctionBuilder {
 public:
  // Both must outlive the builder. Indices, not references: graph.functions may grow meanwhile.
  FunctionBuilder(Graph& graph, FunctionId function) : graph_(graph), function_(function) {}

  // Appends an op and returns its only result. Error (op, operand types, origin) if the operands do not fit.
  Value operator()(std::string_view op, std::vector<Value> operands, Attributes attributes = {});
  // The same for ops with any number of results or with functions.
  std::vector<Value> add(std::string_view op, std::vector<Value> operands, Attributes attributes = {},
                         std::vector<FunctionId> functions = {});
  // Appends a copy of `op` with other operands; types are inferred anew unless the op is structural.
  std::vector<Value> add_like(const Op& op, std::vector<Value> operands);
  // Appends an op that is complete, types included.
  std::vector<Value> append(Op op);

  Value input(std::string_view name, InputKind kind, Type type);
  Value constant(HostTensor value);
  Value constant(DType dtype, double value);                  // a scalar
  Value full(DType dtype, const Shape& shape, double value);  // a scalar broadcast to a shape

  // Elementwise helpers that broadcast by NumPy's rule (trailing dimensions; size 1 stretches).
  Value broadcast_to(Value value, const Shape& shape);
  Value cast(Value value, DType dtype);  // the value itself if it has the dtype

  const Type& type(Value value) const { return function().type(value); }
  const Shape& shape(Value value) const { return type(value).tensor().shape; }
  DType dtype(Value value) const { return type(value).tensor().dtype; }

  Graph& graph() { return graph_; }
  Function& function() { return graph_.functions[function_]; }
  const Function& function() const { return graph_.functions[function_]; }
  FunctionId id() const { return function_; }

  OriginId origin = 0;     // of the ops appended from now on
  std::optional<Pin> pin;  // likewise

 private:
  Graph& graph_;
  FunctionId function_;
};

// Appends an empty function and returns its id.
FunctionId add_function(Graph& graph, std::string name);

}  // namespace placewright
