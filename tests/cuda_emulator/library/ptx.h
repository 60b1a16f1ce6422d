// PTX as the emulator runs it. A register is 32 lanes of 64 bits; constants and special registers are registers too,
// set when a warp starts, so that every operand is a register.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace cuda_emulator {

struct Warp;
struct Instruction;
// Runs the instruction for the lanes of `mask`.
using Run = void (*)(Warp& warp, const Instruction& instruction, uint32_t mask);

// What the text or a running kernel does wrong; the message names the PTX line.
class __attribute__((visibility("default"))) Fault : public std::runtime_error {
 public:
  Fault(int result, const std::string& message) : std::runtime_error(message), result(result) {}
  int result;  // of the driver API
};

enum class Space : uint8_t { generic, global, shared, local, param, constant };

// Where spaces lie among generic addresses: no processor lets the host touch one of these.
constexpr uint64_t global_base = 0x5200'0000'0000'0000;
constexpr uint64_t shared_base = 0x5300'0000'0000'0000;
constexpr uint64_t local_base = 0x5400'0000'0000'0000;
constexpr uint64_t window_bytes = 0x0100'0000'0000'0000;

constexpr int most_operands = 16;

struct Instruction {
  Run run = nullptr;
  int operands[most_operands] = {};  // registers, vectors one after the other; -1: none ("_", or no second predicate)
  int count = 0;
  int results = 0;  // how many of the first operands it writes
  int guard = -1;   // a predicate register
  bool negated = false;
  int64_t offset = 0;  // of the address operand
  int64_t second_offset = 0;
  int target = -1;  // of a branch: an instruction
  int line = 0;     // of the PTX text
  int source_line = 0;
};

enum class Special : uint8_t {
  tid,
  ntid,
  ctaid,
  nctaid,
  laneid,
  warpid,
  lanemask_eq,
  lanemask_lt,
  lanemask_le,
  lanemask_gt,
  lanemask_ge
};

struct Kernel {
  std::string name;
  struct Parameter {
    int offset, bytes;
  };
  std::vector<Parameter> parameters;
  int parameter_bytes = 0;
  int register_count = 0;
  std::map<uint64_t, int> constants;                // bits -> register
  std::map<std::pair<Special, int>, int> specials;  // with the dimension -> register
  std::map<std::string, int> registers;
  int64_t shared_bytes = 0;  // static, with the gaps; dynamic shared memory follows
  // Behind each shared variable, so that what passes its end does not reach the next one: first byte, and how many.
  std::vector<std::pair<int64_t, int64_t>> shared_gaps;
  int64_t local_bytes = 0;   // of a thread
  int64_t most_threads = 0;  // of a group, as promised; 0: nothing was
  std::vector<Instruction> instructions;
};

struct GlobalVariable {
  std::string name;
  int64_t alignment = 1;
  std::vector<uint8_t> bytes;  // initial value
  uint64_t address = 0;
};

struct Module {
  int capability = 0;  // of .target: ten times the major, and the minor
  std::vector<std::string> lines;
  std::map<std::string, Kernel> kernels;
  std::vector<GlobalVariable> variables;
};

// Gives a variable of the module its address.
using Place = uint64_t (*)(const GlobalVariable& variable, void* context);

// Fault (218) that names the line for what is no PTX or what the emulator does not implement; 222 for a newer version.
Module parse_ptx(const std::string& text, Place place, void* context);

// What the table knows of an opcode with all its modifiers ("setp.lt.and.f32"); null if it is not implemented.
struct OpcodeEntry {
  Run run = nullptr;
  int count = 0;  // of operands, vectors flattened
};
const OpcodeEntry* find_opcode(const std::string& opcode);
std::vector<std::string> all_opcodes();

}  // namespace cuda_emulator
