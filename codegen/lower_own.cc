#include "lower_own.h"

#include <algorithm>

#include <fmt/core.h>

#include "placewright/base/error.h"
#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

bool has_reduction(const StructuredKernel& kernel) {
  return std::any_of(kernel.stages.begin(), kernel.stages.end(),
                     [](const Stage& stage) { return stage.has_reduction(); });
}

Type row_major(Type type) {
  type.set_layout({});
  return type;
}

// A relayout's kernel: one copy, element by element.
StructuredKernel lower_relayout(const TensorType& from, const TensorType& to) {
  StructuredKernel kernel;
  kernel.buffers = {{"in0", from.dtype, from.sizes(), from.layout, KernelBuffer::Role::input, -1},
                    {"out0", to.dtype, to.sizes(), to.layout, KernelBuffer::Role::output, -1}};
  kernel.stages = {copy_stage("relayout", 0, 1, from.dtype, from.sizes())};
  return kernel;
}

}  // namespace

Stage copy_stage(std::string name, int source, int destination, DType dtype, const Sizes& sizes) {
  Stage copy;
  copy.name = std::move(name);
  copy.extents = sizes;
  copy.reduced.assign(sizes.size(), false);
  for (int buffer : {source, destination}) {
    Access access{buffer, {}, false, 0, {}};
    for (int d = 0; d < copy.rank(); ++d) access.index.push_back(AffineExpr::dim(d, copy.rank()));
    copy.accesses.push_back(std::move(access));
  }
  copy.body = {{.op = ScalarOp::load, .dtype = dtype, .slot = 0}};
  copy.stores = {{1, 0, false}};
  return copy;
}

StructuredKernel lower_own(const Graph& graph, const Function& function, const Op& op, const SplitReductions& split) {
  if (op.is("relayout")) return lower_relayout(function.tensor(op.operands[0]), op.results[0].tensor());
  if (!can_lower(*op.entry))
    throw Error(fmt::format("{} has no kernel: decompose it first ({})", op.name(), graph.origins[op.origin].site()));
  std::vector<Type> operands, plain, results;
  for (Value operand : op.operands) operands.push_back(function.type(operand));
  StructuredKernel kernel = lower_op({*op.entry, operands, op.results, op.attributes, &graph, op.functions});
  if (!split || !has_reduction(kernel)) return kernel;
  for (const Type& type : operands) plain.push_back(row_major(type));
  for (const Type& type : op.results) results.push_back(row_major(type));
  StructuredKernel logical = plain == operands && results == op.results
                                 ? kernel
                                 : lower_op({*op.entry, plain, results, op.attributes, &graph, op.functions});
  split(logical);
  for (size_t s = 0; s < kernel.stages.size(); ++s)
    kernel.stages[s].reduction.split = logical.stages[s].reduction.split;
  return kernel;
}

}  // namespace placewright
