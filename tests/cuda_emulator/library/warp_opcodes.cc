// Branches, ends, barriers, and what lanes of a warp tell each other.
#include "machine.h"

namespace cuda_emulator {
namespace {

constexpr int launch_failed = 719, trapped = 710;

void run_branch(Warp& warp, const Instruction&, uint32_t mask) { warp.taken = mask; }
void run_return(Warp& warp, const Instruction&, uint32_t mask) { warp.exited = mask; }
void run_nothing(Warp&, const Instruction&, uint32_t) {}

void run_trap(Warp& warp, const Instruction& instruction, uint32_t mask) {
  fail(warp, instruction, std::countr_zero(mask), trapped, "the kernel stopped itself");
}

// Threads that have returned are not waited for.
void run_barrier(Warp& warp, const Instruction& instruction, uint32_t mask) {
  if (mask != warp.live) fail(warp, instruction, -1, launch_failed, "a barrier that only a part of the warp reaches");
  if (instruction.count > 0 && warp.lanes(instruction.operands[0])[std::countr_zero(mask)] != 0)
    fail(warp, instruction, -1, launch_failed, "barriers other than 0 are not implemented");
  warp.at_barrier = true;
}

// The lanes that an instruction names must all be there.
void require_members(Warp& warp, const Instruction& instruction, uint32_t mask, uint32_t members) {
  if (members & warp.existing & ~mask)
    fail(warp, instruction, -1, launch_failed, "lanes that the mask names are elsewhere, or have returned");
  if (mask & ~members) fail(warp, instruction, -1, launch_failed, "lanes are here that the mask does not name");
}

uint32_t members_of(Warp& warp, const Instruction& instruction, uint32_t mask, int operand) {
  return static_cast<uint32_t>(warp.lanes(instruction.operands[operand])[std::countr_zero(mask)]);
}

void run_warp_barrier(Warp& warp, const Instruction& instruction, uint32_t mask) {
  require_members(warp, instruction, mask, members_of(warp, instruction, mask, 0));
  ++warp.epoch;
}

enum class Shuffle { up, down, butterfly, index };

// to|inside, value, which, clamp and segments, members.
template <Shuffle kind>
void run_shuffle(Warp& warp, const Instruction& instruction, uint32_t mask) {
  require_members(warp, instruction, mask, members_of(warp, instruction, mask, 5));
  std::array<uint64_t, 32> values, made{};
  std::memcpy(values.data(), warp.lanes(instruction.operands[2]), sizeof values);
  uint32_t inside_mask = 0;
  for (uint32_t lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1)) continue;
    auto which = static_cast<uint32_t>(warp.lanes(instruction.operands[3])[lane]) & 31;
    auto control = static_cast<uint32_t>(warp.lanes(instruction.operands[4])[lane]);
    uint32_t segment = control >> 8 & 31, clamp = control & 31;
    uint32_t last = (lane & segment) | (clamp & ~segment), first = lane & segment;
    uint32_t from = lane;
    bool inside = true;
    if (kind == Shuffle::up) {
      from = lane - which;
      inside = static_cast<int32_t>(from) >= static_cast<int32_t>(last);
    } else if (kind == Shuffle::down) {
      from = lane + which;
      inside = from <= last;
    } else if (kind == Shuffle::butterfly) {
      from = lane ^ which;
      inside = from <= last;
    } else {
      from = first | (which & ~segment);
      inside = from <= last;
    }
    if (!inside) from = lane;
    // The value of a lane that is not here is anything: NaN shows it.
    made[lane] = mask >> from & 1 ? values[from] & 0xffffffff : 0xffffffff;
    inside_mask |= static_cast<uint32_t>(inside) << lane;
  }
  for (uint32_t lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1)) continue;
    warp.lanes(instruction.operands[0])[lane] = made[lane];
    if (instruction.operands[1] >= 0) warp.lanes(instruction.operands[1])[lane] = inside_mask >> lane & 1;
  }
}

enum class Vote { ballot, any, all, uniform };

template <Vote kind>
void run_vote(Warp& warp, const Instruction& instruction, uint32_t mask) {
  require_members(warp, instruction, mask, members_of(warp, instruction, mask, 2));
  uint32_t votes = 0;
  for (uint32_t lane = 0; lane < 32; ++lane)
    if (mask >> lane & 1) votes |= static_cast<uint32_t>(warp.lanes(instruction.operands[1])[lane] & 1) << lane;
  uint64_t result = kind == Vote::ballot ? votes
                    : kind == Vote::any  ? votes != 0
                    : kind == Vote::all  ? votes == mask
                                         : votes == 0 || votes == mask;
  for (uint32_t lane = 0; lane < 32; ++lane)
    if (mask >> lane & 1) warp.lanes(instruction.operands[0])[lane] = result;
}

void run_active_mask(Warp& warp, const Instruction& instruction, uint32_t mask) {
  for (uint32_t lane = 0; lane < 32; ++lane)
    if (mask >> lane & 1) warp.lanes(instruction.operands[0])[lane] = mask;
}

}  // namespace

void add_warp_opcodes(OpcodeTable& table) {
  add_opcodes(table, "bra bra.uni", {&run_branch, 0});
  add_opcodes(table, "ret ret.uni exit", {&run_return, 0});
  add_opcodes(table, "trap", {&run_trap, 0});
  add_opcodes(table, "bar.sync barrier.sync.aligned barrier.sync", {&run_barrier, 1});
  add_opcodes(table, "bar.warp.sync", {&run_warp_barrier, 1});
  // The emulator's memory is strong: nothing passes anything else.
  add_opcodes(table,
              "membar.gl membar.cta membar.sys fence.acq_rel.gpu fence.acq_rel.cta fence.acq_rel.sys fence.sc.gpu",
              {&run_nothing, 0});
  add_opcodes(table, "shfl.sync.up.b32", {&run_shuffle<Shuffle::up>, -6});
  add_opcodes(table, "shfl.sync.down.b32", {&run_shuffle<Shuffle::down>, -6});
  add_opcodes(table, "shfl.sync.bfly.b32", {&run_shuffle<Shuffle::butterfly>, -6});
  add_opcodes(table, "shfl.sync.idx.b32", {&run_shuffle<Shuffle::index>, -6});
  add_opcodes(table, "vote.sync.ballot.b32", {&run_vote<Vote::ballot>, 3});
  add_opcodes(table, "vote.sync.any.pred", {&run_vote<Vote::any>, 3});
  add_opcodes(table, "vote.sync.all.pred", {&run_vote<Vote::all>, 3});
  add_opcodes(table, "vote.sync.uni.pred", {&run_vote<Vote::uniform>, 3});
  add_opcodes(table, "activemask.b32", {&run_active_mask, 1});
}

}  // namespace cuda_emulator
