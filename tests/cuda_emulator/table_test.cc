// What the emulator refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "run_ptx.h"

namespace cuda_emulator {
namespace {

using ::testing::HasSubstr;

const std::string header = ".version 9.0\n.target sm_80\n.address_size 64\n";

std::string refusal(const std::string& body) {
  return fault_of([&] {
    PtxRun().run(header + ".visible .entry k()\n{\n.reg .b32 %r<9>;\n.reg .f32 %f<9>;\n" + body + "\nret;\n}\n");
  });
}

TEST(Refusals, NameTheLineAndTheOpcode) {
  EXPECT_EQ(refusal("add.sat.f32 %f1, %f2, %f3;"),
            "PTX line 8: add.sat.f32 is not implemented: add.sat.f32 %f1, %f2, %f3;");
  EXPECT_THAT(refusal("wgmma.fence.sync.aligned;"), HasSubstr("wgmma.fence.sync.aligned is not implemented"));
  EXPECT_THAT(refusal("mov.u32 %r1, %clock;"), HasSubstr("the special register %clock is not implemented"));
  EXPECT_THAT(refusal("add.s32 %r1, %r2;"), HasSubstr("has 2 operands, expected 3"));
  EXPECT_THAT(refusal("bra nowhere;"), HasSubstr("no label nowhere"));
  EXPECT_THAT(refusal("mov.u32 %r1, nothing;"), HasSubstr("unknown name nothing"));
  EXPECT_EQ(refusal("add.s32 %r1, %r2, %r3;"), "");
}

TEST(Refusals, OfWhatStandsOutsideKernels) {
  EXPECT_THAT(fault_of([] { PtxRun().run(header + ".alias f, g;"); }), HasSubstr("'.alias' outside a kernel"));
  EXPECT_THAT(fault_of([] { PtxRun().run(".version 12.0\n"); }), HasSubstr("PTX version 12.0 is not known"));
}

}  // namespace
}  // namespace cuda_emulator
