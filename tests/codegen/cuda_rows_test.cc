// What is computed of rows behind their reduction, where a row has one value.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cuda_cases.h"
#include "placewright/ir/interpret_kernel.h"
#include "run_on_cuda.h"

namespace placewright::testing {
namespace {

// The sum of each row is doubled where it stands, then taken from the row.
constexpr std::string_view centred = R"(kernel "centred" {
  buffer "x" input f32[3,40]
  buffer "y" output f32[3,40]
  buffer "sum" local f32[3]
  stage "sum" [3, 40] reduced [1] {
    access b0[d0, d1]
    access b2[d0]
    body {
      n0 = load f32 0
    }
    reduce sum {
      state f32 n0 from constant f32 0
    }
    epilogue {
      n0 = reduced f32 0
    }
    epilogue_store a1 n0
  }
  stage "double" [3] reduced [] {
    access b2[d0]
    body {
      n0 = load f32 0
      n1 = add f32 n0 n0
    }
    store a0 n1
  }
  stage "take" [3, 40] reduced [] {
    access b0[d0, d1]
    access b2[d0]
    access b1[d0, d1]
    body {
      n0 = load f32 0
      n1 = load f32 1
      n2 = sub f32 n0 n1
    }
    store a2 n2
  }
}
)";

TEST(CudaRows, OneLaneStoresWhatARowHasOneOf) {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  if (!cuda_devices().cuda) GTEST_SKIP() << cuda_devices().absence;
  const StructuredKernel kernel = parse_kernel(centred);
  verify_kernel(kernel);
  const std::vector<Schedule> schedules{choose_grid_schedule(kernel)};
  ASSERT_EQ(schedules[0].groups.size(), 1u);  // all three in one launch, 32 lanes a row
  std::vector<HostTensor> buffers, expected;
  for (size_t b = 0; b < 2; ++b) {
    buffers.push_back(random_tensor(DType::f32, kernel.buffers[b].sizes, b, -1, 1));
    expected.push_back(buffers.back().clone());
  }
  interpret_kernel(kernel, expected);
  std::shared_ptr<const LoadedImage> image = cuda_devices().cuda->load(
      compile_cuda_text(emit_cuda_text({&kernel, 1}, schedules), cuda_devices().cuda->spec().target));
  EXPECT_EQ(run_on_cuda(*image, 0, buffers), Status::ok);
  EXPECT_EQ(mismatch(buffers[1], expected[1], 1e-5), "");
}

// Rows and columns of a reduction, where memory runs along them: all lanes of a row have numbers, whole rows are left
// to threads only where they are short, and neighbouring lanes read neighbouring columns.
TEST(CudaRows, NeighbouringLanesReadNeighbours) {
  auto schedule = [](std::string_view op, const Shape& x, int64_t dim) {
    const bool is_arg = op == "argmax";
    const DerivedCase made = large_case(op, {Type(DType::f32, x)},
                                        {{is_arg ? "dim" : "dims", is_arg ? Attribute(dim) : Attribute(Sizes{dim})}});
    return print_schedule(cuda_schedules({made})[0]);
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(schedule("reduce_sum", {131072, 64}, 1), HasSubstr("[d0 by 1 thread, d1 by 4 lane] vector d1"));
  EXPECT_THAT(schedule("reduce_sum", {131072, 64}, 1), HasSubstr("lanes 16"));
  EXPECT_THAT(schedule("reduce_sum", {131072, 10}, 1), HasSubstr("group 1\n"));
  EXPECT_THAT(schedule("reduce_sum", {500, 1000}, 0), HasSubstr("[d1 by 32 thread, d1 by 1 lane, d0 by 63 lane]"));
  EXPECT_THAT(schedule("reduce_max", {700, 10}, 0), HasSubstr("[d1 by 16 thread, d1 by 1 lane, d0 by 44 lane]"));
  EXPECT_THAT(schedule("argmax", {500, 1000}, 0), HasSubstr("[d1 by 32 thread, d1 by 1 lane, d0 by 63 lane]"));
  EXPECT_THAT(schedule("reduce_sum", {20, 1 << 20}, 0), HasSubstr("[d1 by 1 thread, d0 by 1]"));
}

TEST(CudaRows, ColumnsAgree) {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  if (!cuda_devices().cuda) GTEST_SKIP() << cuda_devices().absence;
  std::vector<DerivedCase> cases;
  for (const Shape& shape : {Shape{50, 70}, Shape{17, 5}, Shape{130, 32}})
    for (DType dtype : {DType::f32, DType::f64, DType::i32}) {
      cases.push_back(large_case("reduce_sum", {Type(dtype, shape)}, {{"dims", Attribute(Sizes{0})}}));
      cases.push_back(large_case("argmax", {Type(dtype, shape)}, {{"dim", Attribute(int64_t{0})}}));
    }
  cases.push_back(large_case("reduce_prod", {Type(DType::f32, {3, 9, 40})}, {{"dims", Attribute(Sizes{0, 1})}}));
  cases.push_back(large_case("reduce_max", {Type(DType::f32, {3, 40, 4, 8})}, {{"dims", Attribute(Sizes{1})}}));
  cases.push_back(large_case("reduce_any", {Type(DType::boolean, {90, 45})}, {{"dims", Attribute(Sizes{0})}}));
  std::shared_ptr<const LoadedImage> image =
      cuda_devices().cuda->load(compile_cuda_text(cuda_text(cases), cuda_devices().cuda->spec().target));
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_THAT(print_schedule(cuda_schedules({cases[i]})[0]),
                ::testing::ContainsRegex("by 1 lane, d[0-9] by [0-9]+ lane"))
        << cases[i].name;
    std::vector<HostTensor> buffers = make_operands(cases[i]);
    const std::vector<HostTensor> expected = evaluate_case(cases[i], buffers);
    buffers.emplace_back(expected[0].dtype(), expected[0].sizes());
    EXPECT_EQ(run_on_cuda(*image, static_cast<int>(i), buffers), Status::ok) << cases[i].name;
    EXPECT_EQ(mismatch(buffers.back(), expected[0], 1e-5), "") << cases[i].name;
  }
}

}  // namespace
}  // namespace placewright::testing
