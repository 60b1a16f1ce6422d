// A schedule by cost. Every candidate {vector dimension, register tile, packs} of a stage is priced in cycles of one
// core: per reduction step the larger of arithmetic, loads and the latency of a chain; lanes that masks leave idle and
// tails count; copies that packs make are added.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "placewright/base/checked.h"
#include "placewright/codegen/strategy.h"
#include "placewright/ir/loops.h"
#include "placewright/ir/work.h"
#include "stage_lanes.h"

namespace placewright {
namespace {

constexpr double latency = 4;         // cycles of a fused multiply-add, and about those of other arithmetic
constexpr double copy_cycles = 0.35;  // an element of a pack
constexpr int64_t line_bytes = 64;
constexpr int64_t l1_ways = 8;           // of the first cache, in all CPUs of the last decade but 12 in the newest
constexpr double crowded = 5;            // a load that misses the first cache against one that hits it
constexpr double serial_cycles = 20000;  // below this a kernel is not worth a fork and join

struct Candidate {
  int vector_dim = -1;
  int lanes = 1;
  int64_t vectors = 1;                        // per tile, along the vector dimension
  std::vector<std::pair<int, int64_t>> tile;  // other parallel dimensions and their steps
  std::vector<Pack> packs;
  // With a parallel vector dimension: a reduced dimension whose positions go to `chains` states by turns, so that their
  // latencies overlap, and one that is unrolled, so that what is contiguous along it is loaded in runs and transposed.
  int chain_dim = -1;
  int64_t chains = 1;
  int run_dim = -1;
  int64_t run = 1;
  // Guarded indices (access, dimension) that loops over reduced dimensions keep inside; the parallel dimensions that
  // they read must not be tiled.
  std::vector<std::pair<int, int>> clipped;
  std::vector<int> untiled;
  double steps_left = 1;  // the part of the reduction that clipped loops run
  double cycles = std::numeric_limits<double>::infinity();
};

class StagePlanner {
 public:
  StagePlanner(const StructuredKernel& kernel, const Stage& stage, const CpuTarget& target)
      : kernel_(kernel), stage_(stage), target_(target), multiples_(stage.extents.size(), 1) {
    for (const Access& access : stage.accesses)
      for (const Layout::Block& block : kernel.buffers[access.buffer].layout.blocks)
        for (int d = 0; d < stage.rank(); ++d)
          if (access.index[block.dim].coefficients[d] != 0) multiples_[d] = std::lcm(multiples_[d], block.factor);
  }

  Candidate best() {
    const Split& split = stage_.reduction.split;
    if (split.partials > 1) return best_of_split(split);
    Candidate best = price({});
    for (int v = 0; v < stage_.rank(); ++v) {
      if (stage_.extents[v] < 2 || is_sequential(v) || lanes_share_store(v)) continue;
      bool reduced = stage_.reduced[v];
      if (reduced && (stage_.reduction.kind == Reduction::Kind::custom || split.partials == 1)) continue;
      for (int pack : {0, 1, 2})  // none; copies with padding; copies without the padding that clipped loops spare
        for (int64_t vectors : {1, 2, 3, 4}) {
          if (reduced && vectors == 3) continue;  // states are joined by halves
          Candidate base;
          base.vector_dim = v;
          base.lanes = lanes(v);
          base.vectors = vectors;
          if (vectors > 1 && vectors * base.lanes >= stage_.extents[v] + base.lanes) continue;
          if (pack == 2 && !clip_guards(base)) continue;
          if (pack && !add_packs(base)) continue;
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
  std::vector<Layout> packed_layouts(int slot) const {
    std::vector<Layout> layouts;
    for (int v = 0; v < stage_.rank(); ++v)
      for (int64_t vectors : {1, 2}) {
        Candidate base;
        base.vector_dim = v;
        base.lanes = lanes(v);
        base.vectors = vectors;
        if (stage_.extents[v] < 2 || is_sequential(v) || stage_.reduced[v] || !add_packs(base)) continue;
        const Pack* pack = pack_of(base, slot);
        if (pack && pack->layout.padding.empty() &&
            std::find(layouts.begin(), layouts.end(), pack->layout) == layouts.end())
          layouts.push_back(pack->layout);
      }
    return layouts;
  }

  // How the reduction is best split, of the stage alone.
  Split split() {
    Candidate chosen = best();
    if (chosen.chains > 1) return {chosen.chain_dim, chosen.chains};
    if (chosen.vector_dim < 0 || !stage_.reduced[chosen.vector_dim]) return {-1, 1};
    return {chosen.vector_dim, chosen.lanes * chosen.vectors};
  }

 private:
  Candidate best_of_split(const Split& split) {
    Candidate base;
    base.vector_dim = split.dim;
    base.lanes = static_cast<int>(std::min<int64_t>(lanes(split.dim), split.partials));
    base.vectors = split.partials / base.lanes;
    Candidate best = price(base);
    tiles(best, base, 0, 2);
    consider_runs(best, base);
    if (add_packs(base)) {
      consider(best, base);
      tiles(best, base, 0, 2);
    }
    for (int v = 0; v < stage_.rank(); ++v) {
      if (stage_.reduced[v] || stage_.extents[v] < 2 || is_sequential(v) || lanes_share_store(v)) continue;
      for (bool pack : {false, true})
        for (int64_t vectors : {1, 2, 3, 4}) {
          Candidate beside;
          beside.vector_dim = v;
          beside.lanes = lanes(v);
          beside.vectors = vectors;
          if (vectors > 1 && vectors * beside.lanes >= stage_.extents[v] + beside.lanes) continue;
          if (!pack || add_packs(beside)) consider_chains(best, beside, split.dim, {split.partials});
        }
    }
    return best;
  }

  int longest_reduced() const {
    int longest = -1;
    for (int d = 0; d < stage_.rank(); ++d)
      if (stage_.reduced[d] && (longest < 0 || stage_.extents[d] > stage_.extents[longest])) longest = d;
    return longest;
  }

  void consider_chains(Candidate& best, const Candidate& base, int dim, std::initializer_list<int64_t> counts) {
    if (stage_.reduction.kind == Reduction::Kind::custom) return;
    for (int64_t chains : counts) {
      if (stage_.extents[dim] < 4 * chains) continue;
      Candidate candidate = base;
      candidate.chain_dim = dim;
      candidate.chains = chains;
      consider(best, candidate);
      tiles(best, candidate, 0, 1);
    }
  }

  void consider_runs(Candidate& best, const Candidate& base) {
    for (int d = 0; d < stage_.rank(); ++d) {
      if (!stage_.reduced[d] || d == base.vector_dim || stage_.extents[d] < 2) continue;
      Candidate candidate = base;
      candidate.run_dim = d;
      candidate.run = std::min<int64_t>(stage_.extents[d], base.lanes);
      bool pays = false;
      for (int slot = 0; slot < static_cast<int>(stage_.accesses.size()); ++slot)
        pays = pays || (is_loaded_in(stage_.body, slot) && loads_runs(candidate, stage_.accesses[slot]));
      if (!pays) continue;
      consider(best, candidate);
      tiles(best, candidate, 0, 1);
    }
  }

  // Whether lanes load whole runs of elements, which are transposed in registers.
  bool loads_runs(const Candidate& candidate, const Access& access) const {
    if (candidate.run_dim < 0 || candidate.lanes < 4 || is_dynamic(access) || may_leave(access)) return false;
    if (info(kernel_.buffers[access.buffer].dtype).bits < 32) return false;
    int64_t apart = std::abs(stride(access, candidate.vector_dim));
    bool fits = candidate.run >= 4 || is_dense_run(candidate, access);
    return fits && stride(access, candidate.run_dim) == 1 && apart > 1;
  }

  // Short runs without gaps between them, which fill whole vectors.
  bool is_dense_run(const Candidate& candidate, const Access& access) const {
    return candidate.run <= 4 && std::has_single_bit(static_cast<uint64_t>(candidate.run)) &&
           stride(access, candidate.vector_dim) == candidate.run;
  }

  bool is_sequential(int d) const { return !stage_.sequential.empty() && stage_.sequential[d]; }

  // A vector has one lane an element of every result, so each store must move with the dimension.
  bool lanes_share_store(int v) const {
    if (stage_.reduced[v]) return false;
    for (const std::vector<Store>* stores : {&stage_.stores, &stage_.epilogue_stores})
      for (const Store& store : *stores)
        if (!depends(stage_.accesses[store.access], v)) return true;
    return false;
  }

  int lanes(int v) const {
    auto extent = std::bit_ceil(static_cast<uint64_t>(stage_.extents[v]));
    return static_cast<int>(
        std::min<uint64_t>(static_cast<uint64_t>(target_.vector_bits / lane_bits(kernel_, stage_, v)), extent));
  }

  // Whether each tile begins where a block of the layouts begins: addresses of tiles are then a stride apart.
  bool fits_blocks(const Candidate& candidate) const {
    for (int d = 0; d < stage_.rank(); ++d) {
      int64_t step = d == candidate.vector_dim ? candidate.vectors * candidate.lanes : 1;
      for (auto [dim, tile] : candidate.tile)
        if (dim == d) step = tile;
      if (step % multiples_[d] != 0) return false;
    }
    return true;
  }

  void consider(Candidate& best, const Candidate& candidate) {
    if (accumulators(candidate) > register_limit(candidate) || !fits_blocks(candidate)) return;
    Candidate priced = price(candidate);
    if (priced.cycles < best.cycles) best = std::move(priced);
  }

  // One or two more parallel dimensions in the register tile.
  void tiles(Candidate& best, const Candidate& base, int from, int depth) {
    if (depth == 0) return;
    for (int d = from; d < stage_.rank(); ++d) {
      if (d == base.vector_dim || stage_.reduced[d] || is_sequential(d) || stage_.extents[d] < 2) continue;
      if (std::find(base.untiled.begin(), base.untiled.end(), d) != base.untiled.end() || !tile_pays(d)) continue;
      for (int64_t step = 2; step <= std::min<int64_t>(stage_.extents[d], 16); ++step) {
        Candidate candidate = base;
        candidate.tile.emplace_back(d, step);
        if (accumulators(candidate) > register_limit(candidate)) break;
        consider(best, candidate);
        tiles(best, candidate, d + 1, depth - 1);
      }
    }
  }

  // A tile pays by what its points share, by rows that a transposed store writes, or, in a reduction, by chains that
  // run side by side; but points that share nothing should not be pages apart.
  bool tile_pays(int d) const {
    bool near = stage_.has_reduction();
    for (int slot = 0; slot < static_cast<int>(stage_.accesses.size()); ++slot) {
      const Access& access = stage_.accesses[slot];
      bool loaded = is_loaded_in(stage_.body, slot);
      if (loaded && !depends(access, d)) return true;
      if (is_dynamic(access)) continue;
      int64_t apart = std::abs(stride(access, d));
      if (!loaded && apart == 1) return true;
      near = near && apart * info(kernel_.buffers[access.buffer].dtype).bits / 8 < 4096;
    }
    return near;
  }

  static int64_t accumulators(const Candidate& candidate) {
    int64_t count = candidate.vectors * candidate.chains;
    for (auto [dim, step] : candidate.tile) count *= step;
    return count;
  }
  // Accumulators, one register a vector of the operand that stays, and one for the other operand.
  int64_t register_limit(const Candidate& candidate) const {
    int64_t states = std::max<int64_t>(static_cast<int64_t>(stage_.reduction.dtypes.size()), 1);
    int64_t transposed = 0;  // pieces in use, and the one that is being transposed
    if (candidate.run_dim >= 0)
      transposed = candidate.run < 4 ? candidate.vectors * candidate.run : (candidate.vectors + 1) * 4;
    return (target_.vector_registers - 2 - candidate.vectors - transposed) / states;
  }

  int64_t stride(const Access& access, int d) const {
    const KernelBuffer& buffer = kernel_.buffers[access.buffer];
    Sizes origin(static_cast<size_t>(stage_.rank()), 0), moved = origin;
    moved[d] = 1;
    return flat_offset(buffer, access, moved) - flat_offset(buffer, access, origin);
  }
  static bool depends(const Access& access, int d) {
    return std::any_of(access.index.begin(), access.index.end(),
                       [&](const AffineExpr& expr) { return expr.coefficients[d] != 0; });
  }
  static bool is_dynamic(const Access& access) {
    return !access.indirect.empty() || std::any_of(access.index.begin(), access.index.end(),
                                                   [](const AffineExpr& expr) { return expr.divisor != 1; });
  }
  bool may_leave(const Access& access) const {
    if (!access.guarded) return false;
    for (size_t i = 0; i < access.index.size(); ++i)
      if (!stays_in_padding(stage_, access, kernel_.buffers[access.buffer], i)) return true;
    return false;
  }
  bool can_fail(const Candidate& candidate, int slot) const {
    const Access& access = stage_.accesses[slot];
    if (!access.guarded) return false;
    for (size_t i = 0; i < access.index.size(); ++i)
      if (can_fail(candidate, slot, i)) return true;
    return false;
  }
  bool can_fail(const Candidate& candidate, int slot, size_t i) const {
    const Access& access = stage_.accesses[slot];
    if (stays_in_padding(stage_, access, kernel_.buffers[access.buffer], i)) return false;
    return std::find(candidate.clipped.begin(), candidate.clipped.end(), std::pair(slot, static_cast<int>(i))) ==
           candidate.clipped.end();
  }

  // The guarded indices of a product's factors that a loop over a reduced dimension can keep inside.
  bool clip_guards(Candidate& candidate) const {
    if (stage_.reduction.kind != Reduction::Kind::sum) return false;
    const ScalarNode& fed = stage_.body[stage_.reduction.values[0]];
    if (fed.op != ScalarOp::mul || !is_floating(fed.dtype)) return false;
    for (int operand : {fed.operands[0], fed.operands[1]}) {
      const ScalarNode& factor = stage_.body[operand];
      if (factor.op != ScalarOp::load) continue;
      const Access& access = stage_.accesses[factor.slot];
      for (size_t i = 0; i < access.index.size(); ++i) {
        if (!access.guarded || !can_fail(candidate, factor.slot, i)) continue;
        for (int r = 0; r < stage_.rank(); ++r)
          if (is_clipped_by(stage_, access, i, r)) clip(candidate, factor.slot, i, r);
      }
    }
    return !candidate.clipped.empty();
  }

  void clip(Candidate& candidate, int slot, size_t i, int reduced) const {
    const Access& access = stage_.accesses[slot];
    const AffineExpr& expr = access.index[i];
    std::vector<int> read;
    for (int d = 0; d < stage_.rank(); ++d)
      if (d != reduced && expr.coefficients[d] != 0) read.push_back(d);
    if (read.size() != 1 || read[0] == candidate.vector_dim || reduced == candidate.vector_dim) return;
    // Tiles along contiguous results are worth more than a few columns.
    if (stage_.extents[read[0]] > stage_.extents[reduced])
      for (const Store& store : stage_.epilogue_stores)
        if (stride(stage_.accesses[store.access], read[0]) == 1) return;
    int64_t size = kernel_.buffers[access.buffer].sizes[i], inside = 0;
    for (int64_t at = 0; at < stage_.extents[read[0]]; ++at)
      for (int64_t tap = 0; tap < stage_.extents[reduced]; ++tap) {
        int64_t index = expr.constant + at * expr.coefficients[read[0]] + tap * expr.coefficients[reduced];
        inside += index >= 0 && index < size;
      }
    candidate.steps_left *=
        static_cast<double>(inside) / static_cast<double>(stage_.extents[read[0]] * stage_.extents[reduced]);
    candidate.clipped.emplace_back(slot, static_cast<int>(i));
    candidate.untiled.push_back(read[0]);
  }

  std::pair<int64_t, int64_t> range(const AffineExpr& expr) const {
    int64_t low = expr.constant, high = expr.constant;
    for (int d = 0; d < stage_.rank(); ++d)
      (expr.coefficients[d] < 0 ? low : high) += expr.coefficients[d] * std::max<int64_t>(stage_.extents[d] - 1, 0);
    return {low, high};
  }

  bool is_loaded_in(const ScalarBody& body, int slot) const {
    return std::any_of(body.begin(), body.end(),
                       [&](const ScalarNode& node) { return node.op == ScalarOp::load && node.slot == slot; });
  }

  // Copies of what the body reads apart along the vector dimension, or under guards, if each element is read often.
  bool add_packs(Candidate& candidate) const {
    double points = 1;
    for (int64_t extent : stage_.extents) points *= static_cast<double>(extent);
    for (int slot = 0; slot < static_cast<int>(stage_.accesses.size()); ++slot) {
      const Access& access = stage_.accesses[slot];
      const KernelBuffer& buffer = kernel_.buffers[access.buffer];
      if (!is_loaded_in(stage_.body, slot) || is_dynamic(access) || !buffer.layout.is_row_major()) continue;
      int64_t apart = stride(access, candidate.vector_dim);
      bool fails = can_fail(candidate, slot);
      if ((apart == 0 || apart == 1) && !fails) continue;
      if (points < 4.0 * static_cast<double>(element_count(buffer.sizes))) continue;
      Pack pack{slot, {}};
      if (fails)
        for (size_t i = 0; i < access.index.size(); ++i) {
          auto [low, high] = range(access.index[i]);
          if (!can_fail(candidate, slot, i)) low = 0, high = 0;
          pack.layout.padding.push_back({std::max<int64_t>(-low, 0), std::max<int64_t>(high + 1 - buffer.sizes[i], 0)});
        }
      if (apart != 0 && apart != 1) {
        int dim = -1, rank = static_cast<int>(buffer.sizes.size());
        for (int i = 0; i < rank; ++i)
          if (access.index[i].coefficients[candidate.vector_dim] != 0) dim = dim < 0 ? i : rank;
        if (dim < 0 || dim >= rank || access.index[dim].coefficients[candidate.vector_dim] != 1) return false;
        for (int i = 0; i < rank; ++i)
          if (i != dim) pack.layout.order.push_back(i);
        pack.layout.order.push_back(dim);
        // Blocks of one tile, so that a tile's operand is contiguous; only where the index is the dimension itself.
        if (access.index[dim] == AffineExpr::dim(candidate.vector_dim, stage_.rank()) && !fails) {
          pack.layout.order.insert(pack.layout.order.begin(), dim);
          pack.layout.order.pop_back();
          pack.layout.blocks = {{dim, candidate.vectors * candidate.lanes}};
        }
      }
      candidate.packs.push_back(std::move(pack));
    }
    return !candidate.packs.empty();
  }

  // Reductions of a few points are written out: tiles follow each other closely enough to hide their chains.
  bool is_written_out(const Candidate& candidate) const {
    if (!stage_.has_reduction() || candidate.chains > 1) return false;
    if (candidate.vector_dim >= 0 && stage_.reduced[candidate.vector_dim]) return false;
    double points = static_cast<double>(accumulators(candidate)), taps = 1;
    for (int d = 0; d < stage_.rank(); ++d)
      if (stage_.reduced[d]) taps *= static_cast<double>(stage_.extents[d]);
    return taps <= 16 && points * taps <= 64;
  }

  const Pack* pack_of(const Candidate& candidate, int slot) const {
    for (const Pack& pack : candidate.packs)
      if (pack.access == slot) return &pack;
    return nullptr;
  }

  // Cycles of one reduction step (or of the stage's points, without a reduction) for a tile of these sizes.
  double step_cycles(const Candidate& candidate, int64_t vectors, const std::vector<int64_t>& steps) const {
    double points = static_cast<double>(vectors);
    for (int64_t step : steps) points *= static_cast<double>(step);
    double arithmetic = 0, loads = 0, scattered = 0;
    auto count = [&](const ScalarBody& body, bool may_fuse) {
      for (const ScalarNode& node : body) arithmetic += node_weight(node.op);
      if (may_fuse && stage_.reduction.kind == Reduction::Kind::sum) arithmetic -= 1;
    };
    count(stage_.body, true);
    if (stage_.has_reduction())
      arithmetic +=
          stage_.reduction.kind == Reduction::Kind::custom ? static_cast<double>(stage_.reduction.combine.size()) : 1;
    arithmetic = std::max(arithmetic, 0.0) * points / target_.fma_per_cycle;
    for (int slot = 0; slot < static_cast<int>(stage_.accesses.size()); ++slot) {
      const Access& access = stage_.accesses[slot];
      bool stored = !stage_.has_reduction() && is_stored(stage_.stores, slot);
      if (!stored && !is_loaded_in(stage_.body, slot)) continue;
      double times = 1;
      double crowd = 1;
      for (size_t i = 0; i < steps.size(); ++i) {
        if (!depends(access, candidate.tile[i].first)) continue;
        times *= static_cast<double>(steps[i]);
        if (steps[i] > l1_ways && share_a_set(candidate, slot, candidate.tile[i].first)) crowd = crowded;
      }
      if (!stored && loads_runs(candidate, access)) {
        const auto run = static_cast<double>(candidate.run);
        const double blocks = times * static_cast<double>(vectors) / run;
        if (is_dense_run(candidate, access)) {
          loads += blocks * 0.5 * run;
          arithmetic += blocks * run * std::log2(run);
        } else {  // pieces of 128 bits
          const double piece = 128.0 / info(kernel_.buffers[access.buffer].dtype).bits;
          const double pieces = std::ceil(run / piece);
          loads += blocks * pieces * 0.5 * candidate.lanes;
          arithmetic += blocks * pieces * piece * std::log2(piece);
        }
        continue;
      }
      scattered += scattered_cycles(candidate, slot, steps);
      loads += crowd * times * access_cycles(candidate, slot, static_cast<double>(vectors), stored);
    }
    double chain = stage_.has_reduction() ? latency / static_cast<double>(candidate.chains) : 0;
    double turn = 0.25 / static_cast<double>(std::max(candidate.chains, candidate.run));
    if (is_written_out(candidate) || (candidate.run_dim >= 0 && candidate.run == reduced_points())) chain = turn = 0;
    return std::max({arithmetic, loads, chain}) + scattered + turn;
  }

  int64_t reduced_points() const {
    int64_t points = 1;
    for (int d = 0; d < stage_.rank(); ++d)
      if (stage_.reduced[d]) points *= stage_.extents[d];
    return points;
  }

  // Rows of a tile that fall into one set of the first cache throw each other out when there are more than its ways.
  bool share_a_set(const Candidate& candidate, int slot, int d) const {
    const Access& access = stage_.accesses[slot];
    if (pack_of(candidate, slot) || is_dynamic(access)) return false;
    int64_t bytes = stride(access, d) * info(kernel_.buffers[access.buffer].dtype).bits / 8;
    return bytes != 0 && bytes % (target_.l1_bytes / l1_ways) == 0;
  }

  // Elements of a tile that stand in lines of their own, where the reduction leaves each line after a few steps: no
  // prefetcher follows so many streams.
  double scattered_cycles(const Candidate& candidate, int slot, const std::vector<int64_t>& steps) const {
    const Access& access = stage_.accesses[slot];
    const KernelBuffer& buffer = kernel_.buffers[access.buffer];
    const Pack* pack = pack_of(candidate, slot);
    if (!stage_.has_reduction() || is_dynamic(access) || (pack && !pack->layout.order.empty())) return 0;
    if (candidate.vector_dim >= 0 && depends(access, candidate.vector_dim)) return 0;
    int64_t size = info(buffer.dtype).bits / 8, run = 1;
    if (element_count(buffer.sizes) * size < target_.l1_bytes / 2) return 0;
    double lines = 1;
    for (size_t i = 0; i < steps.size(); ++i)
      if (std::abs(stride(access, candidate.tile[i].first)) * size >= line_bytes)
        lines *= static_cast<double>(steps[i]);
    for (int d = stage_.rank() - 1; d >= 0 && run < 8; --d) {
      if (!stage_.reduced[d]) continue;
      int64_t bytes = std::abs(stride(access, d)) * size;
      run *= bytes == 0 ? stage_.extents[d] : std::clamp<int64_t>(line_bytes / bytes, 1, stage_.extents[d]);
      if (bytes != 0) break;
    }
    return lines == 1 || run >= 8 ? 0 : 3 * lines / static_cast<double>(run);
  }

  double access_cycles(const Candidate& candidate, int slot, double vectors, bool stored) const {
    const Access& access = stage_.accesses[slot];
    const Pack* pack = pack_of(candidate, slot);
    double guard = can_fail(candidate, slot) && !pack ? 3 : 0;
    double unit = stored ? 1 : 0.5;
    if (is_dynamic(access)) return vectors * (4 + 1.5 * candidate.lanes);
    if (candidate.vector_dim < 0) return unit + guard;
    int64_t apart = pack && !pack->layout.order.empty() ? 1 : stride(access, candidate.vector_dim);
    if (!depends(access, candidate.vector_dim)) return unit + guard;
    if (apart == 1) return vectors * (unit * (stored ? 1 : line_crossing(candidate, access, pack)) + guard);
    // Lanes that stand a little apart are whole vectors and shuffles; stores, if they fill each other's gaps.
    if (std::abs(apart) <= 4 && apart > 1 && candidate.lanes >= 4 && guard == 0 &&
        (!stored || fills_gaps(stage_.stores, access, apart)))
      return vectors * (stored ? unit + static_cast<double>(apart - 1) : static_cast<double>(apart));
    // Lanes that stand apart: one element at a time; each in a cache line, or a page, of its own where they are far
    // apart.
    int64_t bytes = std::abs(apart) * info(kernel_.buffers[access.buffer].dtype).bits / 8;
    double lane = bytes < 64 ? 1 : bytes < 4096 ? 2 : 6;
    return vectors * (lane * candidate.lanes + guard);
  }

  // A vector as long as a cache line that begins anywhere lies in two lines, and is loaded twice.
  double line_crossing(const Candidate& candidate, const Access& access, const Pack* pack) const {
    int64_t bits = info(kernel_.buffers[access.buffer].dtype).bits;
    if (candidate.lanes * bits < 512 || (pack && !pack->layout.order.empty())) return 1;
    for (int d = 0; d < stage_.rank(); ++d) {
      int64_t apart = d == candidate.vector_dim || stage_.extents[d] < 2 ? 0 : std::abs(stride(access, d));
      if (apart % candidate.lanes != 0 && (!pack || apart < candidate.lanes)) return 1.7;
    }
    return 1;
  }

  bool fills_gaps(const std::vector<Store>& stores, const Access& access, int64_t step) const {
    return step <= std::count_if(stores.begin(), stores.end(), [&](const Store& store) {
             return stage_.accesses[store.access].buffer == access.buffer;
           });
  }

  static bool is_stored(const std::vector<Store>& stores, int slot) {
    return std::any_of(stores.begin(), stores.end(), [&](const Store& store) { return store.access == slot; });
  }

  Candidate price(Candidate candidate) const {
    if (!fits_blocks(candidate)) return candidate;
    double reduction_steps = 1, outer = 1;
    for (int d = 0; d < stage_.rank(); ++d) {
      double extent = static_cast<double>(stage_.extents[d]);
      bool tiled = d == candidate.vector_dim;
      for (auto [dim, step] : candidate.tile) tiled = tiled || dim == d;
      if (tiled) continue;
      (stage_.reduced[d] ? reduction_steps : outer) *= extent;
    }
    // Full tiles and tails: each dimension's pieces {size, how often}.
    struct Piece {
      int64_t size;
      double times;
    };
    std::vector<std::vector<Piece>> pieces;
    auto split = [](int64_t extent, int64_t step) {
      std::vector<Piece> parts;
      int64_t whole = extent / step;
      if (whole > 0) parts.push_back({step, static_cast<double>(whole)});
      if (extent % step > 0) parts.push_back({extent % step, 1});
      return parts;
    };
    for (auto [dim, step] : candidate.tile) pieces.push_back(split(stage_.extents[dim], step));
    std::vector<Piece> along{{1, 1}};
    if (candidate.vector_dim >= 0) {
      along = split(stage_.extents[candidate.vector_dim], candidate.vectors * candidate.lanes);
      for (Piece& piece : along) piece.size = ceil_div(piece.size, candidate.lanes);
    }
    bool vector_reduced = candidate.vector_dim >= 0 && stage_.reduced[candidate.vector_dim];
    double cycles = 0;
    auto visit = [&](auto&& self, size_t at, std::vector<int64_t> steps, double times) -> void {
      if (at < pieces.size()) {
        for (const Piece& piece : pieces[at]) {
          steps.push_back(piece.size);
          self(self, at + 1, steps, times * piece.times);
          steps.pop_back();
        }
        return;
      }
      double points = 1;
      for (int64_t step : steps) points *= static_cast<double>(step);
      double inner = 0;
      for (const Piece& piece : along) inner += piece.times * step_cycles(candidate, piece.size, steps);
      cycles += times * inner * reduction_steps * candidate.steps_left;
      if (!stage_.has_reduction()) return;
      // The epilogue: a horizontal tree, or results whose lanes stand apart.
      double results =
          points * (vector_reduced
                        ? 1
                        : static_cast<double>(ceil_div(
                              candidate.vector_dim < 0 ? 1 : stage_.extents[candidate.vector_dim], candidate.lanes)));
      double each = 2 + static_cast<double>(candidate.chains - 1) +
                    (vector_reduced ? 3.0 * std::log2(candidate.lanes) + static_cast<double>(candidate.vectors) : 0);
      for (const Store& store : stage_.epilogue_stores)
        if (candidate.vector_dim >= 0 && !vector_reduced) {
          int64_t apart = stride(stage_.accesses[store.access], candidate.vector_dim);
          each += apart == 1                      ? 1
                  : interleaves(candidate, store) ? 2
                  : transposes(candidate, store)  ? 8
                                                  : 1.5 * candidate.lanes;
        }
      cycles += times * results * each;
    };
    visit(visit, 0, {}, outer);
    for (const Pack& pack : candidate.packs) {
      const KernelBuffer& buffer = kernel_.buffers[stage_.accesses[pack.access].buffer];
      cycles += copy_cycles * static_cast<double>(element_count(buffer.sizes)) + 50;
    }
    candidate.cycles = cycles;
    return candidate;
  }

 public:
  // Whether a store whose lanes stand apart has another tile dimension with stride 1.
  bool transposes(const Candidate& candidate, const Store& store) const {
    const Access& access = stage_.accesses[store.access];
    return std::any_of(candidate.tile.begin(), candidate.tile.end(),
                       [&](const auto& part) { return part.second >= 4 && stride(access, part.first) == 1; });
  }

  // Whether such a dimension fills the gaps between lanes, so that whole vectors are stored.
  bool interleaves(const Candidate& candidate, const Store& store) const {
    const Access& access = stage_.accesses[store.access];
    return std::any_of(candidate.tile.begin(), candidate.tile.end(), [&](const auto& part) {
      return std::has_single_bit(static_cast<uint64_t>(part.second)) && part.second <= candidate.lanes &&
             stride(access, part.first) == 1 && stride(access, candidate.vector_dim) == part.second;
    });
  }

  StageSchedule schedule(const Candidate& candidate) const {
    StageSchedule schedule;
    schedule.vector_dim = candidate.vector_dim;
    schedule.packs = candidate.packs;
    auto tile_step = [&](int d) -> int64_t {
      if (d == candidate.vector_dim) return candidate.vectors * candidate.lanes;
      if (d == candidate.chain_dim) return candidate.chains;
      if (d == candidate.run_dim) return candidate.run;
      for (auto [dim, step] : candidate.tile)
        if (dim == d) return step;
      return 1;
    };
    auto is_tiled = [&](int d) {
      return std::any_of(candidate.tile.begin(), candidate.tile.end(),
                         [&](const auto& part) { return part.first == d; });
    };
    // Untiled dimensions outside, then the vector dimension, whose operand stays in cache while the rows pass by.
    std::vector<int> order;
    for (int d = 0; d < stage_.rank(); ++d)
      if (!stage_.reduced[d] && d != candidate.vector_dim && !is_tiled(d)) order.push_back(d);
    bool vector_inside = !stage_.has_reduction();
    if (candidate.vector_dim >= 0 && !stage_.reduced[candidate.vector_dim] && !vector_inside)
      order.push_back(candidate.vector_dim);
    for (auto [dim, step] : candidate.tile) order.push_back(dim);
    if (candidate.vector_dim >= 0 && !stage_.reduced[candidate.vector_dim] && vector_inside)
      order.push_back(candidate.vector_dim);
    for (int d : order) schedule.loops.push_back({d, tile_step(d), Loop::Binding::serial});
    if (!schedule.loops.empty() && !is_sequential(schedule.loops[0].dim) && !collides())
      schedule.loops[0].binding = Loop::Binding::thread;
    for (int d = 0; d < stage_.rank(); ++d)
      if (stage_.reduced[d] && !is_written_out(candidate))
        schedule.loops.push_back({d, tile_step(d), Loop::Binding::serial});
    if (candidate.chains > 1) schedule.partial_accumulators = static_cast<int>(candidate.chains);
    if (candidate.vector_dim >= 0 && stage_.reduced[candidate.vector_dim])
      schedule.partial_accumulators = static_cast<int>(candidate.vectors);
    for (const std::vector<Store>* stores : {&stage_.stores, &stage_.epilogue_stores})
      for (const Store& store : *stores)
        schedule.transposed_store =
            schedule.transposed_store || (candidate.vector_dim >= 0 && !stage_.reduced[candidate.vector_dim] &&
                                          stride(stage_.accesses[store.access], candidate.vector_dim) != 1 &&
                                          (transposes(candidate, store) || interleaves(candidate, store)));
    return schedule;
  }

 private:
  // Points of different iterations may meet in one element: such a stage stays on one thread.
  bool collides() const {
    return std::find(stage_.sequential.begin(), stage_.sequential.end(), true) != stage_.sequential.end();
  }

  const StructuredKernel& kernel_;
  const Stage& stage_;
  const CpuTarget& target_;
  Sizes multiples_;  // of each dimension: what a tile's size must divide by
};

int count_accesses(const StructuredKernel& kernel, int buffer) {
  int count = 0;
  for (const Stage& stage : kernel.stages)
    for (const Access& access : stage.accesses) count += access.buffer == buffer;
  return count;
}

}  // namespace

std::vector<WishedLayout> wished_layouts(const StructuredKernel& kernel, const CpuTarget& target) {
  std::vector<WishedLayout> wishes;
  for (size_t number = 0; number < kernel.stages.size(); ++number) {
    const Stage& stage = kernel.stages[number];
    StagePlanner planner(kernel, stage, target);
    if (!stage.has_reduction()) continue;
    double now = planner.best().cycles;
    for (int slot = 0; slot < static_cast<int>(stage.accesses.size()); ++slot) {
      int buffer = stage.accesses[slot].buffer;
      if (kernel.buffers[buffer].role != KernelBuffer::Role::input || count_accesses(kernel, buffer) != 1) continue;
      WishedLayout wish{buffer, {}, 0};
      for (Layout& layout : planner.packed_layouts(slot)) {
        StructuredKernel packed = kernel;
        packed.buffers[buffer].layout = layout;
        double saved = now - StagePlanner(packed, packed.stages[number], target).best().cycles;
        if (saved > wish.cycles) wish = {buffer, std::move(layout), saved};
      }
      if (wish.cycles > 0) wishes.push_back(std::move(wish));
    }
  }
  return wishes;
}

void split_reductions(StructuredKernel& kernel, const CpuTarget& target) {
  for (Stage& stage : kernel.stages)
    if (stage.has_reduction() && stage.reduction.split.partials == 0)
      stage.reduction.split = StagePlanner(kernel, stage, target).split();
}

Schedule choose_schedule(const StructuredKernel& kernel, const CpuTarget& target) {
  Schedule schedule;
  double total = 0;
  bool packs = false;
  for (const Stage& stage : kernel.stages) {
    StagePlanner planner(kernel, stage, target);
    Candidate best = planner.best();
    PW_CHECK(best.cycles < std::numeric_limits<double>::infinity(), "no tile fits the blocks of a stage's layouts");
    schedule.stages.push_back(planner.schedule(best));
    total += best.cycles;
    packs = packs || !best.packs.empty();
    schedule.groups.push_back({1, {}});
  }
  if (total < serial_cycles && !packs)
    schedule.phases = {Phase{static_cast<int>(kernel.stages.size())}};
  else
    schedule.phases.assign(kernel.stages.size(), Phase{1});
  return schedule;
}

}  // namespace placewright
