// The loops of a stage: the launch's range, what lanes share out, what is serial; then its leaf.
#include <algorithm>
#include <limits>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "stage_emitter.h"

namespace placewright {
namespace {

// Whether no index of the stage, of its buffers and of what guards refuse leaves 32 bits.
bool fits_int(const StructuredKernel& kernel, const Stage& stage, const GridShape& grid) {
  constexpr int64_t limit = int64_t{1} << 30;
  bool fits = grid.range * grid.lanes < limit;
  int64_t counts[2] = {1, 1};  // what is flattened is all parallel or all reduced
  for (int d = 0; d < stage.rank(); ++d) {
    counts[stage.reduced[d]] = checked_mul(counts[stage.reduced[d]], std::max<int64_t>(stage.extents[d], 1));
    fits = fits && counts[stage.reduced[d]] < limit;
    if (!fits) return false;
  }
  for (const Access& access : stage.accesses) {
    const KernelBuffer& buffer = kernel.buffers[access.buffer];
    fits = fits && element_count(physical_sizes(buffer.layout, buffer.sizes)) < limit;
    for (const AffineExpr& expr : access.index) {
      int64_t reach = std::abs(expr.constant);
      for (int d = 0; d < stage.rank(); ++d)
        reach = checked_add(reach, checked_mul(std::abs(expr.coefficients[d]), stage.extents[d]));
      fits = fits && reach < limit;
    }
  }
  return fits;
}

}  // namespace

StageEmitter::StageEmitter(const StructuredKernel& kernel, int number, const StageSchedule& how, std::vector<Loop> nest,
                           const GridShape& grid, CodeText& code)
    : kernel_(kernel),
      stage_(kernel.stages[number]),
      number_(number),
      how_(how),
      nest_(std::move(nest)),
      grid_(grid),
      code_(code),
      index_(fits_int(kernel, stage_, grid) ? "int" : "i64") {
  for (int64_t extent : stage_.extents) dims_.push_back({"0", extent, 0, false, false});
}

std::string StageEmitter::name(const std::string& kind) { return fmt::format("{}{}_{}", kind, number_, names_++); }

void StageEmitter::open(const std::string& text) {
  code_.open(text);
  memo_.emplace_back();
}

void StageEmitter::close() {
  code_.close();
  memo_.pop_back();
}

int64_t StageEmitter::iterations(const Loop& loop) const { return ceil_div(dims_[loop.dim].tile, loop.step); }

// The dimension's tile is the step now, at `base`.
void StageEmitter::enter(const Loop& loop, const std::string& base) {
  Dim& dim = dims_[loop.dim];
  dim.overhangs = dim.overhangs || dim.tile % loop.step != 0;
  dim.base = base;
  dim.low_multiple = loop.step;
  dim.tile = std::min(loop.step, std::max<int64_t>(dim.tile, 1));
  dim.has_loop = true;
}

// The positions of several loops that run as one, of which the last moves fastest.
void StageEmitter::split(const std::vector<Loop>& loops, const std::string& flat, const std::string& kind) {
  int64_t below = 1;
  std::vector<std::string> lines;
  for (size_t i = loops.size(); i-- > 0;) {
    const Loop& loop = loops[i];
    int64_t count = iterations(loop);
    std::string at = below == 1 ? flat : fmt::format("{} / {}", flat, below);
    if (i > 0) at = fmt::format("{} % {}", at, std::max<int64_t>(count, 1));
    std::string base = name(kind);
    std::string before = dims_[loop.dim].base == "0" ? "" : dims_[loop.dim].base + " + ";
    if (loop.step != 1) at = fmt::format("({}) * {}", at, loop.step);
    lines.push_back(fmt::format("const {} {} = {}{};", index_, base, before, at));
    enter(loop, base);
    below = checked_mul(below, std::max<int64_t>(count, 1));
  }
  for (const std::string& line : lines) code_.line(line);
}

void StageEmitter::open_range(const std::string& iteration) {
  std::vector<Loop> range;
  for (const Loop& loop : nest_)
    if (loop.binding == Loop::Binding::thread) range.push_back(loop);
  split(range, fmt::format("({}){}", index_, iteration), "i");
}

void StageEmitter::open_loop(const Loop& loop) {
  const Dim before = dims_[loop.dim];
  std::string base = name("i");
  std::string low = before.base, high = std::to_string(stage_.extents[loop.dim]);
  if (low != "0") {
    high = fmt::format("{} + {}", low, before.tile);
    if (before.overhangs) high = fmt::format("pw::min(({0})({1}), ({0}){2})", index_, high, stage_.extents[loop.dim]);
  }
  open(fmt::format("for ({} {} = {}; {} < {}; {} += {})", index_, base, low, base, high, base, loop.step));
  enter(loop, base);
}

// Loops whose iterations are dealt to the lanes: where all have as many, in turns whose count is a number, so that what
// several turns read is on its way at once. Where a tile before them was cut short, so are they.
void StageEmitter::open_lanes(const std::vector<Loop>& loops) {
  constexpr int64_t turns_at_once = 4;
  int64_t count = 1;
  std::vector<int> cut;
  for (const Loop& loop : loops) {
    count = checked_mul(count, iterations(loop));
    if (dims_[loop.dim].overhangs) cut.push_back(loop.dim);
  }
  const std::string flat = name("q");
  if (count % grid_.lanes == 0) {
    const std::string turn = name("n");
    code_.line(fmt::format("#pragma unroll {}", turns_at_once));
    open(fmt::format("for ({0} {1} = 0; {1} < {2}; ++{1})", index_, turn, count / grid_.lanes));
    code_.line(fmt::format("const {0} {1} = ({0})lane + {2} * {3};", index_, flat, turn, grid_.lanes));
  } else {
    open(fmt::format("for ({} {} = lane; {} < {}; {} += {})", index_, flat, flat, count, flat, grid_.lanes));
  }
  split(loops, flat, "i");
  for (int dim : cut) code_.line(fmt::format("if ({} >= {}) continue;", dims_[dim].base, stage_.extents[dim]));
}

void StageEmitter::emit(const std::string& iteration) {
  memo_.assign(1, {});
  size_t scopes = 0;
  if (how_.matrix) {
    emit_matrix(iteration);
    return;
  }
  open_range(how_.shares > 1 ? open_share(iteration) : iteration);
  if (is_tiled()) {
    emit_tiles();
    return;
  }
  if (is_transposed()) {
    emit_transposed();
    return;
  }
  if (is_columns()) {
    emit_columns();
    return;
  }
  std::vector<Loop> lanes;
  for (const Loop& loop : nest_) {
    if (loop.binding == Loop::Binding::thread || stage_.reduced[loop.dim]) continue;
    if (loop.binding == Loop::Binding::lane && grid_.lanes > 1)
      lanes.push_back(loop);
    else
      open_loop(loop), ++scopes;
  }
  for (int d = 0; d < stage_.rank(); ++d)
    if (!stage_.reduced[d] && !dims_[d].has_loop &&
        std::none_of(lanes.begin(), lanes.end(), [&](const Loop& loop) { return loop.dim == d; }))
      open_loop({d, 1, Loop::Binding::serial}), ++scopes;
  if (!lanes.empty())
    open_lanes(lanes), ++scopes;
  else if (grid_.lanes > 1 && !stage_.has_reduction())  // what is one's for each row, and may be in place
    open("if (lane == 0)"), ++scopes;
  is_repeated_ = scopes > 0;
  if (how_.shares > 1) skip_others();
  run_leaf();
  for (; scopes > 0; --scopes) close();
}

// The share, and what is left of the launch's range: neighbours in memory stay neighbours.
std::string StageEmitter::open_share(const std::string& iteration) {
  const int64_t below = grid_.range / how_.shares;
  const std::string rest = name("i");
  share_ = name("share");
  code_.line(fmt::format("const i64 {} = {} / {}, {} = {} % {};", share_, iteration, below, rest, iteration, below));
  return rest;
}

// In the innermost of the loops that are in order.
void StageEmitter::skip_others() {
  const Access& access = stage_.accesses[stage_.stores[0].access];
  const std::string index = node(BodyKind::body, access.indirect[0].node, Sizes(stage_.extents.size(), 0));
  code_.line(fmt::format("if ((u64){} % {} != (u64){}) continue;", index, how_.shares, share_));
}

void StageEmitter::run_leaf() {
  if (stage_.has_reduction())
    emit_reduction();
  else
    store_points(BodyKind::body, stage_.stores, tile_points(false));
}

// Offsets of the points that are written out. The vector dimension moves fastest.
std::vector<Sizes> StageEmitter::tile_points(bool reduced) const {
  std::vector<Sizes> points{Sizes(static_cast<size_t>(stage_.rank()), 0)};
  std::vector<int> order;
  for (int d = 0; d < stage_.rank(); ++d)
    if (stage_.reduced[d] == reduced && !is_vector(d)) order.push_back(d);
  if (how_.vector_dim >= 0 && stage_.reduced[how_.vector_dim] == reduced) order.push_back(how_.vector_dim);
  for (int d : order) {
    std::vector<Sizes> longer;
    for (const Sizes& point : points)
      for (int64_t at = 0; at < dims_[d].tile; ++at) {
        longer.push_back(point);
        longer.back()[d] = at;
      }
    points = std::move(longer);
  }
  return points;
}

// Whether a point lies inside the domain along dimensions whose tiles may pass its end; empty: always.
std::string StageEmitter::overhang(const Sizes& point, bool reduced) const {
  std::string condition;
  for (int d = 0; d < stage_.rank(); ++d) {
    if (stage_.reduced[d] != reduced || !dims_[d].overhangs || dims_[d].tile == 1) continue;
    if (!condition.empty()) condition += " && ";
    condition += fmt::format("{} + {} < {}", dims_[d].base, point[d], stage_.extents[d]);
  }
  return condition;
}

}  // namespace placewright
