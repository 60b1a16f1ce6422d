#include "matrix_tiles.h"

#include <algorithm>

#include "placewright/base/checked.h"
#include "product_tiles.h"

namespace placewright {
namespace {

constexpr int64_t most_numbers = 64;    // that a lane sums
constexpr int64_t shared_tiles = 256;   // rows and columns together, of which two steps of 16 fit into shared memory
constexpr int64_t least_results = 256;  // of a tile: of a group of 64 lanes
constexpr int64_t copied_weight = 32;   // what one row or column of a step takes, in products

// How 32 lanes at a time share out a tile: by fours, which keep a multiprocessor's four units at work; else by eights,
// so that sums fit into registers, else by twos. Each part reads a row and a column of the tile: as square as may be.
void share_out(MatrixTiles& tiles) {
  for (int64_t wanted : {4, 8, 2}) {
    int64_t least = 0;
    for (int64_t r = matrix_rows; r <= tiles.rows.tile; r *= 2) {
      const int64_t c = tiles.rows.tile / r * tiles.columns.tile / wanted;
      if (c < matrix_columns || c > tiles.columns.tile || r * c > 32 * most_numbers) continue;
      if (least == 0 || r + c < least) tiles.rows.part = r, tiles.columns.part = c, least = r + c;
    }
    if (least > 0) return;
  }
  PW_CHECK(false, "a tile that cannot be shared out");
}

}  // namespace

uint64_t dependencies(const Stage& stage, int number) {
  const ScalarNode& node = stage.body[number];
  uint64_t dims = node.op == ScalarOp::index ? uint64_t{1} << node.slot : 0;
  for (int operand : node.operands)
    if (operand >= 0) dims |= dependencies(stage, operand);
  if (node.op != ScalarOp::load) return dims;
  for (const AffineExpr& expr : stage.accesses[node.slot].index)
    for (int d = 0; d < stage.rank(); ++d)
      if (expr.coefficients[d] != 0) dims |= uint64_t{1} << d;
  for (const Access::Indirect& part : stage.accesses[node.slot].indirect) dims |= dependencies(stage, part.node);
  return dims;
}

int64_t count_points(const Stage& stage, const std::vector<int>& dims) {
  int64_t count = 1;
  for (int d : dims) count = checked_mul(count, stage.extents[d]);
  return count;
}

int64_t count_tiles(const Stage& stage, const MatrixTiles& tiles) {
  return checked_mul(ceil_div(count_points(stage, tiles.rows.dims), tiles.rows.tile),
                     ceil_div(count_points(stage, tiles.columns.dims), tiles.columns.tile));
}

int64_t count_groups(const Stage& stage, const MatrixTiles& tiles) {
  int64_t others = 1;
  for (int d = 0; d < stage.rank(); ++d) {
    auto has = [&](const std::vector<int>& dims) { return std::find(dims.begin(), dims.end(), d) != dims.end(); };
    if (!has(tiles.rows.dims) && !has(tiles.columns.dims) && !has(tiles.depth))
      others = checked_mul(others, stage.extents[d]);
  }
  return checked_mul(count_tiles(stage, tiles), others);
}

int count_lanes(const MatrixTiles& tiles) {
  return static_cast<int>(32 * (tiles.rows.tile / tiles.rows.part) * (tiles.columns.tile / tiles.columns.part));
}

std::optional<MatrixTiles> choose_matrix_tiles(const Stage& stage) {
  const Reduction& reduction = stage.reduction;
  if (reduction.precision == Precision::f32 || reduction.split.partials != 0 || stage.rank() > 63) return {};
  if (std::find(stage.sequential.begin(), stage.sequential.end(), true) != stage.sequential.end()) return {};
  const ScalarNode& product = stage.body[reduction.values[0]];
  const uint64_t left = dependencies(stage, product.operands[0]), right = dependencies(stage, product.operands[1]);
  MatrixTiles tiles;
  for (int d = 0; d < stage.rank(); ++d) {
    const bool of_left = left >> d & 1, of_right = right >> d & 1;
    if (stage.reduced[d])
      tiles.depth.push_back(d);
    else if (of_left != of_right)
      (of_left ? tiles.rows : tiles.columns).dims.push_back(d);
  }
  if (tiles.rows.dims.empty() || tiles.columns.dims.empty() || tiles.depth.empty()) return {};
  if (count_points(stage, tiles.rows.dims) < count_points(stage, tiles.columns.dims) &&
      count_points(stage, tiles.rows.dims) < matrix_rows)
    std::swap(tiles.rows, tiles.columns);
  const int64_t depth = count_points(stage, tiles.depth);
  if (count_points(stage, tiles.rows.dims) <= matrix_rows / 2 ||
      count_points(stage, tiles.columns.dims) <= matrix_columns / 2 || depth < 8 || element_count(stage.extents) == 0)
    return {};
  double least = 0;
  MatrixTiles best;
  for (int64_t r : {128, 64, 32, 16})
    for (int64_t c : {128, 64, 32, 16, 8}) {
      if (r * c < least_results) continue;
      tiles.rows.tile = r, tiles.columns.tile = c;
      const double turns = std::max(1.0, static_cast<double>(count_groups(stage, tiles)) / enough_tiles);
      const double price = turns * static_cast<double>(r * c + copied_weight * (r + c));
      if (least == 0 || price < least) best = tiles, least = price;
    }
  share_out(best);
  best.step = best.rows.tile + best.columns.tile <= shared_tiles / 2 && depth >= 32 ? 32 : depth >= 16 ? 16 : 8;
  best.step = std::max(best.step, matrix_depth(reduction.precision));
  return best;
}

}  // namespace placewright
