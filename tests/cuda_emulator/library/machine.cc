#include "machine.h"

#include <algorithm>
#include <sstream>

namespace cuda_emulator {
namespace {

constexpr int illegal_address = 700, timeout = 702, misaligned_address = 716, launch_failed = 719;
constexpr uint64_t unwritten = 0x7ff8dead7fc0dead;  // a register: NaN in f32 and in f64, and no number that is meant
constexpr uint64_t gap = 4096;                      // unused, behind each allocation

std::string hex(uint64_t value) {
  std::ostringstream text;
  text << "0x" << std::hex << value;
  return text.str();
}

std::string triple(const Sizes3& sizes) {
  return "(" + std::to_string(sizes[0]) + "," + std::to_string(sizes[1]) + "," + std::to_string(sizes[2]) + ")";
}

Sizes3 thread_of(const Warp& warp, uint32_t lane) {
  const Sizes3& threads = warp.group->launch->threads;
  uint32_t number = warp.index * 32 + lane;
  return {number % threads[0], number / threads[0] % threads[1], number / threads[0] / threads[1]};
}

}  // namespace

uint64_t Memory::allocate(uint64_t bytes) {
  if (bytes == 0 || bytes > limit || used_ > limit - bytes) return 0;
  Allocation allocation;
  allocation.own.reset(new (std::nothrow) uint8_t[bytes]);
  if (!allocation.own) return 0;
  allocation.host = allocation.own.get();
  std::memset(allocation.host, 0xff, bytes);
  allocation.begin = next_;
  allocation.bytes = bytes;
  next_ += (bytes + 511) / 512 * 512 + gap;
  used_ += bytes;
  uint64_t begin = allocation.begin;
  allocations_.emplace(begin, std::move(allocation));
  return begin;
}

bool Memory::free(uint64_t address) {
  auto found = allocations_.find(address);
  if (found == allocations_.end() || !found->second.own) return false;
  used_ -= found->second.bytes;
  last_ = nullptr;
  allocations_.erase(found);
  return true;
}

void Memory::add_host(void* host, uint64_t bytes) {
  auto begin = reinterpret_cast<uint64_t>(host);
  allocations_[begin] = {begin, bytes, nullptr, static_cast<uint8_t*>(host), nullptr};
}

bool Memory::remove_host(void* host) {
  last_ = nullptr;
  return allocations_.erase(reinterpret_cast<uint64_t>(host)) > 0;
}

uint8_t* Memory::find(uint64_t address, uint64_t bytes, std::string* wrong) const {
  if (last_ && address - last_->begin < last_->bytes && bytes <= last_->bytes - (address - last_->begin))
    return last_->host + (address - last_->begin);
  auto next = allocations_.upper_bound(address);
  if (next == allocations_.begin()) {
    if (wrong) *wrong = "no allocation lies there";
    return nullptr;
  }
  const Allocation& allocation = std::prev(next)->second;
  uint64_t offset = address - allocation.begin;
  if (offset <= allocation.bytes && bytes <= allocation.bytes - offset) {
    last_ = &allocation;
    return allocation.host + offset;
  }
  if (wrong)
    *wrong = "offset " + std::to_string(offset) + " of the allocation of " + std::to_string(allocation.bytes) +
             " bytes before it";
  return nullptr;
}

void fail(const Warp& warp, const Instruction& instruction, int lane, int result, const std::string& what) {
  const LaunchFacts& launch = *warp.group->launch;
  const std::vector<std::string>& lines = launch.module->lines;
  auto line = static_cast<size_t>(instruction.line);
  std::string text = line > 0 && line <= lines.size() ? lines[line - 1] : "";
  text.erase(0, text.find_first_not_of(" \t"));
  for (char& c : text)
    if (c == '\t') c = ' ';
  std::string where = lane < 0 ? "warp " + std::to_string(warp.index)
                               : "thread " + triple(thread_of(warp, static_cast<uint32_t>(lane)));
  throw Fault(result, "kernel " + launch.kernel->name + ", PTX line " + std::to_string(instruction.line) + " (" + text +
                          "), source line " + std::to_string(instruction.source_line) + ", " + where + " of group " +
                          triple(warp.group->id) + ": " + what);
}

namespace {

// `what`: names the piece of memory, for the message of a race.
template <class What>
void check_race(Shadow& shadow, Warp& warp, const Instruction& instruction, uint32_t lane, Access access, What what) {
  Group& group = *warp.group;
  auto self = static_cast<uint16_t>(warp.index * 32 + lane);
  auto race = [&](uint16_t other, const char* did) {
    fail(warp, instruction, static_cast<int>(lane), launch_failed,
         "race on " + what() + ": thread " + std::to_string(other) + did + ", and no barrier lies between");
  };
  auto clashes = [&](uint16_t other, uint32_t epoch, uint32_t warp_epoch) {
    if (epoch != group.epoch || other == self) return false;
    return other / 32 != warp.index || warp_epoch == warp.epoch;
  };
  bool both_atomic = access == Access::atomic && shadow.atomic;
  if (!both_atomic && shadow.write_epoch && clashes(shadow.writer, shadow.write_epoch, shadow.write_warp_epoch))
    race(shadow.writer, " wrote it");
  if (access == Access::read) {
    bool again = shadow.read_epoch == group.epoch;
    shadow.many_readers = again && (shadow.many_readers || shadow.reader != self);
    shadow.reader = self;
    shadow.read_epoch = group.epoch;
    shadow.read_warp_epoch = warp.epoch;
    return;
  }
  if (shadow.read_epoch && (clashes(shadow.reader, shadow.read_epoch, shadow.read_warp_epoch) ||
                            (shadow.many_readers && shadow.read_epoch == group.epoch &&
                             (shadow.reader / 32 != warp.index || shadow.read_warp_epoch == warp.epoch))))
    race(shadow.reader, " read it");
  shadow.writer = self;
  shadow.write_epoch = group.epoch;
  shadow.write_warp_epoch = warp.epoch;
  shadow.atomic = access == Access::atomic;
}

// Groups of a launch run in any order, and at once: what one writes no other may touch, but by atomics.
void check_groups(GlobalShadow& shadow, Warp& warp, const Instruction& instruction, uint32_t lane, Access access,
                  uint64_t address) {
  const Group& group = *warp.group;
  auto is_other = [&](uint32_t number) { return number >= group.first_number && number != group.number; };
  auto race = [&](uint32_t other, const char* did) {
    fail(warp, instruction, static_cast<int>(lane), launch_failed,
         "race on the memory at " + hex(address) + ": group " + std::to_string(other - group.first_number) +
             " of the launch" + did + ", and groups run in any order");
  };
  if (is_other(shadow.writer) && !(access == Access::atomic && shadow.atomic)) race(shadow.writer, " wrote it");
  // Of several groups the first stays: to those that come later it is another one.
  if (access == Access::read) {
    if (!is_other(shadow.reader)) shadow.reader = group.number;
    return;
  }
  if (is_other(shadow.reader)) race(shadow.reader, " read it");
  if (!is_other(shadow.writer)) shadow.writer = group.number;
  shadow.atomic = access == Access::atomic;
}

void check_global(Warp& warp, const Instruction& instruction, uint32_t lane, uint64_t address, uint32_t bytes,
                  Access access) {
  if (bytes < 4) return;
  const Group& group = *warp.group;
  for (uint64_t at = address; at < address + bytes; at += 4) {
    GlobalShadow* shadow = group.memory->shadow(at);
    if (!shadow) return;
    check_groups(*shadow, warp, instruction, lane, access, at);
    if (shadow->group != group.number) shadow->group = group.number, shadow->touched = {};
    check_race(shadow->touched, warp, instruction, lane, access, [&] { return "the memory at " + hex(at); });
  }
}

}  // namespace

GlobalShadow* Memory::shadow(uint64_t address) const {
  if (!last_ || !last_->own) return nullptr;
  if (!last_->shadow) last_->shadow = std::make_unique<GlobalShadow[]>((last_->bytes + 3) / 4);
  return &last_->shadow[(address - last_->begin) / 4];
}

void check_shared(Warp& warp, const Instruction& instruction, uint32_t lane, uint64_t offset, uint32_t bytes,
                  Access access) {
  Group& group = *warp.group;
  for (uint64_t i = offset; i < offset + bytes; ++i) {
    Shadow& shadow = group.shadow[i];
    if (shadow.is_gap)
      fail(warp, instruction, static_cast<int>(lane), illegal_address,
           "shared byte " + std::to_string(i) + " is no variable's: it lies behind one");
    if (shadow.in_flight)
      fail(warp, instruction, static_cast<int>(lane), launch_failed,
           "shared byte " + std::to_string(i) + " is still being copied to: was cp.async waited for?");
    check_race(shadow, warp, instruction, lane, access, [&] { return "shared byte " + std::to_string(i); });
  }
}

uint8_t* locate(Warp& warp, const Instruction& instruction, Space space, uint32_t lane, uint64_t address,
                uint32_t bytes, Access access) {
  auto number = static_cast<int>(lane);
  if (address % bytes)
    fail(warp, instruction, number, misaligned_address,
         "address " + hex(address) + " is not aligned to " + std::to_string(bytes) + " bytes");
  if (space == Space::generic) {
    if (address - shared_base < window_bytes) {
      space = Space::shared;
      address -= shared_base;
    } else if (address - local_base < window_bytes) {
      space = Space::local;
      address -= local_base;
    }
  }
  if (space == Space::shared) {
    const std::vector<uint8_t>& shared = warp.group->shared;
    if (address > shared.size() || bytes > shared.size() - address)
      fail(warp, instruction, number, illegal_address,
           "shared byte " + std::to_string(address) + ", the group has " + std::to_string(shared.size()));
    check_shared(warp, instruction, lane, address, bytes, access);
    return warp.group->shared.data() + address;
  }
  if (space == Space::local) {
    auto all = static_cast<uint64_t>(warp.group->launch->kernel->local_bytes);
    if (address > all || bytes > all - address)
      fail(warp, instruction, number, illegal_address,
           "local byte " + std::to_string(address) + ", a thread has " + std::to_string(all));
    return warp.local.data() + all * lane + address;
  }
  std::string wrong;
  uint8_t* found = warp.group->memory->find(address, bytes, &wrong);
  if (!found)
    fail(warp, instruction, number, illegal_address,
         std::to_string(bytes) + " bytes at " + hex(address) + ": " + wrong);
  check_global(warp, instruction, lane, address, bytes, access);
  return found;
}

void deliver(Warp& warp, const Instruction& instruction, std::vector<Warp::AsyncCopy>& copies) {
  for (const Warp::AsyncCopy& copy : copies) {
    for (uint64_t i = 0; i < copy.bytes.size(); ++i) {
      Shadow& shadow = warp.group->shadow[copy.to + i];
      shadow.in_flight = false;
      // The copying thread has just written it: it alone may read it before the next barrier.
      shadow.writer = static_cast<uint16_t>(warp.index * 32 + copy.lane);
      shadow.write_epoch = warp.group->epoch;
      shadow.write_warp_epoch = warp.epoch;
      shadow.atomic = false;
    }
    std::memcpy(warp.group->shared.data() + copy.to, copy.bytes.data(), copy.bytes.size());
  }
  static_cast<void>(instruction);
  copies.clear();
}

namespace {

void set_constants(Warp& warp, const Kernel& kernel) {
  for (const auto& [bits, reg] : kernel.constants) std::fill_n(warp.lanes(reg), 32, bits);
  for (const auto& [special, reg] : kernel.specials) {
    auto dimension = static_cast<size_t>(special.second);
    for (uint32_t lane = 0; lane < 32; ++lane) {
      uint64_t& value = warp.lanes(reg)[lane];
      uint32_t bit = 1u << lane;
      switch (special.first) {
        case Special::tid:
          value = thread_of(warp, lane)[dimension];
          break;
        case Special::ntid:
          value = warp.group->launch->threads[dimension];
          break;
        case Special::ctaid:
          value = warp.group->id[dimension];
          break;
        case Special::nctaid:
          value = warp.group->launch->groups[dimension];
          break;
        case Special::laneid:
          value = lane;
          break;
        case Special::warpid:
          value = warp.index;
          break;
        case Special::lanemask_eq:
          value = bit;
          break;
        case Special::lanemask_lt:
          value = bit - 1;
          break;
        case Special::lanemask_le:
          value = bit | (bit - 1);
          break;
        case Special::lanemask_gt:
          value = ~(bit | (bit - 1));
          break;
        case Special::lanemask_ge:
          value = ~(bit - 1);
          break;
      }
    }
  }
}

uint32_t guard_mask(Warp& warp, const Instruction& instruction) {
  if (instruction.guard < 0) return ~0u;
  const uint64_t* predicate = warp.lanes(instruction.guard);
  uint32_t mask = 0;
  for (uint32_t lane = 0; lane < 32; ++lane) mask |= static_cast<uint32_t>(predicate[lane] & 1) << lane;
  return instruction.negated ? ~mask : mask;
}

template <class Visit>
void for_lanes(uint32_t mask, Visit visit) {
  for (; mask; mask &= mask - 1) visit(static_cast<uint32_t>(std::countr_zero(mask)));
}

void mix(uint64_t& hash, Warp& warp, const Instruction& instruction, uint32_t mask) {
  constexpr uint64_t prime = 0x100000001b3;
  hash = (hash ^ mask ^ uint64_t{warp.taken} << 32) * prime + 1;
  for (int i = 0; i < instruction.results; ++i)
    if (instruction.operands[i] >= 0)
      for_lanes(mask, [&](uint32_t lane) { hash = (hash ^ warp.lanes(instruction.operands[i])[lane]) * prime + 1; });
}

// Until the warp stands at a barrier or has ended. The lanes with the lowest place run first: so they meet again where
// paths join.
void run_warp(Warp& warp, const std::vector<Instruction>& code) {
  Group& group = *warp.group;
  const uint64_t most = group.launch->most_instructions ? group.launch->most_instructions : UINT64_MAX;
  std::vector<uint64_t>* outcomes = group.launch->outcomes;
  while (warp.live) {
    uint32_t pc = UINT32_MAX, limit = UINT32_MAX, mask = 0;
    for_lanes(warp.live, [&](uint32_t lane) { pc = std::min(pc, warp.pcs[lane]); });
    for_lanes(warp.live, [&](uint32_t lane) {
      if (warp.pcs[lane] == pc)
        mask |= 1u << lane;
      else
        limit = std::min(limit, warp.pcs[lane]);
    });
    while (true) {
      const Instruction& instruction = code[pc];
      uint32_t active = mask & guard_mask(warp, instruction);
      warp.group_lanes = mask;
      warp.taken = warp.exited = 0;
      if (++group.instructions > most) fail(warp, instruction, -1, timeout, "the launch has timed out");
      if (active) instruction.run(warp, instruction, active);
      if (active && outcomes) mix(outcomes->at(static_cast<size_t>(instruction.line)), warp, instruction, active);
      if (warp.at_barrier) {
        warp.barrier_pc = pc;
        for_lanes(mask, [&](uint32_t lane) { warp.pcs[lane] = pc + 1; });
        return;
      }
      if (warp.exited) {
        warp.live &= ~warp.exited;
        for_lanes(mask, [&](uint32_t lane) { warp.pcs[lane] = pc + 1; });
        break;
      }
      if (warp.taken && warp.taken != mask) {
        for_lanes(mask, [&](uint32_t lane) {
          warp.pcs[lane] = warp.taken >> lane & 1 ? static_cast<uint32_t>(instruction.target) : pc + 1;
        });
        break;
      }
      pc = warp.taken ? static_cast<uint32_t>(instruction.target) : pc + 1;
      if (pc >= limit) {
        for_lanes(mask, [&](uint32_t lane) { warp.pcs[lane] = pc; });
        break;
      }
    }
  }
}

void run_group(Group& group, const Kernel& kernel, std::vector<uint64_t>& registers) {
  uint32_t threads = group.launch->threads[0] * group.launch->threads[1] * group.launch->threads[2];
  size_t per_warp = static_cast<size_t>(kernel.register_count) * 32;
  group.warps.assign((threads + 31) / 32, {});
  group.epoch = 1;
  group.number = ++group.memory->groups_run;
  std::fill(group.shared.begin(), group.shared.end(), 0xff);
  std::fill(group.shadow.begin(), group.shadow.end(), Shadow{});
  for (const auto& [begin, bytes] : kernel.shared_gaps)
    for (int64_t i = begin; i < begin + bytes; ++i) group.shadow[static_cast<size_t>(i)].is_gap = true;
  // A register that is read before it is written is as bad as memory.
  std::fill(registers.begin(), registers.end(), unwritten);
  for (uint32_t i = 0; i < group.warps.size(); ++i) {
    Warp& warp = group.warps[i];
    warp.group = &group;
    warp.index = i;
    uint32_t count = std::min(32u, threads - i * 32);
    warp.existing = warp.live = count == 32 ? ~0u : (1u << count) - 1;
    warp.registers = registers.data() + per_warp * i;
    warp.local.assign(static_cast<size_t>(kernel.local_bytes) * 32, 0xff);
    set_constants(warp, kernel);
  }
  while (true) {
    const Warp* waiting = nullptr;
    bool is_live = false;
    for (Warp& warp : group.warps) {
      if (!warp.at_barrier) run_warp(warp, kernel.instructions);
      is_live |= warp.live != 0;
      if (warp.at_barrier && waiting && waiting->barrier_pc != warp.barrier_pc)
        fail(warp, kernel.instructions[warp.barrier_pc], -1, launch_failed,
             "warp " + std::to_string(waiting->index) + " waits at another barrier, at PTX line " +
                 std::to_string(kernel.instructions[waiting->barrier_pc].line));
      if (warp.at_barrier) waiting = &warp;
    }
    if (!is_live) return;
    for (Warp& warp : group.warps) warp.at_barrier = false;
    ++group.epoch;
  }
}

}  // namespace

uint64_t run_kernel(Memory& memory, const LaunchFacts& launch) {
  const Kernel& kernel = *launch.kernel;
  uint32_t threads = launch.threads[0] * launch.threads[1] * launch.threads[2];
  std::vector<uint64_t> registers(static_cast<size_t>(kernel.register_count) * 32 * ((threads + 31) / 32));
  Group group;
  group.memory = &memory;
  group.launch = &launch;
  group.first_number = memory.groups_run + 1;
  group.shared.resize(static_cast<size_t>(kernel.shared_bytes) + launch.dynamic_shared);
  group.shadow.resize(group.shared.size());
  for (group.id[2] = 0; group.id[2] < launch.groups[2]; ++group.id[2])
    for (group.id[1] = 0; group.id[1] < launch.groups[1]; ++group.id[1])
      for (group.id[0] = 0; group.id[0] < launch.groups[0]; ++group.id[0]) run_group(group, kernel, registers);
  return group.instructions;
}

}  // namespace cuda_emulator
