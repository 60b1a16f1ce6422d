#include "product_tiles.h"

#include <algorithm>

#include "matrix_tiles.h"
#include "placewright/base/checked.h"

namespace placewright {
namespace {

// The longest dimension of those that are, or are not, reduced and that each factor does, or does not, move with.
int longest(const Stage& stage, bool reduced, bool of_left, bool of_right) {
  const ScalarNode& product = stage.body[stage.reduction.values[0]];
  const uint64_t left = dependencies(stage, product.operands[0]), right = dependencies(stage, product.operands[1]);
  int found = -1;
  for (int d = 0; d < stage.rank(); ++d)
    if (stage.reduced[d] == reduced && (left >> d & 1) == of_left && (right >> d & 1) == of_right &&
        (found < 0 || stage.extents[d] > stage.extents[found]))
      found = d;
  return found;
}

}  // namespace

bool is_sum_of_products(const Stage& stage) {
  const Reduction& reduction = stage.reduction;
  if (reduction.kind != Reduction::Kind::sum || reduction.split.partials != 0 || stage.rank() > 63) return false;
  if (std::find(stage.sequential.begin(), stage.sequential.end(), true) != stage.sequential.end()) return false;
  const ScalarNode& product = stage.body[reduction.values[0]];
  return product.op == ScalarOp::mul && product.dtype == reduction.dtypes[0] && is_floating(product.dtype);
}

std::optional<ProductTiles> choose_product_tiles(const Stage& stage) {
  if (!is_sum_of_products(stage)) return {};
  ProductTiles tiles;
  tiles.left = longest(stage, false, true, false);
  tiles.right = longest(stage, false, false, true);
  tiles.depth = longest(stage, true, true, true);
  if (tiles.left < 0 || tiles.right < 0 || tiles.depth < 0) return {};
  const int64_t rows = stage.extents[tiles.left], columns = stage.extents[tiles.right];
  if (std::min(rows, columns) < ProductTiles::side || stage.extents[tiles.depth] < ProductTiles::side / 2) return {};
  int64_t others = 1;
  for (int d = 0; d < stage.rank(); ++d)
    if (!stage.reduced[d] && d != tiles.left && d != tiles.right) others = checked_mul(others, stage.extents[d]);
  // As many as leave tiles for every multiprocessor.
  for (tiles.step = 4;; tiles.step /= 2) {
    const int64_t side = ProductTiles::side * tiles.step;
    tiles.count = checked_mul(checked_mul(ceil_div(rows, side), ceil_div(columns, side)), others);
    if (tiles.step == 1 || (tiles.count >= enough_tiles && std::min(rows, columns) >= side)) return tiles;
  }
}

}  // namespace placewright
