// Which sums of products lanes compute in tiles without matrix units, and how large the tiles are.
#pragma once

#include <cstdint>
#include <optional>

#include "placewright/ir/kernel.h"

namespace placewright {

constexpr int64_t enough_tiles = 128;  // to give every multiprocessor one

// A sum of products: dimensions of each factor's own and a reduced one of both, the longest of each, and tiles of
// 16 x 16 lanes with `step` rows and columns each.
struct ProductTiles {
  static constexpr int64_t side = 16;
  int left = -1, right = -1, depth = -1;
  int64_t step = 1;
  int64_t count = 0;  // of all results
};

// Nothing where the stage is no such sum, or where a tile would mostly overhang.
std::optional<ProductTiles> choose_product_tiles(const Stage& stage);

// Whether the order of the stage's sum may be chosen, it is of products of one dtype, and nothing in it is in order.
bool is_sum_of_products(const Stage& stage);

}  // namespace placewright
