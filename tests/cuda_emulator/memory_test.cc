// Memory, its checks, and what threads of a group tell each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "run_ptx.h"

namespace cuda_emulator {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A kernel of two arrays a (%rd1) and b (%rd2), with the thread's number in %r1 and 4 times it in %rd3.
std::string kernel(const std::string& body, const std::string& declarations = "") {
  return ".version 9.0\n.target sm_80\n.address_size 64\n" + declarations +
         "\n.visible .entry k(.param .u64 a, .param .u64 b)\n{\n.reg .b64 %rd<20>;\n.reg .b32 %r<40>;\n"
         ".reg .f32 %f<20>;\n.reg .b16 %rs<20>;\n.reg .pred %p<9>;\n"
         "ld.param.u64 %rd1, [a];\nld.param.u64 %rd2, [b];\nmov.u32 %r1, %tid.x;\nmul.wide.u32 %rd3, %r1, 4;\n"
         "add.s64 %rd4, %rd1, %rd3;\nadd.s64 %rd5, %rd2, %rd3;\n" +
         body + "\nret;\n}\n";
}

std::vector<uint32_t> iota(uint32_t count, uint32_t from = 0) {
  std::vector<uint32_t> values(count);
  for (uint32_t i = 0; i < count; ++i) values[i] = from + i;
  return values;
}

// b after the kernel has run on a = 0, 1, 2, ... and b = 0.
std::vector<uint32_t> output_of(const std::string& text, const Grid& grid = {}, uint32_t count = 32) {
  PtxRun run;
  run.array(iota(256));
  int out = run.array(std::vector<uint32_t>(count));
  run.run(text, grid);
  return run.values<uint32_t>(out, count);
}

std::string fault_in(const std::string& body, const Grid& grid = {}, const std::string& declarations = "") {
  return fault_of([&] { output_of(kernel(body, declarations), grid); });
}

TEST(Memory, LoadsAndStoresOfEveryWidthAndVector) {
  EXPECT_THAT(output_of(kernel("ld.global.u32 %r2, [%rd4+4];\nst.global.u32 [%rd5], %r2;")),
              ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
                          27, 28, 29, 30, 31, 32));
  // Signed values are extended.
  EXPECT_EQ(
      output_of(kernel(
          "mov.u32 %r2, 0xfe;\nst.global.u8 [%rd4], %r2;\nld.global.s8 %r3, [%rd4];\nst.global.u32 [%rd5], %r3;"))[0],
      0xfffffffe);
  EXPECT_EQ(
      output_of(kernel(
          "mov.u32 %r2, 0xfffe;\nst.global.u16 [%rd4], %r2;\nld.global.s16 %r3, [%rd4];\nst.global.u32 [%rd5], %r3;"))
          [0],
      0xfffffffe);
  Grid one{{1, 1, 1}, {1, 1, 1}};
  EXPECT_THAT(
      output_of(
          kernel("ld.global.nc.v4.u32 {%r2,%r3,%r4,%r5}, [%rd1+16];\nst.global.v4.u32 [%rd2], {%r5,%r4,%r3,%r2};"), one,
          4),
      ElementsAre(7, 6, 5, 4));
  EXPECT_THAT(output_of(kernel("ld.v2.u64 {%rd8,%rd9}, [%rd1];\nst.v2.u64 [%rd2], {%rd9,%rd8};"), one, 4),
              ElementsAre(2, 3, 0, 1));
  EXPECT_THAT(
      output_of(kernel("mov.b64 %rd8, {%r1, 7};\nmov.b64 {%r2, %r3}, %rd8;\nst.global.v2.b32 [%rd2], {%r3,%r2};\n"
                       "mov.b32 {%rs1,%rs2}, 0x50004;\nmov.b32 %r4, {%rs2,%rs1};\nst.global.b32 [%rd2+8], %r4;\n"
                       "mov.b64 %rd9, {%rs1,%rs2,%rs1,%rs2};\nmov.b64 {%rs3,_,_,%rs4}, %rd9;\nst.global.u16 [%rd2+12], "
                       "%rs3;\nst.global.u16 [%rd2+14], %rs4;"),
                one, 4),
      ElementsAre(7, 0, 0x40005, 0x50004));
}

TEST(Memory, VariablesLocalAndConstant) {
  Grid one{{1, 1, 1}, {1, 1, 1}};
  EXPECT_THAT(
      output_of(kernel("mov.u64 %rd8, table;\nld.global.u32 %r2, [%rd8+4];\nst.global.u32 [%rd2], %r2;\n"
                       "ld.const.u16 %rs1, [halves+2];\nst.global.u16 [%rd2+4], %rs1;",
                       ".global .align 4 .b8 table[8] = {1, 0, 0, 0, 2, 1};\n.const .align 2 .u16 halves[2] = {7, 9};"),
                one, 2),
      ElementsAre(258, 9));
  EXPECT_THAT(output_of(kernel(".local .align 8 .b8 depot[16];\nmov.u64 %rd8, depot;\ncvta.local.u64 %rd9, %rd8;\n"
                               "st.local.u32 [%rd8+4], %r1;\nld.u32 %r2, [%rd9+4];\nst.global.u32 [%rd5], %r2;"),
                        {}, 32),
              ::testing::ElementsAreArray(iota(32)));
  EXPECT_THAT(fault_in(".local .align 8 .b8 depot[16];\nmov.u64 %rd8, depot;\nst.local.u32 [%rd8+16], %r1;"),
              HasSubstr("local byte 16, a thread has 16"));
}

TEST(Memory, EveryAccessIsHeldAgainstItsAllocation) {
  EXPECT_THAT(fault_in("ld.global.u32 %r2, [%rd4+1020];"),
              HasSubstr("PTX line 18 (ld.global.u32 %r2, [%rd4+1020];), source line 0, thread (1,0,0) of group "
                        "(0,0,0): 4 bytes at 0x"));
  EXPECT_THAT(fault_in("st.global.u32 [%rd1+-4], %r1;"), HasSubstr("no allocation lies there"));
  EXPECT_THAT(fault_in("ld.global.u32 %r2, [%rd4+2];"), HasSubstr("is not aligned to 4 bytes"));
  EXPECT_THAT(fault_in("ld.global.v4.u32 {%r2,%r3,%r4,%r5}, [%rd4];"),
              HasSubstr("thread (1,0,0) of group (0,0,0): address"));
  EXPECT_THAT(fault_in("mov.u64 %rd8, 0;\nld.u32 %r2, [%rd8];"), HasSubstr("no allocation"));
  // What was never written is NaN: so are registers.
  EXPECT_THAT(output_of(kernel("st.global.f32 [%rd5], %f3;")), Each(0x7fc0dead));
}

const std::string shared = ".shared .align 16 .b8 s[256];\n";

TEST(Shared, HoldsValuesAcrossABarrier) {
  EXPECT_THAT(
      output_of(kernel(shared + "mov.u64 %rd8, s;\nadd.s64 %rd9, %rd8, %rd3;\nst.shared.u32 [%rd9], %r1;\nbar.sync 0;\n"
                                "xor.b32 %r2, %r1, 63;\nmul.wide.u32 %rd10, %r2, 4;\nadd.s64 %rd11, %rd8, %rd10;\n"
                                "cvta.shared.u64 %rd12, %rd11;\nld.u32 %r3, [%rd12];\nst.global.u32 [%rd5], %r3;"),
                {{1, 1, 1}, {64, 1, 1}}, 64)[1],
      62u);
}

TEST(Shared, RacesAreFaults) {
  const std::string address = shared + "mov.u64 %rd8, s;\nadd.s64 %rd9, %rd8, %rd3;\n";
  const std::string write = address + "st.shared.u32 [%rd9], %r1;\n";
  Grid two_warps{{1, 1, 1}, {64, 1, 1}};
  // Read after write, in the same warp and in another one; write after read; write after write.
  EXPECT_THAT(fault_in(write + "ld.shared.u32 %r2, [s];"),
              HasSubstr("race on shared byte 0: thread 0 wrote it, and no barrier lies between"));
  EXPECT_EQ(fault_in(write + "bar.warp.sync -1;\nld.shared.u32 %r2, [s];"), "");
  EXPECT_THAT(fault_in(write + "bar.warp.sync -1;\nld.shared.u32 %r2, [s];", two_warps), HasSubstr("thread (32,0,0)"));
  EXPECT_EQ(fault_in(write + "bar.sync 0;\nld.shared.u32 %r2, [s];", two_warps), "");
  EXPECT_THAT(fault_in(shared + "ld.shared.u32 %r2, [s];\nsetp.eq.u32 %p1, %r1, 5;\n@%p1 st.shared.u32 [s], %r1;"),
              HasSubstr("read it"));
  EXPECT_THAT(fault_in(shared + "st.shared.u32 [s], %r1;"), HasSubstr("race on shared byte 0: thread 0 wrote it"));
  EXPECT_EQ(fault_in(shared + "red.shared.add.u32 [s], %r1;", two_warps), "");
  EXPECT_THAT(fault_in(shared + "red.shared.add.u32 [s], %r1;\nld.shared.u32 %r2, [s];", two_warps), HasSubstr("race"));
  EXPECT_THAT(fault_in(write + "ld.shared.u32 %r2, [%rd9+256];"), HasSubstr("shared byte 256 is no variable's"));
  EXPECT_THAT(fault_in(write + "ld.shared.u32 %r2, [%rd9+1024];"), HasSubstr("shared byte 1024, the group has 320"));
}

TEST(Shared, DynamicMemoryFollowsTheStatic) {
  const std::string text = kernel(
      ".shared .align 4 .b8 fixed[20];\nmov.u64 %rd8, open;\nadd.s64 %rd9, %rd8, %rd3;\nst.shared.u32 [%rd9], %r1;\n"
      "setp.eq.u32 %p1, %r1, 0;\n@%p1 st.global.u64 [%rd2], %rd8;",
      ".extern .shared .align 16 .b8 open[];");
  EXPECT_EQ(output_of(text, {{1, 1, 1}, {32, 1, 1}, 128})[0], 96u);  // behind the gap
  EXPECT_THAT(fault_of([&] { output_of(text, {{1, 1, 1}, {32, 1, 1}, 124}); }), HasSubstr("thread (31,0,0)"));
}

// Within a group: %rd4 is the thread's element of the array, %rd1 its beginning.
TEST(Memory, RacesOnGlobalMemoryAreFaults) {
  const std::string write = "st.global.u32 [%rd4], %r1;\n", read = "ld.global.u32 %r2, [%rd1];\n";
  Grid two_warps{{1, 1, 1}, {64, 1, 1}};
  EXPECT_THAT(fault_in(write + read), HasSubstr("thread 0 wrote it, and no barrier lies between"));
  EXPECT_EQ(fault_in(write + "bar.warp.sync -1;\n" + read), "");
  EXPECT_THAT(fault_in(write + "bar.warp.sync -1;\n" + read, two_warps), HasSubstr("race on the memory at 0x"));
  EXPECT_EQ(fault_in(write + "bar.sync 0;\n" + read, two_warps), "");
  EXPECT_THAT(fault_in("ld.global.u32 %r2, [%rd1];\nst.global.u32 [%rd4], %r2;"), HasSubstr("read it"));
  EXPECT_THAT(fault_in("st.global.u32 [%rd1], %r1;"), HasSubstr("wrote it"));
}

// Groups run in any order: what one writes, no other may read or write in the same launch.
TEST(Memory, RacesBetweenGroupsAreFaults) {
  Grid three_groups{{3, 1, 1}, {32, 1, 1}};
  const std::string first_thread = "setp.eq.u32 %p1, %r1, 0;\n", write = "@%p1 st.global.u32 [%rd1], %r1;\n",
                    read = "@%p1 ld.global.u32 %r2, [%rd1];\n", add = "@%p1 red.global.add.u32 [%rd1], 1;\n",
                    in_the_last = "mov.u32 %r3, %ctaid.x;\nsetp.eq.and.u32 %p1, %r3, 2, %p1;\n";
  EXPECT_THAT(fault_in(first_thread + write, three_groups), HasSubstr("group 0 of the launch wrote it"));
  EXPECT_EQ(fault_in(first_thread + read, three_groups), "");
  EXPECT_EQ(fault_in(first_thread + add, three_groups), "");
  EXPECT_EQ(fault_in(first_thread + in_the_last + read + write, three_groups), "");
  EXPECT_THAT(fault_in(first_thread + read + in_the_last + write, three_groups), HasSubstr("read it"));
  EXPECT_THAT(fault_in(first_thread + add + in_the_last + read, three_groups), HasSubstr("groups run in any order"));
}

TEST(Barriers, MustBeReachedByWholeWarpsAndBeTheSame) {
  EXPECT_THAT(fault_in("setp.lt.u32 %p1, %r1, 7;\n@%p1 bar.sync 0;"),
              HasSubstr("a barrier that only a part of the warp reaches"));
  Grid two_warps{{1, 1, 1}, {64, 1, 1}};
  EXPECT_THAT(fault_in("setp.lt.u32 %p1, %r1, 32;\n@%p1 bra other;\nbar.sync 0;\nbra end;\nother:\nbar.sync 0;\nend:",
                       two_warps),
              HasSubstr("waits at another barrier, at PTX line"));
  EXPECT_THAT(fault_in("bar.sync 3;"), HasSubstr("barriers other than 0 are not implemented"));
  EXPECT_EQ(
      fault_in("barrier.sync.aligned 0;\nbarrier.sync 0;\nmembar.gl;\nmembar.cta;\nmembar.sys;\nfence.acq_rel.gpu;\n"
               "fence.acq_rel.cta;\nfence.acq_rel.sys;\nfence.sc.gpu;",
               two_warps),
      "");
  // Who has returned is not waited for.
  EXPECT_EQ(fault_in("setp.lt.u32 %p1, %r1, 32;\n@%p1 exit;\nbar.sync 0;", two_warps), "");
  EXPECT_THAT(fault_in("trap;"), HasSubstr("the kernel stopped itself"));
}

TEST(Warps, ShufflesGiveValuesOfOtherLanes) {
  auto shuffled = [](const std::string& kind, const std::string& operands) {
    return output_of(kernel("add.s32 %r2, %r1, 100;\nshfl.sync." + kind + ".b32 %r3|%p1, %r2, " + operands +
                            ", -1;\n"
                            "selp.u32 %r4, 1000, 0, %p1;\nadd.s32 %r3, %r3, %r4;\nst.global.u32 [%rd5], %r3;"));
  };
  std::vector<uint32_t> down = shuffled("down", "4, 31"), up = shuffled("up", "4, 0"),
                        across = shuffled("bfly", "5, 31"), one = shuffled("idx", "9, 31"),
                        segments = shuffled("down", "4, 0x181f");
  EXPECT_EQ(down[3], 1107u);
  EXPECT_EQ(down[29], 129u);  // beyond the last: its own, and the predicate says so
  EXPECT_EQ(up[29], 1125u);
  EXPECT_EQ(up[3], 103u);
  EXPECT_EQ(across[3], 1106u);
  EXPECT_THAT(one, Each(1109u));
  EXPECT_EQ(segments[5], 105u);  // segments of eight
  EXPECT_EQ(segments[3], 1107u);
}

TEST(Warps, ShufflesAndVotesNeedTheLanesTheyName) {
  EXPECT_THAT(fault_in("setp.lt.u32 %p1, %r1, 7;\n@%p1 shfl.sync.bfly.b32 %r3, %r1, 1, 31, -1;"),
              HasSubstr("lanes that the mask names are elsewhere"));
  EXPECT_THAT(fault_in("shfl.sync.bfly.b32 %r3, %r1, 1, 31, 1;"),
              HasSubstr("lanes are here that the mask does not name"));
  EXPECT_THAT(fault_in("setp.lt.u32 %p1, %r1, 7;\n@%p1 vote.sync.all.pred %p2, %p1, -1;"),
              HasSubstr("lanes that the mask names"));
  EXPECT_THAT(fault_in("setp.lt.u32 %p1, %r1, 7;\n@%p1 bar.warp.sync -1;"), HasSubstr("lanes that the mask names"));
  // Lanes that never were are not missed.
  EXPECT_EQ(fault_in("shfl.sync.bfly.b32 %r3, %r1, 1, 31, -1;", {{1, 1, 1}, {7, 1, 1}}), "");
}

TEST(Warps, VotesAndMasks) {
  auto voted = [](const std::string& vote) {
    return output_of(
        kernel("setp.lt.u32 %p1, %r1, 7;\nsetp.lt.u32 %p3, %r1, 40;\n" + vote + "\nst.global.u32 [%rd5], %r3;"))[20];
  };
  EXPECT_EQ(voted("vote.sync.ballot.b32 %r3, %p1, -1;"), 127u);
  EXPECT_EQ(voted("vote.sync.any.pred %p2, %p1, -1;\nselp.u32 %r3, 1, 0, %p2;"), 1u);
  EXPECT_EQ(voted("vote.sync.all.pred %p2, %p1, -1;\nselp.u32 %r3, 1, 0, %p2;"), 0u);
  EXPECT_EQ(voted("vote.sync.all.pred %p2, %p3, -1;\nselp.u32 %r3, 1, 0, %p2;"), 1u);
  EXPECT_EQ(voted("vote.sync.uni.pred %p2, %p1, -1;\nselp.u32 %r3, 1, 0, %p2;"), 0u);
  EXPECT_EQ(voted("mov.u32 %r3, 0;\n@!%p1 activemask.b32 %r3;"), 0xffffff80u);
  EXPECT_EQ(voted("mov.u32 %r3, %lanemask_lt;"), (1u << 20) - 1);
  EXPECT_EQ(voted("mov.u32 %r3, %lanemask_le;"), (1u << 21) - 1);
  EXPECT_EQ(voted("mov.u32 %r3, %lanemask_gt;"), 0xffe00000u);
  EXPECT_EQ(voted("mov.u32 %r3, %lanemask_ge;"), 0xfff00000u);
  EXPECT_EQ(voted("mov.u32 %r3, %lanemask_eq;"), 1u << 20);
  EXPECT_EQ(voted("mov.u32 %r3, %laneid;"), 20u);
  EXPECT_EQ(voted("mov.pred %p2, %p1;\nnot.pred %p4, %p2;\nand.pred %p5, %p4, %p3;\nor.pred %p6, %p5, %p1;\nxor.pred "
                  "%p7, %p6, %p1;\nselp.u32 %r3, 1, 0, %p7;"),
            1u);
}

TEST(Warps, PathsMeetAgain) {
  // A loop of as many rounds as the lane's number, then all together.
  EXPECT_THAT(
      output_of(
          kernel("mov.u32 %r2, 0;\nmov.u32 %r3, %r1;\nnext:\nsetp.eq.u32 %p1, %r3, 0;\n@%p1 bra done;\n"
                 "add.u32 %r2, %r2, 2;\nsub.u32 %r3, %r3, 1;\nbra.uni next;\ndone:\n"
                 "activemask.b32 %r4;\nsetp.ne.u32 %p2, %r4, 0xffffffff;\n@%p2 trap;\nst.global.u32 [%rd5], %r2;"))[13],
      26u);
}

// Two words: each pair of instructions, the second with and without a carry that goes on.
TEST(Carries, GoFromOneWordToTheNext) {
  Grid one{{1, 1, 1}, {1, 1, 1}};
  for (const std::string sign : {"u", "s"})
    for (const std::string bits : {"32", "64"}) {
      const std::string type = "." + sign + bits, r = bits == "32" ? "%r" : "%rd1", vector = ".v2.b" + bits;
      auto two_words = [&](const std::string& first, const std::string& second) {
        std::vector<uint32_t> words = output_of(
            kernel("mov.b" + bits + " " + r + "2, -1;\nmov.b" + bits + " " + r + "3, 2;\n" + first + type + " " + r +
                   "4, " + r + "2, " + r + "3" + (first[0] == 'm' ? ", " + r + "3" : "") + ";\n" + second + type + " " +
                   r + "5, " + r + "3, " + r + "3" + (second[0] == 'm' ? ", " + r + "3" : "") + ";\nst.global" +
                   vector + " [%rd2], {" + r + "4," + r + "5};"),
            one, 4);
        return std::pair(static_cast<int32_t>(words[0]), static_cast<int32_t>(words[bits == "32" ? 1 : 2]));
      };
      using Pair = std::pair<int32_t, int32_t>;
      for (const std::string more : {"", ".cc"}) {
        EXPECT_EQ(two_words("add.cc", "addc" + more), Pair(1, 5));
        EXPECT_EQ(two_words("sub.cc", "subc" + more), Pair(-3, 0));
        EXPECT_EQ(two_words("mad.lo.cc", "madc.lo" + more), Pair(0, 7));
        if (sign == "u") {
          // The upper half of (2^n - 1) x 2, plus 2, carries nothing.
          EXPECT_EQ(two_words("mad.hi.cc", "madc.hi" + more), Pair(3, 2));
          EXPECT_EQ(two_words("add.cc", "madc.hi" + more), Pair(1, 3));
        }
      }
    }
}

TEST(Calls, PassParametersAndComeBackFromWhereverTheyReturn) {
  // triple(x) is 3 x for odd x, else x; it calls add, which the text has behind it.
  const std::string call_add =
      "{\n.param .b32 p0;\nst.param.b32 [p0+0], %r2;\n.param .b32 p1;\nst.param.b32 [p1+0], %r3;\n"
      ".param .b32 r;\ncall.uni (r), add, (p0, p1);\nld.param.b32 %r3, [r+0];\n}\n";
  const std::string functions =
      ".func (.param .b32 out) add(.param .b32 a, .param .b32 b);\n"
      ".func (.param .b32 out) triple(.param .b32 x)\n{\n.reg .b32 %r<9>;\n.reg .pred %p<2>;\n"
      "ld.param.u32 %r2, [x];\nst.param.b32 [out+0], %r2;\nand.b32 %r4, %r2, 1;\nsetp.eq.u32 %p1, %r4, 0;\n@%p1 ret;\n"
      "mov.u32 %r3, %r2;\n" +
      call_add + call_add +
      "bra next;\nnext:\nst.param.b32 [out+0], %r3;\nret;\n}\n"
      ".func (.param .b32 out) add(.param .b32 a, .param .b32 b)\n{\n.reg .b32 %r<4>;\n"
      "ld.param.u32 %r1, [a];\nld.param.u32 %r2, [b];\nadd.u32 %r3, %r1, %r2;\nst.param.b32 [out+0], %r3;\nret;\n}\n";
  std::vector<uint32_t> found =
      output_of(kernel("{\n.param .b32 p0;\nst.param.b32 [p0+0], %r1;\n.param .b32 r;\n"
                       "call (r), triple, (p0);\nld.param.b32 %r2, [r+0];\n}\nst.global.u32 [%rd5], %r2;",
                       functions));
  for (uint32_t i = 0; i < 32; ++i) EXPECT_EQ(found[i], i % 2 ? 3 * i : i);
  EXPECT_THAT(fault_in("call.uni nowhere;"), HasSubstr("the function nowhere has no body here"));
  EXPECT_THAT(fault_in("setp.eq.u32 %p1, %r1, 0;\n@%p1 call.uni nowhere;"), HasSubstr("a call under a predicate"));
}

TEST(Grids, NumbersOfThreadsAndGroups) {
  const std::string text = kernel(
      "mov.u32 %r2, %ctaid.y;\nmov.u32 %r3, %nctaid.x;\nmov.u32 %r4, %ctaid.x;\nmad.lo.u32 %r5, %r2, %r3, %r4;\n"
      "mov.u32 %r6, %ntid.x;\nmov.u32 %r7, %ntid.y;\nmov.u32 %r8, %tid.y;\nmul.lo.u32 %r9, %r5, %r6;\n"
      "mul.lo.u32 %r9, %r9, %r7;\nmad.lo.u32 %r9, %r8, %r6, %r9;\nadd.u32 %r9, %r9, %r1;\n"
      "mul.wide.u32 %rd8, %r9, 4;\nadd.s64 %rd8, %rd2, %rd8;\nmov.u32 %r10, %warpid;\nmad.lo.u32 %r10, %r10, 1000, "
      "%r9;\nst.global.u32 [%rd8], %r10;");
  std::vector<uint32_t> values = output_of(text, {{2, 3, 1}, {20, 2, 1}}, 240);
  EXPECT_EQ(values[239], 1239u);  // the last thread of 40 is in the second warp
  EXPECT_EQ(values[45], 45u);
}

TEST(Atomics, GiveTheOldValueAndAddUpAcrossGroups) {
  Grid grid{{3, 1, 1}, {64, 1, 1}};
  EXPECT_EQ(output_of(kernel("atom.global.add.u32 %r2, [%rd2], 1;\nred.global.add.u32 [%rd2+4], 2;"), grid)[1], 384u);
  for (const auto& [op, expected] : std::map<std::string, uint32_t>{
           {"max.u32", 63}, {"or.b32", 63}, {"min.s32", 0}, {"xor.b32", 0}, {"add.s32", 6048}, {"and.b32", 0}})
    EXPECT_EQ(output_of(kernel("red.global." + op + " [%rd2], %r1;"), grid)[0], expected) << op;
  EXPECT_EQ(output_of(kernel("atom.global.exch.b32 %r2, [%rd4], 7;\nst.global.u32 [%rd5], %r2;"))[9], 9u);
  EXPECT_EQ(output_of(kernel(
                "atom.global.cas.b32 %r2, [%rd4], 9, 7;\nld.global.u32 %r3, [%rd4];\nst.global.u32 [%rd5], %r3;"))[9],
            7u);
  EXPECT_EQ(output_of(kernel("mov.f32 %f1, 0f3FC00000;\nred.global.add.f32 [%rd2], %f1;"), grid)[0], put(288.0f));
  EXPECT_EQ(output_of(kernel("mov.u64 %rd8, 0x100000001;\nred.global.add.u64 [%rd2], %rd8;"), grid)[1], 192u);
  EXPECT_EQ(output_of(kernel("mov.f64 %rd8, 0d3FF0000000000000;\natom.global.add.f64 %rd9, [%rd2], %rd8;"), {})[1],
            put(32.0) >> 32);
  EXPECT_EQ(
      output_of(kernel("atom.add.u32 %r2, [%rd2], 1;\natom.shared.add.u32 %r3, [s], 1;\nst.global.u32 [%rd4], %r1;",
                       ".shared .align 4 .u32 s;"))[0],
      32u);
  for (const std::string op : {"min", "max"})
    for (const std::string type : {"s64", "u64"})
      EXPECT_EQ(output_of(kernel("mov.u64 %rd8, -1;\nred.global." + op + "." + type + " [%rd2], %rd8;"))[0],
                (op == "min") == (type == "s64") ? 0xffffffffu
                : op == "min"                    ? 0u
                : type == "u64"                  ? 0xffffffffu
                                                 : 0u);
}

TEST(AsyncCopies, ArriveWhenTheyAreWaitedFor) {
  const std::string copy =
      shared +
      "mov.u64 %rd8, s;\nmul.wide.u32 %rd9, %r1, 16;\nadd.s64 %rd10, %rd8, %rd9;\nadd.s64 %rd11, %rd1, %rd9;\n"
      "setp.lt.u32 %p1, %r1, 16;\n@%p1 cp.async.cg.shared.global [%rd10], [%rd11], 16;\n";
  const std::string read =
      "bar.sync 0;\nadd.s64 %rd12, %rd8, %rd3;\nld.shared.u32 %r2, [%rd12+4];\nst.global.u32 [%rd5], %r2;";
  EXPECT_EQ(output_of(kernel(copy + "cp.async.commit_group;\ncp.async.wait_group 0;\n" + read))[30], 31u);
  EXPECT_EQ(output_of(kernel(copy + "cp.async.wait_all;\n" + read))[30], 31u);
  EXPECT_THAT(fault_in(copy + "cp.async.commit_group;\ncp.async.wait_group 1;\n" + read),
              HasSubstr("is still being copied to"));
  EXPECT_THAT(fault_in(copy + "cp.async.commit_group;\n" + read), HasSubstr("is still being copied to"));
  // Others may read it only behind a barrier.
  EXPECT_THAT(fault_in(copy + "cp.async.wait_all;\nld.shared.u32 %r2, [s];"), HasSubstr("race on shared byte 0"));
  // Fewer bytes than asked for: the rest is zero.
  const std::string part =
      shared +
      "mov.u64 %rd8, s;\nsetp.eq.u32 %p1, %r1, 0;\n@%p1 cp.async.ca.shared.global [%rd8], [%rd1+16], 16, 8;\n"
      "cp.async.wait_all;\nbar.sync 0;\nld.shared.v4.u32 {%r2,%r3,%r4,%r5}, [s];\n@%p1 st.global.v4.u32 [%rd2], "
      "{%r2,%r3,%r4,%r5};";
  EXPECT_THAT(output_of(kernel(part), {}, 4), ElementsAre(4, 5, 0, 0));
  EXPECT_THAT(fault_in(shared + "mov.u64 %rd8, s;\ncp.async.ca.shared.global [%rd8], [%rd1+4], 16;"),
              HasSubstr("the source is not aligned"));
  EXPECT_THAT(fault_in(shared + "mov.u64 %rd8, s;\ncp.async.ca.shared.global [%rd8], [%rd1+1024], 16;"),
              HasSubstr("the source of cp.async"));
  EXPECT_THAT(fault_in(shared + "mov.u64 %rd8, s;\ncp.async.ca.shared.global [%rd8], [%rd1], 4, 8;"),
              HasSubstr("cp.async reads more than it copies"));
}

TEST(Matrices, ProductsOfTf32) {
  // A is 16 x 8 with a[i][k] = i + k, B is 8 x 8 with b[k][j] = k - j, C is 1.
  const std::string text = kernel(
      "shr.u32 %r2, %r1, 2;\nand.b32 %r3, %r1, 3;\nadd.u32 %r4, %r2, %r3;\nadd.u32 %r5, %r4, 8;\nadd.u32 %r6, %r4, "
      "4;\nadd.u32 %r7, %r4, 12;\n"
      "cvt.rn.f32.u32 %f1, %r4;\ncvt.rn.f32.u32 %f2, %r5;\ncvt.rn.f32.u32 %f3, %r6;\ncvt.rn.f32.u32 %f4, %r7;\n"
      "sub.s32 %r8, %r3, %r2;\nadd.s32 %r9, %r8, 4;\ncvt.rn.f32.s32 %f5, %r8;\ncvt.rn.f32.s32 %f6, %r9;\nmov.f32 %f7, "
      "0f3F800000;\n"
      "mov.b32 %r11, %f1;\nmov.b32 %r12, %f2;\nmov.b32 %r13, %f3;\nmov.b32 %r14, %f4;\nmov.b32 %r15, %f5;\nmov.b32 "
      "%r16, %f6;\n"
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f8,%f9,%f10,%f11}, {%r11,%r12,%r13,%r14}, {%r15,%r16}, "
      "{%f7,%f7,%f7,%f7};\n"
      "mul.wide.u32 %rd8, %r1, 16;\nadd.s64 %rd9, %rd2, %rd8;\nst.global.v4.f32 [%rd9], {%f8,%f9,%f10,%f11};");
  std::vector<uint32_t> found = output_of(text, {}, 128);
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t i = 0; i < 4; ++i) {
      int row = static_cast<int>(lane / 4 + i / 2 * 8), column = static_cast<int>(lane % 4 * 2 + i % 2), sum = 1;
      for (int k = 0; k < 8; ++k) sum += (row + k) * (k - column);
      EXPECT_EQ(get<float>(found[lane * 4 + i]), static_cast<float>(sum)) << row << " " << column;
    }
}

TEST(Matrices, ProductsOfBf16) {
  // A is 16 x 16 with a[i][k] = i + k, B is 16 x 8 with b[k][j] = k - j, C is 1. A register has columns 2t and 2t + 1.
  std::string body = "shr.u32 %r2, %r1, 2;\nand.b32 %r3, %r1, 3;\nshl.b32 %r3, %r3, 1;\nmov.f32 %f7, 0f3F800000;\n";
  auto pair = [&](int result, const std::string& first) {  // of the number in %r4 and of its successor
    body += first + "add.s32 %r5, %r4, 1;\ncvt.rn.f32.s32 %f1, %r4;\ncvt.rn.f32.s32 %f2, %r5;\n" +
            "cvt.rn.bf16x2.f32 %r" + std::to_string(result) + ", %f2, %f1;\n";
  };
  for (int i = 0; i < 4; ++i)
    pair(11 + i, "add.s32 %r4, %r2, %r3;\nadd.s32 %r4, %r4, " + std::to_string(8 * (i % 2) + 8 * (i / 2)) + ";\n");
  for (int i = 0; i < 2; ++i)
    pair(15 + i, "sub.s32 %r4, %r3, %r2;\nadd.s32 %r4, %r4, " + std::to_string(8 * i) + ";\n");
  body +=
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f8,%f9,%f10,%f11}, {%r11,%r12,%r13,%r14}, {%r15,%r16}, "
      "{%f7,%f7,%f7,%f7};\n"
      "mul.wide.u32 %rd8, %r1, 16;\nadd.s64 %rd9, %rd2, %rd8;\nst.global.v4.f32 [%rd9], {%f8,%f9,%f10,%f11};";
  std::vector<uint32_t> found = output_of(kernel(body), {}, 128);
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t i = 0; i < 4; ++i) {
      int row = static_cast<int>(lane / 4 + i / 2 * 8), column = static_cast<int>(lane % 4 * 2 + i % 2), sum = 1;
      for (int k = 0; k < 16; ++k) sum += (row + k) * (k - column);
      EXPECT_EQ(get<float>(found[lane * 4 + i]), static_cast<float>(sum)) << row << " " << column;
    }
}

}  // namespace
}  // namespace cuda_emulator
