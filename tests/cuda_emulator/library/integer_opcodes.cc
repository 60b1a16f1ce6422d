// Arithmetic and bits of integers, moves.
#include <limits>

#include "machine.h"

namespace cuda_emulator {
namespace {

using i8 = int8_t;
using i16 = int16_t;
using i32 = int32_t;
using i64 = int64_t;
using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;

template <class T>
struct Wide;
template <>
struct Wide<i16> {
  using type = i32;
};
template <>
struct Wide<u16> {
  using type = u32;
};
template <>
struct Wide<i32> {
  using type = i64;
};
template <>
struct Wide<u32> {
  using type = u64;
};
template <>
struct Wide<i64> {
  using type = __int128;
};
template <>
struct Wide<u64> {
  using type = unsigned __int128;
};
template <class T>
using WideOf = typename Wide<T>::type;

// Wrapping arithmetic: in 64 unsigned bits, cut to the type.
template <class T>
T wrap(u64 value) {
  return static_cast<T>(value);
}

template <class T>
void add_arithmetic(OpcodeTable& table, const std::string& type) {
  using W = WideOf<T>;
  add_each_lane<[](T a, T b) { return wrap<T>(u64(a) + u64(b)); }>(table, "add." + type);
  add_each_lane<[](T a, T b) { return wrap<T>(u64(a) - u64(b)); }>(table, "sub." + type);
  add_each_lane<[](T a, T b) { return wrap<T>(u64(a) * u64(b)); }>(table, "mul.lo." + type);
  add_each_lane<[](T a, T b) { return static_cast<T>((W(a) * W(b)) >> (8 * sizeof(T))); }>(table, "mul.hi." + type);
  add_each_lane<[](T a, T b, T c) { return wrap<T>(u64(a) * u64(b) + u64(c)); }>(table, "mad.lo." + type);
  add_each_lane<[](T a, T b, T c) { return wrap<T>(u64((W(a) * W(b)) >> (8 * sizeof(T))) + u64(c)); }>(
      table, "mad.hi." + type);
  // A division by zero gives all ones, a remainder by zero the dividend, as NVIDIA's GPUs do.
  add_each_lane<[](T a, T b) {
    if (b == 0) return static_cast<T>(-1);
    return b == T(-1) && std::numeric_limits<T>::is_signed ? wrap<T>(0 - u64(a)) : static_cast<T>(a / b);
  }>(table, "div." + type);
  add_each_lane<[](T a, T b) {
    if (b == 0) return a;
    return b == T(-1) && std::numeric_limits<T>::is_signed ? T(0) : static_cast<T>(a % b);
  }>(table, "rem." + type);
  add_each_lane<[](T a, T b) { return a < b ? a : b; }>(table, "min." + type);
  add_each_lane<[](T a, T b) { return a < b ? b : a; }>(table, "max." + type);
}

template <class T>
void add_wide(OpcodeTable& table, const std::string& type) {
  using W = WideOf<T>;
  add_each_lane<[](T a, T b) { return static_cast<W>(W(a) * W(b)); }>(table, "mul.wide." + type);
  add_each_lane<[](T a, T b, W c) { return static_cast<W>(u64(W(a) * W(b)) + u64(c)); }>(table, "mad.wide." + type);
}

template <class T>
void add_signed(OpcodeTable& table, const std::string& type) {
  add_each_lane<[](T a) { return a < 0 ? wrap<T>(0 - u64(a)) : a; }>(table, "abs." + type);
  add_each_lane<[](T a) { return wrap<T>(0 - u64(a)); }>(table, "neg." + type);
}

template <class T>
void add_bits(OpcodeTable& table, const std::string& type) {
  add_each_lane<[](T a, T b) { return static_cast<T>(a & b); }>(table, "and." + type);
  add_each_lane<[](T a, T b) { return static_cast<T>(a | b); }>(table, "or." + type);
  add_each_lane<[](T a, T b) { return static_cast<T>(a ^ b); }>(table, "xor." + type);
  add_each_lane<[](T a) { return static_cast<T>(~a); }>(table, "not." + type);
}

// Shifts by the width or more give zero, or the sign.
template <class T, class S>
void add_shifts(OpcodeTable& table, const std::string& bits) {
  constexpr u32 width = 8 * sizeof(T);
  add_each_lane<[](T a, u32 n) { return n >= width ? T(0) : static_cast<T>(u64(a) << n); }>(table, "shl.b" + bits);
  add_each_lane<[](T a, u32 n) { return n >= width ? T(0) : static_cast<T>(a >> n); }>(
      table, "shr.u" + bits + " shr.b" + bits);
  add_each_lane<[](S a, u32 n) { return static_cast<S>(a >> (n >= width ? width - 1 : n)); }>(table, "shr.s" + bits);
}

// Any function of three bits, given as its table of eight.
void run_lop3(Warp& warp, const Instruction& instruction, uint32_t mask) {
  u64* to = warp.lanes(instruction.operands[0]);
  const u64 *a = warp.lanes(instruction.operands[1]), *b = warp.lanes(instruction.operands[2]),
            *c = warp.lanes(instruction.operands[3]), *lut = warp.lanes(instruction.operands[4]);
  for (u32 lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1)) continue;
    u32 result = 0, table = u32(lut[lane]);
    for (u32 bit = 0; bit < 32; ++bit) {
      u32 index = u32(a[lane] >> bit & 1) << 2 | u32(b[lane] >> bit & 1) << 1 | u32(c[lane] >> bit & 1);
      result |= (table >> index & 1) << bit;
    }
    to[lane] = result;
  }
}

u32 prmt(u32 a, u32 b, u32 selector) {
  u64 bytes = u64(b) << 32 | a;
  u32 result = 0;
  for (u32 i = 0; i < 4; ++i) {
    u32 pick = selector >> (4 * i) & 15;
    u32 byte = u32(bytes >> (8 * (pick & 7)) & 255);
    if (pick & 8) byte = byte & 128 ? 255 : 0;
    result |= byte << (8 * i);
  }
  return result;
}

template <class T>
T bfe(T a, u32 position, u32 length) {
  position &= 255;
  length &= 255;
  constexpr u32 width = 8 * sizeof(T);
  if (length == 0) return 0;
  bool negative = false;
  if constexpr (std::is_signed_v<T>) {
    u32 sign = std::min(position + length - 1, width - 1);
    negative = a >> sign & 1;
  }
  u64 shifted = position >= width ? 0 : u64(std::make_unsigned_t<T>(a)) >> position;
  u32 kept = std::min(length, position >= width ? 0 : width - position);
  u64 mask = kept >= 64 ? ~u64(0) : (u64(1) << kept) - 1;
  return static_cast<T>((shifted & mask) | (negative ? ~mask : 0));
}

template <class T>
T bfi(T value, T into, u32 position, u32 length) {
  position &= 255;
  length &= 255;
  for (u32 i = 0; i < length && position + i < 8 * sizeof(T); ++i) {
    T bit = T(1) << (position + i);
    into = (value >> i & 1) ? into | bit : into & ~bit;
  }
  return into;
}

// Parts of `bits` each, put together or taken apart.
template <u32 bits, int parts>
void run_pack(Warp& warp, const Instruction& instruction, uint32_t mask) {
  for (u32 lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1)) continue;
    u64 value = 0;
    for (int i = 0; i < parts; ++i)
      value |= (warp.lanes(instruction.operands[1 + i])[lane] & ((u64(1) << bits) - 1)) << (bits * u32(i));
    warp.lanes(instruction.operands[0])[lane] = value;
  }
}
template <u32 bits, int parts>
void run_unpack(Warp& warp, const Instruction& instruction, uint32_t mask) {
  for (u32 lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1)) continue;
    u64 value = warp.lanes(instruction.operands[parts])[lane];
    for (int i = 0; i < parts; ++i)
      if (instruction.operands[i] >= 0)
        warp.lanes(instruction.operands[i])[lane] = value >> (bits * u32(i)) & ((u64(1) << bits) - 1);
  }
}

// Sums of several words: the carry goes from one instruction to the next.
enum class Term { sum, difference, low_product, high_product };

template <class T, Term term, bool takes, bool gives>
void run_carry(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const int* operands = instruction.operands;
  constexpr u32 width = 8 * sizeof(T);
  using W = WideOf<T>;
  for (u32 lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1)) continue;
    auto value = [&](int operand) { return static_cast<T>(warp.lanes(operands[operand])[lane]); };
    T a = value(1), b = value(2);
    if constexpr (term == Term::low_product || term == Term::high_product) {
      W product = W(a) * W(b);
      a = static_cast<T>(term == Term::low_product ? product : product >> width);
      b = value(3);
    }
    W carried = takes && warp.carry[lane] ? 1 : 0;
    W sum = term == Term::difference ? W(a) - W(b) - carried : W(a) + W(b) + carried;
    warp.lanes(operands[0])[lane] = static_cast<T>(sum);
    if (gives) warp.carry[lane] = (sum >> width) & 1;
  }
}

template <class T>
void add_carries(OpcodeTable& table, const std::string& bits) {
  auto add = [&](const std::string& op, int count, Run gives, Run takes, Run both) {
    auto names = [&](const std::string& before, const std::string& behind) {
      return before + behind + ".u" + bits + " " + before + behind + ".s" + bits;
    };
    std::string base = op.substr(0, op.find('.')), part = op.substr(base.size());
    add_opcodes(table, names(op, ".cc"), {gives, count});
    add_opcodes(table, names(base + "c" + part, ""), {takes, count});
    add_opcodes(table, names(base + "c" + part, ".cc"), {both, count});
  };
  add("add", 3, &run_carry<T, Term::sum, false, true>, &run_carry<T, Term::sum, true, false>,
      &run_carry<T, Term::sum, true, true>);
  add("sub", 3, &run_carry<T, Term::difference, false, true>, &run_carry<T, Term::difference, true, false>,
      &run_carry<T, Term::difference, true, true>);
  add("mad.lo", 4, &run_carry<T, Term::low_product, false, true>, &run_carry<T, Term::low_product, true, false>,
      &run_carry<T, Term::low_product, true, true>);
}

// The upper half of a product depends on the sign: unsigned alone.
template <class T>
void add_high_carries(OpcodeTable& table, const std::string& type) {
  add_opcodes(table, "mad.hi.cc" + type, {&run_carry<T, Term::high_product, false, true>, 4});
  add_opcodes(table, "madc.hi" + type, {&run_carry<T, Term::high_product, true, false>, 4});
  add_opcodes(table, "madc.hi.cc" + type, {&run_carry<T, Term::high_product, true, true>, 4});
}

}  // namespace

void add_integer_opcodes(OpcodeTable& table) {
  add_carries<u32>(table, "32");
  add_carries<u64>(table, "64");
  add_high_carries<u32>(table, ".u32");
  add_high_carries<u64>(table, ".u64");
  add_arithmetic<i16>(table, "s16");
  add_arithmetic<u16>(table, "u16");
  add_arithmetic<i32>(table, "s32");
  add_arithmetic<u32>(table, "u32");
  add_arithmetic<i64>(table, "s64");
  add_arithmetic<u64>(table, "u64");
  add_wide<i16>(table, "s16");
  add_wide<u16>(table, "u16");
  add_wide<i32>(table, "s32");
  add_wide<u32>(table, "u32");
  add_signed<i16>(table, "s16");
  add_signed<i32>(table, "s32");
  add_signed<i64>(table, "s64");
  add_bits<u16>(table, "b16");
  add_bits<u32>(table, "b32");
  add_bits<u64>(table, "b64");
  add_shifts<u16, i16>(table, "16");
  add_shifts<u32, i32>(table, "32");
  add_shifts<u64, i64>(table, "64");
  add_each_lane<[](bool a, bool b) { return a && b; }>(table, "and.pred");
  add_each_lane<[](bool a, bool b) { return a || b; }>(table, "or.pred");
  add_each_lane<[](bool a, bool b) { return a != b; }>(table, "xor.pred");
  add_each_lane<[](bool a) { return !a; }>(table, "not.pred");
  add_each_lane<[](bool a) { return a; }>(table, "mov.pred");
  add_each_lane<[](u16 a) { return a; }>(table, "mov.b16 mov.u16 mov.s16");
  add_each_lane<[](u32 a) { return a; }>(table, "mov.b32 mov.u32 mov.s32 mov.f32");
  add_each_lane<[](u64 a) { return a; }>(table, "mov.b64 mov.u64 mov.s64 mov.f64");
  add_each_lane<[](u32 a, u32 b, u32 n) {
    n &= 31;
    return n == 0 ? b : (b << n | (a >> (32 - n)));
  }>(table, "shf.l.wrap.b32");
  add_each_lane<[](u32 a, u32 b, u32 n) {
    n &= 31;
    return n == 0 ? a : ((a >> n) | b << (32 - n));
  }>(table, "shf.r.wrap.b32");
  add_each_lane<[](u32 a, u32 b, u32 n) { return n >= 32 ? a : u32(((u64(b) << 32 | a) << n) >> 32); }>(
      table, "shf.l.clamp.b32");
  add_each_lane<[](u32 a, u32 b, u32 n) { return n >= 32 ? b : u32((u64(b) << 32 | a) >> n); }>(table,
                                                                                                "shf.r.clamp.b32");
  add_each_lane<[](u32 a) { return u32(std::popcount(a)); }>(table, "popc.b32");
  add_each_lane<[](u64 a) { return u32(std::popcount(a)); }>(table, "popc.b64");
  add_each_lane<[](u32 a) { return u32(std::countl_zero(a)); }>(table, "clz.b32");
  add_each_lane<[](u64 a) { return u32(std::countl_zero(a)); }>(table, "clz.b64");
  add_each_lane<[](u32 a) {
    u32 result = 0;
    for (u32 i = 0; i < 32; ++i) result |= (a >> i & 1) << (31 - i);
    return result;
  }>(table, "brev.b32");
  add_each_lane<&prmt>(table, "prmt.b32");
  add_each_lane<&bfe<u32>>(table, "bfe.u32");
  add_each_lane<&bfe<i32>>(table, "bfe.s32");
  add_each_lane<&bfe<u64>>(table, "bfe.u64");
  add_each_lane<&bfe<i64>>(table, "bfe.s64");
  add_each_lane<&bfi<u32>>(table, "bfi.b32");
  add_each_lane<&bfi<u64>>(table, "bfi.b64");
  // Halves of one by neighbouring bytes of the other.
  add_each_lane<[](u32 a, u32 b, u32 c) { return (a & 0xffff) * (b & 0xff) + (a >> 16) * (b >> 8 & 0xff) + c; }>(
      table, "dp2a.lo.u32.u32");
  add_each_lane<[](u32 a, u32 b, u32 c) { return (a & 0xffff) * (b >> 16 & 0xff) + (a >> 16) * (b >> 24) + c; }>(
      table, "dp2a.hi.u32.u32");
  add_opcodes(table, "lop3.b32", {&run_lop3, 5});
  add_opcodes(table, "mov.b32/pack2", {&run_pack<16, 2>, 3});
  add_opcodes(table, "mov.b64/pack2", {&run_pack<32, 2>, 3});
  add_opcodes(table, "mov.b64/pack4", {&run_pack<16, 4>, 5});
  add_opcodes(table, "mov.b32/unpack2", {&run_unpack<16, 2>, 3});
  add_opcodes(table, "mov.b64/unpack2", {&run_unpack<32, 2>, 3});
  add_opcodes(table, "mov.b64/unpack4", {&run_unpack<16, 4>, 5});
}

}  // namespace cuda_emulator
