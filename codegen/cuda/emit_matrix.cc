// Sums of products by matrix units (mma.sync). A group computes a tile of rows by columns, each of them several of the
// stage's dimensions as one, as a convolution's positions are. It stages what the tile needs of both factors in shared
// memory, a step of the depth at a time and the next step's while one is summed; each warp sums a part of the tile.
#include <algorithm>

#include <fmt/core.h>

#include "matrix_tiles.h"
#include "placewright/base/checked.h"
#include "stage_emitter.h"

namespace placewright {
namespace {

// Elements from one row of `length` to the next in shared memory, such that what a warp reads at once stands in
// different banks: of 8 places by 4 of the depth, which are neighbours in tf32, and pairs in bf16. The lengths are 8,
// 16, 32, 64, 128.
int64_t pitch_of(int64_t length, bool is_deep, Precision precision) {
  if (is_deep == (precision == Precision::tf32)) return length + 4;
  return length == 8 ? length : length + 8;
}

}  // namespace

void StageEmitter::emit_matrix(const std::string& iteration) {
  const MatrixTiles& tiles = *how_.matrix;
  const Precision precision = stage_.reduction.precision;
  PW_CHECK(tiles.rows.part % matrix_rows == 0 && tiles.columns.part % matrix_columns == 0 &&
               tiles.step % matrix_depth(precision) == 0 && grid_.lanes == count_lanes(tiles),
           "tiles that no matrix unit takes");
  const ScalarNode& product = stage_.body[stage_.reduction.values[0]];
  const int64_t columns = ceil_div(count_points(stage_, tiles.columns.dims), tiles.columns.tile);
  const int64_t all = count_tiles(stage_, tiles);
  std::vector<Loop> range;
  for (const Loop& loop : nest_) range.push_back(loop);
  split(range, fmt::format("(({}){} / {})", index_, iteration, all), "i");
  const std::string tile = name("n"), warp = name("n"), row = name("g"), column = name("g");
  code_.line(fmt::format("const int {} = {} % {}, {} = lane / 32, {} = lane % 32 / 4, {} = lane % 4;", tile, iteration,
                         all, warp, row, column));
  const int64_t parts = tiles.columns.tile / tiles.columns.part;
  MatrixSide sides[2] = {
      matrix_side(tiles.rows, fmt::format("{} / {}", tile, columns), fmt::format("{} / {}", warp, parts)),
      matrix_side(tiles.columns, fmt::format("{} % {}", tile, columns), fmt::format("{} % {}", warp, parts))};
  for (size_t s : {0, 1}) {
    const bool is_left = dependencies(BodyKind::body, product.operands[0]) >> sides[s].tiles->dims[0] & 1;
    find_run(sides[s], product.operands[is_left ? 0 : 1]);
    const int64_t length = sides[s].is_deep ? tiles.step : sides[s].tiles->tile;
    code_.line(fmt::format("__shared__ __align__(16) float {}[2][{}][{}];", sides[s].shared,
                           sides[s].is_deep ? sides[s].tiles->tile : tiles.step,
                           pitch_of(length, sides[s].is_deep, precision)));
  }
  const std::string sums = name("s");
  const int64_t down = tiles.rows.part / matrix_rows, across = tiles.columns.part / matrix_columns;
  const std::string init = cuda_constant(stage_.reduction.init[0]);
  code_.line(fmt::format("float {}[{}][{}][4];", sums, down, across));
  const std::string i = name("o"), j = name("o");
  open_each(i, down);
  open_each(j, across);
  code_.line(fmt::format("{0}[{1}][{2}][0] = {0}[{1}][{2}][1] = {0}[{1}][{2}][2] = {0}[{1}][{2}][3] = {3};", sums, i, j,
                         init));
  close();
  close();
  sum_matrix_steps(sides, sums, row, column);
  store_matrix(sides, sums, row, column);
}

StageEmitter::MatrixSide StageEmitter::matrix_side(const MatrixTiles::Side& tiles, const std::string& tile,
                                                   const std::string& part) {
  MatrixSide side;
  side.tiles = &tiles;
  side.count = count_points(stage_, tiles.dims);
  side.base = name("i"), side.part = name("i"), side.shared = name("a");
  code_.line(fmt::format("const {} {} = ({}) * {};", index_, side.base, tile, tiles.tile));
  code_.line(fmt::format("const int {} = ({}) * {};", side.part, part, tiles.part));
  return side;
}

void StageEmitter::open_each(const std::string& variable, int64_t count) {
  code_.line("#pragma unroll");
  open(fmt::format("for (int {0} = 0; {0} < {1}; ++{0})", variable, count));
}

// The factor's load that moves with the tile: along which of its two directions memory runs, and how much of a run is
// copied at once.
void StageEmitter::find_run(MatrixSide& side, int factor) {
  side.factor = factor;
  side.is_copied = is_copied(factor);
  const std::vector<int>& depth = how_.matrix->depth;
  const ScalarNode* load = find_load(factor, side.tiles->dims, depth);
  if (!load) return;
  const Access& access = stage_.accesses[load->slot];
  const int64_t across = run_of(access, side.tiles->dims), deep = run_of(access, depth);
  side.is_deep = deep > across;
  const bool is_wide = (side.is_deep ? deep : across) % 4 == 0 && side.is_copied &&
                       is_aligned(access, side.is_deep ? depth : side.tiles->dims);
  side.at_once = is_wide ? 4 : 1;
}

const ScalarNode* StageEmitter::find_load(int number, const std::vector<int>& some, const std::vector<int>& others) {
  const ScalarNode& node = stage_.body[number];
  const uint64_t moves = dependencies(BodyKind::body, number);
  auto moves_with = [&](const std::vector<int>& dims) {
    return std::any_of(dims.begin(), dims.end(), [&](int d) { return moves >> d & 1; });
  };
  if (!moves_with(some) || !moves_with(others)) return nullptr;
  if (node.op == ScalarOp::load) return &node;
  for (int operand : node.operands)
    if (operand >= 0)
      if (const ScalarNode* found = find_load(operand, some, others)) return found;
  return nullptr;
}

// Elements of memory that one step along each dimension moves by.
std::vector<int64_t> StageEmitter::steps_of(const Access& access) const {
  std::vector<int64_t> strides = strides_of(access.buffer), steps(stage_.extents.size(), 0);
  for (size_t i = 0; i < access.index.size(); ++i)
    for (int d = 0; d < stage_.rank(); ++d) steps[d] += access.index[i].coefficients[d] * strides[i];
  return steps;
}

// How many positions of the dimensions, of which the last moves fastest, are neighbours in memory.
int64_t StageEmitter::run_of(const Access& access, const std::vector<int>& dims) const {
  if (!kernel_.buffers[access.buffer].layout.blocks.empty()) return 1;
  const std::vector<int64_t> steps = steps_of(access);
  int64_t run = 1;
  for (auto d = dims.rbegin(); d != dims.rend(); ++d) {
    if (stage_.extents[*d] == 1) continue;
    if (steps[*d] != run) break;
    run *= stage_.extents[*d];
  }
  return run;
}

// Whether runs of four begin at multiples of 16 bytes, and are inside the buffer whole or not at all.
bool StageEmitter::is_aligned(const Access& access, const std::vector<int>& along) const {
  const KernelBuffer& buffer = kernel_.buffers[access.buffer];
  const std::vector<int64_t> strides = strides_of(access.buffer), steps = steps_of(access);
  int64_t constant = 0, run = 1;
  std::vector<bool> in_run(stage_.extents.size(), false);
  for (auto d = along.rbegin(); d != along.rend() && run % 4 != 0; ++d) in_run[*d] = true, run *= stage_.extents[*d];
  for (size_t i = 0; i < access.index.size(); ++i) {
    const AffineExpr& expr = access.index[i];
    if (expr.divisor != 1) return false;
    constant += (expr.constant + (buffer.layout.padding.empty() ? 0 : buffer.layout.padding[i].low)) * strides[i];
    if (!access.guarded || stays_inside(expr, buffer.sizes[i])) continue;
    for (int d = 0; d < stage_.rank(); ++d)
      if (in_run[d] && expr.coefficients[d] != 0) return false;
  }
  for (int d = 0; d < stage_.rank(); ++d)
    if (!in_run[d] && stage_.extents[d] > 1 && steps[d] % 4 != 0) return false;
  return constant % 4 == 0 && run % 4 == 0;
}

// While one step is summed, the next one's elements are on their way to the other half of shared memory.
void StageEmitter::sum_matrix_steps(const MatrixSide (&sides)[2], const std::string& sums, const std::string& row,
                                    const std::string& column) {
  const MatrixTiles& tiles = *how_.matrix;
  const int64_t count = ceil_div(count_points(stage_, tiles.depth), tiles.step);
  auto stage_step = [&](const std::string& number) {
    for (const MatrixSide& side : sides) stage_matrix(side, number);
    code_.line("pw::commit_copies();");
  };
  stage_step("0");
  const std::string step = name("n");
  code_.line("#pragma unroll 1");  // else the code of many steps leaves the instruction cache
  open(fmt::format("for ({0} {1} = 0; {1} < {2}; ++{1})", index_, step, count));
  code_.line("pw::wait_for_copies<0>();");
  code_.line("__syncthreads();");
  open(fmt::format("if ({} + 1 < {})", step, count));
  stage_step("(" + step + " + 1)");
  close();
  add_matrices(sides, step, sums, row, column);
  close();
}

// A lane's turns: places from `first` on that are `step` apart and below `end`, as a loop whose count is a number,
// which the compiler writes out. `first` is below `step`.
void StageEmitter::open_turns(const std::string& variable, const std::string& first, int64_t step, int64_t end) {
  const std::string turn = name("n");
  open_each(turn, ceil_div(end, step));
  code_.line(fmt::format("const int {} = {} + {} * {};", variable, first, turn, step));
  if (end % step != 0) code_.line(fmt::format("if ({} >= {}) continue;", variable, end));
}

// All lanes fetch one factor's elements of a step; 0 beyond the domain. Neighbours in memory go to neighbouring lanes,
// and a lane keeps its place along that direction where there are lanes enough.
void StageEmitter::stage_matrix(const MatrixSide& side, const std::string& number) {
  const MatrixTiles& tiles = *how_.matrix;
  const int64_t depth = count_points(stage_, tiles.depth);
  const int64_t fast = (side.is_deep ? tiles.step : side.tiles->tile) / side.at_once;
  const int64_t slow = side.is_deep ? side.tiles->tile : tiles.step;
  const std::vector<Dim> before = dims_;
  const std::string at = name("x"), next = name("x"), base = name("i");
  auto place_along = [&](const std::vector<int>& dims, const std::string& first, const std::string& offset) {
    std::vector<Loop> loops;
    for (int d : dims) loops.push_back({d, 1, Loop::Binding::serial});
    const std::string flat = name("i");
    code_.line(fmt::format("const {} {} = {} + {};", index_, flat, first, offset));
    split(loops, flat, "i");
    return flat;
  };
  open("");
  code_.line(fmt::format("const {} {} = {} * {};", index_, base, number, tiles.step));
  const std::string &fast_base = side.is_deep ? base : side.base, &slow_base = side.is_deep ? side.base : base;
  const std::vector<int>&fast_dims = side.is_deep ? tiles.depth : side.tiles->dims,
        &slow_dims = side.is_deep ? side.tiles->dims : tiles.depth;
  const int64_t beside = std::min<int64_t>(fast, grid_.lanes), below = grid_.lanes / beside;
  open_turns(at, fmt::format("lane % {} * {}", beside, side.at_once), beside * side.at_once, fast * side.at_once);
  const std::string fast_at = place_along(fast_dims, fast_base, at);
  open_turns(next, fmt::format("lane / {}", beside), below, slow);
  const std::string slow_at = place_along(slow_dims, slow_base, next);
  std::string inside;
  auto require = [&](const std::string& condition) { inside += (inside.empty() ? "" : " && ") + condition; };
  if (side.count % side.tiles->tile != 0) require(fmt::format("{} < {}", side.is_deep ? slow_at : fast_at, side.count));
  if (depth % tiles.step != 0) require(fmt::format("{} < {}", side.is_deep ? fast_at : slow_at, depth));
  const std::string half = fmt::format("{}[{} & 1][{}][{}]", side.shared, number, next, at);
  fetch(side, inside, half);
  close();
  close();
  close();
  dims_ = before;
}

// One element of a factor, or a run of them, to its place in shared memory.
void StageEmitter::fetch(const MatrixSide& side, const std::string& inside, const std::string& target) {
  const Sizes point(stage_.extents.size(), 0);
  if (side.is_copied) {
    const Access& access = stage_.accesses[stage_.body[side.factor].slot];
    const Place place = this->place(BodyKind::body, access, point);
    std::string condition = inside;
    if (!place.condition.empty()) condition += (inside.empty() ? "" : " && ") + place.condition;
    const std::string is_there = name("t"), from = buffer(access.buffer);
    code_.line(fmt::format("const bool {} = {};", is_there, condition.empty() ? "true" : condition));
    code_.line(
        fmt::format("pw::copy_ahead<{}>(&{}, {} + ({}), {});", side.at_once, target, from, place.offset, is_there));
    return;
  }
  const std::string value = name("t");
  code_.line(fmt::format("float {} = 0;", value));
  open(inside.empty() ? "" : "if (" + inside + ")");
  code_.line(fmt::format("{} = {};", value, node(BodyKind::body, side.factor, point)));
  close();
  code_.line(fmt::format("{} = {};", target, value));
}

// A warp's part of the step's products, 16 x 8 by 8 in tf32 and by 16 in bf16 at a time (PTX ISA, "Matrix Fragments for
// mma.m16n8k8" and "mma.m16n8k16"). A number of the fragments is one element of tf32, or two of bf16 along the depth.
void StageEmitter::add_matrices(const MatrixSide (&sides)[2], const std::string& step, const std::string& sums,
                                const std::string& row, const std::string& column) {
  const MatrixTiles& tiles = *how_.matrix;
  const Precision precision = stage_.reduction.precision;
  const int64_t down = tiles.rows.part / matrix_rows, across = tiles.columns.part / matrix_columns;
  const int64_t unit = matrix_depth(precision);
  auto staged = [&](const MatrixSide& side, const std::string& at, const std::string& k) {
    return fmt::format("{}[{} & 1][{}][{}]", side.shared, step, side.is_deep ? at : k, side.is_deep ? k : at);
  };
  auto element = [&](const MatrixSide& side, const std::string& at, const std::string& k) {
    if (precision == Precision::tf32) return fmt::format("pw::to_tf32({})", staged(side, at, k));
    return fmt::format("pw::to_bf16({}, {})", staged(side, at, k), staged(side, at, k + " + 1"));
  };
  const std::string k = name("k"), i = name("o"), j = name("o"), left = name("m"), right = name("m");
  // The mark of a loop of one turn would pass to the loop around it, whose steps are many.
  if (tiles.step > unit) code_.line("#pragma unroll");
  open(fmt::format("for (int {0} = 0; {0} < {1}; {0} += {2})", k, tiles.step, unit));
  code_.line(fmt::format("unsigned {}[{}][4], {}[{}][2];", left, down, right, across));
  const std::string first = fmt::format("{} + {} * {}", k, column, unit / 8);
  const std::string later = fmt::format("{} + {}", first, unit / 2);
  open_each(i, down);
  const std::string upper = fmt::format("{} + {} + {} * {}", sides[0].part, row, i, matrix_rows),
                    lower = upper + " + 8";
  code_.line(fmt::format("{}[{}][0] = {};", left, i, element(sides[0], upper, first)));
  code_.line(fmt::format("{}[{}][1] = {};", left, i, element(sides[0], lower, first)));
  code_.line(fmt::format("{}[{}][2] = {};", left, i, element(sides[0], upper, later)));
  code_.line(fmt::format("{}[{}][3] = {};", left, i, element(sides[0], lower, later)));
  close();
  open_each(j, across);
  const std::string at = fmt::format("{} + {} + {} * {}", sides[1].part, row, j, matrix_columns);
  code_.line(fmt::format("{}[{}][0] = {};", right, j, element(sides[1], at, first)));
  code_.line(fmt::format("{}[{}][1] = {};", right, j, element(sides[1], at, later)));
  close();
  open_each(i, down);
  open_each(j, across);
  code_.line(fmt::format("pw::add_product_{5}({0}[{1}][{2}], {3}[{1}], {4}[{2}]);", sums, i, j, left, right,
                         placewright::name(precision)));
  close();
  close();
  close();
}

// The epilogue of each result: a lane has two neighbours of a row, and two eight rows below.
void StageEmitter::store_matrix(const MatrixSide (&sides)[2], const std::string& sums, const std::string& row,
                                const std::string& column) {
  const MatrixTiles& tiles = *how_.matrix;
  const int64_t down = tiles.rows.part / matrix_rows, across = tiles.columns.part / matrix_columns;
  auto place_along = [&](const MatrixSide& side, const std::string& offset) {
    std::vector<Loop> loops;
    for (int d : side.tiles->dims) loops.push_back({d, 1, Loop::Binding::serial});
    const std::string flat = name("i");
    code_.line(fmt::format("const {} {} = {} + {} + {};", index_, flat, side.base, side.part, offset));
    open(side.count % side.tiles->tile == 0 ? "" : fmt::format("if ({} < {})", flat, side.count));
    split(loops, flat, "i");
  };
  const std::string i = name("o"), h = name("o"), j = name("o"), c = name("o");
  const std::vector<Dim> before = dims_;
  open_each(i, down);
  open_each(h, 2);
  place_along(sides[0], fmt::format("{} * {} + {} * 8 + {}", i, matrix_rows, h, row));
  open_each(j, across);
  open_each(c, 2);
  place_along(sides[1], fmt::format("{} * {} + {} * 2 + {}", j, matrix_columns, column, c));
  const Sizes point(stage_.extents.size(), 0);
  reduced_at_ = {{point, {fmt::format("{}[{}][{}][{} * 2 + {}]", sums, i, j, h, c)}}};
  store_points(BodyKind::epilogue, stage_.epilogue_stores, {point});
  for (int scopes = 0; scopes < 6; ++scopes) close();
  dims_ = before;
}

}  // namespace placewright
