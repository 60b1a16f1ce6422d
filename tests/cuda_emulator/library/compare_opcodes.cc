// setp and selp.
#include <cmath>

#include "machine.h"

namespace cuda_emulator {
namespace {

// The joins of a comparison with a predicate.
enum class Join { none, all, any, differ };

template <Join join>
bool joined(bool a, bool b) {
  return join == Join::none ? a : join == Join::all ? a && b : join == Join::any ? a || b : a != b;
}

// setp p|q, a, b [, c]: p = (a ? b) join c, q = !(a ? b) join c.
template <auto compare, class T, Join join>
void run_compare(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint64_t *a = warp.lanes(instruction.operands[2]), *b = warp.lanes(instruction.operands[3]);
  const uint64_t* c = join == Join::none ? a : warp.lanes(instruction.operands[4]);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1)) continue;
    bool found = compare(get<T>(a[lane]), get<T>(b[lane])), other = c[lane] & 1;
    if (instruction.operands[0] >= 0) warp.lanes(instruction.operands[0])[lane] = joined<join>(found, other);
    if (instruction.operands[1] >= 0) warp.lanes(instruction.operands[1])[lane] = joined<join>(!found, other);
  }
}

template <auto compare, class T>
void add_compare(OpcodeTable& table, const std::string& name, const std::string& type) {
  add_opcodes(table, "setp." + name + type, {&run_compare<compare, T, Join::none>, -4});
  add_opcodes(table, "setp." + name + ".and" + type, {&run_compare<compare, T, Join::all>, -5});
  add_opcodes(table, "setp." + name + ".or" + type, {&run_compare<compare, T, Join::any>, -5});
  add_opcodes(table, "setp." + name + ".xor" + type, {&run_compare<compare, T, Join::differ>, -5});
}

template <class T>
void add_equality(OpcodeTable& table, const std::string& type) {
  add_compare<[](T a, T b) { return a == b; }, T>(table, "eq", type);
  add_compare<[](T a, T b) { return a != b && !(a != a) && !(b != b); }, T>(table, "ne", type);
}

template <class T>
void add_order(OpcodeTable& table, const std::string& type, bool unsigned_names) {
  add_compare<[](T a, T b) { return a < b; }, T>(table, unsigned_names ? "lo" : "lt", type);
  add_compare<[](T a, T b) { return a <= b; }, T>(table, unsigned_names ? "ls" : "le", type);
  add_compare<[](T a, T b) { return (a > b); }, T>(table, unsigned_names ? "hi" : "gt", type);
  add_compare<[](T a, T b) { return (a >= b); }, T>(table, unsigned_names ? "hs" : "ge", type);
}

// True where an operand is NaN.
template <class T>
void add_unordered(OpcodeTable& table, const std::string& type) {
  add_compare<[](T a, T b) { return (!(a < b || a > b)); }, T>(table, "equ", type);
  add_compare<[](T a, T b) { return a != b; }, T>(table, "neu", type);
  add_compare<[](T a, T b) { return (!(a >= b)); }, T>(table, "ltu", type);
  add_compare<[](T a, T b) { return (!(a > b)); }, T>(table, "leu", type);
  add_compare<[](T a, T b) { return !(a <= b); }, T>(table, "gtu", type);
  add_compare<[](T a, T b) { return !(a < b); }, T>(table, "geu", type);
  add_compare<[](T a, T b) { return !std::isnan(a) && !std::isnan(b); }, T>(table, "num", type);
  add_compare<[](T a, T b) { return std::isnan(a) || std::isnan(b); }, T>(table, "nan", type);
}

template <class T>
void add_integer(OpcodeTable& table, const std::string& type) {
  add_equality<T>(table, type);
  add_order<T>(table, type, false);
}

}  // namespace

void add_compare_opcodes(OpcodeTable& table) {
  add_integer<int16_t>(table, ".s16");
  add_integer<int32_t>(table, ".s32");
  add_integer<int64_t>(table, ".s64");
  add_integer<uint16_t>(table, ".u16");
  add_integer<uint32_t>(table, ".u32");
  add_integer<uint64_t>(table, ".u64");
  add_order<uint16_t>(table, ".u16", true);
  add_order<uint32_t>(table, ".u32", true);
  add_order<uint64_t>(table, ".u64", true);
  add_equality<uint16_t>(table, ".b16");
  add_equality<uint32_t>(table, ".b32");
  add_equality<uint64_t>(table, ".b64");
  add_integer<float>(table, ".f32");
  add_integer<double>(table, ".f64");
  add_unordered<float>(table, ".f32");
  add_unordered<double>(table, ".f64");
  add_each_lane<[](uint16_t a, uint16_t b, bool p) { return p ? a : b; }>(table, "selp.b16 selp.u16 selp.s16");
  add_each_lane<[](uint32_t a, uint32_t b, bool p) { return p ? a : b; }>(table, "selp.b32 selp.u32 selp.s32 selp.f32");
  add_each_lane<[](uint64_t a, uint64_t b, bool p) { return p ? a : b; }>(table, "selp.b64 selp.u64 selp.s64 selp.f64");
}

}  // namespace cuda_emulator
