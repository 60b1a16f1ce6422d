// Reductions whose results are too few to give every multiprocessor work, and whose depth is long: groups reduce pieces
// of the depth side by side, and a stage behind them joins the pieces, in their order.
#include <algorithm>
#include <optional>

#include "at_results.h"
#include "grid_facts.h"
#include "matrix_tiles.h"
#include "placewright/base/checked.h"
#include "placewright/codegen/cuda/cuda_code.h"
#include "product_tiles.h"
#include "prune_kernel.h"

namespace placewright {
namespace {

constexpr int64_t enough_groups = 256;    // two for each multiprocessor
constexpr int64_t enough_reducing = 512;  // of groups that wait for memory most of their time
constexpr int64_t few_pieces = 4;         // less is not worth a launch where a group reads what it can
constexpr int64_t least_depth = 512;      // of a piece: what a second launch is worth
constexpr int64_t least_stepped = 128;    // of a piece that steps do not divide
constexpr int64_t least_turns = 16;       // of a lane that takes one number after the other
constexpr int64_t vector_step = 4;

struct Cut {
  int dim = -1;
  int64_t pieces = 1;
};

// How many groups the stage would run as, how much of the depth is worth a piece, and, where its tiles step along one
// dimension, which one that is.
struct Tiled {
  int64_t groups = 0, enough = enough_groups, least = least_depth;
  int64_t fewest = 2;  // pieces
  int depth = -1;
};

std::optional<Tiled> tiles_of(const StructuredKernel& kernel, const Stage& stage) {
  const Reduction& reduction = stage.reduction;
  if (reduction.kind == Reduction::Kind::none || reduction.kind == Reduction::Kind::custom) return {};
  if (has_sequential(stage) || reduction.split.partials != 0) return {};
  if (is_sum_of_products(stage)) {
    if (std::optional<MatrixTiles> tiles = choose_matrix_tiles(stage))
      return Tiled{.groups = count_groups(stage, *tiles)};
    if (std::optional<ProductTiles> tiles = choose_product_tiles(stage))
      return Tiled{.groups = tiles->count, .depth = tiles->depth};
  }
  if (std::optional<ColumnTiles> tiles = choose_column_tiles(kernel, stage))
    return Tiled{tiles->count, enough_reducing, least_turns * tiles->rows(), few_pieces};
  const GridFacts facts(kernel, stage);
  if (facts.lanes_of_rows() < group_lanes) return {};
  return Tiled{facts.points(facts.dims(false)), enough_reducing, least_turns * group_lanes, few_pieces};
}

// The most pieces of equal length that groups are missing for, along the outermost dimension that gives as many. A
// piece of the innermost one keeps its vectors.
std::optional<Cut> find_cut(const StructuredKernel& kernel, const Stage& stage) {
  const std::optional<Tiled> tiled = tiles_of(kernel, stage);
  if (!tiled || tiled->groups == 0) return {};
  int64_t depth = 1;
  for (int d = 0; d < stage.rank(); ++d)
    if (stage.reduced[d]) depth = checked_mul(depth, stage.extents[d]);
  const int64_t wanted = std::min(tiled->enough / tiled->groups, depth / tiled->least);
  Cut cut;
  for (int d = 0; d < stage.rank(); ++d) {
    const int64_t extent = stage.extents[d];
    const bool is_asked_for = std::any_of(stage.body.begin(), stage.body.end(), [&](const ScalarNode& node) {
      return node.op == ScalarOp::index && node.slot == d;
    });
    if (!stage.reduced[d] || is_asked_for) continue;
    auto keeps_steps = [&](int64_t length) {
      if (d == tiled->depth) return length % ProductTiles::side == 0 || length >= least_stepped;
      return extent % vector_step != 0 || length % vector_step == 0;
    };
    for (int64_t pieces = std::min(wanted, extent); pieces > cut.pieces; --pieces)
      if (extent % pieces == 0 && keeps_steps(extent / pieces)) cut = {d, pieces};
  }
  if (cut.pieces < tiled->fewest) return {};
  return cut;
}

class Splitter {
 public:
  Splitter(StructuredKernel& kernel, const Stage& stage, const Cut& cut)
      : stage_(stage), cut_(cut), results_(result_dims(stage)) {
    KernelBuffer partial;
    partial.name = "pieces " + std::to_string(kernel.buffers.size());
    partial.dtype = stage.reduction.dtypes[0];
    partial.sizes = {cut.pieces};
    for (int d : results_) partial.sizes.push_back(stage.extents[d]);
    partial.role = KernelBuffer::Role::local;
    buffer_ = static_cast<int>(kernel.buffers.size());
    kernel.buffers.push_back(std::move(partial));
  }

  // The stage with one more dimension in front, the piece, whose sums go to the workspace.
  Stage sum() const {
    Stage made = stage_;
    const int64_t length = stage_.extents[cut_.dim] / cut_.pieces;
    made.extents[cut_.dim] = length;
    made.extents.insert(made.extents.begin(), cut_.pieces);
    made.reduced.insert(made.reduced.begin(), false);
    if (!made.sequential.empty()) made.sequential.insert(made.sequential.begin(), false);
    for (Access& access : made.accesses)
      for (AffineExpr& expr : access.index)
        expr.coefficients.insert(expr.coefficients.begin(), expr.coefficients[cut_.dim] * length);
    for (ScalarNode& node : made.body)
      if (node.op == ScalarOp::index) ++node.slot;
    Access to = pieces();
    to.index = {AffineExpr::dim(0, made.rank())};
    for (int d : results_) to.index.push_back(AffineExpr::dim(d + 1, made.rank()));
    made.epilogue = {node_of(ScalarOp::reduced, stage_.reduction.dtypes[0], 0)};
    made.epilogue_stores = {{static_cast<int>(made.accesses.size()), 0}};
    made.accesses.push_back(std::move(to));
    return made;
  }

  // Adds up the pieces of each result; what was done with the sum is done with it here.
  Stage join() const {
    Stage made = at_results(stage_, {cut_.pieces});
    made.reduced.back() = true;
    Access from = pieces();
    const int piece = made.rank() - 1;
    from.index = {AffineExpr::dim(piece, made.rank())};
    for (int r = 0; r < piece; ++r) from.index.push_back(AffineExpr::dim(r, made.rank()));
    made.body = {node_of(ScalarOp::load, stage_.reduction.dtypes[0], static_cast<int>(made.accesses.size()))};
    made.accesses.push_back(std::move(from));
    made.reduction = stage_.reduction;
    made.reduction.values = {0};
    made.reduction.precision = Precision::f32;
    return made;
  }

 private:
  Access pieces() const {
    Access access;
    access.buffer = buffer_;
    return access;
  }

  const Stage& stage_;
  const Cut cut_;
  const std::vector<int> results_;  // dimensions
  int buffer_ = -1;                 // of the pieces
};

}  // namespace

StructuredKernel split_depth(StructuredKernel kernel) {
  std::vector<Stage> stages;
  for (const Stage& stage : kernel.stages) {
    const std::optional<Cut> cut = find_cut(kernel, stage);
    if (!cut) {
      stages.push_back(stage);
      continue;
    }
    const Splitter splitter(kernel, stage, *cut);
    stages.push_back(splitter.sum());
    stages.push_back(splitter.join());
  }
  if (stages.size() == kernel.stages.size()) return kernel;
  kernel.stages = std::move(stages);
  prune_kernel(kernel);  // each of the two stages has the accesses of both
  return kernel;
}

}  // namespace placewright
