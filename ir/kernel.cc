#include "placewright/ir/kernel.h"

#include <algorithm>
#include <set>

#include "placewright/base/checked.h"
#include "placewright/ir/work.h"

namespace placewright {

AffineExpr AffineExpr::dim(int dim, int rank, int64_t coefficient, int64_t constant) {
  AffineExpr expr = number(constant, rank);
  expr.coefficients[dim] = coefficient;
  return expr;
}

AffineExpr AffineExpr::number(int64_t constant, int rank) { return {Sizes(static_cast<size_t>(rank), 0), constant, 1}; }

namespace {

double arithmetic_nodes(const ScalarBody& body) {
  return static_cast<double>(
      std::count_if(body.begin(), body.end(), [](const ScalarNode& node) { return node_weight(node.op) > 0; }));
}

}  // namespace

KernelCost count_cost(const StructuredKernel& kernel) {
  KernelCost cost;
  std::set<int> touched;
  for (const Stage& stage : kernel.stages) {
    double points = 1, outer = 1;
    for (int d = 0; d < stage.rank(); ++d) {
      points *= static_cast<double>(stage.extents[d]);
      if (!stage.reduced[d]) outer *= static_cast<double>(stage.extents[d]);
    }
    double combine = !stage.has_reduction()                            ? 0
                     : stage.reduction.kind == Reduction::Kind::custom ? arithmetic_nodes(stage.reduction.combine)
                                                                       : 1;
    cost.flops += points * (arithmetic_nodes(stage.body) + combine) + outer * arithmetic_nodes(stage.epilogue);
    for (const Access& access : stage.accesses) touched.insert(access.buffer);
  }
  for (int id : touched) {
    const KernelBuffer& buffer = kernel.buffers[id];
    if (buffer.alias_of < 0 && buffer.role != KernelBuffer::Role::local)
      cost.bytes += static_cast<double>(byte_size(buffer.dtype, element_count(buffer.sizes)));
  }
  return cost;
}

}  // namespace placewright
