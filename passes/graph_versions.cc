#include "placewright/passes/graph_versions.h"

#include <algorithm>

#include "placewright/base/error.h"
#include "rewrite.h"

namespace placewright {
namespace {

// The op with its operands in `dtype`; where it says in which dtype it accumulates, in a wider one if it has to.
std::vector<Value> add_in(FunctionBuilder& builder, Op op, DType dtype, const std::vector<Value>& operands) {
  std::vector<Value> given;
  for (Value operand : operands)
    given.push_back(is_floating(builder.dtype(operand)) ? builder.cast(operand, dtype) : operand);
  const DType old = op.results.front().tensor().dtype;
  const Attributes attributes = op.attributes;
  for (const auto& [name, value] : attributes)
    if (const DType* said = std::get_if<DType>(&value); said && *said == old && info(dtype).bits > info(old).bits)
      op.attributes.set(name, dtype);
  return builder.add_like(op, given);
}

}  // namespace

Graph without_pin(const Graph& graph, const DeviceId& device, const SourceSite& site) {
  Graph version = graph;
  for (Op& op : version.main().ops)
    if (op.pin && op.pin->device == device && op.pin->site == site) op.pin.reset();
  return version;
}

std::optional<CastVersion> with_op_in(const Graph& graph, int32_t op, DType dtype) {
  const Op& meant = graph.main().ops.at(op);
  auto floats = [](const Type& type) { return is_floating(type.tensor().dtype); };
  bool changes = false, reads = false;
  for (Value operand : meant.operands) {
    const DType old = graph.main().tensor(operand).dtype;
    reads = reads || is_floating(old);
    changes = changes || (is_floating(old) && old != dtype);
  }
  if (!reads || !changes || meant.entry->is_structural() || meant.is("cast") ||
      !std::any_of(meant.results.begin(), meant.results.end(), floats))
    return {};
  CastVersion version{graph, -1};
  Rewriter rewriter(version.graph, 0);
  try {
    for (int32_t i = 0; i < static_cast<int32_t>(rewriter.old().ops.size()); ++i) {
      if (i != op) {
        rewriter.copy(i);
        continue;
      }
      const Op& old = rewriter.old().ops[i];
      rewriter.builder.origin = old.origin;
      std::vector<Value> results = add_in(rewriter.builder, old, dtype, rewriter.operands(old));
      version.op = results.front().op;
      for (size_t r = 0; r < results.size(); ++r)
        if (is_floating(old.results[r].tensor().dtype))
          results[r] = rewriter.builder.cast(results[r], old.results[r].tensor().dtype);
      rewriter.replace(i, std::move(results));
    }
  } catch (const Error&) {  // the op is not defined for this dtype
    return {};
  }
  rewriter.finish();
  return version;
}

}  // namespace placewright
