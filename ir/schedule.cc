// Text form of schedules, and what a schedule must fulfil to fit a kernel.
#include "placewright/ir/schedule.h"

#include <algorithm>

#include <fmt/core.h>

#include "placewright/base/error.h"
#include "placewright/base/join.h"
#include "placewright/base/lexer.h"

namespace placewright {
namespace {

// --- Printing

std::string text_of(const std::vector<Loop>& loops) {
  std::vector<std::string> parts;
  for (const Loop& loop : loops)
    parts.push_back(fmt::format("d{} by {}{}", loop.dim, loop.step,
                                loop.binding == Loop::Binding::thread ? " thread"
                                : loop.binding == Loop::Binding::lane ? " lane"
                                                                      : ""));
  return fmt::format("[{}]", join(parts, ", "));
}

std::string text_of(char letter, const std::vector<int>& numbers) {
  std::vector<std::string> names;
  for (int number : numbers) names.push_back(fmt::format("{}{}", letter, number));
  return fmt::format("[{}]", join(names, ", "));
}

std::string text_of(const Pack& pack) {
  std::string text = fmt::format(" pack a{}", pack.access);
  if (!pack.layout.order.empty()) text += fmt::format(" order [{}]", join(pack.layout.order, ", "));
  for (const Layout::Block& block : pack.layout.blocks) text += fmt::format(" block {}:{}", block.dim, block.factor);
  for (const Layout::Padding& padding : pack.layout.padding)
    text += fmt::format(" pad {}..{}", padding.low, padding.high);
  return text;
}

std::string text_of(const MatrixTiles& tiles) {
  auto side = [](const MatrixTiles::Side& side) {
    return fmt::format("{} by {} by {}", text_of('d', side.dims), side.tile, side.part);
  };
  return fmt::format(" matrix rows {} columns {} depth {} by {}", side(tiles.rows), side(tiles.columns),
                     text_of('d', tiles.depth), tiles.step);
}

std::string text_of(const StageSchedule& stage) {
  std::string text = fmt::format("  stage {}", text_of(stage.loops));
  if (stage.vector_dim >= 0) text += fmt::format(" vector d{}", stage.vector_dim);
  if (stage.reduction_unroll != 1) text += fmt::format(" unroll {}", stage.reduction_unroll);
  if (stage.partial_accumulators != 1) text += fmt::format(" accumulators {}", stage.partial_accumulators);
  if (stage.matrix) text += text_of(*stage.matrix);
  if (stage.transposed_store) text += " transposed_store";
  if (stage.shares != 1) text += fmt::format(" shares {}", stage.shares);
  for (const Pack& pack : stage.packs) text += text_of(pack);
  return text + "\n";
}

// --- Parsing

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text, "schedule") {}

  Schedule schedule() {
    Schedule schedule;
    lexer_.expect("schedule");
    lexer_.expect("{");
    while (lexer_.accept("stage")) schedule.stages.push_back(stage());
    while (lexer_.accept("group")) {
      StageGroup group{number("a number of stages"), {}, 1};
      if (lexer_.accept("shared")) group.shared = loops();
      if (lexer_.accept("lanes")) group.lanes = number("a number of lanes");
      if (lexer_.accept("held")) group.held = numbers('b', "a buffer such as b0");
      schedule.groups.push_back(std::move(group));
    }
    while (lexer_.accept("phase")) schedule.phases.push_back({number("a number of groups")});
    if (!lexer_.accept("}")) lexer_.fail("stage, group, phase (in this order) or }");
    if (!lexer_.at_end()) lexer_.fail("the end");
    return schedule;
  }

 private:
  int number(std::string_view what) {
    size_t at = lexer_.position();
    int64_t value = lexer_.integer(what);
    if (value < 0 || value > 1'000'000'000) lexer_.fail_at(at, fmt::format("found {}, expected {}", value, what));
    return static_cast<int>(value);
  }

  int numbered(char letter, std::string_view what) {
    size_t at = lexer_.position();
    std::string word = lexer_.identifier(what);
    bool good = word.size() > 1 && word.size() < 9 && word[0] == letter && (word[1] != '0' || word.size() == 2);
    int value = 0;
    for (size_t i = 1; good && i < word.size(); ++i) {
      good = word[i] >= '0' && word[i] <= '9';
      value = value * 10 + (word[i] - '0');
    }
    if (!good) lexer_.fail_at(at, fmt::format("found '{}', expected {}", word, what));
    return value;
  }

  std::vector<Loop> loops() {
    std::vector<Loop> loops;
    lexer_.expect("[");
    while (!lexer_.accept("]")) {
      Loop loop;
      loop.dim = numbered('d', "a dimension such as d0");
      lexer_.expect("by");
      loop.step = lexer_.integer("a step");
      if (lexer_.accept("thread"))
        loop.binding = Loop::Binding::thread;
      else if (lexer_.accept("lane"))
        loop.binding = Loop::Binding::lane;
      loops.push_back(loop);
      if (!lexer_.next_is("]")) lexer_.expect(",");
    }
    return loops;
  }

  std::vector<int> numbers(char letter, std::string_view what) {
    std::vector<int> numbers;
    lexer_.expect("[");
    while (!lexer_.accept("]")) {
      numbers.push_back(numbered(letter, what));
      if (!lexer_.next_is("]")) lexer_.expect(",");
    }
    return numbers;
  }

  std::vector<int> dims() { return numbers('d', "a dimension such as d0"); }

  MatrixTiles::Side side() {
    MatrixTiles::Side side{dims(), 1, 1};
    lexer_.expect("by");
    side.tile = number("a tile");
    lexer_.expect("by");
    side.part = number("a part of it");
    return side;
  }

  MatrixTiles matrix() {
    MatrixTiles tiles;
    lexer_.expect("rows");
    tiles.rows = side();
    lexer_.expect("columns");
    tiles.columns = side();
    lexer_.expect("depth");
    tiles.depth = dims();
    lexer_.expect("by");
    tiles.step = number("a step");
    return tiles;
  }

  Pack pack() {
    Pack pack{numbered('a', "an access such as a0"), {}};
    if (lexer_.accept("order")) {
      lexer_.expect("[");
      while (!lexer_.accept("]")) {
        pack.layout.order.push_back(number("a dimension"));
        if (!lexer_.next_is("]")) lexer_.expect(",");
      }
    }
    while (lexer_.accept("block")) {
      int dim = number("a dimension");
      lexer_.expect(":");
      pack.layout.blocks.push_back({dim, lexer_.integer("a factor")});
    }
    while (lexer_.accept("pad")) {
      Layout::Padding padding;
      padding.low = lexer_.integer("elements of padding");
      lexer_.expect("..");
      padding.high = lexer_.integer("elements of padding");
      pack.layout.padding.push_back(padding);
    }
    return pack;
  }

  StageSchedule stage() {
    StageSchedule stage;
    stage.loops = loops();
    if (lexer_.accept("vector")) stage.vector_dim = numbered('d', "a dimension such as d0");
    if (lexer_.accept("unroll")) stage.reduction_unroll = number("a factor");
    if (lexer_.accept("accumulators")) stage.partial_accumulators = number("a number of accumulators");
    if (lexer_.accept("matrix")) stage.matrix = matrix();
    stage.transposed_store = lexer_.accept("transposed_store");
    if (lexer_.accept("shares")) stage.shares = number("a number of shares");
    while (lexer_.accept("pack")) stage.packs.push_back(pack());
    return stage;
  }

  Lexer lexer_;
};

// --- Verifying

class Verifier {
 public:
  Verifier(const StructuredKernel& kernel, const Schedule& schedule) : kernel_(kernel), schedule_(schedule) {}

  void run() {
    where_ = "kernel " + kernel_.name;
    require(schedule_.stages.size() == kernel_.stages.size(), "the schedule has {} stages, the kernel {}",
            schedule_.stages.size(), kernel_.stages.size());
    size_t group = 0, stage = 0;
    for (const Phase& phase : schedule_.phases) {
      require(phase.groups >= 1 && group + static_cast<size_t>(phase.groups) <= schedule_.groups.size(),
              "a phase of {} groups, where {} are left", phase.groups, schedule_.groups.size() - group);
      for (int i = 0; i < phase.groups; ++i) {
        check_group(schedule_.groups[group++], stage);
      }
    }
    where_ = "kernel " + kernel_.name;
    require(group == schedule_.groups.size() && stage == kernel_.stages.size(),
            "the phases cover {} groups of {} and {} stages of {}", group, schedule_.groups.size(), stage,
            kernel_.stages.size());
  }

 private:
  template <typename... Parts>
  void require(bool good, fmt::format_string<Parts...> format, Parts&&... parts) const {
    if (!good) throw Error(where_ + ": " + fmt::format(format, std::forward<Parts>(parts)...));
  }

  void check_group(const StageGroup& group, size_t& stage) {
    require(group.stages >= 1 && stage + static_cast<size_t>(group.stages) <= kernel_.stages.size(),
            "a group of {} stages, where {} are left", group.stages, kernel_.stages.size() - stage);
    size_t first = stage;
    for (int i = 0; i < group.stages; ++i) check_stage(stage++, group, kernel_.stages[first]);
    where_ = "kernel " + kernel_.name;
    for (const Loop& loop : group.shared)
      for (size_t a = first; a < stage; ++a)
        for (size_t b = a + 1; b < stage; ++b)
          require(independent(kernel_.stages[a], kernel_.stages[b], loop.dim),
                  "stages {} and {} share the loop over d{}, but exchange values between its iterations", a, b,
                  loop.dim);
    for (int buffer : group.held)
      require(may_hold(kernel_, first, group, buffer), "b{} is held, but not a local of one iteration each", buffer);
  }

  static std::vector<const Access*> touched(const Stage& stage, bool written) {
    std::vector<const Access*> accesses;
    if (written) {
      for (const std::vector<Store>* stores : {&stage.stores, &stage.epilogue_stores})
        for (const Store& store : *stores) accesses.push_back(&stage.accesses[store.access]);
      return accesses;
    }
    for (const ScalarBody* body : {&stage.body, &stage.epilogue})
      for (const ScalarNode& node : *body)
        if (node.op == ScalarOp::load) accesses.push_back(&stage.accesses[node.slot]);
    return accesses;
  }

  int root(int buffer) const {
    while (kernel_.buffers[buffer].alias_of >= 0) buffer = kernel_.buffers[buffer].alias_of;
    return buffer;
  }

  // Whether what two stages exchange stays within one index of the dimension.
  bool independent(const Stage& a, const Stage& b, int dim) const {
    for (bool a_writes : {true, false})
      for (bool b_writes : {true, false}) {
        if (!a_writes && !b_writes) continue;
        for (const Access* x : touched(a, a_writes))
          for (const Access* y : touched(b, b_writes))
            if (root(x->buffer) == root(y->buffer) && !meet_at_one_index(kernel_, a, *x, b, *y, dim)) return false;
      }
    return true;
  }

  void check_stage(size_t number, const StageGroup& group, const Stage& first) {
    const Stage& stage = kernel_.stages[number];
    const StageSchedule& how = schedule_.stages[number];
    where_ = fmt::format("kernel {}, schedule of stage {} ({})", kernel_.name, number, stage.name);
    Sizes tiles = stage.extents;
    std::vector<int> loops_over(tiles.size());
    auto see = [&](const Loop& loop) {
      require(loop.dim >= 0 && loop.dim < stage.rank(), "there is no dimension d{}", loop.dim);
      require(loop.step >= 1, "step {} of d{}", loop.step, loop.dim);
      require(loops_over[loop.dim] == 0 || tiles[loop.dim] % loop.step == 0, "step {} of d{} does not divide {}",
              loop.step, loop.dim, tiles[loop.dim]);
      tiles[loop.dim] = std::min(loop.step, std::max<int64_t>(tiles[loop.dim], 1));
      ++loops_over[loop.dim];
    };
    for (const Loop& loop : group.shared) {
      see(loop);
      require(loop.dim < first.rank() && stage.extents[loop.dim] == first.extents[loop.dim],
              "d{} is shared, but its extent is {}", loop.dim, stage.extents[loop.dim]);
      require(!stage.reduced[loop.dim], "d{} is shared, but reduced", loop.dim);
    }
    bool in_reduction = false;
    for (const Loop& loop : how.loops) {
      see(loop);
      require(stage.reduced[loop.dim] || !in_reduction, "parallel d{} inside a reduced dimension", loop.dim);
      require(!stage.reduced[loop.dim] || loops_over[loop.dim] == 1, "two loops over reduced d{}", loop.dim);
      in_reduction = stage.reduced[loop.dim];
    }
    check_threads(stage, how, group);
    check_lanes(stage, how, group);
    check_sequential(stage, how, group);
    require(how.vector_dim >= -1 && how.vector_dim < stage.rank(), "there is no dimension d{}", how.vector_dim);
    require(how.vector_dim < 0 || !is_sequential(stage, how.vector_dim), "vectors along sequential d{}",
            how.vector_dim);
    require(how.reduction_unroll >= 1 && how.partial_accumulators >= 1, "unroll {}, accumulators {}",
            how.reduction_unroll, how.partial_accumulators);
    check_split(stage, how);
    require(how.shares == 1 || (how.shares > 1 && can_share(stage) && group.stages == 1 && group.lanes == 1 &&
                                how.vector_dim < 0 && how.packs.empty()),
            "{} shares", how.shares);
    if (how.matrix) check_matrix(stage, how, group);
    for (const Pack& pack : how.packs) check_pack(stage, pack);
  }

  // Every dimension is a thread loop's or the tiles', a reduced one their depth's; the lanes are as many as the parts
  // ask for; and the kernel lets the factors be rounded.
  void check_matrix(const Stage& stage, const StageSchedule& how, const StageGroup& group) const {
    const MatrixTiles& tiles = *how.matrix;
    require(stage.reduction.precision != Precision::f32 && stage.reduction.split.partials == 0,
            "matrix tiles of a reduction whose precision is {} and whose split is {}", name(stage.reduction.precision),
            stage.reduction.split.partials);
    require(group.stages == 1 && group.shared.empty() && how.vector_dim < 0 && how.packs.empty(),
            "matrix tiles beside shared loops, vectors or packs");
    std::vector<int> uses(stage.extents.size());
    for (const Loop& loop : how.loops) {
      require(loop.binding == Loop::Binding::thread && loop.step == 1, "a loop over d{} beside matrix tiles", loop.dim);
      ++uses[loop.dim];
    }
    auto take = [&](const std::vector<int>& dims, bool reduced) {
      require(!dims.empty(), "matrix tiles without rows, columns or depth");
      for (int dim : dims) {
        require(dim >= 0 && dim < stage.rank(), "there is no dimension d{}", dim);
        require(stage.reduced[dim] == reduced && !is_sequential(stage, dim), "matrix tiles along d{}", dim);
        ++uses[dim];
      }
    };
    take(tiles.rows.dims, false);
    take(tiles.columns.dims, false);
    take(tiles.depth, true);
    for (size_t d = 0; d < uses.size(); ++d)
      require(uses[d] == 1, "d{} stands in {} loops and matrix tiles", d, uses[d]);
    int64_t parts = 1;
    for (const MatrixTiles::Side* side : {&tiles.rows, &tiles.columns}) {
      require(side->part >= 1 && side->tile >= 1 && side->tile % side->part == 0, "matrix tiles of {} in parts of {}",
              side->tile, side->part);
      parts *= side->tile / side->part;
    }
    require(tiles.step >= 1 && group.lanes == 32 * parts, "{} lanes for matrix tiles of {} parts", group.lanes, parts);
  }

  // A decided split is kept: vectors along its dimension, or as many accumulators; and one turn of the loop over it for
  // all partial states.
  void check_split(const Stage& stage, const StageSchedule& how) const {
    const Split& split = stage.reduction.split;
    if (split.partials == 0) return;
    bool along_reduced = how.vector_dim >= 0 && stage.reduced[how.vector_dim];
    bool kept =
        along_reduced ? split.partials > 1 && how.vector_dim == split.dim : how.partial_accumulators == split.partials;
    require(kept, "vectors along d{} and {} accumulators, but the reduction is split into {} along d{}", how.vector_dim,
            how.partial_accumulators, split.partials, split.dim);
    for (const Loop& loop : how.loops)
      require(loop.dim != split.dim || loop.step == split.partials, "step {} of d{}, which is split into {}", loop.step,
              loop.dim, split.partials);
  }

  static bool is_sequential(const Stage& stage, int dim) { return !stage.sequential.empty() && stage.sequential[dim]; }

  void check_threads(const Stage& stage, const StageSchedule& how, const StageGroup& group) const {
    std::vector<Loop> nest = group.shared;
    nest.insert(nest.end(), how.loops.begin(), how.loops.end());
    for (size_t i = 0; i < nest.size(); ++i) {
      if (nest[i].binding != Loop::Binding::thread) continue;
      require(i == 0 || nest[i - 1].binding == Loop::Binding::thread, "the thread loop over d{} is not outermost",
              nest[i].dim);
      require(!stage.reduced[nest[i].dim] && !is_sequential(stage, nest[i].dim),
              "threads over d{}, which is reduced or sequential", nest[i].dim);
    }
  }

  // Lanes share out parallel dimensions, or join what each of them reduced, or both, one of each; without a fixed order
  // of states, so not where it was decided.
  void check_lanes(const Stage& stage, const StageSchedule& how, const StageGroup& group) const {
    require(group.lanes >= 1, "{} lanes", group.lanes);
    int parallel = 0, reduced = 0;
    for (const Loop& loop : group.shared)
      require(loop.binding != Loop::Binding::lane, "d{} is shared, but dealt to lanes", loop.dim);
    for (const Loop& loop : how.loops) {
      if (loop.binding != Loop::Binding::lane) continue;
      require(!is_sequential(stage, loop.dim), "lanes over sequential d{}", loop.dim);
      ++(stage.reduced[loop.dim] ? reduced : parallel);
    }
    require(parallel == 0 || reduced == 0 || (parallel == 1 && reduced == 1 && group.stages == 1),
            "lanes over {} parallel and {} reduced dimensions of {} stages", parallel, reduced, group.stages);
    require(reduced == 0 || stage.reduction.split.partials == 0,
            "lanes join a reduction that is split into {} along d{}", stage.reduction.split.partials,
            stage.reduction.split.dim);
  }

  // Sequential dimensions run in the order of the domain, one index after the other.
  void check_sequential(const Stage& stage, const StageSchedule& how, const StageGroup& group) const {
    int last = -1;
    std::vector<Loop> nest = group.shared;
    nest.insert(nest.end(), how.loops.begin(), how.loops.end());
    for (const Loop& loop : nest) {
      if (!is_sequential(stage, loop.dim)) continue;
      require(loop.step == 1, "step {} of sequential d{}", loop.step, loop.dim);
      require(loop.dim > last, "sequential d{} inside d{}", loop.dim, last);
      last = loop.dim;
    }
  }

  void check_pack(const Stage& stage, const Pack& pack) const {
    require(pack.access >= 0 && pack.access < static_cast<int>(stage.accesses.size()), "there is no access a{} to pack",
            pack.access);
    const Access& access = stage.accesses[pack.access];
    require(access.indirect.empty(), "a{} is indirect and cannot be packed", pack.access);
    std::vector<const Access*> loads = touched(stage, false);
    require(std::find(loads.begin(), loads.end(), &access) != loads.end(), "a{} is packed, but not loaded",
            pack.access);
    size_t rank = access.index.size();
    std::vector<int> order = pack.layout.order;
    std::sort(order.begin(), order.end());
    bool good = order.empty() || order.size() == rank;
    for (size_t i = 0; i < order.size(); ++i) good = good && order[i] == static_cast<int>(i);
    require(good, "a{}: the pack's order is no permutation of {} dimensions", pack.access, rank);
    for (const Layout::Block& block : pack.layout.blocks)
      require(block.dim >= 0 && block.dim < static_cast<int>(rank) && block.factor >= 1, "a{}: a block of d{} by {}",
              pack.access, block.dim, block.factor);
    require(pack.layout.padding.empty() || pack.layout.padding.size() == rank, "a{}: padding is not one a dimension",
            pack.access);
  }

  const StructuredKernel& kernel_;
  const Schedule& schedule_;
  std::string where_;
};

}  // namespace

bool meet_at_one_index(const StructuredKernel& kernel, const Stage& a, const Access& x, const Stage& b, const Access& y,
                       int dim) {
  const Sizes &first = kernel.buffers[x.buffer].sizes, &second = kernel.buffers[y.buffer].sizes;
  auto is_moved = [](const Access& access, size_t i) {
    return std::any_of(access.indirect.begin(), access.indirect.end(),
                       [&](const Access::Indirect& part) { return part.dim == static_cast<int>(i); });
  };
  for (size_t i = 0; i < std::min(first.size(), second.size()); ++i) {
    if (!std::equal(first.begin() + static_cast<std::ptrdiff_t>(i) + 1, first.end(),
                    second.begin() + static_cast<std::ptrdiff_t>(i) + 1, second.end()))
      continue;
    if (is_moved(x, i) || is_moved(y, i)) continue;
    if (x.index[i] == AffineExpr::dim(dim, a.rank()) && y.index[i] == AffineExpr::dim(dim, b.rank())) return true;
  }
  return false;
}

bool may_hold(const StructuredKernel& kernel, size_t first, const StageGroup& group, int buffer) {
  if (buffer < 0 || buffer >= static_cast<int>(kernel.buffers.size()) || group.shared.empty()) return false;
  const KernelBuffer& held = kernel.buffers[buffer];
  if (held.role != KernelBuffer::Role::local || held.alias_of >= 0 || !held.layout.is_row_major()) return false;
  for (const KernelBuffer& other : kernel.buffers)
    if (other.alias_of == buffer) return false;
  if (held.sizes.size() < group.shared.size()) return false;
  for (size_t d = 0; d < group.shared.size(); ++d)
    if (group.shared[d] != Loop{static_cast<int>(d), 1, Loop::Binding::thread}) return false;
  for (size_t s = 0; s < kernel.stages.size(); ++s) {
    const Stage& stage = kernel.stages[s];
    const bool is_inside = s >= first && s < first + static_cast<size_t>(group.stages);
    for (const Access& access : stage.accesses) {
      if (access.buffer != buffer) continue;
      if (!is_inside) return false;
      for (size_t d = 0; d < group.shared.size(); ++d) {
        const int dim = static_cast<int>(d);
        if (held.sizes[d] != stage.extents[d] || access.index[d] != AffineExpr::dim(dim, stage.rank())) return false;
        for (const Access::Indirect& part : access.indirect)
          if (part.dim == dim) return false;
      }
    }
  }
  return true;
}

bool can_share(const Stage& stage) {
  if (stage.has_reduction() || stage.stores.size() != 1 || !stage.stores[0].add) return false;
  const Access& access = stage.accesses[stage.stores[0].access];
  if (access.indirect.size() != 1) return false;
  const Sizes& moves = access.index[access.indirect[0].dim].coefficients;
  return std::all_of(moves.begin(), moves.end(), [](int64_t coefficient) { return coefficient == 0; });
}

std::string print_schedule(const Schedule& schedule) {
  std::string text = "schedule {\n";
  for (const StageSchedule& stage : schedule.stages) text += text_of(stage);
  for (const StageGroup& group : schedule.groups)
    text +=
        fmt::format("  group {}{}{}{}\n", group.stages, group.shared.empty() ? "" : " shared " + text_of(group.shared),
                    group.lanes == 1 ? "" : fmt::format(" lanes {}", group.lanes),
                    group.held.empty() ? "" : " held " + text_of('b', group.held));
  for (const Phase& phase : schedule.phases) text += fmt::format("  phase {}\n", phase.groups);
  return text + "}\n";
}

Schedule parse_schedule(std::string_view text) { return Parser(text).schedule(); }

void verify_schedule(const StructuredKernel& kernel, const Schedule& schedule) { Verifier(kernel, schedule).run(); }

}  // namespace placewright
