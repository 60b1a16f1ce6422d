// Sums of products by matrix units: kernels whose factors may be rounded, held against `evaluate` on the PTX
// emulator, and as cubins. Skipped where NVRTC is not installed.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cuda_cases.h"
#include "matrix_cases.h"
#include "placewright/base/error.h"
#include "placewright/codegen/code_target.h"
#include "placewright/ir/interpret_kernel.h"
#include "run_on_cuda.h"

namespace placewright::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Type f32(Shape shape) { return {DType::f32, std::move(shape)}; }

// Each product may be off by twice what a factor is, 2^-11 of itself in tf32 and 2^-8 in bf16; sums of f32 round
// besides.
void expect_near(const HostTensor& found, const HostTensor& expected, const HostTensor& magnitudes, Precision precision,
                 const std::string& name) {
  const double each = std::ldexp(1.0, precision == Precision::tf32 ? -10 : -7) * 1.004 + 1e-6;
  double largest = 0;
  for (int64_t i = 0; i < expected.elements(); ++i) {
    const double error = std::abs(found.number(i) - expected.number(i));
    largest = std::max(largest, error);
    ASSERT_LE(error, each * magnitudes.number(i)) << name << " element " << i << ": " << expected.number(i);
  }
  EXPECT_GT(largest, 0) << name << ": nothing was rounded";
}

std::vector<HostTensor> absolute(const std::vector<HostTensor>& tensors) {
  std::vector<HostTensor> made;
  for (const HostTensor& tensor : tensors) {
    made.push_back(tensor.clone());
    for (int64_t i = 0; i < tensor.elements(); ++i) made.back().set_number(i, std::abs(tensor.number(i)));
  }
  return made;
}

const std::vector<std::string> architectures{"sm_80", "sm_90", "sm_100"};

void expect_no_spills(const CudaText& text, const std::vector<std::string>& targets) {
  for (const std::string& target : targets)
    for (const KernelResources& each : compile_cuda_text(text, target).resources) {
      EXPECT_GT(each.registers, 0) << each.symbol;
      EXPECT_EQ(each.spill_store_bytes + each.spill_load_bytes, 0) << each.symbol << " spills for " << target;
    }
}

void expect_rounded_results(Precision precision) {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  if (!cuda_devices().cuda) GTEST_SKIP() << cuda_devices().absence;
  const std::vector<DerivedCase> all = matrix_cases(precision);
  std::vector<DerivedCase> cases;
  for (size_t i = 0; i < all.size(); ++i)
    if (full_counts() || precision == Precision::tf32 || i % 4 == 0) cases.push_back(all[i]);
  std::shared_ptr<const LoadedImage> image =
      cuda_devices().cuda->load(compile_cuda_text(cuda_text(cases), cuda_devices().cuda->spec().target));
  for (size_t i = 0; i < cases.size(); ++i) {
    std::vector<HostTensor> operands = make_operands(cases[i]), expected = evaluate_case(cases[i], operands);
    std::vector<HostTensor> magnitudes = evaluate_case(cases[i], absolute(operands)), buffers;
    for (const HostTensor& operand : operands) buffers.push_back(operand.clone());
    buffers.emplace_back(expected[0].dtype(), expected[0].sizes());
    EXPECT_EQ(run_on_cuda(*image, static_cast<int>(i), buffers), Status::ok) << cases[i].name;
    expect_near(buffers.back(), expected[0], magnitudes[0], precision, cases[i].name);
  }
}

TEST(CudaMatrix, ProductsAndConvolutionsInTf32) { expect_rounded_results(Precision::tf32); }
TEST(CudaMatrix, ProductsAndConvolutionsInBf16) { expect_rounded_results(Precision::bf16); }

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(CudaMatrix, CubinsDoNotSpill) {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  std::vector<DerivedCase> cases = matrix_cases(Precision::tf32);
  for (DerivedCase& each : matrix_cases(Precision::bf16)) cases.push_back(std::move(each));
  for (size_t a = 0; a < architectures.size(); ++a) {
    std::vector<DerivedCase> mine;
    for (size_t i = 0; i < cases.size(); ++i)
      if (full_counts() || i % architectures.size() == a) mine.push_back(cases[i]);
    expect_no_spills(cuda_text(mine), {architectures[a]});
  }
}

TEST(CudaMatrix, EveryStageIsByMatrixUnits) {
  for (Precision precision : {Precision::tf32, Precision::bf16})
    for (const DerivedCase& each : matrix_cases(precision)) {
      const std::string text = cuda_text({each}).text;
      EXPECT_EQ(count(text, "pw::add_product_" + std::string(name(precision)) + "(s"),
                lower_op(each.view()).stages.size())
          << each.name;
    }
}

// Steps over the depth stay a loop, counted in 32 bits: written out they would leave the instruction cache.
TEST(CudaMatrix, StepsOfADeepProductAreALoop) {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  for (const char* precision : {"f32", "tf32", "bf16"}) {
    Attributes attributes = contracting(1, 1);
    attributes.set("precision", std::string(precision));
    const CudaText text =
        cuda_text({large_case("dot_general", {f32({4096, 1024}), f32({1024, 1024})}, std::move(attributes))});
    EXPECT_THAT(text.text.substr(text.text.find("extern")), Not(HasSubstr("const i64 i0_"))) << precision;
    const KernelImage ptx = compile_cuda_text(text, "compute_80");
    EXPECT_LE(count(std::string(ptx.bytes.begin(), ptx.bytes.end()), "bar.sync"), 2u) << precision;
  }
}

TEST(CudaMatrix, TilesAreChosenRoundTripAndAreChecked) {
  const std::vector<DerivedCase> cases = matrix_cases(Precision::tf32);
  for (const Schedule& schedule : cuda_schedules(cases))
    EXPECT_EQ(print_schedule(parse_schedule(print_schedule(schedule))), print_schedule(schedule));
  EXPECT_EQ(print_schedule(cuda_schedules({cases[5]})[0]),
            "schedule {\n"
            "  stage [d0 by 1 thread] matrix rows [d1] by 64 by 32 columns [d2] by 64 by 32 depth [d3] by 32\n"
            "  group 1 lanes 128\n"
            "  phase 1\n"
            "}\n");
  // Positions of a convolution are one side, its channels and taps one depth.
  EXPECT_THAT(print_schedule(cuda_schedules({cases[12]})[0]),
              HasSubstr("matrix rows [d0, d2, d3] by 16 by 16 columns [d1] by 16 by 8 depth [d4, d5, d6] by 32"));
  const DerivedCase exact = large_case("dot_general", {f32({70, 50}), f32({50, 37})}, contracting(1, 0));
  EXPECT_THAT(print_schedule(cuda_schedules({exact})[0]), Not(HasSubstr("matrix")));
}

TEST(CudaMatrix, SchedulesThatDoNotFitAreRefused) {
  const StructuredKernel kernel = lower_op(rounded("dot_general", {64, 96}, {32, 96}, contracting(1, 1)).view());
  auto refusal = [](const StructuredKernel& of, const std::string& stage) {
    try {
      verify_schedule(of, parse_schedule("schedule { stage " + stage + " phase 1 }"));
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const std::string good =
      "[] matrix rows [d0] by 64 by 32 columns [d1] by 32 by 16 depth [d2] by 32 group 1 lanes 128";
  EXPECT_EQ(refusal(kernel, good), "");
  auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return refusal(kernel, text.replace(text.find(from), from.size(), to));
  };
  EXPECT_THAT(changed("lanes 128", "lanes 64"), HasSubstr("64 lanes for matrix tiles of 4 parts"));
  EXPECT_THAT(changed("by 64 by 32", "by 64 by 24"), HasSubstr("tiles of 64 in parts of 24"));
  EXPECT_THAT(changed("rows [d0]", "rows [d2]"), HasSubstr("matrix tiles along d2"));
  EXPECT_THAT(changed("rows [d0]", "rows [d1]"), HasSubstr("d0 stands in 0 loops and matrix tiles"));
  EXPECT_THAT(changed("rows [d0]", "rows []"), HasSubstr("without rows"));
  StructuredKernel exact = kernel;
  exact.stages[0].reduction.precision = Precision::f32;
  EXPECT_THAT(refusal(exact, good), HasSubstr("precision is f32"));
}

// Factors that are computed as they are staged, and an epilogue that reads along rows and along columns.
constexpr std::string_view fused = R"(kernel "fused" {
  buffer "a" input f32[50,40]
  buffer "b" input f32[40,36]
  buffer "bias" input f32[36]
  buffer "scale" input f32[50]
  buffer "out" output f32[50,36]
  stage "dot" [50, 36, 40] reduced [2] {
    access b0[d0, d2]
    access b1[d2, d1]
    access b2[d1]
    access b3[d0]
    access b4[d0, d1]
    body {
      n0 = load f32 0
      n1 = constant f32 0
      n2 = max f32 n0 n1
      n3 = load f32 1
      n4 = mul f32 n2 n3
    }
    reduce sum {
      state f32 n4 from constant f32 0
      precision tf32
    }
    epilogue {
      n0 = reduced f32 0
      n1 = load f32 2
      n2 = add f32 n0 n1
      n3 = load f32 3
      n4 = mul f32 n2 n3
    }
    epilogue_store a4 n4
  }
}
)";

TEST(CudaMatrix, ComputedFactorsAndEpiloguesAreFused) {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  if (!cuda_devices().cuda) GTEST_SKIP() << cuda_devices().absence;
  const StructuredKernel kernel = parse_kernel(fused);
  verify_kernel(kernel);
  const std::vector<Schedule> schedules{choose_grid_schedule(kernel)};
  ASSERT_TRUE(schedules[0].stages[0].matrix.has_value());
  const CudaText text = emit_cuda_text({&kernel, 1}, schedules);
  expect_no_spills(text, architectures);
  std::vector<HostTensor> buffers, magnitudes, exact;
  for (const KernelBuffer& buffer : kernel.buffers)
    buffers.push_back(random_tensor(DType::f32, buffer.sizes, buffers.size() + 1, -1, 1));
  magnitudes = absolute(buffers);
  for (const HostTensor& buffer : buffers) exact.push_back(buffer.clone());
  interpret_kernel(kernel, magnitudes);
  interpret_kernel(kernel, exact);
  std::shared_ptr<const LoadedImage> image =
      cuda_devices().cuda->load(compile_cuda_text(text, cuda_devices().cuda->spec().target));
  EXPECT_EQ(run_on_cuda(*image, 0, buffers), Status::ok);
  expect_near(buffers.back(), exact.back(), magnitudes.back(), Precision::tf32, "fused");
}

// A GPU from before tf32 computes what the CPU does.
TEST(CudaMatrix, GpusWithoutTheUnitsComputeInF32) {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  const StructuredKernel kernel = lower_op(matrix_cases(Precision::tf32)[0].view());
  for (const char* target : {"sm_75", "sm_80"}) {
    std::string key;
    CodeStore store{[&](const std::string& asked) {
                      key = asked;
                      return std::nullopt;
                    },
                    {}};
    make_code_target(target, host_cpu_target())->emit({kernel}, 1, store);
    EXPECT_EQ(key.find("pw::add_product_tf32(s") != std::string::npos, target == std::string("sm_80")) << target;
  }
}

}  // namespace
}  // namespace placewright::testing
