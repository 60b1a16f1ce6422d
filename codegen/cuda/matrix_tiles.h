// Which sums of products matrix units compute, and in which tiles.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "placewright/ir/kernel.h"
#include "placewright/ir/schedule.h"

namespace placewright {

// The dimensions that a node of a stage's body depends on, as a set of bits.
uint64_t dependencies(const Stage& stage, int node);

// What a matrix unit multiplies at once: rows by columns by depth.
constexpr int64_t matrix_rows = 16, matrix_columns = 8;
constexpr int64_t matrix_depth(Precision precision) { return precision == Precision::bf16 ? 16 : 8; }

// Positions of several dimensions together, and tiles of both sides.
int64_t count_points(const Stage& stage, const std::vector<int>& dims);
int64_t count_tiles(const Stage& stage, const MatrixTiles& tiles);
int64_t count_groups(const Stage& stage, const MatrixTiles& tiles);  // tiles of all that is in neither side
int count_lanes(const MatrixTiles& tiles);

// Nothing where the kernel does not let factors be rounded, where the stage is no sum of products of f32, or where
// tiles would mostly overhang.
std::optional<MatrixTiles> choose_matrix_tiles(const Stage& stage);

}  // namespace placewright
