// NVRTC as it is found and used: versions, refusals, what ptxas reports.
#include <cstdlib>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  const char* set = std::getenv("PLACEWRIGHT_LIBNVRTC");
  const std::string before = set ? set : "";
  ASSERT_EQ(setenv("PLACEWRIGHT_LIBNVRTC", "/nowhere/libnvrtc.so", 1), 0);
  std::vector<std::string> reasons;
  EXPECT_EQ(Nvrtc::try_open(&reasons), nullptr);
  ASSERT_EQ(reasons.size(), 1u);  // an override is obeyed alone
  EXPECT_THAT(reasons[0], HasSubstr("/nowhere/libnvrtc.so"));
  if (before.empty())
    unsetenv("PLACEWRIGHT_LIBNVRTC");
  else
    setenv("PLACEWRIGHT_LIBNVRTC", before.c_str(), 1);
}

}  // namespace
}  // namespace placewright::testing
