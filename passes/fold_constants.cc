// Evaluates ops whose operands are all constants. Never grows the graph: a broadcast of a constant stays an op, and
// results above the limit of the options are left to the device.
#include <algorithm>

#include "rewrite.h"

namespace placewright {
namespace {

// The operands' tensors, if the op can be folded.
std::optional<std::vector<HostTensor>> constant_operands(const Rewriter& rewriter, const Op& op, int64_t limit) {
  const OpEntry& entry = *op.entry;
  if (!entry.evaluate || entry.traits.random || entry.traits.keep || op.operands.empty()) return {};
  std::vector<HostTensor> operands;
  int64_t elements = 0;
  for (Value operand : op.operands) {
    Value value = rewriter(operand);
    const Op& producer = rewriter.builder.function().op(value);
    if (!producer.is("constant")) return {};
    operands.push_back(producer.attributes.get<HostTensor>("value"));
    elements = std::max(elements, operands.back().elements());
  }
  for (const Type& type : op.results) {
    const TensorType& tensor = type.tensor();
    if (!tensor.layout.is_row_major() || tensor.elements() > std::max<int64_t>(elements, 1) || tensor.bytes() > limit)
      return {};
  }
  return operands;
}

}  // namespace

Graph fold_constants(Graph graph, const PassContext& context) {
  for_each_function(graph, [&](FunctionId id) {
    Rewriter rewriter(graph, id);
    for (int32_t i = 0; i < static_cast<int32_t>(rewriter.old().ops.size()); ++i) {
      const Op& op = rewriter.old().ops[i];
      auto operands = constant_operands(rewriter, op, context.options.fold_limit_bytes);
      if (!operands) {
        rewriter.take(i);
        continue;
      }
      std::vector<HostTensor> results;
      for (const Type& type : op.results) results.emplace_back(type.tensor().dtype, type.tensor().sizes());
      std::vector<Type> types;
      for (Value operand : op.operands) types.push_back(rewriter.builder.type(rewriter(operand)));
      op.entry->evaluate({*op.entry, types, op.results, op.attributes, &graph, op.functions}, *operands, results);
      std::vector<Value> values;
      for (size_t r = 0; r < results.size(); ++r) {
        Attributes attributes{{"value", results[r]}};
        values.push_back(
            rewriter.builder
                .append({&find_op("constant"), {}, {op.results[r]}, std::move(attributes), {}, op.origin, op.pin})
                .front());
      }
      rewriter.replace(i, std::move(values));
    }
    rewriter.finish();
  });
  return graph;
}

}  // namespace placewright
