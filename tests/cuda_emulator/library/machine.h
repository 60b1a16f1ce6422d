// What kernels run on: device memory with a table of its allocations, and groups of warps with their shared memory.
#pragma once

#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ptx.h"

namespace cuda_emulator {

// Who of a group touched a piece of memory last, and when: what two threads do to it between barriers must not clash.
struct Shadow {
  uint32_t write_epoch = 0, read_epoch = 0;            // of the group's barriers; 0: never
  uint32_t write_warp_epoch = 0, read_warp_epoch = 0;  // of the warp's own
  uint16_t writer = 0, reader = 0;                     // threads
  bool many_readers = false, atomic = false, in_flight = false;
  bool is_gap = false;  // between variables
};

// Of four bytes of global memory: what a group's threads did there, and which groups touched it before.
struct GlobalShadow {
  uint32_t group = 0;
  Shadow touched;
  uint32_t writer = 0, reader = 0;  // the latest groups; 0: none
  bool atomic = false;              // as it was written
};

class Memory {
 public:
  // Fresh memory is NaN. 0 if more than `limit` would be in use.
  uint64_t allocate(uint64_t bytes);
  bool free(uint64_t address);
  void add_host(void* host, uint64_t bytes);  // the host's, mapped at its own address
  bool remove_host(void* host);
  uint64_t used() const { return used_; }
  // Where the bytes are, or null with what is wrong.
  uint8_t* find(uint64_t address, uint64_t bytes, std::string* wrong) const;
  // Of the four bytes there, of what find has just found; null for the host's memory.
  GlobalShadow* shadow(uint64_t address) const;
  uint32_t groups_run = 0;

  uint64_t limit = uint64_t{8} << 30;

 private:
  struct Allocation {
    uint64_t begin = 0, bytes = 0;
    std::shared_ptr<uint8_t[]> own;
    uint8_t* host = nullptr;
    mutable std::unique_ptr<GlobalShadow[]> shadow;  // made when it is first asked for
  };
  std::map<uint64_t, Allocation> allocations_;
  mutable const Allocation* last_ = nullptr;
  uint64_t next_ = global_base + 4096;
  uint64_t used_ = 0;
};

using Sizes3 = std::array<uint32_t, 3>;

struct LaunchFacts {
  const Module* module = nullptr;
  const Kernel* kernel = nullptr;
  Sizes3 groups{1, 1, 1}, threads{1, 1, 1};
  uint32_t dynamic_shared = 0;
  std::vector<uint8_t> parameters;
  uint64_t most_instructions = 0;             // of all warps together, else the launch has timed out; 0: no limit
  std::vector<uint64_t>* outcomes = nullptr;  // by PTX line: a hash of what its lanes made; 0: none ran it
};

struct Group;

struct Warp {
  Group* group = nullptr;
  uint32_t index = 0;
  uint32_t existing = 0, live = 0;  // lanes
  std::array<uint32_t, 32> pcs{};
  uint64_t* registers = nullptr;
  std::array<bool, 32> carry{};  // of sums of several words
  std::vector<uint8_t> local;    // of each lane, one after the other
  // What the instruction that just ran asks of the loop.
  uint32_t taken = 0, exited = 0;
  bool at_barrier = false;
  uint32_t barrier_pc = 0;
  uint32_t group_lanes = 0;  // lanes that came to the instruction, guarded ones included
  uint32_t epoch = 1;        // counts bar.warp.sync
  struct AsyncCopy {
    uint32_t lane;
    uint64_t to;  // in shared memory
    std::vector<uint8_t> bytes;
    int line;
  };
  std::vector<AsyncCopy> open_copies;                    // not committed
  std::vector<std::vector<AsyncCopy>> committed_copies;  // groups, the oldest first

  uint64_t* lanes(int reg) { return registers + static_cast<size_t>(reg) * 32; }
};

struct Group {
  Memory* memory = nullptr;
  const LaunchFacts* launch = nullptr;
  Sizes3 id{};
  std::vector<uint8_t> shared;
  std::vector<Shadow> shadow;
  uint32_t epoch = 1;
  uint32_t number = 0;        // of all groups that ran on this memory
  uint32_t first_number = 0;  // of its launch's groups
  uint64_t instructions = 0;  // that warps ran, of this group and those before it
  std::vector<Warp> warps;
};

enum class Access : uint8_t { read, write, atomic };

// The bytes of an access, checked. Fault that names kernel, line and thread.
uint8_t* locate(Warp& warp, const Instruction& instruction, Space space, uint32_t lane, uint64_t address,
                uint32_t bytes, Access access);
// A race on shared memory is a fault.
void check_shared(Warp& warp, const Instruction& instruction, uint32_t lane, uint64_t offset, uint32_t bytes,
                  Access access);
[[noreturn]] void fail(const Warp& warp, const Instruction& instruction, int lane, int result, const std::string& what);

void deliver(Warp& warp, const Instruction& instruction, std::vector<Warp::AsyncCopy>& copies);

// Runs the whole grid. Fault if it does anything wrong. How many instructions its warps ran.
uint64_t run_kernel(Memory& memory, const LaunchFacts& launch);

template <class T>
T get(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T>
uint64_t put(T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

// A function of one value a lane: first operand from the others.
template <auto function, class Signature = decltype(+function)>
struct EachLane;
template <auto function, class R, class... A>
struct EachLane<function, R (*)(A...)> {
  static constexpr int count = 1 + static_cast<int>(sizeof...(A));
  static void run(Warp& warp, const Instruction& instruction, uint32_t mask) {
    run_indexed(warp, instruction, mask, std::index_sequence_for<A...>{});
  }
  template <size_t... i>
  static void run_indexed(Warp& warp, const Instruction& instruction, uint32_t mask, std::index_sequence<i...>) {
    uint64_t* to = warp.lanes(instruction.operands[0]);
    [[maybe_unused]] const uint64_t* from[] = {to, warp.lanes(instruction.operands[1 + i])...};
    if (mask == ~0u) {
      for (uint32_t lane = 0; lane < 32; ++lane) to[lane] = put<R>(function(get<A>(from[1 + i][lane])...));
    } else {
      for (; mask; mask &= mask - 1) {
        auto lane = static_cast<uint32_t>(std::countr_zero(mask));
        to[lane] = put<R>(function(get<A>(from[1 + i][lane])...));
      }
    }
  }
};

using OpcodeTable = std::map<std::string, OpcodeEntry>;

// `names`: opcodes, separated by spaces.
void add_opcodes(OpcodeTable& table, const std::string& names, OpcodeEntry entry);
template <auto function>
void add_each_lane(OpcodeTable& table, const std::string& names) {
  using Each = EachLane<function>;
  add_opcodes(table, names, {&Each::run, Each::count});
}

void add_integer_opcodes(OpcodeTable& table);
void add_float_opcodes(OpcodeTable& table);
void add_convert_opcodes(OpcodeTable& table);
void add_compare_opcodes(OpcodeTable& table);
void add_memory_opcodes(OpcodeTable& table);
void add_warp_opcodes(OpcodeTable& table);
void add_matrix_opcodes(OpcodeTable& table);

}  // namespace cuda_emulator
