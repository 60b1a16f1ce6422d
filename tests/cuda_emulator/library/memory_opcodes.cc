// ld, st, atom, red, cvta and cp.async.
#include <cmath>
#include <type_traits>

#include "machine.h"

namespace cuda_emulator {
namespace {

template <class Visit>
void for_lanes(uint32_t mask, Visit visit) {
  for (; mask; mask &= mask - 1) visit(static_cast<uint32_t>(std::countr_zero(mask)));
}

// Registers are wider than what is loaded: signed values are extended by their sign.
template <class T>
uint64_t extended(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  if constexpr (std::is_signed_v<T>) return static_cast<uint64_t>(static_cast<int64_t>(value));
  return value;
}

// The address is the operand behind the vector's parts.
template <Space space, class T, int parts>
void run_load(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint64_t* addresses = warp.lanes(instruction.operands[parts]);
  for_lanes(mask, [&](uint32_t lane) {
    uint64_t address = addresses[lane] + static_cast<uint64_t>(instruction.offset);
    const uint8_t* from;
    if constexpr (space == Space::param) {
      const std::vector<uint8_t>& parameters = warp.group->launch->parameters;
      if (address >= local_base)  // what a call was given
        from = locate(warp, instruction, Space::generic, lane, address, sizeof(T) * parts, Access::read);
      else if (address + sizeof(T) * parts > parameters.size())
        fail(warp, instruction, static_cast<int>(lane), 700, "no such parameter");
      else
        from = parameters.data() + address;
    } else {
      from = locate(warp, instruction, space, lane, address, sizeof(T) * parts, Access::read);
    }
    uint64_t values[parts];
    for (int i = 0; i < parts; ++i) values[i] = extended<T>(from + static_cast<size_t>(i) * sizeof(T));
    for (int i = 0; i < parts; ++i)
      if (instruction.operands[i] >= 0) warp.lanes(instruction.operands[i])[lane] = values[i];
  });
}

template <Space space, class T, int parts>
void run_store(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint64_t* addresses = warp.lanes(instruction.operands[0]);
  for_lanes(mask, [&](uint32_t lane) {
    uint64_t address = addresses[lane] + static_cast<uint64_t>(instruction.offset);
    uint8_t* to = locate(warp, instruction, space, lane, address, sizeof(T) * parts, Access::write);
    for (int i = 0; i < parts; ++i)
      std::memcpy(to + static_cast<size_t>(i) * sizeof(T), &warp.lanes(instruction.operands[1 + i])[lane], sizeof(T));
  });
}

template <Space space, class T>
void add_access(OpcodeTable& table, const std::string& spaces, const std::string& type) {
  auto names = [&](const std::string& op, const std::vector<std::string>& kinds, const std::string& vector) {
    std::string all;
    for (const std::string& kind : kinds) {
      bool is_volatile = kind == ".volatile";
      all += " " + op + (is_volatile ? kind + spaces : spaces + kind) + vector + type;
    }
    return all;
  };
  std::vector<std::string> loads{"", ".volatile"}, stores{"", ".volatile"};
  if (space == Space::global) {
    for (const char* kind : {".nc", ".ca", ".cg", ".cs", ".nc.L1::no_allocate", ".L1::no_allocate"})
      loads.push_back(kind);
    for (const char* kind : {".wb", ".cg", ".cs", ".wt"}) stores.push_back(kind);
  }
  if (space == Space::param || space == Space::constant) loads = {""};
  add_opcodes(table, names("ld", loads, ""), {&run_load<space, T, 1>, 2});
  if (sizeof(T) <= 8) add_opcodes(table, names("ld", loads, ".v2"), {&run_load<space, T, 2>, 3});
  if (sizeof(T) <= 4) add_opcodes(table, names("ld", loads, ".v4"), {&run_load<space, T, 4>, 5});
  if constexpr (space != Space::constant) {
    // What a call gives stands in local memory, at generic addresses.
    constexpr Space into = space == Space::param ? Space::generic : space;
    if (space == Space::param) stores = {""};
    add_opcodes(table, names("st", stores, ""), {&run_store<into, T, 1>, 2});
    add_opcodes(table, names("st", stores, ".v2"), {&run_store<into, T, 2>, 3});
    if (sizeof(T) <= 4) add_opcodes(table, names("st", stores, ".v4"), {&run_store<into, T, 4>, 5});
  }
}

template <class T>
void add_type(OpcodeTable& table, const std::string& type) {
  add_access<Space::global, T>(table, ".global", type);
  add_access<Space::shared, T>(table, ".shared", type);
  add_access<Space::local, T>(table, ".local", type);
  add_access<Space::generic, T>(table, "", type);
  add_access<Space::param, T>(table, ".param", type);
  add_access<Space::constant, T>(table, ".const", type);
}

// to, address, value: the lanes one after the other. `returns`: atom; else red, without `to`.
template <auto function, class T, Space space, bool returns>
void run_atomic(Warp& warp, const Instruction& instruction, uint32_t mask) {
  constexpr int address_at = returns ? 1 : 0;
  for_lanes(mask, [&](uint32_t lane) {
    uint64_t address = warp.lanes(instruction.operands[address_at])[lane] + static_cast<uint64_t>(instruction.offset);
    uint8_t* at = locate(warp, instruction, space, lane, address, sizeof(T), Access::atomic);
    T old, value = get<T>(warp.lanes(instruction.operands[address_at + 1])[lane]);
    std::memcpy(&old, at, sizeof old);
    T made = function(old, value);
    std::memcpy(at, &made, sizeof made);
    if (returns && instruction.operands[0] >= 0) warp.lanes(instruction.operands[0])[lane] = put<T>(old);
  });
}

template <class T, Space space>
void run_compare_and_swap(Warp& warp, const Instruction& instruction, uint32_t mask) {
  for_lanes(mask, [&](uint32_t lane) {
    uint64_t address = warp.lanes(instruction.operands[1])[lane] + static_cast<uint64_t>(instruction.offset);
    uint8_t* at = locate(warp, instruction, space, lane, address, sizeof(T), Access::atomic);
    T old, expected = get<T>(warp.lanes(instruction.operands[2])[lane]);
    std::memcpy(&old, at, sizeof old);
    T value = get<T>(warp.lanes(instruction.operands[3])[lane]);
    if (old == expected) std::memcpy(at, &value, sizeof value);
    if (instruction.operands[0] >= 0) warp.lanes(instruction.operands[0])[lane] = put<T>(old);
  });
}

std::string spaced(Space space) { return space == Space::global ? ".global" : space == Space::shared ? ".shared" : ""; }

template <auto function, class T, Space space>
void add_atomic_in(OpcodeTable& table, const std::string& op, const std::string& type) {
  for (const std::string scope : {"", ".relaxed.gpu", ".relaxed.cta", ".relaxed.sys"}) {
    add_opcodes(table, "atom" + scope + spaced(space) + op + type, {&run_atomic<function, T, space, true>, 3});
    add_opcodes(table, "red" + scope + spaced(space) + op + type, {&run_atomic<function, T, space, false>, 2});
  }
}
template <auto function, class T>
void add_atomic(OpcodeTable& table, const std::string& op, const std::string& type) {
  add_atomic_in<function, T, Space::global>(table, op, type);
  add_atomic_in<function, T, Space::shared>(table, op, type);
  add_atomic_in<function, T, Space::generic>(table, op, type);
}

template <class T>
void add_order_atomics(OpcodeTable& table, const std::string& type) {
  add_atomic<[](T a, T b) { return a < b ? a : b; }, T>(table, ".min", type);
  add_atomic<[](T a, T b) { return a < b ? b : a; }, T>(table, ".max", type);
}
template <class T>
void add_bit_atomics(OpcodeTable& table, const std::string& type) {
  add_atomic<[](T a, T b) { return a & b; }, T>(table, ".and", type);
  add_atomic<[](T a, T b) { return a | b; }, T>(table, ".or", type);
  add_atomic<[](T a, T b) { return a ^ b; }, T>(table, ".xor", type);
  add_atomic<[](T, T b) { return b; }, T>(table, ".exch", type);
  add_opcodes(table, "atom.global.cas" + type, {&run_compare_and_swap<T, Space::global>, 4});
  add_opcodes(table, "atom.shared.cas" + type, {&run_compare_and_swap<T, Space::shared>, 4});
  add_opcodes(table, "atom.cas" + type, {&run_compare_and_swap<T, Space::generic>, 4});
}

// cp.async to, from, bytes [, bytes of the source]: the rest is zero. Read now, there when waited for.
void run_async_copy(Warp& warp, const Instruction& instruction, uint32_t mask) {
  for_lanes(mask, [&](uint32_t lane) {
    uint64_t to = warp.lanes(instruction.operands[0])[lane] + static_cast<uint64_t>(instruction.offset);
    uint64_t from = warp.lanes(instruction.operands[1])[lane] + static_cast<uint64_t>(instruction.second_offset);
    auto bytes = static_cast<uint32_t>(warp.lanes(instruction.operands[2])[lane]);
    uint32_t given =
        instruction.operands[3] < 0 ? bytes : static_cast<uint32_t>(warp.lanes(instruction.operands[3])[lane]);
    if (bytes != 4 && bytes != 8 && bytes != 16)
      fail(warp, instruction, static_cast<int>(lane), 716, "cp.async copies 4, 8 or 16 bytes");
    if (given > bytes) fail(warp, instruction, static_cast<int>(lane), 716, "cp.async reads more than it copies");
    locate(warp, instruction, Space::shared, lane, to, bytes, Access::write);
    if (from % bytes) fail(warp, instruction, static_cast<int>(lane), 716, "the source is not aligned to the copy");
    Warp::AsyncCopy copy{lane, to, std::vector<uint8_t>(bytes), instruction.line};
    if (given > 0) {
      std::string wrong;
      const uint8_t* source = warp.group->memory->find(from, given, &wrong);
      if (!source) fail(warp, instruction, static_cast<int>(lane), 700, "the source of cp.async: " + wrong);
      std::memcpy(copy.bytes.data(), source, given);
    }
    for (uint64_t i = to; i < to + bytes; ++i) warp.group->shadow[i].in_flight = true;
    warp.open_copies.push_back(std::move(copy));
  });
}

// All lanes of a warp commit and wait together, as generated code does.
void run_commit(Warp& warp, const Instruction& instruction, uint32_t mask) {
  if (mask != warp.live)
    fail(warp, instruction, -1, 719, "cp.async.commit_group by a part of the warp is not implemented");
  warp.committed_copies.push_back(std::move(warp.open_copies));
  warp.open_copies.clear();
}

void wait_for_groups(Warp& warp, const Instruction& instruction, uint32_t mask, size_t left) {
  if (mask != warp.live) fail(warp, instruction, -1, 719, "cp.async.wait by a part of the warp is not implemented");
  while (warp.committed_copies.size() > left) {
    deliver(warp, instruction, warp.committed_copies.front());
    warp.committed_copies.erase(warp.committed_copies.begin());
  }
}

void run_wait_group(Warp& warp, const Instruction& instruction, uint32_t mask) {
  auto lane = static_cast<size_t>(std::countr_zero(mask));
  wait_for_groups(warp, instruction, mask, warp.lanes(instruction.operands[0])[lane]);
}

void run_wait_all(Warp& warp, const Instruction& instruction, uint32_t mask) {
  wait_for_groups(warp, instruction, mask, 0);
  deliver(warp, instruction, warp.open_copies);
}

}  // namespace

void add_memory_opcodes(OpcodeTable& table) {
  add_type<uint8_t>(table, ".b8");
  add_type<uint8_t>(table, ".u8");
  add_type<int8_t>(table, ".s8");
  add_type<uint16_t>(table, ".b16");
  add_type<uint16_t>(table, ".u16");
  add_type<int16_t>(table, ".s16");
  add_type<uint32_t>(table, ".b32");
  add_type<uint32_t>(table, ".u32");
  add_type<int32_t>(table, ".s32");
  add_type<uint32_t>(table, ".f32");
  add_type<uint64_t>(table, ".b64");
  add_type<uint64_t>(table, ".u64");
  add_type<int64_t>(table, ".s64");
  add_type<uint64_t>(table, ".f64");
  add_each_lane<[](uint64_t a) { return a; }>(
      table, "cvta.global.u64 cvta.to.global.u64 cvta.const.u64 cvta.to.const.u64 cvta.param.u64 cvta.to.param.u64");
  add_each_lane<[](uint64_t a) { return a + shared_base; }>(table, "cvta.shared.u64");
  add_each_lane<[](uint64_t a) { return a - shared_base; }>(table, "cvta.to.shared.u64");
  add_each_lane<[](uint64_t a) { return a + local_base; }>(table, "cvta.local.u64");
  add_each_lane<[](uint64_t a) { return a - local_base; }>(table, "cvta.to.local.u64");
  add_atomic<[](uint32_t a, uint32_t b) { return a + b; }, uint32_t>(table, ".add", ".u32");
  add_atomic<[](uint32_t a, uint32_t b) { return a + b; }, uint32_t>(table, ".add", ".s32");
  add_atomic<[](uint64_t a, uint64_t b) { return a + b; }, uint64_t>(table, ".add", ".u64");
  add_atomic<[](float a, float b) { return a + b; }, float>(table, ".add", ".f32");
  add_atomic<[](double a, double b) { return a + b; }, double>(table, ".add", ".f64");
  add_order_atomics<int32_t>(table, ".s32");
  add_order_atomics<uint32_t>(table, ".u32");
  add_order_atomics<int64_t>(table, ".s64");
  add_order_atomics<uint64_t>(table, ".u64");
  add_bit_atomics<uint32_t>(table, ".b32");
  add_bit_atomics<uint64_t>(table, ".b64");
  add_opcodes(table, "cp.async.ca.shared.global cp.async.cg.shared.global cp.async.cg.shared.global.L2::128B",
              {&run_async_copy, 4});
  add_opcodes(table, "cp.async.commit_group", {&run_commit, 0});
  add_opcodes(table, "cp.async.wait_group", {&run_wait_group, 1});
  add_opcodes(table, "cp.async.wait_all", {&run_wait_all, 0});
}

}  // namespace cuda_emulator
