// How threads share out a kernel's stages. Decides by shapes and accesses alone; knows no ops and no device.
#include <algorithm>
#include <bit>
#include <optional>

#include "grid_facts.h"
#include "matrix_tiles.h"
#include "placewright/base/checked.h"
#include "placewright/codegen/cuda/cuda_code.h"
#include "placewright/ir/plan_memory.h"
#include "product_tiles.h"

namespace placewright {
namespace {

class GridStrategy {
 public:
  explicit GridStrategy(const StructuredKernel& kernel) : kernel_(kernel) {}

  Schedule choose() {
    size_t stages = kernel_.stages.size();
    for (size_t first = 0; first < stages;) {
      size_t count = stages - first;
      while (count > 1 && shared_dims(first, count) == 0) --count;
      if (count > 1)
        add_rows(first, count);
      else
        add_alone(first);
      first += count;
    }
    return std::move(schedule_);
  }

 private:
  const Stage& stage(size_t number) const { return kernel_.stages[number]; }

  // --- One stage

  void add_alone(size_t number) {
    const Stage& stage = this->stage(number);
    if (add_matrix(stage)) return;
    if (add_tiles(stage)) return;
    if (!stage.has_reduction() && !has_sequential(stage) && add_transposed(stage)) return;
    if (stage.has_reduction() && add_columns(stage)) return;
    GridFacts facts(kernel_, stage);
    std::vector<int> parallel = facts.dims(false), reduced = facts.dims(true);
    StageSchedule how;
    StageGroup group;
    const bool lanes_read_runs = !reduced.empty() && facts.runs(reduced.back()) > 0;
    if (!reduced.empty() && !has_sequential(stage) && decides_order(stage) &&
        (lanes_read_runs || facts.points(parallel) < 4096))
      group.lanes = facts.lanes_of_rows();
    if (!parallel.empty()) move_last(parallel, facts.fastest(parallel));
    for (int d : parallel) how.loops.push_back({d, 1, Loop::Binding::thread});
    if (!stage.has_reduction() && !parallel.empty() && !has_sequential(stage)) take_vector(facts, parallel.back(), how);
    add_serial(stage, how);
    if (has_sequential(stage) && can_share(stage)) how.shares = shares_of(stage, facts.points(parallel));
    add_reduced(facts, stage, reduced, group.lanes, how);
    schedule_.stages.push_back(std::move(how));
    schedule_.groups.push_back(group);
    schedule_.phases.push_back({});
  }

  static void move_last(std::vector<int>& dims, int dim) {
    std::erase(dims, dim);
    dims.push_back(dim);
  }

  // Whether the schedule may say in which order the reduction joins.
  static bool decides_order(const Stage& stage) { return stage.reduction.split.partials == 0; }

  static void take_vector(const GridFacts& facts, int dim, StageSchedule& how) {
    int64_t count = facts.vector(dim);
    if (count < 2) return;
    how.vector_dim = dim;
    for (Loop& loop : how.loops)
      if (loop.dim == dim) loop.step = count;
  }

  static void add_serial(const Stage& stage, StageSchedule& how) {
    for (int d = 0; d < stage.rank(); ++d)
      if (is_sequential(stage, d)) how.loops.push_back({d, 1, Loop::Binding::serial});
  }

  // As many as fill the device; each of them reads all indices, which is worth some additions.
  static int64_t shares_of(const Stage& stage, int64_t threads) {
    constexpr int64_t least_points = 16, most_shares = 256;
    int64_t points = 1;
    for (int d = 0; d < stage.rank(); ++d)
      if (is_sequential(stage, d)) points = checked_mul(points, stage.extents[d]);
    const int64_t wanted = std::min(enough_threads / std::max<int64_t>(threads, 1), points / least_points);
    return static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::clamp<int64_t>(wanted, 1, most_shares))));
  }

  // Lanes take elements in turn, vectors where memory runs that way; what only is associative they take in pieces.
  static void add_reduced(const GridFacts& facts, const Stage& stage, const std::vector<int>& reduced, int lanes,
                          StageSchedule& how) {
    bool in_pieces = stage.reduction.kind == Reduction::Kind::custom;
    for (int d : reduced) {
      Loop loop{d, 1, lanes > 1 ? Loop::Binding::lane : Loop::Binding::serial};
      if (in_pieces && lanes > 1) {
        if (d == reduced.front())
          loop.step = std::max<int64_t>(ceil_div(stage.extents[d], lanes), 1);
        else
          loop.binding = Loop::Binding::serial;
      }
      how.loops.push_back(loop);
    }
    if (lanes == 1 || in_pieces || reduced.empty()) return;
    take_vector(facts, reduced.back(), how);
    if (how.vector_dim >= 0) how.partial_accumulators = static_cast<int>(how.loops.back().step);
  }

  // Tiles of results by matrix units, where the kernel lets them round.
  bool add_matrix(const Stage& stage) {
    StageSchedule how;
    how.matrix = choose_matrix_tiles(stage);
    if (!how.matrix) return false;
    const std::vector<int>&rows = how.matrix->rows.dims, &columns = how.matrix->columns.dims;
    for (int d : GridFacts(kernel_, stage).dims(false))
      if (std::find(rows.begin(), rows.end(), d) == rows.end() &&
          std::find(columns.begin(), columns.end(), d) == columns.end())
        how.loops.push_back({d, 1, Loop::Binding::thread});
    schedule_.groups.push_back({1, {}, count_lanes(*how.matrix)});
    schedule_.stages.push_back(std::move(how));
    schedule_.phases.push_back({});
    return true;
  }

  // Tiles of results, with their factors in shared memory.
  bool add_tiles(const Stage& stage) {
    const std::optional<ProductTiles> tiles = choose_product_tiles(stage);
    if (!tiles) return false;
    constexpr int64_t side = ProductTiles::side;
    GridFacts facts(kernel_, stage);
    StageSchedule how;
    for (int d : facts.dims(false))
      if (d != tiles->left && d != tiles->right) how.loops.push_back({d, 1, Loop::Binding::thread});
    for (int d : {tiles->left, tiles->right}) how.loops.push_back({d, side * tiles->step, Loop::Binding::thread});
    for (int d : {tiles->left, tiles->right}) how.loops.push_back({d, tiles->step, Loop::Binding::lane});
    for (int d : facts.dims(true))
      if (d != tiles->depth) how.loops.push_back({d, 1, Loop::Binding::serial});
    how.loops.push_back({tiles->depth, side, Loop::Binding::serial});
    schedule_.stages.push_back(std::move(how));
    schedule_.groups.push_back({1, {}, group_lanes});
    schedule_.phases.push_back({});
    return true;
  }

  // Tiles that are read along one dimension and written along another, through shared memory: 32 x 8 lanes of four
  // points each. Not for what a tile would mostly overhang, nor for more tiles than shared memory holds.
  bool add_transposed(const Stage& stage) {
    constexpr int64_t side = 32, most_tiles = 4;
    GridFacts facts(kernel_, stage);
    std::vector<int> parallel = facts.dims(false);
    if (parallel.size() < 2) return false;
    const int along = facts.fastest(parallel);
    if (!facts.writes_runs(along) || stage.extents[along] < side) return false;
    int across = -1;
    int64_t most = 0;
    for (int d : parallel) {
      const int64_t count = facts.transposed_loads(d, along);
      if (d != along && stage.extents[d] >= side && count > most) across = d, most = count;
    }
    if (across < 0 || most > most_tiles) return false;
    StageSchedule how;
    for (int d : parallel)
      if (d != across && d != along) how.loops.push_back({d, 1, Loop::Binding::thread});
    for (int d : {across, along}) how.loops.push_back({d, side, Loop::Binding::thread});
    how.loops.push_back({across, side * side / group_lanes, Loop::Binding::lane});
    how.loops.push_back({along, 1, Loop::Binding::lane});
    schedule_.stages.push_back(std::move(how));
    schedule_.groups.push_back({1, {}, group_lanes});
    schedule_.phases.push_back({});
    return true;
  }

  // Reductions along columns of memory.
  bool add_columns(const Stage& stage) {
    const std::optional<ColumnTiles> tiles = choose_column_tiles(kernel_, stage);
    if (!tiles) return false;
    GridFacts facts(kernel_, stage);
    StageSchedule how;
    for (int d : facts.dims(false))
      if (d != tiles->column) how.loops.push_back({d, 1, Loop::Binding::thread});
    how.loops.push_back({tiles->column, tiles->width, Loop::Binding::thread});
    how.loops.push_back({tiles->column, 1, Loop::Binding::lane});
    how.loops.push_back({tiles->piece, ceil_div(stage.extents[tiles->piece], tiles->rows()), Loop::Binding::lane});
    for (int d : facts.dims(true))
      if (d != tiles->piece) how.loops.push_back({d, 1, Loop::Binding::serial});
    schedule_.stages.push_back(std::move(how));
    schedule_.groups.push_back({1, {}, group_lanes});
    schedule_.phases.push_back({});
    return true;
  }

  // --- Rows: reductions over all but the leading dimensions, and what is computed of their results, in one launch

  // How many leading dimensions `count` stages from `first` share as rows; 0: they are no rows.
  int shared_dims(size_t first, size_t count) const {
    int shared = -1;
    for (size_t s = first; s < first + count; ++s) {
      if (!stage(s).has_reduction()) continue;
      int leading = 0;
      while (leading < stage(s).rank() && !stage(s).reduced[leading]) ++leading;
      for (int d = leading; d < stage(s).rank(); ++d)
        if (!stage(s).reduced[d]) return 0;
      if (shared >= 0 && leading != shared) return 0;
      shared = leading;
    }
    if (shared <= 0) return 0;
    for (size_t s = first; s < first + count; ++s) {
      if (stage(s).rank() < shared || has_sequential(stage(s))) return 0;
      if (stage(s).has_reduction() && !decides_order(stage(s))) return 0;
      if (!std::equal(stage(s).extents.begin(), stage(s).extents.begin() + shared, stage(first).extents.begin()))
        return 0;
    }
    for (int d = 0; d < shared; ++d)
      for (size_t a = first; a < first + count; ++a)
        for (size_t b = a + 1; b < first + count; ++b)
          if (!keeps_to_rows(stage(a), stage(b), d)) return 0;
    return shared_work(first, count, shared) ? shared : 0;
  }

  // Whether rows are many enough, or short enough, that a group for each of them is no loss.
  bool shared_work(size_t first, size_t count, int shared) const {
    constexpr int64_t enough_rows = 64, long_row = 16384;
    int64_t rows = 1, longest = 0;
    for (int d = 0; d < shared; ++d) rows = checked_mul(rows, stage(first).extents[d]);
    for (size_t s = first; s < first + count; ++s) longest = std::max(longest, element_count(stage(s).extents));
    return rows >= enough_rows || longest < checked_mul(rows, long_row);
  }

  int root(int buffer) const {
    while (kernel_.buffers[buffer].alias_of >= 0) buffer = kernel_.buffers[buffer].alias_of;
    return buffer;
  }

  // The same memory, or two buffers that a program may put into one.
  bool may_meet(int a, int b) const {
    if (a == b) return true;
    using Role = KernelBuffer::Role;
    if (kernel_.buffers[a].role == Role::output) std::swap(a, b);
    return kernel_.buffers[a].role == Role::input && kernel_.buffers[b].role == Role::output &&
           may_run_in_place(kernel_, a, b);
  }

  bool keeps_to_rows(const Stage& a, const Stage& b, int dim) const {
    auto stores = [](const Stage& stage, size_t slot) {
      for (const std::vector<Store>* made : {&stage.stores, &stage.epilogue_stores})
        for (const Store& store : *made)
          if (store.access == static_cast<int>(slot)) return true;
      return false;
    };
    for (size_t x = 0; x < a.accesses.size(); ++x)
      for (size_t y = 0; y < b.accesses.size(); ++y) {
        if (!stores(a, x) && !stores(b, y)) continue;
        if (may_meet(root(a.accesses[x].buffer), root(b.accesses[y].buffer)) &&
            !meet_at_one_index(kernel_, a, a.accesses[x], b, b.accesses[y], dim))
          return false;
      }
    return true;
  }

  void add_rows(size_t first, size_t count) {
    int shared = shared_dims(first, count);
    StageGroup group{static_cast<int>(count), {}, 1};
    for (int d = 0; d < shared; ++d) group.shared.push_back({d, 1, Loop::Binding::thread});
    for (size_t s = first; s < first + count; ++s) {
      if (stage(s).has_reduction()) group.lanes = std::max(group.lanes, GridFacts(kernel_, stage(s)).lanes_of_rows());
    }
    if (!hold(first, group) && group.lanes > 1 && group.lanes < group_lanes) {
      group.lanes = group_lanes;  // then a group of threads has one row instead of several
      hold(first, group);
    }
    for (size_t s = first; s < first + count; ++s) {
      GridFacts facts(kernel_, stage(s));
      StageSchedule how;
      std::vector<int> parallel = facts.dims(false);
      parallel.erase(parallel.begin(), parallel.begin() + shared);
      for (int d : parallel) how.loops.push_back({d, 1, Loop::Binding::lane});
      if (!stage(s).has_reduction() && !parallel.empty()) take_vector(facts, parallel.back(), how);
      add_reduced(facts, stage(s), facts.dims(true), group.lanes, how);
      schedule_.stages.push_back(std::move(how));
    }
    schedule_.groups.push_back(std::move(group));
    schedule_.phases.push_back({});
  }

  // What the stages hand on to one another stays in shared memory, as far as that reaches: what a row has least of
  // first. Whether it reached for all.
  bool hold(size_t first, StageGroup& group) const {
    // Of 48 KiB, which need not be asked for; the rest is for lanes to join what they reduced.
    constexpr int64_t most_bytes = 44 << 10, alignment = 16;
    const int64_t rows = std::max(threads_a_group / group.lanes, 1);
    std::vector<std::pair<int64_t, int>> local;  // bytes, buffer
    for (int b = 0; b < static_cast<int>(kernel_.buffers.size()); ++b) {
      if (!may_hold(kernel_, first, group, b)) continue;
      const KernelBuffer& held = kernel_.buffers[b];
      const int64_t elements = checked_mul(rows, held_elements(held, group.shared.size()));
      local.emplace_back(round_up(byte_size(held.dtype, elements), alignment), b);
    }
    std::sort(local.begin(), local.end());
    group.held.clear();
    int64_t left = most_bytes;
    for (const auto& [bytes, buffer] : local)
      if (bytes <= left) left -= bytes, group.held.push_back(buffer);
    return group.held.size() == local.size();
  }

  const StructuredKernel& kernel_;
  Schedule schedule_;
};

}  // namespace

Schedule choose_grid_schedule(const StructuredKernel& kernel) { return GridStrategy(kernel).choose(); }

}  // namespace placewright
