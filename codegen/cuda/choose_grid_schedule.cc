// How threads share out a kernel's stages. Decides by shapes and accesses alone; knows no ops and no device.
#include <algorithm>
#include <bit>
#include <optional>

#include "matrix_tiles.h"
#include "placewright/base/checked.h"
#include "placewright/codegen/cuda/cuda_code.h"
#include "placewright/ir/plan_memory.h"
#include "product_tiles.h"

namespace placewright {
namespace {

constexpr int64_t access_bytes = 16;  // the widest that a thread makes
constexpr int64_t most_written_out =
    320;                               // nodes of a body, by the elements of its vectors: what NVRTC's time grows with
constexpr int64_t row_for_lanes = 16;  // shorter reductions are one thread's
constexpr int64_t row_for_group = 1024;  // longer ones are a whole group's
constexpr int group_lanes = 256;
constexpr int64_t enough_threads = 65536;  // to fill a device without lanes

bool is_sequential(const Stage& stage, int dim) { return !stage.sequential.empty() && stage.sequential[dim]; }
bool has_sequential(const Stage& stage) {
  return std::find(stage.sequential.begin(), stage.sequential.end(), true) != stage.sequential.end();
}

class StageFacts {
 public:
  StageFacts(const StructuredKernel& kernel, const Stage& stage) : kernel_(kernel), stage_(stage) {}

  std::vector<int> dims(bool reduced) const {
    std::vector<int> found;
    for (int d = 0; d < stage_.rank(); ++d)
      if (stage_.reduced[d] == reduced && !is_sequential(stage_, d)) found.push_back(d);
    return found;
  }

  int64_t points(const std::vector<int>& dims) const {
    int64_t count = 1;
    for (int d : dims) count = checked_mul(count, stage_.extents[d]);
    return count;
  }

  // Elements of memory that one step along `dim` moves an access by; 0 where it is not affine.
  int64_t stride(const Access& access, int dim) const {
    const KernelBuffer& buffer = kernel_.buffers[access.buffer];
    if (!buffer.layout.blocks.empty()) return 0;
    Sizes physical = row_major_strides(physical_sizes(buffer.layout, buffer.sizes));
    int64_t along = 0;
    for (size_t i = 0; i < access.index.size(); ++i) {
      const std::vector<int>& order = buffer.layout.order;
      size_t at = order.empty()
                      ? i
                      : static_cast<size_t>(std::find(order.begin(), order.end(), static_cast<int>(i)) - order.begin());
      if (access.index[i].divisor == 1) along += access.index[i].coefficients[dim] * physical[at];
    }
    return along;
  }

  // How many accesses move through memory element by element along the dimension.
  int runs(int dim) const {
    return static_cast<int>(std::count_if(stage_.accesses.begin(), stage_.accesses.end(), [&](const Access& access) {
      return access.indirect.empty() && std::abs(stride(access, dim)) == 1;
    }));
  }

  // Whether every store moves through memory element by element along the dimension, and none adds.
  bool writes_runs(int dim) const {
    return std::all_of(stage_.stores.begin(), stage_.stores.end(), [&](const Store& store) {
      return !store.add && stage_.accesses[store.access].indirect.empty() &&
             stride(stage_.accesses[store.access], dim) == 1;
    });
  }

  // How many loads move element by element along `across`, and in larger steps along `along`.
  int64_t transposed_loads(int across, int along) const {
    return std::count_if(stage_.body.begin(), stage_.body.end(), [&](const ScalarNode& node) {
      if (node.op != ScalarOp::load) return false;
      const Access& access = stage_.accesses[node.slot];
      const bool is_affine = access.indirect.empty() && std::all_of(access.index.begin(), access.index.end(),
                                                                    [](const AffineExpr& e) { return e.divisor == 1; });
      return is_affine && stride(access, across) == 1 && std::abs(stride(access, along)) > 1;
    });
  }

  // Elements that a thread takes at once along the dimension: a power of two that divides it, so that no access is cut.
  int64_t vector(int dim) const {
    int64_t widest = 4;
    for (const Access& access : stage_.accesses)
      widest = std::max<int64_t>(widest, info(kernel_.buffers[access.buffer].dtype).bits / 8);
    auto nodes = static_cast<int64_t>(stage_.body.size() + stage_.epilogue.size());
    int64_t count = access_bytes / widest;
    while (count > 1 && (stage_.extents[dim] % count != 0 || nodes * count > most_written_out)) count /= 2;
    return runs(dim) == 0 ? 1 : std::max<int64_t>(count, 1);
  }

  // The dimension along which most stores write element by element; else the last of them.
  int fastest(const std::vector<int>& dims) const {
    int best = dims.back(), most = 0;
    for (int d : dims) {
      int count = 0;
      for (const std::vector<Store>* stores : {&stage_.stores, &stage_.epilogue_stores})
        for (const Store& store : *stores) count += stride(stage_.accesses[store.access], d) == 1;
      if (count > most || (count == most && count > 0 && d > best)) best = d, most = count;
    }
    return best;
  }

 private:
  const StructuredKernel& kernel_;
  const Stage& stage_;
};

// How long the rows of a reduction are decides who joins them.
int lanes_for(int64_t reduced, int64_t results) {
  if (reduced < row_for_lanes || results >= enough_threads) return 1;
  return reduced < row_for_group
             ? static_cast<int>(std::min<int64_t>(32, std::bit_floor(static_cast<uint64_t>(reduced))))
             : group_lanes;
}

class GridStrategy {
 public:
  explicit GridStrategy(const StructuredKernel& kernel) : kernel_(kernel) {}

  Schedule choose() {
    size_t stages = kernel_.stages.size();
    for (size_t first = 0; first < stages;) {
      size_t count = 1;
      while (first + count < stages && shared_dims(first, count + 1) > 0) ++count;
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
    StageFacts facts(kernel_, stage);
    std::vector<int> parallel = facts.dims(false), reduced = facts.dims(true);
    StageSchedule how;
    StageGroup group;
    bool lanes_read_runs = !reduced.empty() && facts.runs(reduced.back()) > 0;
    if (!reduced.empty() && !has_sequential(stage) && decides_order(stage) &&
        (lanes_read_runs || facts.points(parallel) < 4096))
      group.lanes = lanes_for(facts.points(reduced), facts.points(parallel));
    if (!parallel.empty()) move_last(parallel, facts.fastest(parallel));
    for (int d : parallel) how.loops.push_back({d, 1, Loop::Binding::thread});
    if (!stage.has_reduction() && !parallel.empty() && !has_sequential(stage)) take_vector(facts, parallel.back(), how);
    add_serial(stage, how);
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

  static void take_vector(const StageFacts& facts, int dim, StageSchedule& how) {
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

  // Lanes take elements in turn, vectors where memory runs that way; what only is associative they take in pieces.
  static void add_reduced(const StageFacts& facts, const Stage& stage, const std::vector<int>& reduced, int lanes,
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
    for (int d : StageFacts(kernel_, stage).dims(false))
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
    StageFacts facts(kernel_, stage);
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
    StageFacts facts(kernel_, stage);
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
    return shared;
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
      StageFacts facts(kernel_, stage(s));
      if (stage(s).has_reduction())
        group.lanes = std::max(group.lanes, lanes_for(facts.points(facts.dims(true)), facts.points(facts.dims(false))));
    }
    for (size_t s = first; s < first + count; ++s) {
      StageFacts facts(kernel_, stage(s));
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

  const StructuredKernel& kernel_;
  Schedule schedule_;
};

}  // namespace

Schedule choose_grid_schedule(const StructuredKernel& kernel) { return GridStrategy(kernel).choose(); }

}  // namespace placewright
