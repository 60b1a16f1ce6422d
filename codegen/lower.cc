// A fused op's body becomes one kernel: its ops' stages one after the other, what passes between them in local buffers.
#include "placewright/codegen/lower.h"

#include <map>

#include <fmt/format.h>

#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

StructuredKernel lower_one(const Graph& graph, const Function& function, const Op& op) {
  if (!can_lower(*op.entry))
    throw Error(fmt::format("{} has no kernel ({})", op.name(), graph.origins[op.origin].site()));
  std::vector<Type> types;
  for (Value operand : op.operands) types.push_back(function.type(operand));
  return lower_op({*op.entry, types, op.results, op.attributes, &graph, op.functions});
}

class Joiner {
 public:
  Joiner(const Graph& graph, const Function& body) : graph_(graph), body_(body) {}

  StructuredKernel join() {
    joined_.name = body_.name;
    for (Value input : body_.inputs) buffer_of_[input] = add(input, KernelBuffer::Role::input);
    for (Value result : body_.results) {
      bool copied = body_.op(result).is("input") || buffer_of_.contains(result);
      int buffer = add(result, KernelBuffer::Role::output);
      if (copied)
        copies_.emplace_back(result, buffer);
      else
        buffer_of_[result] = buffer;
    }
    for (size_t i = 0; i < body_.ops.size(); ++i) append(static_cast<int32_t>(i));
    for (auto [value, buffer] : copies_) append_copy(value, buffer);
    return std::move(joined_);
  }

 private:
  int add(Value value, KernelBuffer::Role role) {
    const TensorType& type = body_.tensor(value);
    joined_.buffers.push_back(
        {fmt::format("b{}", joined_.buffers.size()), type.dtype, type.sizes(), type.layout, role, -1});
    return static_cast<int>(joined_.buffers.size()) - 1;
  }

  int buffer(Value value) {
    auto [at, is_new] = buffer_of_.try_emplace(value, -1);
    if (is_new) at->second = add(value, KernelBuffer::Role::local);
    return at->second;
  }

  void append(int32_t number) {
    const Op& op = body_.ops[number];
    if (op.is("input")) return;
    if (op.is("constant")) return append_constant(op, buffer({number, 0}));
    StructuredKernel kernel = lower_one(graph_, body_, op);
    std::vector<int> map;
    for (size_t b = 0; b < kernel.buffers.size(); ++b) {
      if (b < op.operands.size()) {
        map.push_back(buffer(op.operands[b]));
      } else if (b < op.operands.size() + op.results.size()) {
        map.push_back(buffer({number, static_cast<int32_t>(b - op.operands.size())}));
      } else {
        map.push_back(static_cast<int>(joined_.buffers.size()));
        joined_.buffers.push_back(kernel.buffers[b]);
        joined_.buffers.back().role = KernelBuffer::Role::local;
      }
    }
    for (size_t b = op.operands.size() + op.results.size(); b < kernel.buffers.size(); ++b)
      if (kernel.buffers[b].alias_of >= 0) joined_.buffers[map[b]].alias_of = map[kernel.buffers[b].alias_of];
    for (Stage& stage : kernel.stages) {
      for (Access& access : stage.accesses) access.buffer = map[access.buffer];
      joined_.stages.push_back(std::move(stage));
    }
  }

  // Constants of one element alone stand inside fused bodies.
  void append_constant(const Op& op, int buffer) {
    const HostTensor& value = op.attributes.get<HostTensor>("value");
    PW_CHECK(value.elements() == 1, "a constant of several elements in a fused body");
    ScalarNode node{.op = ScalarOp::constant, .dtype = value.dtype()};
    if (is_floating(value.dtype()))
      node.number = value.number(0);
    else
      node.integer = value.integer(0);
    append_pointwise("constant", buffer, node, -1);
  }

  void append_copy(Value value, int destination) {
    append_pointwise("copy", destination, {.op = ScalarOp::load, .dtype = body_.tensor(value).dtype, .slot = 1},
                     buffer(value));
  }

  void append_pointwise(const char* name, int destination, const ScalarNode& node, int source) {
    Stage stage;
    stage.name = name;
    stage.extents = joined_.buffers[destination].sizes;
    int rank = stage.rank();
    stage.reduced.assign(rank, false);
    for (int b : {destination, source}) {
      if (b < 0) continue;
      Access access;
      access.buffer = b;
      for (int d = 0; d < rank; ++d) access.index.push_back(AffineExpr::dim(d, rank));
      stage.accesses.push_back(std::move(access));
    }
    stage.body = {node};
    stage.stores = {{0, 0, false}};
    joined_.stages.push_back(std::move(stage));
  }

  const Graph& graph_;
  const Function& body_;
  StructuredKernel joined_;
  std::map<Value, int> buffer_of_;
  std::vector<std::pair<Value, int>> copies_;
};

}  // namespace

StructuredKernel lower_launch(const Graph& graph, const Function& function, const Op& op) {
  if (!op.is("fused")) return lower_one(graph, function, op);
  return Joiner(graph, graph.functions.at(op.functions.at(0))).join();
}

}  // namespace placewright
