#include "stage_facts.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <numeric>

#include "placewright/base/error.h"
#include "placewright/ir/loops.h"
#include "stage_lanes.h"

namespace placewright {

StageFacts::StageFacts(const StructuredKernel& kernel, const Stage& stage, const CpuTarget& target)
    : kernel_(kernel), stage_(stage), target_(target), multiples_(stage.extents.size(), 1) {
  for (const Access& access : stage.accesses)
    for (const Layout::Block& block : kernel.buffers[access.buffer].layout.blocks)
      for (int d = 0; d < stage.rank(); ++d)
        if (access.index[block.dim].coefficients[d] != 0) multiples_[d] = std::lcm(multiples_[d], block.factor);
}

bool StageFacts::depends(const Access& access, int d) {
  return std::any_of(access.index.begin(), access.index.end(),
                     [&](const AffineExpr& expr) { return expr.coefficients[d] != 0; });
}

bool StageFacts::is_dynamic(const Access& access) {
  return !access.indirect.empty() || std::any_of(access.index.begin(), access.index.end(),
                                                 [](const AffineExpr& expr) { return expr.divisor != 1; });
}

bool StageFacts::is_loaded(int slot) const {
  return std::any_of(stage_.body.begin(), stage_.body.end(),
                     [&](const ScalarNode& node) { return node.op == ScalarOp::load && node.slot == slot; });
}

int64_t StageFacts::stride(const Access& access, int d) const {
  const auto slot = static_cast<size_t>(&access - stage_.accesses.data());
  PW_CHECK(slot < stage_.accesses.size(), "another stage's access");
  const size_t rank = stage_.extents.size();
  if (strides_.empty()) strides_.resize(stage_.accesses.size() * rank);
  std::optional<int64_t>& known = strides_[slot * rank + static_cast<size_t>(d)];
  if (!known) known = find_stride(access, d);
  return *known;
}

int64_t StageFacts::find_stride(const Access& access, int d) const {
  const KernelBuffer& buffer = kernel_.buffers[access.buffer];
  Sizes origin(static_cast<size_t>(stage_.rank()), 0), moved = origin;
  moved[d] = 1;
  return flat_offset(buffer, access, moved) - flat_offset(buffer, access, origin);
}

bool StageFacts::may_leave(const Access& access) const {
  if (!access.guarded) return false;
  for (size_t i = 0; i < access.index.size(); ++i)
    if (!stays_in_padding(stage_, access, kernel_.buffers[access.buffer], i)) return true;
  return false;
}

bool StageFacts::can_fail(const StageCandidate& candidate, int slot) const {
  const Access& access = stage_.accesses[slot];
  if (!access.guarded) return false;
  for (size_t i = 0; i < access.index.size(); ++i)
    if (can_fail(candidate, slot, i)) return true;
  return false;
}

bool StageFacts::can_fail(const StageCandidate& candidate, int slot, size_t i) const {
  const Access& access = stage_.accesses[slot];
  if (stays_in_padding(stage_, access, kernel_.buffers[access.buffer], i)) return false;
  return std::find(candidate.clipped.begin(), candidate.clipped.end(), std::pair(slot, static_cast<int>(i))) ==
         candidate.clipped.end();
}

// A vector has one lane an element of every result, so each store must move with the dimension.
bool StageFacts::lanes_share_store(int v) const {
  if (stage_.reduced[v]) return false;
  for (const std::vector<Store>* stores : {&stage_.stores, &stage_.epilogue_stores})
    for (const Store& store : *stores)
      if (!depends(stage_.accesses[store.access], v)) return true;
  return false;
}

// Points of different iterations may meet in one element: such a stage stays on one thread.
bool StageFacts::collides() const {
  return std::find(stage_.sequential.begin(), stage_.sequential.end(), true) != stage_.sequential.end();
}

int64_t StageFacts::reduced_points() const {
  int64_t points = 1;
  for (int d = 0; d < stage_.rank(); ++d)
    if (stage_.reduced[d]) points *= stage_.extents[d];
  return points;
}

int StageFacts::lanes(int v) const {
  auto extent = std::bit_ceil(static_cast<uint64_t>(stage_.extents[v]));
  return static_cast<int>(
      std::min<uint64_t>(static_cast<uint64_t>(target_.vector_bits / lane_bits(kernel_, stage_, v)), extent));
}

// Whether each tile begins where a block of the layouts begins: addresses of tiles are then a stride apart.
bool StageFacts::fits_blocks(const StageCandidate& candidate) const {
  for (int d = 0; d < stage_.rank(); ++d) {
    int64_t step = d == candidate.vector_dim ? candidate.vectors * candidate.lanes : 1;
    for (auto [dim, tile] : candidate.tile)
      if (dim == d) step = tile;
    if (step % multiples_[d] != 0) return false;
  }
  return true;
}

// Accumulators, one register a vector of the operand that stays, and one for the other operand.
int64_t StageFacts::register_limit(const StageCandidate& candidate) const {
  int64_t states = std::max<int64_t>(static_cast<int64_t>(stage_.reduction.dtypes.size()), 1);
  int64_t transposed = 0;  // pieces in use, and the one that is being transposed
  if (candidate.run_dim >= 0)
    transposed = candidate.run < 4 ? candidate.vectors * candidate.run : (candidate.vectors + 1) * 4;
  return (target_.vector_registers - 2 - candidate.vectors - transposed) / states;
}

// Reductions of a few points are written out: tiles follow each other closely enough to hide their chains.
bool StageFacts::is_written_out(const StageCandidate& candidate) const {
  if (!stage_.has_reduction() || candidate.chains > 1) return false;
  if (candidate.vector_dim >= 0 && stage_.reduced[candidate.vector_dim]) return false;
  double points = static_cast<double>(candidate.accumulators()), taps = 1;
  for (int d = 0; d < stage_.rank(); ++d)
    if (stage_.reduced[d]) taps *= static_cast<double>(stage_.extents[d]);
  return taps <= 16 && points * taps <= 64;
}

// Whether lanes load whole runs of elements, which are transposed in registers.
bool StageFacts::loads_runs(const StageCandidate& candidate, const Access& access) const {
  if (candidate.run_dim < 0 || candidate.lanes < 4 || is_dynamic(access) || may_leave(access)) return false;
  if (info(kernel_.buffers[access.buffer].dtype).bits < 32) return false;
  int64_t apart = std::abs(stride(access, candidate.vector_dim));
  bool fits = candidate.run >= 4 || is_dense_run(candidate, access);
  return fits && stride(access, candidate.run_dim) == 1 && apart > 1;
}

// Short runs without gaps between them, which fill whole vectors.
bool StageFacts::is_dense_run(const StageCandidate& candidate, const Access& access) const {
  return candidate.run <= 4 && std::has_single_bit(static_cast<uint64_t>(candidate.run)) &&
         stride(access, candidate.vector_dim) == candidate.run;
}

// Whether a store whose lanes stand apart has another tile dimension with stride 1.
bool StageFacts::transposes(const StageCandidate& candidate, const Store& store) const {
  const Access& access = stage_.accesses[store.access];
  return std::any_of(candidate.tile.begin(), candidate.tile.end(),
                     [&](const auto& part) { return part.second >= 4 && stride(access, part.first) == 1; });
}

// Whether such a dimension fills the gaps between lanes, so that whole vectors are stored.
bool StageFacts::interleaves(const StageCandidate& candidate, const Store& store) const {
  const Access& access = stage_.accesses[store.access];
  return std::any_of(candidate.tile.begin(), candidate.tile.end(), [&](const auto& part) {
    return std::has_single_bit(static_cast<uint64_t>(part.second)) && part.second <= candidate.lanes &&
           stride(access, part.first) == 1 && stride(access, candidate.vector_dim) == part.second;
  });
}

}  // namespace placewright
