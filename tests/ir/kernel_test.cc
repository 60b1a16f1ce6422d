// Structured kernels as text and their rules, on the lowering of every op in the table.
#include "placewright/ir/kernel.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derived_cases.h"

namespace placewright::testing {
namespace {

TEST(KernelText, EveryLoweringVerifiesAndRoundTrips) {
  for (const OpEntry& entry : op_table()) {
    if (!can_lower(entry)) continue;
    for (const DerivedCase& each : derived_cases(entry)) {
      SCOPED_TRACE(each.name);
      StructuredKernel kernel = lower_op(each.view());
      EXPECT_NO_THROW(verify_kernel(kernel));
      std::string text = print_kernel(kernel);
      EXPECT_EQ(print_kernel(parse_kernel(text)), text);
      EXPECT_TRUE(parse_kernel(text) == kernel) << text;
      if (HasFailure()) return;
    }
  }
}

constexpr std::string_view product = R"(kernel "product" {
  buffer "a" input f32[6,4]
  buffer "b" input f32[4,8]{order=1,0}
  buffer "out" output f32[6,8]
  buffer "flat" local f32[48] alias b2
  stage "dot" [6, 8, 4] reduced [2] {
    access b0[d0, d2]
    access b1[d2, d1]
    access b2[d0, d1]
    body {
      n0 = load f32 0
      n1 = load f32 1
      n2 = mul f32 n0 n1
    }
    reduce sum {
      state f32 n2 from constant f32 0
    }
    epilogue {
      n0 = reduced f32 0
      n1 = constant f32 -0.5
      n2 = max f32 n0 n1
    }
    epilogue_store a2 n2
  }
}
)";

TEST(KernelText, IsExact) {
  StructuredKernel kernel = parse_kernel(product);
  EXPECT_EQ(print_kernel(kernel), product);
  EXPECT_EQ(kernel.buffers[1].layout.order, (std::vector<int>{1, 0}));
  EXPECT_EQ(kernel.stages[0].accesses[1].index[0], AffineExpr::dim(2, 3));
  KernelCost cost = count_cost(kernel);
  EXPECT_EQ(cost.flops, 2 * 6 * 8 * 4 + 6 * 8);
  EXPECT_EQ(cost.bytes, 4 * (24 + 32 + 48));
}

TEST(KernelText, PrecisionIsKept) {
  StructuredKernel kernel = parse_kernel(product);
  kernel.stages[0].reduction.precision = Precision::tf32;
  const std::string text = print_kernel(kernel);
  EXPECT_THAT(text, ::testing::HasSubstr("      state f32 n2 from constant f32 0\n      precision tf32\n    }\n"));
  EXPECT_TRUE(parse_kernel(text) == kernel);
  EXPECT_NO_THROW(verify_kernel(kernel));
  for (Precision precision : {Precision::f32, Precision::tf32, Precision::bf16})
    EXPECT_EQ(try_parse_precision(name(precision)), precision);
  EXPECT_EQ(try_parse_precision("f16"), std::nullopt);
}

TEST(KernelText, ErrorsNamePlaceAndExpectation) {
  auto message = [](std::string_view found, std::string_view replacement) {
    std::string text(product);
    text.replace(text.find(found), found.size(), replacement);
    try {
      parse_kernel(text);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message("mul f32", "multiply f32"), "kernel:13:12: there is no scalar op 'multiply'");
  EXPECT_EQ(message("constant f32 0\n", "constant f32 0\n precision f16\n"),
            "kernel:17:12: found 'f16', expected f32, tf32 or bf16");
  EXPECT_EQ(message("n1 = load", "n2 = load"), "kernel:12:7: nodes are numbered in order: expected n1");
  EXPECT_EQ(message("b1[d2, d1]", "b1[d3, d1]"), "kernel:8:15: there is no dimension 3");
}

TEST(KernelText, EveryPrefixIsRefusedWithItsPlace) {
  for (size_t length = 0; length + 1 < product.size() - 1; ++length) {
    try {
      parse_kernel(product.substr(0, length));
      FAIL() << "accepted the first " << length << " bytes";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::MatchesRegex("kernel:[0-9]+:[0-9]+: .*"));
    }
  }
}

TEST(KernelText, DamagedTextIsRefusedOrParsed) {
  std::mt19937 random(5);
  for (int i = 0; i < 2000; ++i) {
    std::string text(product);
    for (int k = 0; k < 3; ++k)
      text[random() % text.size()] = static_cast<char>(" {}[]0123abndn=+*/-\"\n"[random() % 21]);
    try {
      verify_kernel(parse_kernel(text));
    } catch (const Error&) {
    }
  }
}

std::string refusal(const std::function<void(StructuredKernel&)>& spoil) {
  StructuredKernel kernel = parse_kernel(product);
  verify_kernel(kernel);
  spoil(kernel);
  try {
    verify_kernel(kernel);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(VerifyKernel, NamesTheRuleThatIsBroken) {
  using ::testing::HasSubstr;
  using Kernel = StructuredKernel;
  EXPECT_EQ(refusal([](Kernel& kernel) { kernel.stages[0].accesses[0].index[1].constant = 1; }),
            "kernel product, stage 0 (dot): access a0 reaches 1 to 4 in dimension 1 of size 4, without a guard");
  EXPECT_THAT(refusal([](Kernel& kernel) { kernel.buffers[3].sizes = {47}; }), HasSubstr("differ in bytes"));
  EXPECT_THAT(refusal([](Kernel& kernel) { kernel.stages[0].body[2].operands[1] = 2; }), HasSubstr("an earlier node"));
  EXPECT_THAT(refusal([](Kernel& kernel) { kernel.stages[0].body[2].dtype = DType::f64; }), HasSubstr("mul does not"));
  EXPECT_THAT(refusal([](Kernel& kernel) { kernel.stages[0].epilogue_stores[0].access = 0; }),
              HasSubstr("reduced dimension 2"));
  EXPECT_THAT(refusal([](Kernel& kernel) { kernel.stages[0].reduced[2] = false; }), HasSubstr("must be sequential"));
  EXPECT_THAT(refusal([](Kernel& kernel) { kernel.stages[0].reduction.init[0].dtype = DType::f64; }),
              HasSubstr("expected a constant f32"));
  EXPECT_THAT(refusal([](Kernel& kernel) { kernel.buffers[2].role = KernelBuffer::Role::input; }),
              HasSubstr("a store to input"));
  EXPECT_THAT(refusal([](Kernel& kernel) { kernel.stages[0].accesses[1].buffer = 3; }), HasSubstr("has 2 indices"));
  EXPECT_THAT(refusal([](Kernel& kernel) { kernel.buffers[0].role = KernelBuffer::Role::output; }),
              HasSubstr("out of order"));
  EXPECT_THAT(refusal([](Kernel& kernel) { kernel.stages[0].extents[0] = int64_t{1} << 62; }), HasSubstr("overflows"));
  EXPECT_THAT(refusal([](Kernel& kernel) {
                kernel.stages[0].reduction.precision = Precision::tf32;
                kernel.stages[0].reduction.values[0] = 0;
              }),
              HasSubstr("precision tf32, but no sum of f32 products"));
  EXPECT_THAT(refusal([](Kernel& kernel) {
                kernel.stages[0].reduction.precision = Precision::bf16;
                kernel.stages[0].reduction.kind = Reduction::Kind::max;
              }),
              HasSubstr("precision bf16, but no sum of f32 products"));
}

}  // namespace
}  // namespace placewright::testing
