// Which NVRTC a session's kernels are by, where several are installed.
#include <filesystem>
#include <optional>
#include <unistd.h>

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "environment_variable.h"
#include "frontend/emulated_gpu.h"
#include "placewright/codegen/cuda/nvrtc.h"
#include "placewright/placewright.h"
#include "placewright/runtime/byte_cache.h"

namespace placewright::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class CudaCompiler : public EmulatedGpu {
 protected:
  void SetUp() override {
    EmulatedGpu::SetUp();
    if (IsSkipped()) return;
    if (std::getenv("PLACEWRIGHT_LIBCUDA") != std::string(PLACEWRIGHT_CUDA_EMULATOR))
      GTEST_SKIP() << "only a driver that stands in says what version it is told";
    folder_ = fs::temp_directory_path() / fmt::format("placewright_compiler_{}", ::getpid());
    fs::remove_all(folder_);
    // This machine's, under two names, with what it opens itself.
    const fs::path found = fs::absolute(Nvrtc::open().path()), toolkit = folder_ / "nvrtc";
    fs::create_directories(toolkit);
    for (const char* name : {"libnvrtc.so.13", "libnvrtc.so.12"}) fs::create_symlink(found, toolkit / name);
    for (const fs::directory_entry& entry : fs::directory_iterator(found.parent_path()))
      if (entry.path().filename().string().starts_with("libnvrtc-builtins.so"))
        fs::create_symlink(entry.path(), toolkit / entry.path().filename());
    compilers_.emplace("PLACEWRIGHT_LIBNVRTC", toolkit.string());
  }
  void TearDown() override {
    EmulatedGpu::TearDown();
    if (!compilers_) return;
    set_driver_faults("");
    compilers_.reset();
    fs::remove_all(folder_);
  }
  fs::path folder_;
  std::optional<EnvironmentVariable> compilers_;
};

// Kept programs and kernels say in their keys whose they are.
TEST_F(CudaCompiler, IsOfTheDriversMajor) {
  for (int major : {12, 13}) {
    set_driver_faults(fmt::format("version={}020", major));
    const fs::path cache = folder_ / fmt::format("cache{}", major);
    configure({.devices = "cpu,cuda:1", .cache_directory = cache.string(), .notice = [](std::string_view) {}});
    const Tensor x = tensor<float>({1, 2}, {2}).to("cuda:0");
    EXPECT_EQ((x + x).to_vector<float>(), (std::vector<float>{2, 4}));
    int code = 0;
    for (const ByteCache::Entry& entry : ByteCache(cache).entries()) {
      EXPECT_THAT(entry.key, HasSubstr(fmt::format("/libnvrtc.so.{} ", major)));
      code += entry.key.starts_with("cuda code");
    }
    EXPECT_EQ(code, 1) << major;
  }
}

}  // namespace
}  // namespace placewright::testing
