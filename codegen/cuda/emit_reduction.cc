// Reductions: each lane joins what it is dealt, then lanes join their states by shuffles and through shared memory.
#include <algorithm>
#include <bit>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "placewright/base/join.h"
#include "stage_emitter.h"

namespace placewright {

std::string StageEmitter::state(size_t point, size_t part, size_t state) const {
  return fmt::format("s{}_{}_{}_{}", number_, point, part, state);
}

void StageEmitter::define_states(size_t points) {
  const Reduction& reduction = stage_.reduction;
  for (size_t p = 0; p < points; ++p)
    for (size_t part = 0; part < static_cast<size_t>(how_.partial_accumulators); ++part)
      for (size_t s = 0; s < reduction.dtypes.size(); ++s)
        code_.line(fmt::format("{} {} = {};", cuda_type(reduction.dtypes[s]), state(p, part, s),
                               cuda_constant(reduction.init[s])));
}

void StageEmitter::emit_reduction() {
  const Reduction& reduction = stage_.reduction;
  std::vector<Sizes> points = tile_points(false);
  auto parts = static_cast<size_t>(how_.partial_accumulators);
  define_states(points.size());
  std::vector<Dim> before = dims_;
  std::vector<Loop> lanes;
  size_t scopes = 0;
  for (const Loop& loop : nest_)
    if (stage_.reduced[loop.dim] && loop.binding == Loop::Binding::lane && grid_.lanes > 1) lanes.push_back(loop);
  bool with_lanes = !lanes.empty();
  if (with_lanes) open_lanes(lanes), ++scopes;
  for (const Loop& loop : nest_)
    if (stage_.reduced[loop.dim] && !(loop.binding == Loop::Binding::lane && with_lanes)) open_loop(loop), ++scopes;
  for (int d = 0; d < stage_.rank(); ++d)
    if (stage_.reduced[d] && !dims_[d].has_loop) open_loop({d, 1, Loop::Binding::serial}), ++scopes;
  // What the lanes' chunks leave of a reduced dimension is a loop too, unless it is a vector.
  for (int d = 0; d < stage_.rank(); ++d)
    if (stage_.reduced[d] && dims_[d].tile > 1 && !is_vector(d)) open_loop({d, 1, Loop::Binding::serial}), ++scopes;
  reduce_tile(points);
  for (; scopes > 0; --scopes) close();
  for (size_t p = 0; p < points.size(); ++p)
    for (size_t half = parts / 2; half >= 1; half /= 2)
      for (size_t part = 0; part < half; ++part) {
        std::vector<std::string> left, right;
        for (size_t s = 0; s < reduction.dtypes.size(); ++s)
          left.push_back(state(p, part, s)), right.push_back(state(p, part + half, s));
        assign(left, combine(left, right));
      }
  dims_ = before;
  if (with_lanes) {
    join_lanes();
    open("if (lane == 0)");
  }
  reduced_at_.clear();
  for (size_t p = 0; p < points.size(); ++p)
    for (size_t s = 0; s < reduction.dtypes.size(); ++s) reduced_at_[points[p]].push_back(state(p, 0, s));
  store_points(BodyKind::epilogue, stage_.epilogue_stores, points);
  if (with_lanes) close();
}

// The schedule's shape says so: lanes over a parallel dimension and over a reduced one.
bool StageEmitter::is_columns() const {
  auto has_lanes = [&](bool reduced) {
    return std::any_of(nest_.begin(), nest_.end(), [&](const Loop& loop) {
      return loop.binding == Loop::Binding::lane && stage_.reduced[loop.dim] == reduced;
    });
  };
  return grid_.lanes > 32 && has_lanes(false) && has_lanes(true);
}

// Neighbouring lanes have neighbouring results; each row of lanes reduces a piece, and the first one joins them in
// order.
void StageEmitter::emit_columns() {
  const Reduction& reduction = stage_.reduction;
  Loop column, piece;
  std::vector<Loop> serial;
  for (const Loop& loop : nest_) {
    if (loop.binding == Loop::Binding::lane) (stage_.reduced[loop.dim] ? piece : column) = loop;
    if (loop.binding == Loop::Binding::serial) serial.push_back(loop);
  }
  int64_t width = 1;
  for (const Loop& loop : nest_)
    if (loop.dim == column.dim && loop.binding == Loop::Binding::thread) width = loop.step;
  const int64_t rows = grid_.lanes / width;
  PW_CHECK(rows * width == grid_.lanes && column.step == 1, "columns that lanes do not share out once");
  const std::string at = name("x"), row = name("y"), position = name("i"), first = name("i");
  code_.line(fmt::format("const int {} = lane % {}, {} = lane / {};", at, width, row, width));
  code_.line(fmt::format("const {} {} = {} + {};", index_, position, dims_[column.dim].base, at));
  const std::string inside =
      stage_.extents[column.dim] % width == 0 ? "true" : fmt::format("{} < {}", position, stage_.extents[column.dim]);
  dims_[column.dim] = {position, 1, 1, true, false};
  const std::vector<Dim> before = dims_;
  const std::vector<Sizes> points = tile_points(false);
  define_states(points.size());
  code_.line(fmt::format("const {0} {1} = ({0}){2} * {3};", index_, first, row, piece.step));
  open(fmt::format("if ({} && {} < {})", inside, first, stage_.extents[piece.dim]));
  enter(piece, first);
  code_.line("#pragma unroll 8");  // of four bytes each
  open_loop({piece.dim, 1, Loop::Binding::serial});
  for (const Loop& loop : serial) open_loop(loop);
  reduce_tile(points);
  for (size_t scopes = serial.size() + 2; scopes > 0; --scopes) close();
  dims_ = before;
  std::vector<std::string> left, right;
  const std::string other = name("y");
  for (size_t s = 0; s < reduction.dtypes.size(); ++s) {
    const std::string held = name("joined");
    code_.line(fmt::format("__shared__ {} {}[{}][{}];", cuda_type(reduction.dtypes[s]), held, rows, width));
    code_.line(fmt::format("{}[{}][{}] = {};", held, row, at, state(0, 0, s)));
    left.push_back(state(0, 0, s));
    right.push_back(fmt::format("{}[{}][{}]", held, other, at));
  }
  code_.line("__syncthreads();");
  open(fmt::format("if ({} == 0 && {})", row, inside));
  open(fmt::format("for (int {0} = 1; {0} < {1}; ++{0})", other, rows));
  assign(left, combine(left, right));
  close();
  reduced_at_ = {{points[0], left}};
  store_points(BodyKind::epilogue, stage_.epilogue_stores, points);
  close();
}

void StageEmitter::reduce_tile(const std::vector<Sizes>& points) {
  std::vector<Sizes> reduced = tile_points(true);
  auto parts = static_cast<size_t>(how_.partial_accumulators);
  for (size_t r = 0; r < reduced.size(); ++r) {
    std::string inside = overhang(reduced[r], true);
    if (!inside.empty()) open("if (" + inside + ")");
    for (size_t p = 0; p < points.size(); ++p) {
      Sizes at = points[p];
      for (int d = 0; d < stage_.rank(); ++d) at[d] += reduced[r][d];
      reduce_point(p, r % parts, at);
    }
    if (!inside.empty()) close();
  }
}

void StageEmitter::reduce_point(size_t point, size_t part, const Sizes& at) {
  const Reduction& reduction = stage_.reduction;
  const ScalarNode& fed = stage_.body[reduction.values[0]];
  if (reduction.kind == Reduction::Kind::sum && fed.op == ScalarOp::mul && fed.dtype == reduction.dtypes[0] &&
      is_floating(fed.dtype)) {
    std::string a = node(BodyKind::body, fed.operands[0], at), b = node(BodyKind::body, fed.operands[1], at);
    std::string sum = state(point, part, 0);
    code_.line(fmt::format("{0} = pw::multiply_add({1}, {2}, {0});", sum, a, b));
    return;
  }
  std::vector<std::string> left, right;
  for (size_t s = 0; s < reduction.dtypes.size(); ++s) {
    left.push_back(state(point, part, s));
    std::string value = node(BodyKind::body, reduction.values[s], at);
    if (stage_.body[reduction.values[s]].dtype != reduction.dtypes[s])
      value = fmt::format("pw::cast<{}>({})", cuda_type(reduction.dtypes[s]), value);
    right.push_back(value);
  }
  assign(left, combine(left, right));
}

// The joined states, as expressions or as variables of this scope.
std::vector<std::string> StageEmitter::combine(const std::vector<std::string>& left,
                                               const std::vector<std::string>& right) {
  const Reduction& reduction = stage_.reduction;
  std::string joined;
  switch (reduction.kind) {
    case Reduction::Kind::sum:
      joined = "add";
      break;
    case Reduction::Kind::prod:
      joined = "mul";
      break;
    case Reduction::Kind::min:
      joined = "min";
      break;
    case Reduction::Kind::max:
      joined = "max";
      break;
    case Reduction::Kind::any:
      joined = "logical_or";
      break;
    case Reduction::Kind::all:
      joined = "logical_and";
      break;
    case Reduction::Kind::none:
    case Reduction::Kind::custom:
      break;
  }
  // Overloads tell min and max of floats, which see NaN and the sign of zero.
  if (!joined.empty()) return {fmt::format("pw::{}({}, {})", joined, left[0], right[0])};
  parameters_ = left;
  parameters_.insert(parameters_.end(), right.begin(), right.end());
  memo_.emplace_back();
  std::vector<std::string> states;
  for (int combined : reduction.combined)
    states.push_back(node(BodyKind::combine, combined, Sizes(static_cast<size_t>(stage_.rank()), 0)));
  memo_.pop_back();
  return states;
}

// All at once: a new state may be an old one's value.
void StageEmitter::assign(const std::vector<std::string>& to, const std::vector<std::string>& values) {
  std::vector<std::string> held = values;
  if (to.size() > 1)
    for (size_t s = 0; s < to.size(); ++s) {
      held[s] = name("t");
      code_.line(fmt::format("const {} {} = {};", cuda_type(stage_.reduction.dtypes[s]), held[s], values[s]));
    }
  for (size_t s = 0; s < to.size(); ++s) code_.line(fmt::format("{} = {};", to[s], held[s]));
}

// A tree over neighbours, so that the order of a reduction that has one is kept. Lane 0 gets the result.
void StageEmitter::join_lanes() {
  const Reduction& reduction = stage_.reduction;
  std::vector<Sizes> points = tile_points(false);
  int warp = std::min(grid_.lanes, 32), warps = grid_.lanes / 32;
  auto tree = [&](size_t p, int width, const std::string& mask) {
    for (int offset = 1; offset < width; offset *= 2) {
      std::vector<std::string> left, right;
      for (size_t s = 0; s < reduction.dtypes.size(); ++s) {
        left.push_back(state(p, 0, s));
        right.push_back(name("u"));
        code_.line(fmt::format("const {} {} = pw::from_above({}, {}, {}, {});", cuda_type(reduction.dtypes[s]),
                               right.back(), mask, left.back(), offset, width));
      }
      assign(left, combine(left, right));
    }
  };
  for (size_t p = 0; p < points.size(); ++p) tree(p, warp, "mates");
  if (warps <= 1) return;
  size_t states = reduction.dtypes.size();
  std::string held = fmt::format("joined{}", number_);
  for (size_t s = 0; s < states; ++s)
    code_.line(fmt::format("__shared__ {} {}_{}[{}];", cuda_type(reduction.dtypes[s]), held, s,
                           points.size() * static_cast<size_t>(warps)));
  if (is_repeated_) code_.line("__syncthreads();");  // until all have read what they joined before
  open("if (lane % 32 == 0)");
  for (size_t p = 0; p < points.size(); ++p)
    for (size_t s = 0; s < states; ++s)
      code_.line(fmt::format("{}_{}[{} + lane / 32] = {};", held, s, p * static_cast<size_t>(warps), state(p, 0, s)));
  close();
  code_.line("__syncthreads();");
  open("if (lane < 32)");
  for (size_t p = 0; p < points.size(); ++p) {
    for (size_t s = 0; s < states; ++s)
      // What lanes beyond a power of two hold reaches no result.
      code_.line(std::has_single_bit(static_cast<unsigned>(warps))
                     ? fmt::format("{} = {}_{}[{} + lane % {}];", state(p, 0, s), held, s,
                                   p * static_cast<size_t>(warps), warps)
                     : fmt::format("{} = lane < {} ? {}_{}[{} + lane] : {};", state(p, 0, s), warps, held, s,
                                   p * static_cast<size_t>(warps), cuda_constant(reduction.init[s])));
    tree(p, static_cast<int>(std::bit_ceil(static_cast<unsigned>(warps))), "0xffffffffu");
  }
  close();
}

}  // namespace placewright
