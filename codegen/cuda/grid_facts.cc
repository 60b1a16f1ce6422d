#include "grid_facts.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "placewright/base/checked.h"
#include "placewright/ir/plan_memory.h"

namespace placewright {
namespace {

constexpr int64_t access_bytes = 16;  // the widest that a thread makes
constexpr int64_t most_written_out =
    320;                               // nodes of a body, by the elements of its vectors: what NVRTC's time grows with
constexpr int64_t row_for_lanes = 16;  // shorter reductions are one thread's
constexpr int64_t row_for_group = 1024;  // longer ones are a whole group's
constexpr int64_t warp_lanes = 32;

bool moves_with(const Access& access, int dim) {
  return std::any_of(access.index.begin(), access.index.end(),
                     [&](const AffineExpr& expr) { return expr.coefficients[dim] != 0; });
}

}  // namespace

int64_t held_elements(const KernelBuffer& buffer, size_t shared) {
  int64_t count = 1;
  for (size_t d = shared; d < buffer.sizes.size(); ++d) count = checked_mul(count, buffer.sizes[d]);
  return count;
}

bool is_sequential(const Stage& stage, int dim) { return !stage.sequential.empty() && stage.sequential[dim]; }
bool has_sequential(const Stage& stage) {
  return std::find(stage.sequential.begin(), stage.sequential.end(), true) != stage.sequential.end();
}

std::vector<int> GridFacts::dims(bool reduced) const {
  std::vector<int> found;
  for (int d = 0; d < stage_.rank(); ++d)
    if (stage_.reduced[d] == reduced && !is_sequential(stage_, d)) found.push_back(d);
  return found;
}

int64_t GridFacts::points(const std::vector<int>& dims) const {
  int64_t count = 1;
  for (int d : dims) count = checked_mul(count, stage_.extents[d]);
  return count;
}

int64_t GridFacts::stride(const Access& access, int dim) const {
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

int GridFacts::runs(int dim) const {
  return static_cast<int>(std::count_if(stage_.accesses.begin(), stage_.accesses.end(), [&](const Access& access) {
    return access.indirect.empty() && std::abs(stride(access, dim)) == 1;
  }));
}

bool GridFacts::writes_runs(int dim) const {
  return std::all_of(stage_.stores.begin(), stage_.stores.end(), [&](const Store& store) {
    return !store.add && stage_.accesses[store.access].indirect.empty() &&
           stride(stage_.accesses[store.access], dim) == 1;
  });
}

int64_t GridFacts::transposed_loads(int across, int along) const {
  return std::count_if(stage_.body.begin(), stage_.body.end(), [&](const ScalarNode& node) {
    if (node.op != ScalarOp::load) return false;
    const Access& access = stage_.accesses[node.slot];
    const bool is_affine = access.indirect.empty() && std::all_of(access.index.begin(), access.index.end(),
                                                                  [](const AffineExpr& e) { return e.divisor == 1; });
    return is_affine && stride(access, across) == 1 && std::abs(stride(access, along)) > 1;
  });
}

int64_t GridFacts::vector(int dim) const {
  int64_t widest = 4;
  for (const Access& access : stage_.accesses)
    widest = std::max<int64_t>(widest, info(kernel_.buffers[access.buffer].dtype).bits / 8);
  auto nodes = static_cast<int64_t>(stage_.body.size() + stage_.epilogue.size());
  int64_t count = access_bytes / widest;
  while (count > 1 && (stage_.extents[dim] % count != 0 || nodes * count > most_written_out)) count /= 2;
  return runs(dim) == 0 ? 1 : std::max<int64_t>(count, 1);
}

int GridFacts::fastest(const std::vector<int>& dims) const {
  int best = dims.back(), most = 0;
  for (int d : dims) {
    int count = 0;
    for (const std::vector<Store>* stores : {&stage_.stores, &stage_.epilogue_stores})
      for (const Store& store : *stores) count += stride(stage_.accesses[store.access], d) == 1;
    if (count > most || (count == most && count > 0 && d > best)) best = d, most = count;
  }
  return best;
}

// Each lane takes a vector at least, so that none waits for the others' numbers. Rows that memory does not run along
// are a thread's where threads are enough: neighbours would read far apart.
int GridFacts::lanes_of_rows() const {
  const std::vector<int> along = dims(true);
  const int64_t reduced = points(along);
  if (reduced < row_for_lanes) return 1;
  if (runs(along.back()) == 0 && points(dims(false)) >= enough_threads) return 1;
  if (reduced >= row_for_group) return group_lanes;
  const bool in_pieces = stage_.reduction.kind == Reduction::Kind::custom;
  const int64_t turns = reduced / (in_pieces ? 1 : vector(along.back()));
  return static_cast<int>(std::min<int64_t>(warp_lanes, std::bit_floor(static_cast<uint64_t>(turns))));
}

std::optional<ColumnTiles> choose_column_tiles(const StructuredKernel& kernel, const Stage& stage) {
  constexpr int64_t least_width = 4;
  const GridFacts facts(kernel, stage);
  const std::vector<int> parallel = facts.dims(false), reduced = facts.dims(true);
  if (parallel.empty() || reduced.empty() || has_sequential(stage) || stage.reduction.split.partials != 0) return {};
  const int64_t results = facts.points(parallel);
  if (facts.points(reduced) < row_for_lanes || results == 0 || results >= 4 * enough_threads) return {};
  auto longer = [&](int a, int b) { return stage.extents[a] < stage.extents[b]; };
  // What every point reads an element of its own of decides; what there is one of for a row or a column only then.
  auto runs = [&](int dim) {
    const auto of_points = std::count_if(stage.accesses.begin(), stage.accesses.end(), [&](const Access& access) {
      auto moves = [&](int d) { return moves_with(access, d); };
      return facts.stride(access, dim) == 1 && std::any_of(parallel.begin(), parallel.end(), moves) &&
             std::any_of(reduced.begin(), reduced.end(), moves);
    });
    return std::pair(static_cast<int>(of_points), facts.runs(dim));
  };
  auto more_runs = [&](int a, int b) { return runs(a) < runs(b); };
  ColumnTiles tiles;
  tiles.column = *std::max_element(parallel.begin(), parallel.end(), more_runs);
  if (runs(tiles.column) <= runs(*std::max_element(reduced.begin(), reduced.end(), more_runs))) return {};
  const int64_t columns = stage.extents[tiles.column];
  if (columns < least_width) return {};
  const bool keeps_order = stage.reduction.kind == Reduction::Kind::custom;
  tiles.piece = keeps_order ? reduced.front() : *std::max_element(reduced.begin(), reduced.end(), longer);
  tiles.width = std::min<int64_t>(warp_lanes, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(columns))));
  tiles.count = results / columns * ceil_div(columns, tiles.width);
  return tiles;
}

}  // namespace placewright
