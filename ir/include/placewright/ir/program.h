// The Program level: what the runtime executes. Buffers with their places, and blocks of instructions on streams.
// Everything is decided: offsets, order, waits and transfers; an executor only carries it out. Handles are indices.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "placewright/ir/host_tensor.h"
#include "placewright/ir/kernel.h"
#include "placewright/ir/kernel_image.h"
#include "placewright/ir/type.h"

namespace placewright {

enum class BufferKind : uint8_t {
  argument,   // memory of the caller, given at each call, on `device`; only read
  state,      // memory of the StateStore, found by `name`; kept between calls
  constant,   // filled once at load from the tensor called `name`; only read
  temporary,  // in its arena at `offset`, or (arena -1) memory of its own from an Allocate until the call ends
  result,     // memory of its own, handed to the caller
  view,       // the memory of buffer `view_of`, as a value of another dtype or other sizes that lives there
};
std::string_view name(BufferKind kind);

struct ProgramBuffer {
  std::string name;  // of an argument, state, constant or result as the caller knows it; else for people
  BufferKind kind = BufferKind::temporary;
  DeviceId device;
  DType dtype = DType::f32;
  Sizes sizes;  // logical
  Layout layout;
  int64_t bytes = 0;  // in memory: layout included
  int64_t alignment = 64;
  int arena = -1;  // temporaries only
  int64_t offset = 0;
  int view_of = -1;  // views only: an earlier buffer, itself no view, of as many bytes
  friend bool operator==(const ProgramBuffer&, const ProgramBuffer&) = default;
};

// One block of memory on a device that holds temporaries, allocated with the context of a call.
struct Arena {
  DeviceId device;
  int64_t bytes = 0;
  friend bool operator==(const Arena&, const Arena&) = default;
};

// Instructions on one stream run in order; those of different streams at the same time, unless a Wait orders them.
struct Stream {
  DeviceId device;
  std::string name;  // "compute", "copy in": the track's name in traces
  friend bool operator==(const Stream&, const Stream&) = default;
};

// Gives a temporary without an arena memory of its own until the call ends.
struct Allocate {
  int stream = 0;
  int buffer = 0;
  friend bool operator==(const Allocate&, const Allocate&) = default;
};

struct Launch {
  int stream = 0;
  int image = 0;  // of CompiledProgram::images
  std::string entry;
  // Operands first, then results; the executor adds the entry's workspaces. The last `written` ones are written.
  std::vector<int> buffers;
  int written = 0;
  std::vector<int64_t> scalars;
  double flops = 0;    // of one run: for virtual clocks and traces
  double bytes = 0;    // moved to and from memory
  std::string origin;  // "features.0/forward#2 (train.cc:31)"
  friend bool operator==(const Launch&, const Launch&) = default;
};

// A transfer's line of the ledger, carried by the instruction that performs it. The runtime counts these bytes.
struct TransferFacts {
  DeviceId from, to;
  int64_t bytes = 0;  // between devices; 0 within one device
  std::string value;  // what is moved, as the user knows it
  std::string origin;
  std::string cause;
  friend bool operator==(const TransferFacts&, const TransferFacts&) = default;
};

// Copies a whole buffer to one of the same dtype, sizes, layout and bytes. Its stream belongs to one of the two
// devices, and to the one that is not the host's if there is one. In the block `load`, source -1 means: from the tensor
// given for the constant `destination`, or from wherever the StateStore keeps the state `destination` (nothing is moved
// or counted if it is already there).
struct Copy {
  int stream = 0;
  int source = -1;
  int destination = 0;
  TransferFacts facts;
  friend bool operator==(const Copy&, const Copy&) = default;
};

// What `stream` does next waits for instruction number `instruction` of the same block, an earlier one.
struct Wait {
  int stream = 0;
  int instruction = 0;
  friend bool operator==(const Wait&, const Wait&) = default;
};

// All-reduce by sum: every destination receives the sum of all sources, added in the order of the members.
// Member i works on streams[i] and its device; sources[i] may be destinations[i]. Row-major f32, f64, i32 or i64.
struct Collective {
  enum class Kind : uint8_t { all_reduce };
  Kind kind = Kind::all_reduce;
  std::vector<int> streams, sources, destinations;
  int scratch = -1;  // a temporary of one source's bytes on the first member's device
  TransferFacts
      facts;  // from the first member to the last; bytes: twice a source for each member elsewhere than the first
  friend bool operator==(const Collective&, const Collective&) = default;
};

// Control flow. Blocks do not share waits: all streams of a nested block are joined before and after it.
struct Call {
  int block = 0;
  friend bool operator==(const Call&, const Call&) = default;
};
struct Branch {
  int condition = 0;  // a boolean scalar buffer in host memory
  int then_block = 0, else_block = -1;
  friend bool operator==(const Branch&, const Branch&) = default;
};
struct Repeat {  // runs `block` `count` times, or with count -1 as long as `condition` is true before each round
  int block = 0;
  int64_t count = 0;
  int condition = -1;
  friend bool operator==(const Repeat&, const Repeat&) = default;
};

using Instruction = std::variant<Allocate, Launch, Copy, Wait, Collective, Call, Branch, Repeat>;

struct Block {
  std::string name;
  std::vector<Instruction> instructions;
  friend bool operator==(const Block&, const Block&) = default;
};

// When the step ends, the state takes the value: nothing to do where `value` is `state` itself (a launch wrote it in
// place), else the executor copies it over, on the state's device.
struct StateUpdate {
  int state = 0;
  int value = 0;
  friend bool operator==(const StateUpdate&, const StateUpdate&) = default;
};

struct Program {
  std::string name;
  std::vector<Stream> streams;
  std::vector<Arena> arenas;
  std::vector<ProgramBuffer> buffers;
  std::vector<int> arguments;  // buffers of kind argument, in the order of the call
  std::vector<int> results;    // buffers of kind result, in the order of the function's results
  std::vector<StateUpdate> updates;
  std::vector<Block> blocks;
  int load = -1;  // block run once, when the program is bound; -1: none
  int step = 0;   // block run at each call
  friend bool operator==(const Program&, const Program&) = default;
};

// What codegen makes and the runtime, the cache and artefacts take.
struct CompiledProgram {
  Program program;
  std::vector<KernelImage> images;
  std::map<std::string, HostTensor> constants;  // row-major, by the names of the buffers of kind constant
};

// The ledger: every Copy and Collective between devices, load first, in order.
struct LedgerLine {
  TransferFacts facts;
  bool once = false;  // at load; else per step
};
// The buffer whose memory this one is: itself, but for views.
inline int memory_of(const Program& program, int buffer) {
  int of = program.buffers[static_cast<size_t>(buffer)].view_of;
  return of < 0 ? buffer : of;
}

std::vector<LedgerLine> transfer_ledger(const Program& program);

std::string print_program(const Program& program);
Program parse_program(std::string_view text);  // exact round trip; Error names the line, what was found and expected

// Error unless indices exist, buffers fit their arenas, kinds are used as they may be, copies, sums and updates join
// buffers of the same dtype, sizes and layout, waits
// name earlier instructions of their block, and blocks do not contain themselves. For liveness see ir/check_program.h.
void verify_program(const Program& program);

}  // namespace placewright
