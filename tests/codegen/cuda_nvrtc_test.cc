// NVRTC as it is found and used: versions, refusals, what ptxas reports.
#include <cstdlib>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "environment_variable.h"
#include "placewright/base/error.h"
#include "placewright/base/join.h"
#include "placewright/codegen/code_target.h"
#include "placewright/codegen/cuda/nvrtc.h"

namespace placewright::testing {
namespace {

using ::testing::HasSubstr;

class NvrtcTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<std::string> reasons;
    nvrtc_ = Nvrtc::try_open(&reasons);
    if (!nvrtc_) GTEST_SKIP() << "no NVRTC: " << join(reasons, "; ");
  }
  std::shared_ptr<const Nvrtc> nvrtc_;
};

constexpr const char* text = "extern \"C\" __global__ void doubled(float* x) { x[threadIdx.x] *= 2; }";

TEST_F(NvrtcTest, CompilesForTheArchitecturesThatItNames) {
  EXPECT_THAT(nvrtc_->architectures(), ::testing::IsSupersetOf({80, 90, 100}));
  std::vector<uint8_t> cubin = nvrtc_->compile(text, "sm_90").code;
  ASSERT_GT(cubin.size(), 4u);
  EXPECT_EQ(std::string(cubin.begin() + 1, cubin.begin() + 4), "ELF");
  std::vector<uint8_t> ptx = nvrtc_->compile(text, "compute_80").code;
  EXPECT_THAT(std::string(ptx.begin(), ptx.end()), HasSubstr(".target sm_80"));
  EXPECT_THAT(std::string(ptx.begin(), ptx.end()), HasSubstr(".entry doubled"));
}

TEST_F(NvrtcTest, ReportsWhatEachKernelTakes) {
  std::vector<KernelResources> found = parse_resources(nvrtc_->compile(text, "sm_80").log);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].symbol, "doubled");
  EXPECT_GT(found[0].registers, 0);
  EXPECT_EQ(found[0].spill_store_bytes, 0);
}

// PTX of the latest that it does know is what the drivers of later GPUs assemble.
TEST_F(NvrtcTest, GpusThatItDoesNotKnowTakePtx) {
  const std::vector<int> known = nvrtc_->architectures();
  const std::string latest = std::to_string(*std::max_element(known.begin(), known.end()));
  const Nvrtc::Compiled later = nvrtc_->compile(text, "sm_990");
  EXPECT_EQ(later.target, "compute_" + latest);
  EXPECT_THAT(std::string(later.code.begin(), later.code.end()), HasSubstr(".target sm_" + latest));
  EXPECT_EQ(nvrtc_->compile(text, "sm_99").target, "compute_90") << "between two that it knows";
  EXPECT_EQ(nvrtc_->compile(text, "compute_99").target, "compute_90");
  EXPECT_EQ(nvrtc_->compile(text, "sm_90").target, "sm_90");
}

const StructuredKernel& twice() {
  static const StructuredKernel kernel = parse_kernel(R"(kernel "twice" {
  buffer "x" input f32[300]
  buffer "y" output f32[300]
  stage "add" [300] reduced [] {
    access b0[d0]
    access b1[d0]
    body {
      n0 = load f32 0
      n1 = add f32 n0 n0
    }
    store a1 n1
  }
})");
  return kernel;
}

// What was compiled in another process is not compiled again, and the report of it is the same.
TEST_F(NvrtcTest, KeptCodeKeepsWhatItIsForAndWhatItsKernelsTake) {
  std::map<std::string, std::vector<uint8_t>> kept;
  int found = 0;
  CodeStore store;
  store.load = [&](const std::string& key) -> std::optional<std::vector<uint8_t>> {
    if (!kept.contains(key)) return std::nullopt;
    ++found;
    return kept.at(key);
  };
  store.store = [&](const std::string& key, std::span<const uint8_t> bytes) {
    kept[key].assign(bytes.begin(), bytes.end());
  };
  std::shared_ptr<const CodeTarget> target = make_code_target("sm_90", host_cpu_target());
  const EmittedKernels first = target->emit({twice()}, 1, store), second = target->emit({twice()}, 1, store);
  EXPECT_EQ(found, 1);
  EXPECT_EQ(first.images[0].format, "cubin");
  EXPECT_EQ(first.images[0].target, "sm_90");
  EXPECT_EQ(first.images, second.images);
  ASSERT_EQ(first.images[0].resources.size(), 1u);
  EXPECT_EQ(first.images[0].resources[0].symbol, "twice_0");
  EXPECT_GT(first.images[0].resources[0].resident_threads, 0);
  std::shared_ptr<const CodeTarget> unknown = make_code_target("sm_99", host_cpu_target());
  const EmittedKernels ptx = unknown->emit({twice()}, 1, store);
  EXPECT_EQ(ptx.images, unknown->emit({twice()}, 1, store).images);
  EXPECT_EQ(found, 2);
  EXPECT_EQ(ptx.images[0].format, "ptx");
  EXPECT_EQ(ptx.images[0].target, "compute_90");
}

TEST_F(NvrtcTest, SaysWhatItRefuses) {
  try {
    nvrtc_->compile("extern \"C\" __global__ void k() { nothing(); }", "sm_90");
    FAIL() << "compiled";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("does not compile a kernel for sm_90"));
    EXPECT_THAT(error.what(), HasSubstr("\"nothing\" is undefined"));
  }
}

TEST_F(NvrtcTest, SaysWhichArchitecturesItKnows) {
  try {
    nvrtc_->compile(text, "sm_35");
    FAIL() << "compiled";
  } catch (const Error& error) {
    const std::string what = error.what();
    EXPECT_THAT(what, HasSubstr(", 90, "));
    EXPECT_THAT(what, HasSubstr("expected sm_35 among them"));
    EXPECT_EQ(what.find('\n'), std::string::npos);
  }
}

TEST(NvrtcLog, IsReadForEachKernel) {
  std::vector<KernelResources> found = parse_resources(
      "ptxas info    : 0 bytes gmem\n"
      "ptxas info    : Compiling entry function 'k0_0' for 'sm_90'\n"
      "ptxas info    : Function properties for k0_0\n"
      "ptxas         .     24 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n"
      "ptxas info    : Used 255 registers, used 1 barriers, 24 bytes cumulative stack size, 8448 bytes smem\n"
      "ptxas info    : Compiling entry function 'k0_1' for 'sm_90'\n"
      "ptxas info    : Function properties for k0_1\n"
      "ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : Used 8 registers, used 0 barriers\n");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0], (KernelResources{"k0_0", 255, 8448, 24, 8, 12}));
  EXPECT_EQ(found[1], (KernelResources{"k0_1", 8, 0, 0, 0, 0}));
}

TEST(Nvrtc, AMissingOneSaysWhereItWasLookedForAndWhatToDo) {
  const EnvironmentVariable nowhere("PLACEWRIGHT_LIBNVRTC", "/nowhere/libnvrtc.so");
  std::vector<std::string> reasons;
  EXPECT_EQ(Nvrtc::try_open(&reasons), nullptr);
  ASSERT_EQ(reasons.size(), 1u);  // an override is obeyed alone
  EXPECT_THAT(reasons[0], HasSubstr("/nowhere/libnvrtc.so"));
  EXPECT_EQ(Nvrtc::try_open(&reasons, 12), nullptr);
  EXPECT_EQ(reasons.size(), 1u);
}

TEST(Nvrtc, TheAdviceIsForTheDriver) {
  const EnvironmentVariable none("PLACEWRIGHT_LIBNVRTC", "");
  EXPECT_THAT(Nvrtc::advice(12), HasSubstr("a CUDA 12 toolkit or NVIDIA's wheel nvidia-cuda-nvrtc-cu12, or set "));
  for (int latest : {0, 13, 14}) EXPECT_THAT(Nvrtc::advice(latest), HasSubstr("run scripts/setup.sh --cuda, or set "));
}

// The driver may refuse what a later one makes: of two toolkits that of the driver is taken, and kept kernels are its.
TEST(Nvrtc, OfALaterMajorThanTheDriverIsTakenLast) {
  namespace fs = std::filesystem;
  const fs::path folder = ::testing::TempDir() + "two_nvrtcs", data = ::testing::TempDir() + "nvrtc_12";
  for (const fs::path& each : {folder, data}) fs::remove_all(each);
  const fs::path installed = data / "placewright/cuda/nvidia/cuda_nvrtc/lib";
  for (const fs::path& each : {folder / "later", installed}) fs::create_directories(each);
  for (const fs::path& each : {folder, folder / "later"})
    fs::copy_file(PLACEWRIGHT_TOOLKIT_13000, each / "libnvrtc.so.13");
  for (const fs::path& each : {folder, installed}) fs::copy_file(PLACEWRIGHT_TOOLKIT_12080, each / "libnvrtc.so.12");
  auto expect = [](int latest, const std::string& file, const std::string& version) {
    const std::shared_ptr<const Nvrtc> nvrtc = Nvrtc::try_open(nullptr, latest);
    ASSERT_TRUE(nvrtc);
    EXPECT_THAT(nvrtc->path(), ::testing::EndsWith(file)) << latest;
    if (!version.empty()) {
      EXPECT_EQ(nvrtc->version(), version) << latest;
    }
    EXPECT_THAT(make_code_target("sm_90", host_cpu_target(), {}, latest)->key(), HasSubstr("/" + file + " ")) << latest;
  };
  {
    const EnvironmentVariable both("PLACEWRIGHT_LIBNVRTC", folder.string());
    expect(0, "libnvrtc.so.13", "13.0");
    expect(12, "libnvrtc.so.12", "12.8");
    EXPECT_EQ(Nvrtc::open(12).version(), "12.8");
    expect(13, "libnvrtc.so.13", "13.0");
    expect(14, "libnvrtc.so.13", "13.0");
    expect(11, "libnvrtc.so.13", "13.0");  // none is early enough
  }
  {
    const EnvironmentVariable later("PLACEWRIGHT_LIBNVRTC", (folder / "later").string());
    expect(12, "libnvrtc.so.13", "13.0");  // nothing else is there: the doctor says what is wrong
  }
  // Wherever it is found: also behind a later one that the loader finds first.
  const EnvironmentVariable none("PLACEWRIGHT_LIBNVRTC", ""), home("XDG_DATA_HOME", data.string());
  expect(12, "libnvrtc.so.12", "");
}

// A GPU that takes PTX is a GPU: ahead of time it is not given the processor's code.
TEST(CudaTargets, AheadOfTimePtxStaysPtx) {
  const std::vector<NamedTarget> targets = ahead_of_time_targets("compute_80");
  ASSERT_EQ(targets.size(), 1u);
  EXPECT_EQ(targets[0].name, "compute_80");
  EXPECT_THAT(targets[0].target->key(), ::testing::StartsWith("compute_80 "));
  EXPECT_EQ(ahead_of_time_targets("sm_89").size(), 4u);
  EXPECT_EQ(ahead_of_time_targets("x86-64-v3+avx2+fma")[0].name, "x86-64-v3");
}

// What the loader finds is what is opened, so it is what kept kernels are of.
TEST(Nvrtc, TheStampIsOfWhatTheLoaderFinds) {
  const std::filesystem::path folder = ::testing::TempDir() + "nvrtc_on_path";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(PLACEWRIGHT_TOOLKIT_13000, folder / "libnvrtc.so.13");
  const EnvironmentVariable none("PLACEWRIGHT_LIBNVRTC", ""), path("LD_LIBRARY_PATH", folder.string());
  EXPECT_THAT(Nvrtc::stamp(), ::testing::StartsWith((folder / "libnvrtc.so.13 ").string()));
}

}  // namespace
}  // namespace placewright::testing
