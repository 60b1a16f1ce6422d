#include "placewright/codegen/apply_schedule.h"

#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "stage_lanes.h"

namespace placewright {
namespace {

[[noreturn]] void refuse(const Stage& stage, const std::string& what) {
  throw Error(fmt::format("schedule does not fit stage {}: {}", stage.name, what));
}

// --- Packs: a buffer, a copying stage and its schedule each
// ------------------------------------------------------------

// How a copy into `layout` runs: contiguous loads along the source's last dimension, and, where the target's innermost
// dimension is another one, tiles that are transposed in registers.
StageSchedule schedule_copy(const Layout& layout, const Sizes& extents, int lanes) {
  StageSchedule schedule;
  int rank = static_cast<int>(extents.size());
  int source = rank - 1;
  int64_t block = 1;
  int target = layout.order.empty() ? rank - 1 : layout.order.back();
  if (!layout.blocks.empty()) {
    target = layout.blocks.back().dim;
    block = layout.blocks.back().factor;
  }
  schedule.vector_dim = source;
  schedule.transposed_store = target != source;
  for (int d = 0; d < rank; ++d) {
    int64_t step = d == source ? lanes : 1;
    if (d == target) step = std::max<int64_t>(block, lanes);
    schedule.loops.push_back({d, step, d == 0 ? Loop::Binding::thread : Loop::Binding::serial});
  }
  return schedule;
}

void add_pack(StructuredKernel& kernel, Schedule& schedule, int stage_number, const Pack& pack, int vector_bits) {
  Stage& stage = kernel.stages[stage_number];
  Access& access = stage.accesses[pack.access];
  const KernelBuffer source = kernel.buffers[access.buffer];
  if (!source.layout.is_row_major()) refuse(stage, "a pack's source must be row-major");
  KernelBuffer packed{source.name + "_packed", source.dtype, source.sizes, pack.layout, KernelBuffer::Role::local, -1};
  int rank = static_cast<int>(source.sizes.size());
  Stage copy;
  copy.name = "pack " + source.name;
  Access load{access.buffer, {}, !pack.layout.padding.empty(), access.outside, {}};
  Access store{static_cast<int>(kernel.buffers.size()), {}, false, 0, {}};
  for (int d = 0; d < rank; ++d) {
    Layout::Padding padding = pack.layout.padding.empty() ? Layout::Padding{} : pack.layout.padding[d];
    copy.extents.push_back(source.sizes[d] + padding.low + padding.high);
    load.index.push_back(AffineExpr::dim(d, rank, 1, -padding.low));
    store.index.push_back(AffineExpr::dim(d, rank, 1, -padding.low));
  }
  copy.reduced.assign(rank, false);
  copy.accesses = {load, store};
  copy.body = {{.op = ScalarOp::load, .dtype = source.dtype, .slot = 0}};
  copy.stores = {{1, 0, false}};
  StageSchedule how = schedule_copy(pack.layout, copy.extents, vector_bits / info(source.dtype).bits);
  access.buffer = store.buffer;
  bool inside = access.guarded;
  for (size_t i = 0; i < access.index.size(); ++i) inside = inside && stays_in_padding(stage, access, packed, i);
  if (inside) access.guarded = false;
  kernel.buffers.push_back(std::move(packed));
  // The copy comes before the group and the phase that hold the stage.
  int first = 0, phase = 0, group = 0, group_in_phase = 0;
  while (first + schedule.groups[group].stages <= stage_number) {
    first += schedule.groups[group++].stages;
    if (++group_in_phase == schedule.phases[phase].groups) group_in_phase = 0, ++phase;
  }
  if (group_in_phase != 0) refuse(stage, "a packed stage must begin its phase");
  kernel.stages.insert(kernel.stages.begin() + first, std::move(copy));
  schedule.stages.insert(schedule.stages.begin() + first, std::move(how));
  schedule.groups.insert(schedule.groups.begin() + group, StageGroup{});
  schedule.phases.insert(schedule.phases.begin() + phase, Phase{});
}

void add_packs(StructuredKernel& kernel, Schedule& schedule, int vector_bits) {
  for (size_t stage = 0; stage < kernel.stages.size(); ++stage) {
    std::vector<Pack> packs = std::exchange(schedule.stages[stage].packs, {});
    for (const Pack& pack : packs) {
      size_t before = kernel.stages.size();
      add_pack(kernel, schedule, static_cast<int>(stage), pack, vector_bits);
      stage += kernel.stages.size() - before;
    }
  }
}

// --- Loops
// ---------------------------------------------------------------------------------------------------------------

int count_lanes(const StructuredKernel& kernel, const Stage& stage, int vector_bits, int vector_dim, int64_t tile) {
  int64_t lanes = vector_bits / lane_bits(kernel, stage, vector_dim);
  return static_cast<int>(std::min<int64_t>(lanes, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(tile)))));
}

class LoopMaker {
 public:
  LoopMaker(LoopKernel& loops, const Schedule& schedule, int vector_bits)
      : loops_(loops), schedule_(schedule), vector_bits_(vector_bits) {}

  std::vector<LoopNode> group(int first_stage, const StageGroup& group) {
    std::vector<LoopNode> leaves;
    for (int s = first_stage; s < first_stage + group.stages; ++s) leaves.push_back(stage_nodes(s, group.shared));
    return nest(group.shared, std::move(leaves), loops_.kernel.stages[first_stage]);
  }

 private:
  LoopNode stage_nodes(int number, const std::vector<Loop>& shared) {
    const Stage& stage = loops_.kernel.stages[number];
    const StageSchedule& how = schedule_.stages[number];
    LoopStage& made = loops_.stages[number];
    made.tiles = stage.extents;
    std::vector<bool> split(stage.extents.size());
    auto see = [&](const Loop& loop) {
      if (loop.dim < 0 || loop.dim >= stage.rank()) refuse(stage, fmt::format("there is no dimension {}", loop.dim));
      if (loop.step < 1) refuse(stage, fmt::format("step {} of dimension {}", loop.step, loop.dim));
      int64_t& tile = made.tiles[loop.dim];
      if (split[loop.dim] && tile % loop.step != 0)
        refuse(stage, fmt::format("step {} of dimension {} does not divide {}", loop.step, loop.dim, tile));
      tile = split[loop.dim] ? loop.step : std::min(loop.step, std::max<int64_t>(tile, 1));
      split[loop.dim] = true;
    };
    for (const Loop& loop : shared) {
      see(loop);
      if (stage.reduced[loop.dim]) refuse(stage, "a shared loop over a reduced dimension");
    }
    if (how.matrix) refuse(stage, "matrix tiles, which this target has no units for");
    if (how.shares != 1) refuse(stage, "shares of what is in order, which this target runs on one thread");
    LoopNode leaf;
    leaf.stage = number;
    std::vector<Loop> parallel;
    for (const Loop& loop : how.loops) {
      see(loop);
      if (!stage.reduced[loop.dim] && !leaf.reductions.empty())
        refuse(stage, "a loop over a parallel dimension inside one over a reduced dimension");
      if (stage.reduced[loop.dim])
        for (const Loop& outer : leaf.reductions)
          if (outer.dim == loop.dim) refuse(stage, "two loops over one reduced dimension");
      (stage.reduced[loop.dim] ? leaf.reductions : parallel).push_back(loop);
    }
    check_blocks(stage, made.tiles);
    made.vector_dim = how.vector_dim;
    made.partial_accumulators = how.partial_accumulators;
    made.transposed_store = how.transposed_store;
    if (made.vector_dim >= stage.rank()) refuse(stage, "there is no such vector dimension");
    if (made.vector_dim >= 0) {
      if (!stage.sequential.empty() && stage.sequential[made.vector_dim])
        refuse(stage, "a sequential vector dimension");
      made.lanes = count_lanes(loops_.kernel, stage, vector_bits_, made.vector_dim, made.tiles[made.vector_dim]);
      int64_t partials = stage.reduction.split.partials, lanes = stage.reduced[made.vector_dim] ? made.lanes : 1;
      if (partials > 1 && lanes * made.partial_accumulators != partials)
        refuse(stage,
               fmt::format("{} lanes by {} states for a split into {}", lanes, made.partial_accumulators, partials));
    }
    std::vector<LoopNode> body = nest(parallel, {leaf}, stage);
    if (body.size() == 1) return body[0];
    refuse(stage, "no loops");
  }

  // Tiles begin where blocks of the layouts begin, so that the addresses of tiles are a stride apart.
  void check_blocks(const Stage& stage, const Sizes& tiles) const {
    for (const Access& access : stage.accesses)
      for (const Layout::Block& block : loops_.kernel.buffers[access.buffer].layout.blocks)
        for (int d = 0; d < stage.rank(); ++d)
          if (access.index[block.dim].coefficients[d] != 0 && tiles[d] < stage.extents[d] &&
              tiles[d] % block.factor != 0)
            refuse(stage, fmt::format("tiles of {} along dimension {} cut blocks of {}", tiles[d], d, block.factor));
  }

  static std::vector<LoopNode> nest(const std::vector<Loop>& loops, std::vector<LoopNode> body, const Stage& stage) {
    for (size_t i = loops.size(); i-- > 0;) {
      LoopNode node;
      node.kind = LoopNode::Kind::loop;
      node.dim = loops[i].dim;
      node.step = loops[i].step;
      node.thread = loops[i].binding == Loop::Binding::thread;
      node.innermost = !has_loop_over(body, node.dim);
      if (node.thread && !stage.sequential.empty() && stage.sequential[node.dim])
        refuse(stage, "a thread loop over a sequential dimension");
      node.body = std::move(body);
      body = {std::move(node)};
    }
    return body;
  }

  static bool has_loop_over(const std::vector<LoopNode>& nodes, int dim) {
    return std::any_of(nodes.begin(), nodes.end(), [&](const LoopNode& node) {
      return node.kind == LoopNode::Kind::loop && (node.dim == dim || has_loop_over(node.body, dim));
    });
  }

  LoopKernel& loops_;
  const Schedule& schedule_;
  int vector_bits_;
};

// The thread loop must stand outermost and alone; elsewhere the binding is dropped, as a phase of several nests is
// serial.
void settle_threads(LoopFunction& function, const LoopKernel& loops) {
  auto drop = [](auto&& self, std::vector<LoopNode>& nodes) -> void {
    for (LoopNode& node : nodes) {
      node.thread = false;
      self(self, node.body);
    }
  };
  bool threaded = function.nodes.size() == 1 && function.nodes[0].thread;
  for (LoopNode& node : function.nodes) drop(drop, threaded ? node.body : function.nodes);
  if (!threaded) return;
  const LoopNode* leaf = &function.nodes[0];
  while (leaf->kind == LoopNode::Kind::loop) leaf = &leaf->body[0];
  int64_t extent = loops.kernel.stages[leaf->stage].extents[function.nodes[0].dim];
  function.extent = ceil_div(extent, function.nodes[0].step);
}

}  // namespace

LoopKernel apply_schedule(StructuredKernel kernel, Schedule schedule, int vector_bits, const std::string& symbol) {
  verify_kernel(kernel);
  verify_schedule(kernel, schedule);
  add_packs(kernel, schedule, vector_bits);
  LoopKernel loops;
  loops.kernel = std::move(kernel);
  loops.stages.resize(loops.kernel.stages.size());
  for (size_t b = 0; b < loops.kernel.buffers.size(); ++b) {
    const KernelBuffer& buffer = loops.kernel.buffers[b];
    if (buffer.role != KernelBuffer::Role::local || buffer.alias_of >= 0) continue;
    loops.workspaces.push_back(static_cast<int>(b));
    loops.workspace_bytes.push_back(byte_size(buffer.dtype, physical_elements(buffer)));
  }
  LoopMaker maker(loops, schedule, vector_bits);
  size_t group = 0;
  int stage = 0;
  for (size_t phase = 0; phase < schedule.phases.size(); ++phase) {
    LoopFunction function;
    function.symbol = fmt::format("{}_{}", symbol, phase);
    for (int i = 0; i < schedule.phases[phase].groups; ++i, ++group) {
      std::vector<LoopNode> nodes = maker.group(stage, schedule.groups[group]);
      function.nodes.insert(function.nodes.end(), nodes.begin(), nodes.end());
      stage += schedule.groups[group].stages;
    }
    settle_threads(function, loops);
    loops.functions.push_back(std::move(function));
  }
  PW_CHECK(stage == static_cast<int>(loops.kernel.stages.size()), "packs left groups that miss stages");
  return loops;
}

}  // namespace placewright
