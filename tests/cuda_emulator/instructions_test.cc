// Each instruction on values whose results the PTX ISA says, and every opcode of the table by at least one case.
#include <cmath>
#include <limits>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "run_ptx.h"

namespace cuda_emulator {
namespace {

// One instruction on registers that hold bits: inputs as given, outputs as expected, all of 64 bits.
struct Case {
  std::string opcode;
  std::vector<uint64_t> inputs;
  uint64_t expected;
};

uint64_t f(float value) { return put(value); }
uint64_t d(double value) { return put(value); }
const float nan32 = std::numeric_limits<float>::quiet_NaN();
const float inf32 = std::numeric_limits<float>::infinity();

// Loads the inputs, runs the opcode on lane 3 of a warp that is partly there, and stores what came out.
uint64_t result_of(const std::string& opcode, const std::vector<uint64_t>& inputs, bool predicate_out = false,
                   int predicate_in = -1) {
  std::string body, list = predicate_out ? "%p1" : "%rd90";
  for (size_t i = 0; i < inputs.size(); ++i) {
    std::string reg = "%rd" + std::to_string(10 + i);
    body += "ld.global.u64 " + reg + ", [%rd1+" + std::to_string(8 * i) + "];\n";
    if (static_cast<int>(i) == predicate_in) {
      body += "setp.ne.u64 %p2, " + reg + ", 0;\n";
      reg = "%p2";
    }
    list += ", " + reg;
  }
  std::string out = predicate_out ? "selp.b64 %rd90, 1, 0, %p1;\n" : "";
  PtxRun run;
  int in = run.array(inputs), to = run.array<uint64_t>({0});
  static_cast<void>(in);
  run.run(
      ".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 a, .param .u64 b)\n{\n"
      ".reg .b64 %rd<100>;\n.reg .pred %p<4>;\n.reg .b32 %r<4>;\n"
      "ld.param.u64 %rd1, [a];\nld.param.u64 %rd2, [b];\nmov.u32 %r1, %tid.x;\nsetp.ne.u32 %p3, %r1, 3;\n"
      "@%p3 bra end;\n" +
          body + opcode + " " + list + ";\n" + out + "st.global.u64 [%rd2], %rd90;\nend: ret;\n}\n",
      {{1, 1, 1}, {7, 1, 1}});
  return run.values<uint64_t>(to, 1)[0];
}

std::set<std::string>& tried() {
  static std::set<std::string> names;
  return names;
}

void check(const std::vector<Case>& cases, bool predicate_out = false, int predicate_in = -1) {
  for (const Case& one : cases) {
    tried().insert(one.opcode);
    EXPECT_EQ(result_of(one.opcode, one.inputs, predicate_out, predicate_in), one.expected) << one.opcode;
  }
}

constexpr uint64_t minus(uint64_t value, int bits) {
  return bits == 64 ? 0 - value : (0 - value) & ((uint64_t{1} << bits) - 1);
}

TEST(Instructions, IntegerArithmetic) {
  for (int bits : {16, 32, 64})
    for (const std::string sign : {"s", "u"}) {
      const std::string type = "." + sign + std::to_string(bits);
      bool is_signed = sign == "s";
      uint64_t all = minus(1, bits), big = is_signed ? all >> 1 : all;
      check({{"add" + type, {all, 3}, 2},
             {"sub" + type, {2, 3}, all},
             {"mul.lo" + type, {all, 5}, minus(5, bits)},
             {"mul.hi" + type, {all, 5}, is_signed ? all : 4},
             {"mad.lo" + type, {all, 5, 7}, 2},
             {"mad.hi" + type, {all, 5, 7}, is_signed ? 6u : 11u},
             {"div" + type, {minus(7, bits), 2}, is_signed ? minus(3, bits) : (all - 6) / 2},
             {"div" + type, {7, 0}, all},
             {"rem" + type, {minus(7, bits), 2}, is_signed ? all : 1},
             {"rem" + type, {7, 0}, 7},
             {"min" + type, {all, 3}, is_signed ? all : 3},
             {"max" + type, {all, 3}, is_signed ? 3 : all},
             {"max" + type, {big, big - 1}, big}});
      if (is_signed) check({{"abs" + type, {minus(9, bits)}, 9}, {"neg" + type, {9}, minus(9, bits)}});
      if (bits == 64) continue;
      int wide = 2 * bits;
      check({{"mul.wide" + type, {all, 3}, is_signed ? minus(3, wide) : all * 3},
             {"mad.wide" + type, {all, 3, 4}, is_signed ? 1 : all * 3 + 4}});
    }
  // The least number over minus one is itself.
  check({{"div.s32", {0x80000000, 0xffffffff}, 0x80000000}, {"rem.s32", {0x80000000, 0xffffffff}, 0}});
}

TEST(Instructions, Bits) {
  for (int bits : {16, 32, 64}) {
    const std::string type = ".b" + std::to_string(bits), width = std::to_string(bits);
    uint64_t all = minus(1, bits), top = (all >> 1) + 1;
    check({{"and" + type, {12, 10}, 8},
           {"or" + type, {12, 10}, 14},
           {"xor" + type, {12, 10}, 6},
           {"not" + type, {5}, all - 5},
           {"shl" + type, {3, 2}, 12},
           {"shl" + type, {3, 200}, 0},
           {"shr" + type, {12, 2}, 3},
           {"shr.u" + width, {top, 1}, top >> 1},
           {"shr.u" + width, {top, 200}, 0},
           {"shr.s" + width, {top, 1}, top | top >> 1},
           {"shr.s" + width, {top, 200}, all}});
  }
  check({{"shf.l.wrap.b32", {0x80000001, 0x00000003, 33}, 7},
         {"shf.r.wrap.b32", {0x80000002, 0x00000003, 33}, 0xc0000001},
         {"shf.l.clamp.b32", {0x80000001, 0x00000003, 33}, 0x80000001},
         {"shf.l.clamp.b32", {0x80000001, 0x00000003, 1}, 7},
         {"shf.r.clamp.b32", {0x80000002, 0x00000003, 33}, 3},
         {"shf.r.clamp.b32", {0x80000002, 0x00000003, 1}, 0xc0000001},
         {"popc.b32", {0xf0f}, 8},
         {"popc.b64", {~uint64_t{0}}, 64},
         {"clz.b32", {1}, 31},
         {"clz.b64", {0}, 64},
         {"brev.b32", {3}, 0xc0000000},
         {"prmt.b32", {0x33221100, 0x77665544, 0x7410}, 0x77441100},
         {"prmt.b32", {0x33228100, 0x77665544, 0x4329}, 0x443322ff},
         {"bfe.u32", {0xabcd, 4, 8}, 0xbc},
         {"bfe.s32", {0xabcd, 4, 8}, 0xffffffbc},
         {"bfe.u32", {0xabcd, 4, 0}, 0},
         {"bfe.u64", {0xabcd0000, 20, 8}, 0xbc},
         {"bfe.s64", {0xabcd0000, 20, 8}, minus(0x44, 64)},
         {"bfi.b32", {0xff, 0x12345678, 8, 4}, 0x12345f78},
         {"bfi.b64", {0xff, 0, 60, 8}, 0xf000000000000000},
         {"dp2a.lo.u32.u32", {0x00030002, 0x0b070d05, 100}, 2 * 5 + 3 * 13 + 100},
         {"dp2a.hi.u32.u32", {0x00030002, 0x0b070d05, 100}, 2 * 7 + 3 * 11 + 100},
         {"lop3.b32", {0xf0f0, 0xcccc, 0xaaaa, 0x96}, 0x9696},
         {"lop3.b32", {0xff00, 0xf0f0, 0xcccc, 0xe8}, 0xfcc0}});
  check({{"mov.b16", {7}, 7},
         {"mov.u16", {7}, 7},
         {"mov.s16", {7}, 7},
         {"mov.b32", {7}, 7},
         {"mov.u32", {7}, 7},
         {"mov.s32", {7}, 7},
         {"mov.f32", {f(2)}, f(2)},
         {"mov.b64", {7}, 7},
         {"mov.u64", {7}, 7},
         {"mov.s64", {7}, 7},
         {"mov.f64", {d(2)}, d(2)}});
}

TEST(Instructions, FloatingPoint) {
  const float third = 1.0f / 3, tiny = 1e-40f;
  check({{"add.f32", {f(1), f(2)}, f(3)},
         {"sub.f32", {f(1), f(2)}, f(-1)},
         {"mul.f32", {f(third), f(3)}, f(third * 3)},
         {"fma.rn.f32", {f(third), f(3), f(-1)}, f(std::fma(third, 3.0f, -1.0f))},
         {"div.rn.f32", {f(1), f(3)}, f(third)},
         {"rcp.rn.f32", {f(3)}, f(third)},
         {"sqrt.rn.f32", {f(9)}, f(3)},
         {"neg.f32", {f(0)}, f(-0.0f)},
         {"abs.f32", {f(-2)}, f(2)},
         {"min.f32", {f(nan32), f(2)}, f(2)},
         {"min.f32", {f(0), f(-0.0f)}, f(-0.0f)},
         {"max.f32", {f(-0.0f), f(0)}, f(0)},
         {"max.f32", {f(5), f(2)}, f(5)},
         {"min.NaN.f32", {f(1), f(2)}, f(1)},
         {"min.NaN.f32", {f(nan32), f(2)}, 0x7fffffff},
         {"max.NaN.f32", {f(1), f(nan32)}, 0x7fffffff},
         {"copysign.f32", {f(-1), f(3)}, f(-3)},
         {"div.approx.f32", {f(6), f(3)}, f(2)},
         {"div.full.f32", {f(6), f(3)}, f(2)},
         {"div.approx.ftz.f32", {f(tiny), f(1)}, f(0)},
         {"div.full.ftz.f32", {f(tiny), f(1)}, f(0)},
         {"rcp.approx.f32", {f(4)}, f(0.25)},
         {"rcp.approx.ftz.f32", {f(tiny)}, f(inf32)},
         {"sqrt.approx.f32", {f(16)}, f(4)},
         {"sqrt.approx.ftz.f32", {f(tiny)}, f(0)},
         {"rsqrt.approx.f32", {f(16)}, f(0.25)},
         {"rsqrt.approx.ftz.f32", {f(tiny)}, f(inf32)},
         {"ex2.approx.f32", {f(3)}, f(8)},
         {"ex2.approx.ftz.f32", {f(-140)}, f(0)},
         {"lg2.approx.f32", {f(8)}, f(3)},
         {"lg2.approx.ftz.f32", {f(tiny)}, f(-inf32)},
         {"sin.approx.f32", {f(0)}, f(0)},
         {"cos.approx.f32", {f(0)}, f(1)},
         {"tanh.approx.f32", {f(100)}, f(1)},
         {"add.f64", {d(1), d(2)}, d(3)},
         {"sub.f64", {d(1), d(2)}, d(-1)},
         {"mul.f64", {d(1.5), d(2)}, d(3)},
         {"fma.rn.f64", {d(0.1), d(10), d(-1)}, d(std::fma(0.1, 10.0, -1.0))},
         {"div.rn.f64", {d(1), d(3)}, d(1.0 / 3)},
         {"rcp.rn.f64", {d(3)}, d(1.0 / 3)},
         {"sqrt.rn.f64", {d(2)}, d(std::sqrt(2.0))},
         {"neg.f64", {d(1)}, d(-1)},
         {"abs.f64", {d(-1)}, d(1)},
         {"min.f64", {d(1), d(2)}, d(1)},
         {"max.f64", {d(1), d(2)}, d(2)},
         {"copysign.f64", {d(-1), d(3)}, d(-3)},
         {"rcp.approx.ftz.f64", {d(4)}, d(0.25)},
         {"rsqrt.approx.ftz.f64", {d(4)}, d(0.5)},
         {"rsqrt.approx.f64", {d(4)}, d(0.5)}});
  // One and a bit far below its last place: the direction shows.
  auto directions = [&](const std::string& type, uint64_t one, uint64_t small, uint64_t above, uint64_t below) {
    check({{"add.rn" + type, {one, small}, one},
           {"add.rz" + type, {one, small}, one},
           {"add.rm" + type, {one, small}, one},
           {"add.rp" + type, {one, small}, above},
           {"sub.rn" + type, {one, small}, one},
           {"sub.rz" + type, {one, small}, below},
           {"sub.rm" + type, {one, small}, below},
           {"sub.rp" + type, {one, small}, one},
           {"mul.rn" + type, {above, above}, above + 1},
           {"mul.rz" + type, {above, above}, above + 1},
           {"mul.rm" + type, {above, above}, above + 1},
           {"mul.rp" + type, {above, above}, above + 2},
           {"fma.rz" + type, {one, one, small}, one},
           {"fma.rm" + type, {one, one, small}, one},
           {"fma.rp" + type, {one, one, small}, above}});
  };
  directions(".f32", f(1), f(1e-20f), f(std::nextafter(1.0f, 2.0f)), f(std::nextafter(1.0f, 0.0f)));
  directions(".f64", d(1), d(1e-40), d(std::nextafter(1.0, 2.0)), d(std::nextafter(1.0, 0.0)));
}

TEST(Instructions, Predicates) {
  for (const std::string type : {".f32", ".f64"}) {
    auto of = [&](float value) { return type == ".f32" ? f(value) : d(double(value)); };
    check({{"testp.finite" + type, {of(1)}, 1},
           {"testp.infinite" + type, {of(inf32)}, 1},
           {"testp.notanumber" + type, {of(nan32)}, 1},
           {"testp.number" + type, {of(nan32)}, 0}},
          true);
    for (const auto& [name, results] : std::map<std::string, std::vector<uint64_t>>{{"eq", {0, 1, 0, 0}},
                                                                                    {"ne", {1, 0, 1, 0}},
                                                                                    {"lt", {1, 0, 0, 0}},
                                                                                    {"le", {1, 1, 0, 0}},
                                                                                    {"gt", {0, 0, 1, 0}},
                                                                                    {"ge", {0, 1, 1, 0}},
                                                                                    {"equ", {0, 1, 0, 1}},
                                                                                    {"neu", {1, 0, 1, 1}},
                                                                                    {"ltu", {1, 0, 0, 1}},
                                                                                    {"leu", {1, 1, 0, 1}},
                                                                                    {"gtu", {0, 0, 1, 1}},
                                                                                    {"geu", {0, 1, 1, 1}},
                                                                                    {"num", {1, 1, 1, 0}},
                                                                                    {"nan", {0, 0, 0, 1}}}) {
      check({{"setp." + name + type, {of(1), of(2)}, results[0]},
             {"setp." + name + type, {of(2), of(2)}, results[1]},
             {"setp." + name + type, {of(3), of(2)}, results[2]},
             {"setp." + name + type, {of(1), of(nan32)}, results[3]}},
            true);
      check({{"setp." + name + ".and" + type, {of(1), of(2), 0}, 0},
             {"setp." + name + ".and" + type, {of(1), of(2), 1}, results[0]},
             {"setp." + name + ".or" + type, {of(1), of(2), 1}, 1},
             {"setp." + name + ".or" + type, {of(1), of(2), 0}, results[0]},
             {"setp." + name + ".xor" + type, {of(1), of(2), 1}, 1 - results[0]}},
            true, 2);
    }
  }
  for (int bits : {16, 32, 64}) {
    uint64_t all = minus(1, bits);
    for (const auto& [name, results] : std::map<std::string, std::vector<uint64_t>>{{"eq", {0, 1, 0}},
                                                                                    {"ne", {1, 0, 1}},
                                                                                    {"lt", {1, 0, 0}},
                                                                                    {"le", {1, 1, 0}},
                                                                                    {"gt", {0, 0, 1}},
                                                                                    {"ge", {0, 1, 1}},
                                                                                    {"lo", {1, 0, 0}},
                                                                                    {"ls", {1, 1, 0}},
                                                                                    {"hi", {0, 0, 1}},
                                                                                    {"hs", {0, 1, 1}}})
      for (const std::string kind : {"s", "u", "b"}) {
        bool is_order = name != "eq" && name != "ne", is_unsigned_name = name[0] == 'h' || name == "lo" || name == "ls";
        if ((kind == "b" && is_order) || (kind == "s" && is_unsigned_name)) continue;
        // All ones are less than two as a signed number, more as an unsigned one.
        const std::string type = "." + kind + std::to_string(bits), op = "setp." + name;
        check({{op + type, {all, 2}, kind == "s" ? results[0] : results[2]}, {op + type, {2, 2}, results[1]}}, true);
        check({{op + ".and" + type, {2, 2, 1}, results[1]},
               {op + ".or" + type, {2, 2, 1}, 1},
               {op + ".xor" + type, {2, 2, 1}, 1 - results[1]}},
              true, 2);
      }
    for (const char* kind : {"b", "u", "s"})
      check({{"selp." + std::string(kind) + std::to_string(bits), {5, 6, 0}, 6}}, false, 2);
  }
  check({{"selp.f32", {f(5), f(6), 1}, f(5)}, {"selp.f64", {d(5), d(6), 1}, d(5)}}, false, 2);
}

TEST(Instructions, Conversions) {
  for (int from : {8, 16, 32, 64})
    for (int to : {8, 16, 32, 64})
      for (const std::string a : {"s", "u"})
        for (const std::string b : {"s", "u"}) {
          uint64_t value = minus(3, from);
          int kept = std::min(from, to);
          uint64_t expected = b == "s" && to > from ? minus(3, to) : value & minus(1, kept);
          check({{"cvt." + a + std::to_string(to) + "." + b + std::to_string(from), {value}, expected}});
        }
  for (int bits : {8, 16, 32, 64})
    for (const std::string sign : {"s", "u"}) {
      const std::string i = "." + sign + std::to_string(bits);
      bool is_signed = sign == "s";
      uint64_t all = minus(1, bits), most = is_signed ? all >> 1 : all;
      for (const std::string t : {".f32", ".f64"}) {
        auto of = [&](double value) { return t == ".f32" ? f(static_cast<float>(value)) : d(value); };
        check({{"cvt.rzi" + i + t, {of(2.7)}, 2},
               {"cvt.rni" + i + t, {of(2.5)}, 2},
               {"cvt.rmi" + i + t, {of(2.7)}, 2},
               {"cvt.rpi" + i + t, {of(2.2)}, 3},
               {"cvt.rzi" + i + t, {of(1e30)}, most},
               {"cvt.rzi" + i + t, {of(-2.7)}, is_signed ? minus(2, bits) : 0},
               {"cvt.rzi" + i + t, {of(std::nan(""))}, 0},
               {"cvt.rn" + t + i, {5}, of(5)},
               {"cvt.rz" + t + i, {5}, of(5)},
               {"cvt.rm" + t + i, {5}, of(5)},
               {"cvt.rp" + t + i, {5}, of(5)},
               {"cvt.rn" + t + i, {all}, is_signed ? of(-1) : of(std::ldexp(1.0, bits) - 1)}});
      }
    }
  // Beyond 24 bits of fraction.
  check({{"cvt.rn.f32.s32", {16777217}, f(16777216)},
         {"cvt.rp.f32.s32", {16777217}, f(16777218)},
         {"cvt.rz.f32.s32", {16777217}, f(16777216)},
         {"cvt.rm.f32.s32", {minus(16777217, 32)}, f(-16777218)}});
  for (const std::string t : {".f32", ".f64"}) {
    auto of = [&](double value) { return t == ".f32" ? f(static_cast<float>(value)) : d(value); };
    check({{"cvt.rzi" + t + t, {of(-2.7)}, of(-2)},
           {"cvt.rni" + t + t, {of(2.5)}, of(2)},
           {"cvt.rmi" + t + t, {of(-2.2)}, of(-3)},
           {"cvt.rpi" + t + t, {of(2.2)}, of(3)}});
  }
  check({{"cvt.f64.f32", {f(0.1f)}, d(double(0.1f))},
         {"cvt.rn.f32.f64", {d(0.1)}, f(0.1f)},
         {"cvt.sat.f32.f32", {f(7)}, f(1)},
         {"cvt.sat.f32.f32", {f(nan32)}, f(0)},
         {"cvt.f32.f16", {0x3c00}, f(1)},
         {"cvt.f32.f16", {0x8001}, f(-std::ldexp(1.0f, -24))},
         {"cvt.f32.f16", {0x7c00}, f(inf32)},
         {"cvt.f32.bf16", {0x3f80}, f(1)},
         {"cvt.rn.f16.f32", {f(1)}, 0x3c00},
         {"cvt.rn.f16.f32", {f(65504)}, 0x7bff},
         {"cvt.rn.f16.f32", {f(65520)}, 0x7c00},
         {"cvt.rn.f16.f32", {f(-std::ldexp(1.0f, -24))}, 0x8001},
         {"cvt.rn.f16.f32", {f(std::ldexp(1.0f, -25))}, 0},
         {"cvt.rn.f16.f32", {f(1 + std::ldexp(1.0f, -11))}, 0x3c00},
         {"cvt.rn.f16.f32", {f(1 + std::ldexp(3.0f, -11))}, 0x3c02},
         {"cvt.rn.f16.f32", {f(inf32)}, 0x7c00},
         {"cvt.rn.bf16.f32", {f(1)}, 0x3f80},
         {"cvt.rn.bf16.f32", {0x3f808000}, 0x3f80},
         {"cvt.rn.bf16.f32", {0x3f818000}, 0x3f82},
         {"cvt.rn.bf16.f32", {f(std::numeric_limits<float>::max())}, 0x7f80},
         {"cvt.rn.bf16x2.f32", {f(1), f(2)}, 0x3f804000},
         {"cvt.rn.f16x2.f32", {f(1), f(2)}, 0x3c004000},
         {"cvt.rna.tf32.f32", {0x3f801000}, 0x3f802000},
         {"cvt.rna.tf32.f32", {0x3f800fff}, 0x3f800000},
         {"cvta.global.u64", {5}, 5},
         {"cvta.to.global.u64", {5}, 5},
         {"cvta.const.u64", {5}, 5},
         {"cvta.to.const.u64", {5}, 5},
         {"cvta.param.u64", {5}, 5},
         {"cvta.to.param.u64", {5}, 5},
         {"cvta.shared.u64", {5}, shared_base + 5},
         {"cvta.to.shared.u64", {shared_base + 5}, 5},
         {"cvta.local.u64", {5}, local_base + 5},
         {"cvta.to.local.u64", {local_base + 5}, 5}});
}

// Last: every opcode that takes registers only has been tried above; the others have tests of their own.
TEST(Instructions, ZNoneIsLeftUntried) {
  if (tried().size() < 100) GTEST_SKIP() << "run together with the other tests of instructions";
  for (const std::string& opcode : all_opcodes()) {
    bool own_test = false;
    for (const char* start :
         {"ld.",        "st.",      "atom.",    "red.",     "cp.async", "bar",      "shfl",    "vote",
          "activemask", "membar",   "fence",    "mma",      "bra",      "ret",      "exit",    "trap",
          "mov.b32/",   "mov.b64/", "mov.pred", "and.pred", "or.pred",  "xor.pred", "not.pred"})
      own_test |= opcode.rfind(start, 0) == 0;
    // Sums of several words.
    for (const char* part : {".cc.", "addc.", "subc.", "madc."}) own_test |= opcode.find(part) != std::string::npos;
    EXPECT_TRUE(own_test || tried().count(opcode)) << opcode;
  }
}

}  // namespace
}  // namespace cuda_emulator
