// What is computed of rows behind their reduction, where a row has one value.
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

}  // namespace
}  // namespace placewright::testing
