#include "stage_price.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "placewright/base/checked.h"
#include "placewright/ir/work.h"

namespace placewright {
namespace {

constexpr double latency = 4;         // cycles of a fused multiply-add, and about those of other arithmetic
constexpr double copy_cycles = 0.35;  // an element of a pack
constexpr int64_t line_bytes = 64;
constexpr int64_t l1_ways = 8;  // of the first cache, in all CPUs of the last decade but 12 in the newest
constexpr double crowded = 5;   // a load that misses the first cache against one that hits it

class StagePrice {
 public:
  StagePrice(const StageFacts& facts, const StageCandidate& candidate)
      : facts_(facts),
        kernel_(facts.kernel()),
        stage_(facts.stage()),
        target_(facts.target()),
        candidate_(candidate),
        vector_reduced_(candidate.vector_dim >= 0 && stage_.reduced[candidate.vector_dim]) {
    double outer = 1;
    for (int d = 0; d < stage_.rank(); ++d) {
      double extent = static_cast<double>(stage_.extents[d]);
      bool tiled = d == candidate.vector_dim;
      for (auto [dim, step] : candidate.tile) tiled = tiled || dim == d;
      if (!tiled) (stage_.reduced[d] ? reduction_steps_ : outer) *= extent;
    }
    for (auto [dim, step] : candidate.tile) pieces_.push_back(split(stage_.extents[dim], step));
    if (candidate.vector_dim >= 0) {
      along_ = split(stage_.extents[candidate.vector_dim], candidate.vectors * candidate.lanes);
      for (Piece& piece : along_) piece.size = ceil_div(piece.size, candidate.lanes);
    }
    add_tiles(0, outer);
    for (const Pack& pack : candidate.packs) {
      const KernelBuffer& buffer = kernel_.buffers[stage_.accesses[pack.access].buffer];
      cycles_ += copy_cycles * static_cast<double>(element_count(buffer.sizes)) + 50;
    }
  }

  double cycles() const { return cycles_; }

 private:
  // Full tiles and tails of a dimension.
  struct Piece {
    int64_t size;
    double times;
  };

  static std::vector<Piece> split(int64_t extent, int64_t step) {
    std::vector<Piece> parts;
    int64_t whole = extent / step;
    if (whole > 0) parts.push_back({step, static_cast<double>(whole)});
    if (extent % step > 0) parts.push_back({extent % step, 1});
    return parts;
  }

  // Tiles of every mixture of pieces, from tiled dimension `at` on.
  void add_tiles(size_t at, double times) {
    if (at == pieces_.size()) {
      double inner = 0;
      for (const Piece& piece : along_) inner += piece.times * step_cycles(piece.size);
      cycles_ += times * inner * reduction_steps_ * candidate_.steps_left;
      if (stage_.has_reduction()) cycles_ += times * results() * result_cycles();
      return;
    }
    for (const Piece& piece : pieces_[at]) {
      steps_.push_back(piece.size);
      add_tiles(at + 1, times * piece.times);
      steps_.pop_back();
    }
  }

  // Vectors of results of a tile of `steps_`.
  double results() const {
    double points = 1;
    for (int64_t step : steps_) points *= static_cast<double>(step);
    if (vector_reduced_) return points;
    int64_t along = candidate_.vector_dim < 0 ? 1 : stage_.extents[candidate_.vector_dim];
    return points * static_cast<double>(ceil_div(along, candidate_.lanes));
  }

  // The epilogue of one: a horizontal tree, or results whose lanes stand apart.
  double result_cycles() const {
    double each = 2 + static_cast<double>(candidate_.chains - 1) +
                  (vector_reduced_ ? 3.0 * std::log2(candidate_.lanes) + static_cast<double>(candidate_.vectors) : 0);
    if (candidate_.vector_dim < 0 || vector_reduced_) return each;
    for (const Store& store : stage_.epilogue_stores) {
      int64_t apart = facts_.stride(stage_.accesses[store.access], candidate_.vector_dim);
      each += apart == 1                              ? 1
              : facts_.interleaves(candidate_, store) ? 2
              : facts_.transposes(candidate_, store)  ? 8
                                                      : 1.5 * candidate_.lanes;
    }
    return each;
  }

  // Cycles of one reduction step (or of the stage's points, without a reduction) for a tile of these sizes.
  double step_cycles(int64_t vectors) const {
    double points = static_cast<double>(vectors);
    for (int64_t step : steps_) points *= static_cast<double>(step);
    double arithmetic = arithmetic_cycles(points), loads = 0, scattered = 0;
    for (int slot = 0; slot < static_cast<int>(stage_.accesses.size()); ++slot) {
      const Access& access = stage_.accesses[slot];
      bool stored = !stage_.has_reduction() && is_stored(stage_.stores, slot);
      if (!stored && !facts_.is_loaded(slot)) continue;
      double times = 1;
      double crowd = 1;
      for (size_t i = 0; i < steps_.size(); ++i) {
        if (!facts_.depends(access, candidate_.tile[i].first)) continue;
        times *= static_cast<double>(steps_[i]);
        if (steps_[i] > l1_ways && share_a_set(slot, candidate_.tile[i].first)) crowd = crowded;
      }
      if (!stored && facts_.loads_runs(candidate_, access)) {
        add_runs(access, times * static_cast<double>(vectors), arithmetic, loads);
        continue;
      }
      scattered += scattered_cycles(slot);
      loads += crowd * times * access_cycles(slot, static_cast<double>(vectors), stored);
    }
    double chain = stage_.has_reduction() ? latency / static_cast<double>(candidate_.chains) : 0;
    double turn = 0.25 / static_cast<double>(std::max(candidate_.chains, candidate_.run));
    if (facts_.is_written_out(candidate_) || (candidate_.run_dim >= 0 && candidate_.run == facts_.reduced_points()))
      chain = turn = 0;
    return std::max({arithmetic, loads, chain}) + scattered + turn;
  }

  // Of the points that a tile computes at once.
  double arithmetic_cycles(double points) const {
    double each = 0;
    for (const ScalarNode& node : stage_.body) each += node_weight(node.op);
    if (stage_.reduction.kind == Reduction::Kind::sum) each -= 1;
    if (stage_.has_reduction())
      each +=
          stage_.reduction.kind == Reduction::Kind::custom ? static_cast<double>(stage_.reduction.combine.size()) : 1;
    return std::max(each, 0.0) * points / target_.fma_per_cycle;
  }

  // Runs of elements that `vectors` vectors load whole and transpose.
  void add_runs(const Access& access, double vectors, double& arithmetic, double& loads) const {
    const auto run = static_cast<double>(candidate_.run);
    const double blocks = vectors / run;
    if (facts_.is_dense_run(candidate_, access)) {
      loads += blocks * 0.5 * run;
      arithmetic += blocks * run * std::log2(run);
    } else {  // pieces of 128 bits
      const double piece = 128.0 / info(kernel_.buffers[access.buffer].dtype).bits;
      const double pieces = std::ceil(run / piece);
      loads += blocks * pieces * 0.5 * candidate_.lanes;
      arithmetic += blocks * pieces * piece * std::log2(piece);
    }
  }

  // Rows of a tile that fall into one set of the first cache throw each other out when there are more than its ways.
  bool share_a_set(int slot, int d) const {
    const Access& access = stage_.accesses[slot];
    if (candidate_.pack_of(slot) || facts_.is_dynamic(access)) return false;
    int64_t bytes = facts_.stride(access, d) * info(kernel_.buffers[access.buffer].dtype).bits / 8;
    return bytes != 0 && bytes % (target_.l1_bytes / l1_ways) == 0;
  }

  // Elements of a tile that stand in lines of their own, where the reduction leaves each line after a few steps: no
  // prefetcher follows so many streams.
  double scattered_cycles(int slot) const {
    const Access& access = stage_.accesses[slot];
    const KernelBuffer& buffer = kernel_.buffers[access.buffer];
    const Pack* pack = candidate_.pack_of(slot);
    if (!stage_.has_reduction() || facts_.is_dynamic(access) || (pack && !pack->layout.order.empty())) return 0;
    if (candidate_.vector_dim >= 0 && facts_.depends(access, candidate_.vector_dim)) return 0;
    int64_t size = info(buffer.dtype).bits / 8, run = 1;
    if (element_count(buffer.sizes) * size < target_.l1_bytes / 2) return 0;
    double lines = 1;
    for (size_t i = 0; i < steps_.size(); ++i)
      if (std::abs(facts_.stride(access, candidate_.tile[i].first)) * size >= line_bytes)
        lines *= static_cast<double>(steps_[i]);
    for (int d = stage_.rank() - 1; d >= 0 && run < 8; --d) {
      if (!stage_.reduced[d]) continue;
      int64_t bytes = std::abs(facts_.stride(access, d)) * size;
      run *= bytes == 0 ? stage_.extents[d] : std::clamp<int64_t>(line_bytes / bytes, 1, stage_.extents[d]);
      if (bytes != 0) break;
    }
    return lines == 1 || run >= 8 ? 0 : 3 * lines / static_cast<double>(run);
  }

  double access_cycles(int slot, double vectors, bool stored) const {
    const Access& access = stage_.accesses[slot];
    const Pack* pack = candidate_.pack_of(slot);
    double guard = facts_.can_fail(candidate_, slot) && !pack ? 3 : 0;
    double unit = stored ? 1 : 0.5;
    if (facts_.is_dynamic(access)) return vectors * (4 + 1.5 * candidate_.lanes);
    if (candidate_.vector_dim < 0) return unit + guard;
    int64_t apart = pack && !pack->layout.order.empty() ? 1 : facts_.stride(access, candidate_.vector_dim);
    if (!facts_.depends(access, candidate_.vector_dim)) return unit + guard;
    if (apart == 1) return vectors * (unit * (stored ? 1 : line_crossing(access, pack)) + guard);
    // Lanes that stand a little apart are whole vectors and shuffles; stores, if they fill each other's gaps.
    if (std::abs(apart) <= 4 && apart > 1 && candidate_.lanes >= 4 && guard == 0 &&
        (!stored || fills_gaps(stage_.stores, access, apart)))
      return vectors * (stored ? unit + static_cast<double>(apart - 1) : static_cast<double>(apart));
    // Lanes that stand apart: one element at a time; each in a cache line, or a page, of its own where they are far
    // apart.
    int64_t bytes = std::abs(apart) * info(kernel_.buffers[access.buffer].dtype).bits / 8;
    double lane = bytes < 64 ? 1 : bytes < 4096 ? 2 : 6;
    return vectors * (lane * candidate_.lanes + guard);
  }

  // A vector as long as a cache line that begins anywhere lies in two lines, and is loaded twice.
  double line_crossing(const Access& access, const Pack* pack) const {
    int64_t bits = info(kernel_.buffers[access.buffer].dtype).bits;
    if (candidate_.lanes * bits < 512 || (pack && !pack->layout.order.empty())) return 1;
    for (int d = 0; d < stage_.rank(); ++d) {
      int64_t apart = d == candidate_.vector_dim || stage_.extents[d] < 2 ? 0 : std::abs(facts_.stride(access, d));
      if (apart % candidate_.lanes != 0 && (!pack || apart < candidate_.lanes)) return 1.7;
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

  const StageFacts& facts_;
  const StructuredKernel& kernel_;
  const Stage& stage_;
  const CpuTarget& target_;
  const StageCandidate& candidate_;
  const bool vector_reduced_;
  double reduction_steps_ = 1;
  std::vector<std::vector<Piece>> pieces_;  // of each tiled dimension
  std::vector<Piece> along_{{1, 1}};        // the vector dimension, in vectors
  std::vector<int64_t> steps_;              // of the tile that is being priced
  double cycles_ = 0;
};

}  // namespace

double price(const StageFacts& facts, const StageCandidate& candidate) {
  if (!facts.fits_blocks(candidate)) return std::numeric_limits<double>::infinity();
  return StagePrice(facts, candidate).cycles();
}

}  // namespace placewright
