// Sums over a long depth, in pieces that are added up in order by a stage of their own.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cuda_cases.h"
#include "matrix_cases.h"
#include "placewright/ir/interpret_kernel.h"
#include "run_on_cuda.h"

namespace placewright::testing {
namespace {

using ::testing::ElementsAre;

StructuredKernel product_of(const Shape& left, const Shape& right) {
  return lower_op(
      large_case("dot_general", {Type(DType::f32, left), Type(DType::f32, right)}, contracting(1, 0)).view());
}

// From -8 to 8: sums are exact in every order.
void make_whole(HostTensor& tensor) {
  for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_number(i, std::round(8 * tensor.number(i)));
}

TEST(SplitDepth, OnlyWhereTilesAreFewAndTheDepthIsLong) {
  auto pieces = [](const Shape& left, const Shape& right) {
    const StructuredKernel kernel = product_of(left, right), split = split_depth(kernel);
    verify_kernel(split);
    if (split.stages.size() == 1) {
      EXPECT_TRUE(split == kernel);
      return int64_t{1};
    }
    EXPECT_EQ(split.stages.size(), 2u);
    EXPECT_EQ(split.buffers.back().role, KernelBuffer::Role::local);
    return split.stages[0].extents[0];
  };
  EXPECT_EQ(pieces({32, 4096}, {4096, 32}), 8);     // no piece is shorter than 512
  EXPECT_EQ(pieces({32, 65536}, {65536, 32}), 64);  // 4 tiles: 256 groups
  EXPECT_EQ(pieces({32, 3000}, {3000, 32}), 5);
  EXPECT_EQ(pieces({32, 1021}, {1021, 32}), 1);      // a prime
  EXPECT_EQ(pieces({32, 1000}, {1000, 32}), 1);      // short
  EXPECT_EQ(pieces({1024, 4096}, {4096, 1024}), 1);  // enough tiles
  EXPECT_EQ(pieces({8, 65536}, {65536, 32}), 64);    // no tiles, columns: 512 groups
}

// Reductions of all kinds but those that keep order: of everything, of columns, of a few long rows.
TEST(SplitDepth, ReductionsWithFewResultsAreInPieces) {
  auto pieces = [](std::string_view op, const Shape& x, const Sizes& dims) {
    const StructuredKernel kernel = lower_op(large_case(op, {Type(DType::f32, x)}, {{"dims", dims}}).view());
    const StructuredKernel split = split_depth(kernel);
    verify_kernel(split);
    return split.stages.size() == 1 ? int64_t{1} : split.stages[0].extents[0];
  };
  EXPECT_EQ(pieces("reduce_sum", {16 << 20}, {0}), 512);
  EXPECT_EQ(pieces("reduce_max", {8192, 1024}, {0}), 16);  // 32 groups of 32 columns
  EXPECT_EQ(pieces("reduce_sum", {64, 128, 3136}, {0, 2}), 4);
  EXPECT_EQ(pieces("reduce_sum", {8, 1 << 20}, {1}), 64);
  EXPECT_EQ(pieces("reduce_sum", {4096, 1024}, {1}), 1);  // enough rows
  EXPECT_EQ(pieces("reduce_sum", {64, 1024}, {0}), 1);    // short
}

TEST(SplitDepth, ReductionsInPiecesAgree) {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  if (!cuda_devices().cuda) GTEST_SKIP() << cuda_devices().absence;
  std::vector<DerivedCase> cases;
  auto add = [&](std::string_view op, const Type& x, const Sizes& dims) {
    cases.push_back(large_case(op, {x}, {{"dims", dims}}));
  };
  add("reduce_sum", Type(DType::f32, {32768}), {0});
  add("reduce_max", Type(DType::f64, {2, 40000}), {1});
  add("reduce_min", Type(DType::i64, {1024, 33}), {0});
  add("reduce_sum", Type(DType::f32, {2, 1030, 10}), {0, 1});
  for (const DerivedCase& each : cases) EXPECT_EQ(split_depth(lower_op(each.view())).stages.size(), 2u) << each.name;
  std::shared_ptr<const LoadedImage> image =
      cuda_devices().cuda->load(compile_cuda_text(cuda_text(cases), cuda_devices().cuda->spec().target));
  for (size_t i = 0; i < cases.size(); ++i) {
    std::vector<HostTensor> buffers = make_operands(cases[i]);
    if (is_floating(buffers[0].dtype())) make_whole(buffers[0]);
    const std::vector<HostTensor> expected = evaluate_case(cases[i], buffers);
    buffers.emplace_back(expected[0].dtype(), expected[0].sizes());
    EXPECT_EQ(run_on_cuda(*image, static_cast<int>(i), buffers), Status::ok) << cases[i].name;
    EXPECT_EQ(mismatch(buffers.back(), expected[0], 0), "") << cases[i].name;
  }
}

// Images first, so that a piece is a run of memory; the innermost dimension, along which tiles step, last.
TEST(SplitDepth, CutsTheOutermostDimension) {
  const Type images(DType::f32, {8, 16, 16, 16});
  Attributes attributes{{"padding_low", Sizes{1, 1}}, {"padding_high", Sizes{1, 1}}, {"window", Sizes{3, 3}}};
  const StructuredKernel kernel =
      split_depth(lower_op(large_case("conv_weight_gradient", {images, images}, attributes).view()));
  verify_kernel(kernel);
  ASSERT_EQ(kernel.stages.size(), 2u);
  EXPECT_EQ(kernel.stages[0].extents[0], 4);
  EXPECT_THAT(kernel.stages[0].reduced, ElementsAre(false, false, false, false, false, true, true, true));
  EXPECT_THAT(kernel.buffers.back().sizes, ElementsAre(4, 16, 16, 3, 3));
  EXPECT_THAT(kernel.stages[1].extents, ElementsAre(16, 16, 3, 3, 4));
}

// An epilogue that reads along rows and columns and asks for its place, and a body that asks for its.
constexpr std::string_view fused = R"(kernel "fused" {
  buffer "a" input f32[20,2048]
  buffer "b" input f32[2048,36]
  buffer "bias" input f32[36]
  buffer "out" output f32[20,36]
  stage "dot" [20, 36, 2048] reduced [2] {
    access b0[d0, d2]
    access b1[d2, d1]
    access b2[d1]
    access b3[d0, d1]
    body {
      n0 = load f32 0
      n1 = index i64 0
      n2 = cast f32 n1
      n3 = add f32 n0 n2
      n4 = load f32 1
      n5 = mul f32 n3 n4
    }
    reduce sum {
      state f32 n5 from constant f32 0
    }
    epilogue {
      n0 = reduced f32 0
      n1 = load f32 2
      n2 = index i64 1
      n3 = cast f32 n2
      n4 = mul f32 n1 n3
      n5 = add f32 n0 n4
    }
    epilogue_store a3 n5
  }
}
)";

TEST(SplitDepth, KeepsWhatIsFused) {
  const StructuredKernel kernel = parse_kernel(fused), split = split_depth(kernel);
  verify_kernel(split);
  ASSERT_EQ(split.stages.size(), 2u);
  EXPECT_EQ(print_kernel(parse_kernel(print_kernel(split))), print_kernel(split));
  std::vector<HostTensor> buffers, expected;
  for (const KernelBuffer& buffer : kernel.buffers) {
    buffers.push_back(random_tensor(DType::f32, buffer.sizes, buffers.size() + 1, -1, 1));
    make_whole(buffers.back());
    expected.push_back(buffers.back().clone());
  }
  interpret_kernel(kernel, expected);
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  if (!cuda_devices().cuda) GTEST_SKIP() << cuda_devices().absence;
  const std::vector<Schedule> schedules{choose_grid_schedule(split)};
  std::shared_ptr<const LoadedImage> image = cuda_devices().cuda->load(
      compile_cuda_text(emit_cuda_text({&split, 1}, schedules), cuda_devices().cuda->spec().target));
  EXPECT_EQ(run_on_cuda(*image, 0, buffers), Status::ok);
  EXPECT_EQ(mismatch(buffers.back(), expected.back(), 0), "");
}

TEST(SplitDepth, GradientsOfWeightsAgree) {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  if (!cuda_devices().cuda) GTEST_SKIP() << cuda_devices().absence;
  std::vector<DerivedCase> cases;
  for (DType dtype : {DType::f32, DType::f64}) {
    const Type images(dtype, {8, 16, 12, 11});
    cases.push_back(large_case("conv_weight_gradient", {images, images},
                               {{"padding_low", Sizes{1, 1}}, {"padding_high", Sizes{1, 1}}, {"window", Sizes{3, 3}}}));
    cases.push_back(large_case("dot_general", {Type(dtype, {2000, 17}), Type(dtype, {2000, 40})}, contracting(0, 0)));
  }
  std::shared_ptr<const LoadedImage> image =
      cuda_devices().cuda->load(compile_cuda_text(cuda_text(cases), cuda_devices().cuda->spec().target));
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(image->entries()[i].phases.size(), 2u) << cases[i].name;
    std::vector<HostTensor> operands = make_operands(cases[i]), buffers;
    for (HostTensor& operand : operands) make_whole(operand);
    const std::vector<HostTensor> expected = evaluate_case(cases[i], operands);
    for (const HostTensor& operand : operands) buffers.push_back(operand.clone());
    buffers.emplace_back(expected[0].dtype(), expected[0].sizes());
    EXPECT_EQ(run_on_cuda(*image, static_cast<int>(i), buffers), Status::ok) << cases[i].name;
    EXPECT_EQ(mismatch(buffers.back(), expected[0], 0), "") << cases[i].name;
  }
}

}  // namespace
}  // namespace placewright::testing
