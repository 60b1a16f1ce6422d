// Kernels that begin with a product of matrices and go on with its sums: the product by itself, into memory of its own,
// and what is left of the kernel.
#include <algorithm>

#include "at_results.h"
#include "placewright/codegen/cuda/cuda_code.h"
#include "placewright/codegen/strategy.h"
#include "prune_kernel.h"

namespace placewright {
namespace {

// Multiply-adds. Smaller products take about as long as a launch costs, and running them apart costs one more; most
// kernels of small models are below it, and their rest need not be compiled.
constexpr double least_product = 1 << 21;

KernelBuffer sums_of(const Stage& stage, KernelBuffer::Role role) {
  KernelBuffer sums;
  sums.name = "sums";
  sums.dtype = stage.reduction.dtypes[0];
  for (int d : result_dims(stage)) sums.sizes.push_back(stage.extents[d]);
  sums.role = role;
  return sums;
}

// The first stage alone, which stores what it sums.
StructuredKernel product_of(StructuredKernel kernel) {
  kernel.stages.resize(1);
  Stage& stage = kernel.stages[0];
  Access to;
  to.buffer = static_cast<int>(kernel.buffers.size());
  for (int d : result_dims(stage)) to.index.push_back(AffineExpr::dim(d, stage.rank()));
  stage.epilogue = {node_of(ScalarOp::reduced, stage.reduction.dtypes[0], 0)};
  stage.epilogue_stores = {{static_cast<int>(stage.accesses.size()), 0}};
  stage.accesses.push_back(std::move(to));
  kernel.buffers.push_back(sums_of(stage, KernelBuffer::Role::output));
  return kernel;
}

// What the stage does with its sums, at every point of its results, loading them from a buffer.
Stage epilogue_of(const Stage& stage, int sums) {
  Stage made = at_results(stage, {});
  made.body = std::move(made.epilogue);
  made.epilogue.clear();
  for (ScalarNode& node : made.body)
    if (node.op == ScalarOp::reduced)
      node = node_of(ScalarOp::load, node.dtype, static_cast<int>(made.accesses.size()));
  made.stores = std::move(made.epilogue_stores);
  made.epilogue_stores.clear();
  Access from;
  from.buffer = sums;
  for (int r = 0; r < made.rank(); ++r) from.index.push_back(AffineExpr::dim(r, made.rank()));
  made.accesses.push_back(std::move(from));
  prune_stage(made);  // of the accesses to the factors
  return made;
}

}  // namespace

std::optional<PartedContraction> part_contraction(const StructuredKernel& kernel, const StructuredKernel& deep) {
  if (kernel.stages.empty() || kernel.stages[0].reduction.kind != Reduction::Kind::sum) return {};
  const std::optional<Contraction> product = match_contraction(product_of(kernel));
  if (!product || static_cast<double>(product->batch) * static_cast<double>(product->rows) *
                          static_cast<double>(product->columns) * static_cast<double>(product->depth) <
                      least_product)
    return {};
  PartedContraction parts{*product, deep};
  StructuredKernel& rest = parts.rest;
  // Where the depth is in pieces, the stage that adds them up has what is done with the sum.
  if (rest.stages[0].rank() > kernel.stages[0].rank()) rest.stages.erase(rest.stages.begin());
  parts.contraction.result.buffer = static_cast<int>(
      std::count_if(deep.buffers.begin(), deep.buffers.end(), [](const KernelBuffer& b) { return b.alias_of < 0; }));
  const int sums = static_cast<int>(rest.buffers.size());
  rest.buffers.push_back(sums_of(rest.stages[0], KernelBuffer::Role::input));
  rest.stages[0] = epilogue_of(rest.stages[0], sums);
  if (rest.stages.size() == 1) rest = collapse_dimensions(std::move(rest));  // stages that share rows keep them
  return parts;
}

}  // namespace placewright
