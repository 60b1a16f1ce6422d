// The table of cuBLASLt's functions on the true library, where a toolkit is installed: it needs no GPU to say whether
// it knows our attributes and their sizes, and the stand-in is held to the same.
#include "placewright/runtime/cuda/cublaslt.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace placewright::cuda {
namespace {

using testing::HasSubstr;

// What runtime/cuda sets, and that another size is refused.
void expect_descriptors(const SharedLibrary& library) {
  auto* operation_create = library.function<int(void**, int, int)>("cublasLtMatmulDescCreate");
  auto* operation_destroy = library.function<int(void*)>("cublasLtMatmulDescDestroy");
  auto* operation_set = library.function<int(void*, int, const void*, size_t)>("cublasLtMatmulDescSetAttribute");
  constexpr int invalid = 7;
  const int32_t yes = 1;
  const int64_t wide = 1;
  const uint64_t bytes = 1 << 20;
  for (int compute : {lt_compute_f32, lt_compute_tf32, lt_compute_bf16, lt_compute_f64}) {
    void* operation = nullptr;
    ASSERT_EQ(operation_create(&operation, compute, compute == lt_compute_f64 ? lt_type_f64 : lt_type_f32), 0);
    const uint32_t epilogue = lt_relu | lt_bias;
    const void* pointer = &bytes;
    EXPECT_EQ(operation_set(operation, lt_transpose_a, &yes, sizeof yes), 0);
    EXPECT_EQ(operation_set(operation, lt_transpose_b, &yes, sizeof yes), 0);
    EXPECT_EQ(operation_set(operation, lt_epilogue, &epilogue, sizeof epilogue), 0);
    EXPECT_EQ(operation_set(operation, lt_bias_pointer, &pointer, sizeof pointer), 0);
    EXPECT_EQ(operation_set(operation, lt_epilogue, &wide, sizeof wide), invalid);
    EXPECT_EQ(operation_set(operation, lt_bias_pointer, &yes, sizeof yes), invalid);
    EXPECT_EQ(operation_destroy(operation), 0);
  }
  void* layout = nullptr;
  auto* layout_set = library.function<int(void*, int, const void*, size_t)>("cublasLtMatrixLayoutSetAttribute");
  auto* layout_create = library.function<int(void**, int, uint64_t, uint64_t, int64_t)>("cublasLtMatrixLayoutCreate");
  ASSERT_EQ(layout_create(&layout, lt_type_f32, 8, 4, 8), 0);
  EXPECT_EQ(layout_set(layout, lt_batch_count, &yes, sizeof yes), 0);
  EXPECT_EQ(layout_set(layout, lt_batch_offset, &wide, sizeof wide), 0);
  EXPECT_EQ(layout_set(layout, lt_batch_count, &wide, sizeof wide), invalid);
  EXPECT_EQ(library.function<int(void*)>("cublasLtMatrixLayoutDestroy")(layout), 0);
  void* preference = nullptr;
  auto* preference_set = library.function<int(void*, int, const void*, size_t)>("cublasLtMatmulPreferenceSetAttribute");
  ASSERT_EQ(library.function<int(void**)>("cublasLtMatmulPreferenceCreate")(&preference), 0);
  EXPECT_EQ(preference_set(preference, lt_most_workspace, &bytes, sizeof bytes), 0);
  for (int which = lt_alignment_a; which <= lt_alignment_d; ++which)
    EXPECT_EQ(preference_set(preference, which, &yes, sizeof yes), 0);
  EXPECT_EQ(preference_set(preference, lt_alignment_a, &wide, sizeof wide), invalid);
  EXPECT_EQ(library.function<int(void*)>("cublasLtMatmulPreferenceDestroy")(preference), 0);
}

TEST(CublasLt, TheTrueLibraryKnowsWhatIsSet) {
  std::optional<SharedLibrary> library =
      SharedLibrary::try_open({{"libcublasLt.so.13", "libcublasLt.so.12"}, {"/usr/local/cuda/lib64"}, "", true, false});
  if (!library) GTEST_SKIP() << "no cuBLASLt: a CUDA toolkit has it";
  expect_descriptors(*library);
}

TEST(CublasLt, TheStandInKnowsTheSame) {
  expect_descriptors(SharedLibrary::open({{"libcublaslt_emulator.so"},
                                          {std::filesystem::path(PLACEWRIGHT_CUDA_EMULATOR).parent_path()},
                                          "",
                                          false,
                                          false}));
}

// A driver that stands in is never given the true library.
TEST(CublasLt, AStandInGoesWithAStandInAlone) {
  ::setenv("PLACEWRIGHT_LIBCUDA", PLACEWRIGHT_CUDA_EMULATOR, 1);
  std::shared_ptr<const Driver> driver = Driver::try_open(nullptr);
  ::unsetenv("PLACEWRIGHT_LIBCUDA");
  ASSERT_TRUE(driver);
  ::unsetenv("PLACEWRIGHT_LIBCUBLASLT");
  std::vector<std::string> reasons;
  EXPECT_FALSE(CublasLt::try_open(*driver, {"/usr/local/cuda/lib64"}, &reasons));
  EXPECT_THAT(reasons, testing::ElementsAre(HasSubstr("it takes the library of PLACEWRIGHT_LIBCUBLASLT alone")));
  const auto folder = std::filesystem::path(PLACEWRIGHT_CUDA_EMULATOR).parent_path();
  ::setenv("PLACEWRIGHT_LIBCUBLASLT", (folder / "libcublaslt_emulator.so").c_str(), 1);
  std::shared_ptr<const CublasLt> library = CublasLt::try_open(*driver, {}, nullptr);
  ASSERT_TRUE(library);
  EXPECT_THAT(library->name(), testing::StartsWith("cuBLASLt 13."));
  EXPECT_THAT(library->describe(15), HasSubstr("CUBLAS_STATUS_NOT_SUPPORTED (15)"));
  ::unsetenv("PLACEWRIGHT_LIBCUBLASLT");
}

}  // namespace
}  // namespace placewright::cuda
