#include <algorithm>

#include "placewright/base/checked.h"
#include "placewright/codegen/strategy.h"

namespace placewright {
namespace {

bool is_identity(const Access& access, int rank) {
  if (access.guarded || !access.indirect.empty() || static_cast<int>(access.index.size()) != rank) return false;
  for (int d = 0; d < rank; ++d)
    if (!(access.index[d] == AffineExpr::dim(d, rank))) return false;
  return true;
}

bool uses_index(const ScalarBody& body) {
  return std::any_of(body.begin(), body.end(), [](const ScalarNode& node) { return node.op == ScalarOp::index; });
}

// An elementwise stage whose every buffer has the domain's own sizes, row-major, or is a single element.
bool can_collapse(const StructuredKernel& kernel, const Stage& stage) {
  if (stage.rank() < 2 || stage.has_reduction() || uses_index(stage.body) || !stage.sequential.empty()) return false;
  return std::all_of(stage.accesses.begin(), stage.accesses.end(), [&](const Access& access) {
    const KernelBuffer& buffer = kernel.buffers[access.buffer];
    bool is_scalar = buffer.sizes.empty();
    return is_scalar ||
           (buffer.layout.is_row_major() && buffer.sizes == stage.extents && is_identity(access, stage.rank()));
  });
}

}  // namespace

StructuredKernel collapse_dimensions(StructuredKernel kernel) {
  for (Stage& stage : kernel.stages) {
    if (!can_collapse(kernel, stage)) continue;
    int64_t count = element_count(stage.extents);
    for (Access& access : stage.accesses) {
      if (kernel.buffers[access.buffer].sizes.empty()) continue;
      KernelBuffer flat = kernel.buffers[access.buffer];
      flat.name += "_flat";
      flat.sizes = {count};
      flat.role = KernelBuffer::Role::local;
      flat.alias_of = access.buffer;
      access.buffer = static_cast<int>(kernel.buffers.size());
      access.index = {AffineExpr::dim(0, 1)};
      kernel.buffers.push_back(std::move(flat));
    }
    stage.extents = {count};
    stage.reduced = {false};
  }
  return kernel;
}

}  // namespace placewright
