#include "product_tiles.h"

#include <algorithm>

#include "matrix_tiles.h"
#include "placewright/base/checked.h"

namespace placewright {
namespace {

// Whether a load that the node needs moves through memory element by element along the dimension.
bool runs_along(const Stage& stage, int number, int dim) {
  const ScalarNode& node = stage.body[number];
  if (node.op == ScalarOp::load) {
    const std::vector<AffineExpr>& index = stage.accesses[node.slot].index;
    return !index.empty() && index.back().divisor == 1 && index.back().coefficients[dim] == 1;
  }
  return std::any_of(node.operands.begin(), node.operands.end(),
                     [&](int operand) { return operand >= 0 && runs_along(stage, operand, dim); });
}

// The longest dimension of those that are, or are not, reduced and that each factor does, or does not, move with; where
// one factor alone does, one that memory runs along is as good as one that is four times as long.
int longest(const Stage& stage, bool reduced, bool of_left, bool of_right) {
  constexpr int64_t worth_of_runs = 4;
  const ScalarNode& product = stage.body[stage.reduction.values[0]];
  const uint64_t left = dependencies(stage, product.operands[0]), right = dependencies(stage, product.operands[1]);
  int found = -1;
  int64_t most = 0;
  for (int d = 0; d < stage.rank(); ++d) {
    if (stage.reduced[d] != reduced || (left >> d & 1) != of_left || (right >> d & 1) != of_right) continue;
    const bool runs = of_left != of_right && stage.extents[d] >= ProductTiles::side &&
                      runs_along(stage, product.operands[of_left ? 0 : 1], d);
    const int64_t worth = stage.extents[d] * (runs ? worth_of_runs : 1);
    if (found < 0 || worth > most) found = d, most = worth;
  }
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
  for (tiles.step = stage.reduction.dtypes[0] == DType::f32 ? 8 : 4;; tiles.step /= 2) {
    const int64_t side = ProductTiles::side * tiles.step;
    tiles.count = checked_mul(checked_mul(ceil_div(rows, side), ceil_div(columns, side)), others);
    auto fills = [&](int64_t extent) { return extent >= side || (extent % tiles.step == 0 && extent >= side * 7 / 8); };
    if (tiles.step == 1 || (tiles.count >= enough_tiles && fills(rows) && fills(columns))) return tiles;
  }
}

}  // namespace placewright
