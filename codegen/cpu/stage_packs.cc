#include "stage_packs.h"

#include <algorithm>

#include "placewright/ir/loops.h"

namespace placewright {
namespace {

// Of an index expression over the whole stage.
std::pair<int64_t, int64_t> range(const Stage& stage, const AffineExpr& expr) {
  int64_t low = expr.constant, high = expr.constant;
  for (int d = 0; d < stage.rank(); ++d)
    (expr.coefficients[d] < 0 ? low : high) += expr.coefficients[d] * std::max<int64_t>(stage.extents[d] - 1, 0);
  return {low, high};
}

// The packed layout of an access whose lanes stand apart: the dimension that they run along last, in blocks of one
// tile, so that a tile's operand is contiguous, where the index is the dimension itself. False if there is none.
bool order_for_lanes(const StageFacts& facts, const StageCandidate& candidate, const Access& access, bool fails,
                     Layout& layout) {
  int dim = -1, rank = static_cast<int>(access.index.size());
  for (int i = 0; i < rank; ++i)
    if (access.index[i].coefficients[candidate.vector_dim] != 0) dim = dim < 0 ? i : rank;
  if (dim < 0 || dim >= rank || access.index[dim].coefficients[candidate.vector_dim] != 1) return false;
  const bool blocked = access.index[dim] == AffineExpr::dim(candidate.vector_dim, facts.stage().rank()) && !fails;
  if (blocked) layout.order.push_back(dim);
  for (int i = 0; i < rank; ++i)
    if (i != dim) layout.order.push_back(i);
  if (blocked)
    layout.blocks = {{dim, candidate.vectors * candidate.lanes}};
  else
    layout.order.push_back(dim);
  return true;
}

void clip(const StageFacts& facts, StageCandidate& candidate, int slot, size_t i, int reduced) {
  const Stage& stage = facts.stage();
  const Access& access = stage.accesses[slot];
  const AffineExpr& expr = access.index[i];
  std::vector<int> read;
  for (int d = 0; d < stage.rank(); ++d)
    if (d != reduced && expr.coefficients[d] != 0) read.push_back(d);
  if (read.size() != 1 || read[0] == candidate.vector_dim || reduced == candidate.vector_dim) return;
  // Tiles along contiguous results are worth more than a few columns.
  if (stage.extents[read[0]] > stage.extents[reduced])
    for (const Store& store : stage.epilogue_stores)
      if (facts.stride(stage.accesses[store.access], read[0]) == 1) return;
  int64_t size = facts.kernel().buffers[access.buffer].sizes[i], inside = 0;
  for (int64_t at = 0; at < stage.extents[read[0]]; ++at)
    for (int64_t tap = 0; tap < stage.extents[reduced]; ++tap) {
      int64_t index = expr.constant + at * expr.coefficients[read[0]] + tap * expr.coefficients[reduced];
      inside += index >= 0 && index < size;
    }
  candidate.steps_left *=
      static_cast<double>(inside) / static_cast<double>(stage.extents[read[0]] * stage.extents[reduced]);
  candidate.clipped.emplace_back(slot, static_cast<int>(i));
  candidate.untiled.push_back(read[0]);
}

}  // namespace

bool add_packs(const StageFacts& facts, StageCandidate& candidate) {
  const Stage& stage = facts.stage();
  double points = 1;
  for (int64_t extent : stage.extents) points *= static_cast<double>(extent);
  for (int slot = 0; slot < static_cast<int>(stage.accesses.size()); ++slot) {
    const Access& access = stage.accesses[slot];
    const KernelBuffer& buffer = facts.kernel().buffers[access.buffer];
    if (!facts.is_loaded(slot) || facts.is_dynamic(access) || !buffer.layout.is_row_major()) continue;
    int64_t apart = facts.stride(access, candidate.vector_dim);
    bool fails = facts.can_fail(candidate, slot);
    if ((apart == 0 || apart == 1) && !fails) continue;
    if (points < 4.0 * static_cast<double>(element_count(buffer.sizes))) continue;
    Pack pack{slot, {}};
    if (fails)
      for (size_t i = 0; i < access.index.size(); ++i) {
        auto [low, high] = range(stage, access.index[i]);
        if (!facts.can_fail(candidate, slot, i)) low = 0, high = 0;
        pack.layout.padding.push_back({std::max<int64_t>(-low, 0), std::max<int64_t>(high + 1 - buffer.sizes[i], 0)});
      }
    if (apart != 0 && apart != 1 && !order_for_lanes(facts, candidate, access, fails, pack.layout)) return false;
    candidate.packs.push_back(std::move(pack));
  }
  return !candidate.packs.empty();
}

bool clip_guards(const StageFacts& facts, StageCandidate& candidate) {
  const Stage& stage = facts.stage();
  if (stage.reduction.kind != Reduction::Kind::sum) return false;
  const ScalarNode& fed = stage.body[stage.reduction.values[0]];
  if (fed.op != ScalarOp::mul || !is_floating(fed.dtype)) return false;
  for (int operand : {fed.operands[0], fed.operands[1]}) {
    const ScalarNode& factor = stage.body[operand];
    if (factor.op != ScalarOp::load) continue;
    const Access& access = stage.accesses[factor.slot];
    for (size_t i = 0; i < access.index.size(); ++i) {
      if (!access.guarded || !facts.can_fail(candidate, factor.slot, i)) continue;
      for (int r = 0; r < stage.rank(); ++r)
        if (is_clipped_by(stage, access, i, r)) clip(facts, candidate, factor.slot, i, r);
    }
  }
  return !candidate.clipped.empty();
}

}  // namespace placewright
