// The table of cuBLASLt's functions on the true library, where a toolkit is installed: it needs no GPU to say whether
// it knows our attributes and their sizes, and the stand-in is held to the same.
#include "placewright/runtime/cuda/cublaslt.h"

#include <cstdlib>
#include <memory>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel_object.h"
#include "placewright/runtime/cuda/cuda_device.h"
#include "placewright/runtime/cuda/probe.h"
#include "placewright/runtime/device_kinds.h"

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

// An image may say anything of itself: what names buffers that its launches do not have is the kernel's alone.
TEST(CublasLt, AContractionOfOtherBuffersIsLeftToTheKernel) {
  ::setenv("PLACEWRIGHT_LIBCUDA", PLACEWRIGHT_CUDA_EMULATOR, 1);
  const auto folder = std::filesystem::path(PLACEWRIGHT_CUDA_EMULATOR).parent_path();
  ::setenv("PLACEWRIGHT_LIBCUBLASLT", (folder / "libcublaslt_emulator.so").c_str(), 1);
  LibraryUse use;
  use.allowed = true;
  auto device = std::make_shared<CudaDevice>(start_cuda().driver, 0, INT64_MAX, use);
  Contraction product;
  product.rows = product.columns = product.depth = 2;
  product.left = {0, 0, 2, 1, 0}, product.right = {1, 0, 2, 1, 0}, product.result = {2, 0, 2, 1, 0};
  const DeviceMemory memory(device, 48, 64, "test");
  std::vector<void*> buffers(12, nullptr);
  for (size_t i : {0u, 1u, 2u}) buffers[i] = static_cast<uint8_t*>(memory.address()) + 16 * i;
  const int64_t bytes[] = {16, 16, 16};
  const int stream = device->open_stream();
  auto performer_with = [&](auto change) {
    KernelEntry entry = testing_runtime::entry_of("add_f32", 4);
    entry.contraction = product;
    entry.written = {2};
    change(entry);
    KernelImage image = testing_runtime::kernel_image_for(device->spec(), {entry});
    if (!entry.rest.empty()) image.entries[0].rest = image.entries[0].phases;
    const std::shared_ptr<const LoadedImage> loaded = device->load(image);
    uint64_t status = 0;
    KernelLaunch launch{loaded.get(), 0, buffers.data(), bytes, 3, nullptr, &status, 0, 0, "a test's"};
    device->launch(stream, launch);
    device->finish(device->record(stream));
    return device->performer(launch);
  };
  EXPECT_THAT(performer_with([](KernelEntry&) {}), testing::StartsWith("cuBLASLt "));
  EXPECT_EQ(performer_with([](KernelEntry& entry) { entry.contraction->left.buffer = 9; }), "");
  EXPECT_EQ(performer_with([](KernelEntry& entry) { entry.contraction->right.buffer = -1; }), "");
  EXPECT_EQ(performer_with([](KernelEntry& entry) { entry.contraction->bias = 9; }), "");
  EXPECT_EQ(performer_with([](KernelEntry& entry) { entry.contraction->result.buffer = 9; }), "");
  EXPECT_EQ(performer_with([](KernelEntry& entry) { entry.written = {9}; }), "");
  EXPECT_EQ(performer_with([](KernelEntry& entry) { entry.rest = entry.phases; }), "");
  device->close_stream(stream);
  ::unsetenv("PLACEWRIGHT_LIBCUBLASLT");
  ::unsetenv("PLACEWRIGHT_LIBCUDA");
}

// Of two toolkits that of the driver is taken.
TEST(CublasLt, IsOfNoLaterMajorThanTheDriver) {
  namespace fs = std::filesystem;
  const fs::path folder = testing::TempDir() + "two_toolkits";
  fs::remove_all(folder);
  fs::create_directories(folder);
  for (const char* name : {"libcublasLt.so.12", "libcublasLt.so.13"})
    fs::copy_file(fs::path(PLACEWRIGHT_CUDA_EMULATOR).parent_path() / "libcublaslt_emulator.so", folder / name);
  ::setenv("PLACEWRIGHT_LIBCUDA", PLACEWRIGHT_CUDA_EMULATOR, 1);
  ::setenv("PLACEWRIGHT_LIBCUBLASLT", folder.c_str(), 1);
  std::shared_ptr<const Driver> driver = Driver::try_open(nullptr);
  ASSERT_TRUE(driver);
  for (const auto& [version, file] : {std::pair("version=12080", "so.12"), std::pair("version=13010", "so.13")}) {
    ::setenv("PLACEWRIGHT_EMULATOR", version, 1);
    ASSERT_EQ(driver->init(0), 0);
    std::shared_ptr<const CublasLt> library = CublasLt::try_open(*driver, {}, nullptr);
    ASSERT_TRUE(library);
    EXPECT_THAT(library->path(), testing::EndsWith(file)) << version;
  }
  for (const char* variable : {"PLACEWRIGHT_LIBCUDA", "PLACEWRIGHT_LIBCUBLASLT", "PLACEWRIGHT_EMULATOR"})
    ::unsetenv(variable);
  driver->init(0);
}

}  // namespace
}  // namespace placewright::cuda
