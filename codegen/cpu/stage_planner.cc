#include "stage_planner.h"

#include <algorithm>
#include <cstdlib>

#include "stage_packs.h"
#include "stage_price.h"

namespace placewright {

StageCandidate StagePlanner::best() const {
  const Split& split = stage_.reduction.split;
  if (split.partials > 1) return best_of_split(split);
  StageCandidate best = priced({});
  for (int v = 0; v < stage_.rank(); ++v) {
    if (stage_.extents[v] < 2 || facts_.is_sequential(v) || facts_.lanes_share_store(v)) continue;
    bool reduced = stage_.reduced[v];
    if (reduced && (stage_.reduction.kind == Reduction::Kind::custom || split.partials == 1)) continue;
    for (int pack : {0, 1, 2})  // none; copies with padding; copies without the padding that clipped loops spare
      for (int64_t vectors : {1, 2, 3, 4}) {
        if (reduced && vectors == 3) continue;  // states are joined by halves
        StageCandidate base;
        base.vector_dim = v;
        base.lanes = facts_.lanes(v);
        base.vectors = vectors;
        if (vectors > 1 && vectors * base.lanes >= stage_.extents[v] + base.lanes) continue;
        if (pack == 2 && !clip_guards(facts_, base)) continue;
        if (pack && !add_packs(facts_, base)) continue;
        consider(best, base);
        tiles(best, base, 0, stage_.has_reduction() ? (reduced ? 2 : 1) : 1);
        if (!stage_.has_reduction()) continue;
        if (!pack) consider_runs(best, base);
        if (!reduced && split.partials == 0) consider_chains(best, base, longest_reduced(), {2, 4, 8});
      }
  }
  return best;
}

// The layouts without padding that candidates would pack an operand into. Blocks of at most two vectors: they divide
// the tiles of wider dtypes, too, that a fused reader may bring.
std::vector<Layout> StagePlanner::packed_layouts(int slot) const {
  std::vector<Layout> layouts;
  for (int v = 0; v < stage_.rank(); ++v)
    for (int64_t vectors : {1, 2}) {
      StageCandidate base;
      base.vector_dim = v;
      base.lanes = facts_.lanes(v);
      base.vectors = vectors;
      if (stage_.extents[v] < 2 || facts_.is_sequential(v) || stage_.reduced[v] || !add_packs(facts_, base)) continue;
      const Pack* pack = base.pack_of(slot);
      if (pack && pack->layout.padding.empty() &&
          std::find(layouts.begin(), layouts.end(), pack->layout) == layouts.end())
        layouts.push_back(pack->layout);
    }
  return layouts;
}

// How the reduction is best split, of the stage alone.
Split StagePlanner::split() const {
  StageCandidate chosen = best();
  if (chosen.chains > 1) return {chosen.chain_dim, chosen.chains};
  if (chosen.vector_dim < 0 || !stage_.reduced[chosen.vector_dim]) return {-1, 1};
  return {chosen.vector_dim, chosen.lanes * chosen.vectors};
}

StageCandidate StagePlanner::best_of_split(const Split& split) const {
  StageCandidate base;
  base.vector_dim = split.dim;
  base.lanes = static_cast<int>(std::min<int64_t>(facts_.lanes(split.dim), split.partials));
  base.vectors = split.partials / base.lanes;
  StageCandidate best = priced(base);
  tiles(best, base, 0, 2);
  consider_runs(best, base);
  if (add_packs(facts_, base)) {
    consider(best, base);
    tiles(best, base, 0, 2);
  }
  for (int v = 0; v < stage_.rank(); ++v) {
    if (stage_.reduced[v] || stage_.extents[v] < 2 || facts_.is_sequential(v) || facts_.lanes_share_store(v)) continue;
    for (bool pack : {false, true})
      for (int64_t vectors : {1, 2, 3, 4}) {
        StageCandidate beside;
        beside.vector_dim = v;
        beside.lanes = facts_.lanes(v);
        beside.vectors = vectors;
        if (vectors > 1 && vectors * beside.lanes >= stage_.extents[v] + beside.lanes) continue;
        if (!pack || add_packs(facts_, beside)) consider_chains(best, beside, split.dim, {split.partials});
      }
  }
  return best;
}

int StagePlanner::longest_reduced() const {
  int longest = -1;
  for (int d = 0; d < stage_.rank(); ++d)
    if (stage_.reduced[d] && (longest < 0 || stage_.extents[d] > stage_.extents[longest])) longest = d;
  return longest;
}

void StagePlanner::consider_chains(StageCandidate& best, const StageCandidate& base, int dim,
                                   std::initializer_list<int64_t> counts) const {
  if (stage_.reduction.kind == Reduction::Kind::custom) return;
  for (int64_t chains : counts) {
    if (stage_.extents[dim] < 4 * chains) continue;
    StageCandidate candidate = base;
    candidate.chain_dim = dim;
    candidate.chains = chains;
    consider(best, candidate);
    tiles(best, candidate, 0, 1);
  }
}

void StagePlanner::consider_runs(StageCandidate& best, const StageCandidate& base) const {
  for (int d = 0; d < stage_.rank(); ++d) {
    if (!stage_.reduced[d] || d == base.vector_dim || stage_.extents[d] < 2) continue;
    StageCandidate candidate = base;
    candidate.run_dim = d;
    candidate.run = std::min<int64_t>(stage_.extents[d], base.lanes);
    bool pays = false;
    for (int slot = 0; slot < static_cast<int>(stage_.accesses.size()); ++slot)
      pays = pays || (facts_.is_loaded(slot) && facts_.loads_runs(candidate, stage_.accesses[slot]));
    if (!pays) continue;
    consider(best, candidate);
    tiles(best, candidate, 0, 1);
  }
}

StageCandidate StagePlanner::priced(StageCandidate candidate) const {
  candidate.cycles = price(facts_, candidate);
  return candidate;
}

void StagePlanner::consider(StageCandidate& best, const StageCandidate& candidate) const {
  if (candidate.accumulators() > facts_.register_limit(candidate) || !facts_.fits_blocks(candidate)) return;
  double cycles = price(facts_, candidate);
  if (cycles >= best.cycles) return;
  best = candidate;
  best.cycles = cycles;
}

// One or two more parallel dimensions in the register tile.
void StagePlanner::tiles(StageCandidate& best, const StageCandidate& base, int from, int depth) const {
  if (depth == 0) return;
  for (int d = from; d < stage_.rank(); ++d) {
    if (d == base.vector_dim || stage_.reduced[d] || facts_.is_sequential(d) || stage_.extents[d] < 2) continue;
    if (std::find(base.untiled.begin(), base.untiled.end(), d) != base.untiled.end() || !tile_pays(d)) continue;
    for (int64_t step = 2; step <= std::min<int64_t>(stage_.extents[d], 16); ++step) {
      StageCandidate candidate = base;
      candidate.tile.emplace_back(d, step);
      if (candidate.accumulators() > facts_.register_limit(candidate)) break;
      consider(best, candidate);
      tiles(best, candidate, d + 1, depth - 1);
    }
  }
}

// A tile pays by what its points share, by rows that a transposed store writes, or, in a reduction, by chains that
// run side by side; but points that share nothing should not be pages apart.
bool StagePlanner::tile_pays(int d) const {
  bool near = stage_.has_reduction();
  for (int slot = 0; slot < static_cast<int>(stage_.accesses.size()); ++slot) {
    const Access& access = stage_.accesses[slot];
    bool loaded = facts_.is_loaded(slot);
    if (loaded && !facts_.depends(access, d)) return true;
    if (facts_.is_dynamic(access)) continue;
    int64_t apart = std::abs(facts_.stride(access, d));
    if (!loaded && apart == 1) return true;
    near = near && apart * info(facts_.kernel().buffers[access.buffer].dtype).bits / 8 < 4096;
  }
  return near;
}

}  // namespace placewright
