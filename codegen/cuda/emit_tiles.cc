// Sums of products whose results lanes share out in tiles: the factors that a tile needs are staged in shared memory, a
// step of the innermost reduced loop at a time, and each lane keeps its part of the tile in registers. Factors that are
// elements of memory are copied there while the step before is being summed.
#include <algorithm>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "stage_emitter.h"

namespace placewright {

// The schedule's shape says so: lanes over two tiled parallel dimensions, and steps of the innermost reduced one.
bool StageEmitter::is_tiled() const {
  if (grid_.lanes == 1 || !stage_.has_reduction() || nest_.empty()) return false;
  auto lanes = std::count_if(nest_.begin(), nest_.end(), [&](const Loop& loop) {
    return loop.binding == Loop::Binding::lane && !stage_.reduced[loop.dim];
  });
  return lanes == 2 && stage_.reduced[nest_.back().dim] && nest_.back().step > 1;
}

void StageEmitter::emit_tiles() {
  std::vector<Loop> lanes;
  for (const Loop& loop : nest_)
    if (loop.binding == Loop::Binding::lane) lanes.push_back(loop);
  const Loop depth = nest_.back();
  const ScalarNode& product = stage_.body[stage_.reduction.values[0]];
  DType dtype = stage_.reduction.dtypes[0];
  const std::vector<Dim> outer = dims_;
  TileSide sides[2];
  int64_t below = 1;
  for (size_t i : {1, 0}) {
    TileSide& side = sides[i];
    side = {lanes[i].dim, 1, lanes[i].step, name("p"), name("a"), product.operands[i]};
    for (const Loop& loop : nest_)
      if (loop.dim == side.dim && loop.binding == Loop::Binding::thread) side.tile = loop.step;
    if (!(dependencies(BodyKind::body, side.factor) >> side.dim & 1)) side.factor = product.operands[1 - i];
    int64_t count = ceil_div(side.tile, side.step);
    code_.line(fmt::format("const int {} = lane / {} % {} * {};", side.at, below, count, side.together()));
    below *= count;
  }
  PW_CHECK(below == grid_.lanes, "a tile that lanes do not share out once");
  const bool ahead = is_copied(sides[0].factor) && is_copied(sides[1].factor);
  for (TileSide& side : sides) {
    find_run(side, depth);
    // What runs along the depth is written along columns: rows of another length put them into other banks.
    code_.line(fmt::format("__shared__ __align__(16) {} {}{}[{}][{}];", cuda_type(dtype), side.shared,
                           ahead ? "[2]" : "", depth.step, side.tile + (side.is_deep ? TileSide::most_together : 0)));
  }
  std::string sums = name("s");
  code_.line(fmt::format("{} {}[{}][{}];", cuda_type(dtype), sums, sides[0].step, sides[1].step));
  open_points(sides, [&](const std::string& i, const std::string& j) {
    code_.line(fmt::format("{}[{}][{}] = {};", sums, i, j, cuda_constant(stage_.reduction.init[0])));
  });
  if (ahead)
    sum_steps_ahead(sides, depth, sums);
  else
    sum_steps(sides, depth, sums);
  dims_ = outer;
  open_points(sides, [&](const std::string& i, const std::string& j) {
    std::string inside;
    const std::string offsets[2] = {i, j};
    for (size_t s : {0, 1}) {
      std::string base = name("i");
      code_.line(
          fmt::format("const {} {} = {} + {};", index_, base, outer[sides[s].dim].base, sides[s].place(offsets[s])));
      dims_[sides[s].dim] = {base, 1, 1, true, false};
      inside += fmt::format("{}{} < {}", s == 0 ? "" : " && ", base, stage_.extents[sides[s].dim]);
    }
    open("if (" + inside + ")");
    Sizes point(static_cast<size_t>(stage_.rank()), 0);
    reduced_at_ = {{point, {fmt::format("{}[{}][{}]", sums, i, j)}}};
    store_points(BodyKind::epilogue, stage_.epilogue_stores, {point});
    close();
  });
}

// Each step: all lanes stage it, then all sum it.
void StageEmitter::sum_steps(const TileSide (&sides)[2], const Loop& depth, const std::string& sums) {
  size_t scopes = 0;
  for (const Loop& loop : nest_)
    if (stage_.reduced[loop.dim]) open_loop(loop), ++scopes;
  for (const TileSide& side : sides) stage_factor(side, depth, side.shared, false);
  code_.line("__syncthreads();");
  add_products(sides, depth, sums, "");
  code_.line("__syncthreads();");
  for (; scopes > 0; --scopes) close();
}

// The steps of all reduced loops as one count: while one is summed, the next one's copies are on their way to the other
// half of shared memory.
void StageEmitter::sum_steps_ahead(const TileSide (&sides)[2], const Loop& depth, const std::string& sums) {
  std::vector<Loop> loops;
  int64_t count = 1;
  for (const Loop& loop : nest_)
    if (stage_.reduced[loop.dim]) loops.push_back(loop), count = checked_mul(count, iterations(loop));
  const std::vector<Dim> outer = dims_;
  auto copy = [&](const std::string& number) {
    open("");
    split(loops, number, "i");
    for (const TileSide& side : sides) stage_factor(side, depth, fmt::format("{}[{} & 1]", side.shared, number), true);
    code_.line("pw::commit_copies();");
    close();
    dims_ = outer;
  };
  if (count > 0) copy("0");
  const std::string step = name("n");
  code_.line("#pragma unroll 1");  // else the code of many steps leaves the instruction cache
  open(fmt::format("for ({0} {1} = 0; {1} < {2}; ++{1})", index_, step, count));
  open(fmt::format("if ({} + 1 < {})", step, count));
  copy("(" + step + " + 1)");
  code_.line("pw::wait_for_copies<1>();");
  close();
  open("else");
  code_.line("pw::wait_for_copies<0>();");
  close();
  code_.line("__syncthreads();");
  add_products(sides, depth, sums, fmt::format("[{} & 1]", step));
  if (count > 2) code_.line("__syncthreads();");  // a half is filled again
  close();
}

void StageEmitter::add_products(const TileSide (&sides)[2], const Loop& depth, const std::string& sums,
                                const std::string& half) {
  std::string k = name("k");
  code_.line("#pragma unroll 8");  // all 16 at once spill
  open(fmt::format("for (int {0} = 0; {0} < {1}; ++{0})", k, depth.step));
  open_points(sides, [&](const std::string& i, const std::string& j) {
    code_.line(fmt::format("{0}[{1}][{2}] = pw::multiply_add({3}{5}[{4}][{6}], {7}{5}[{4}][{8}], {0}[{1}][{2}]);", sums,
                           i, j, sides[0].shared, k, half, sides[0].place(i), sides[1].shared, sides[1].place(j)));
  });
  close();
}

// Whether the factor is an element of memory as it stands there, or 0: what hardware copies on its own.
bool StageEmitter::is_copied(int number) const {
  const ScalarNode& factor = stage_.body[number];
  if (factor.op != ScalarOp::load) return false;
  const Access& access = stage_.accesses[factor.slot];
  const DType dtype = kernel_.buffers[access.buffer].dtype;
  return dtype == factor.dtype && dtype == stage_.reduction.dtypes[0] && access.indirect.empty() &&
         (!access.guarded || access.outside == 0);
}

// Calls `body` inside loops over a lane's part of the tile, which the compiler writes out: registers have no numbers.
void StageEmitter::open_points(const TileSide (&sides)[2],
                               const std::function<void(const std::string&, const std::string&)>& body) {
  std::string offsets[2] = {name("o"), name("o")};
  for (size_t s : {0, 1}) {
    code_.line("#pragma unroll");
    open(fmt::format("for (int {0} = 0; {0} < {1}; ++{0})", offsets[s], sides[s].step));
  }
  body(offsets[0], offsets[1]);
  close();
  close();
}

// Which way memory runs below the factor's elements, and how many of them are copied at once: a run across the tile.
void StageEmitter::find_run(TileSide& side, const Loop& depth) {
  const ScalarNode& factor = stage_.body[side.factor];
  if (factor.op != ScalarOp::load) return;
  const Access& access = stage_.accesses[factor.slot];
  side.is_deep = run_of(access, {depth.dim}) > run_of(access, {side.dim});
  const int64_t most = 16 / (info(stage_.reduction.dtypes[0]).bits / 8);
  if (most == 4 && !side.is_deep && is_copied(side.factor) && side.tile % most == 0 &&
      run_of(access, {side.dim}) % most == 0 && is_aligned(access, {side.dim}))
    side.at_once = most;
}

// A lane's results: four neighbours of the tile at a time, then as many of the next sixteenth lane's after the last, so
// that what lanes read of a row at once is that row.
std::string StageEmitter::TileSide::place(const std::string& offset) const {
  if (step <= most_together) return fmt::format("{} + {}", at, offset);
  return fmt::format("{0} + {1} / {2} * {3} + {1} % {2}", at, offset, most_together, tile / step * most_together);
}

// All lanes fetch one factor's elements of the tile, neighbours in memory by neighbouring lanes; 0 beyond the domain.
// `copies`: they only begin to.
void StageEmitter::stage_factor(const TileSide& side, const Loop& depth, const std::string& shared, bool copies) {
  std::string flat = name("q"), at = name("x"), k = name("x"), position = name("i"), reduced = name("i");
  const int64_t at_once = copies ? side.at_once : 1, across = side.tile / at_once;
  const int64_t count = across * depth.step, turns = ceil_div(count, grid_.lanes);
  const std::string turn = name("n");
  code_.line("#pragma unroll 4");  // places of more take registers that sums need
  open(fmt::format("for (int {0} = 0; {0} < {1}; ++{0})", turn, turns));
  code_.line(fmt::format("const int {} = (int)lane + {} * {};", flat, turn, grid_.lanes));
  if (count % grid_.lanes != 0) code_.line(fmt::format("if ({} >= {}) continue;", flat, count));
  if (side.is_deep)
    code_.line(fmt::format("const int {} = {} / {}, {} = {} % {};", at, flat, depth.step, k, flat, depth.step));
  else
    code_.line(fmt::format("const int {} = {} % {} * {}, {} = {} / {};", at, flat, across, at_once, k, flat, across));
  const std::vector<Dim> before = dims_;
  code_.line(fmt::format("const {} {} = {} + {}, {} = {} + {};", index_, position, before[side.dim].base, at, reduced,
                         before[depth.dim].base, k));
  dims_[side.dim] = {position, 1, 1, true, false};
  dims_[depth.dim] = {reduced, 1, 1, true, false};
  const std::string inside =
      fmt::format("{} < {} && {} < {}", position, stage_.extents[side.dim], reduced, stage_.extents[depth.dim]);
  const Sizes point(stage_.extents.size(), 0);
  const std::string target = fmt::format("{}[{}][{}]", shared, k, at);
  if (copies) {
    const Access& access = stage_.accesses[stage_.body[side.factor].slot];
    const Place place = this->place(BodyKind::body, access, point);
    const std::string is_there = name("t"), from = buffer(access.buffer);
    code_.line(fmt::format("const bool {} = {}{}{};", is_there, inside, place.condition.empty() ? "" : " && ",
                           place.condition));
    code_.line(fmt::format("pw::copy_ahead<{}>(&{}, {} + ({}), {});", at_once, target, from, place.offset, is_there));
  } else {
    const std::string type = cuda_type(stage_.reduction.dtypes[0]), value = name("t");
    code_.line(fmt::format("{} {} = 0;", type, value));
    open("if (" + inside + ")");
    code_.line(fmt::format("{} = {};", value, node(BodyKind::body, side.factor, point)));
    close();
    code_.line(fmt::format("{} = {};", target, value));
  }
  close();
  dims_ = before;
}

}  // namespace placewright
