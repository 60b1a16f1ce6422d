#include <algorithm>

#include "placewright/base/error.h"
#include "placewright/codegen/strategy.h"
#include "stage_planner.h"

namespace placewright {
namespace {

constexpr double serial_cycles = 20000;  // below this a kernel is not worth a fork and join

// Untiled dimensions outside, then the vector dimension, whose operand stays in cache while the rows pass by.
std::vector<int> parallel_order(const Stage& stage, const StageCandidate& candidate) {
  auto is_tiled = [&](int d) {
    return std::any_of(candidate.tile.begin(), candidate.tile.end(), [&](const auto& part) { return part.first == d; });
  };
  std::vector<int> order;
  for (int d = 0; d < stage.rank(); ++d)
    if (!stage.reduced[d] && d != candidate.vector_dim && !is_tiled(d)) order.push_back(d);
  const bool vectors = candidate.vector_dim >= 0 && !stage.reduced[candidate.vector_dim];
  if (vectors && stage.has_reduction()) order.push_back(candidate.vector_dim);
  for (auto [dim, step] : candidate.tile) order.push_back(dim);
  if (vectors && !stage.has_reduction()) order.push_back(candidate.vector_dim);
  return order;
}

int64_t tile_step(const StageCandidate& candidate, int d) {
  if (d == candidate.vector_dim) return candidate.vectors * candidate.lanes;
  if (d == candidate.chain_dim) return candidate.chains;
  if (d == candidate.run_dim) return candidate.run;
  for (auto [dim, step] : candidate.tile)
    if (dim == d) return step;
  return 1;
}

bool stores_transposed(const StageFacts& facts, const StageCandidate& candidate) {
  const Stage& stage = facts.stage();
  if (candidate.vector_dim < 0 || stage.reduced[candidate.vector_dim]) return false;
  auto is_transposed = [&](const Store& store) {
    return facts.stride(stage.accesses[store.access], candidate.vector_dim) != 1 &&
           (facts.transposes(candidate, store) || facts.interleaves(candidate, store));
  };
  return std::any_of(stage.stores.begin(), stage.stores.end(), is_transposed) ||
         std::any_of(stage.epilogue_stores.begin(), stage.epilogue_stores.end(), is_transposed);
}

StageSchedule schedule_of(const StageFacts& facts, const StageCandidate& candidate) {
  const Stage& stage = facts.stage();
  StageSchedule schedule;
  schedule.vector_dim = candidate.vector_dim;
  schedule.packs = candidate.packs;
  for (int d : parallel_order(stage, candidate))
    schedule.loops.push_back({d, tile_step(candidate, d), Loop::Binding::serial});
  if (!schedule.loops.empty() && !facts.is_sequential(schedule.loops[0].dim) && !facts.collides())
    schedule.loops[0].binding = Loop::Binding::thread;
  for (int d = 0; d < stage.rank(); ++d)
    if (stage.reduced[d] && !facts.is_written_out(candidate))
      schedule.loops.push_back({d, tile_step(candidate, d), Loop::Binding::serial});
  if (candidate.chains > 1) schedule.partial_accumulators = static_cast<int>(candidate.chains);
  if (candidate.vector_dim >= 0 && stage.reduced[candidate.vector_dim])
    schedule.partial_accumulators = static_cast<int>(candidate.vectors);
  schedule.transposed_store = stores_transposed(facts, candidate);
  return schedule;
}

int count_accesses(const StructuredKernel& kernel, int buffer) {
  int count = 0;
  for (const Stage& stage : kernel.stages)
    for (const Access& access : stage.accesses) count += access.buffer == buffer;
  return count;
}

}  // namespace

std::vector<WishedLayout> wished_layouts(const StructuredKernel& kernel, const CpuTarget& target) {
  std::vector<WishedLayout> wishes;
  for (size_t number = 0; number < kernel.stages.size(); ++number) {
    const Stage& stage = kernel.stages[number];
    StagePlanner planner(kernel, stage, target);
    if (!stage.has_reduction()) continue;
    double now = planner.best().cycles;
    for (int slot = 0; slot < static_cast<int>(stage.accesses.size()); ++slot) {
      int buffer = stage.accesses[slot].buffer;
      if (kernel.buffers[buffer].role != KernelBuffer::Role::input || count_accesses(kernel, buffer) != 1) continue;
      WishedLayout wish{buffer, {}, 0};
      for (Layout& layout : planner.packed_layouts(slot)) {
        StructuredKernel packed = kernel;
        packed.buffers[buffer].layout = layout;
        double saved = now - StagePlanner(packed, packed.stages[number], target).best().cycles;
        if (saved > wish.cycles) wish = {buffer, std::move(layout), saved};
      }
      if (wish.cycles > 0) wishes.push_back(std::move(wish));
    }
  }
  return wishes;
}

void split_reductions(StructuredKernel& kernel, const CpuTarget& target) {
  for (Stage& stage : kernel.stages)
    if (stage.has_reduction() && stage.reduction.split.partials == 0)
      stage.reduction.split = StagePlanner(kernel, stage, target).split();
}

Schedule choose_schedule(const StructuredKernel& kernel, const CpuTarget& target) {
  Schedule schedule;
  double total = 0;
  bool packs = false;
  for (const Stage& stage : kernel.stages) {
    StagePlanner planner(kernel, stage, target);
    StageCandidate best = planner.best();
    PW_CHECK(best.cycles < std::numeric_limits<double>::infinity(), "no tile fits the blocks of a stage's layouts");
    schedule.stages.push_back(schedule_of(planner.facts(), best));
    total += best.cycles;
    packs = packs || !best.packs.empty();
    schedule.groups.push_back({1, {}});
  }
  if (total < serial_cycles && !packs)
    schedule.phases = {Phase{static_cast<int>(kernel.stages.size())}};
  else
    schedule.phases.assign(kernel.stages.size(), Phase{1});
  return schedule;
}

}  // namespace placewright
