// bench on another device than the processor, and what remains where nothing can make kernels for the processor: the
// same in a build without LLVM. The emulator stands for a GPU.
#include <algorithm>
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cuda_cases.h"
#include "placewright/base/file.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class GpuBench : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string absence = testing::nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
    ::setenv("PLACEWRIGHT_LIBCUDA", PLACEWRIGHT_CUDA_EMULATOR, 1);
  }
  void TearDown() override {
    ::unsetenv("PLACEWRIGHT_LIBCUDA");
    ::unsetenv("PLACEWRIGHT_LLVM_LIBRARY");
  }
  static void without_cpu_code() { ::setenv("PLACEWRIGHT_LLVM_LIBRARY", "/nonexistent/libplacewright-llvm.so", 1); }

  nlohmann::json bench(const std::string& program, const std::string& devices) {
    ToolRun run =
        run_tool({"bench", program, "--no-peers", "--rounds", "1", "--devices", devices, "--json", folder_ / "f"});
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    return nlohmann::json::parse(read_text_file(folder_ / "f"));
  }

  TemporaryFolder folder_;
};

TEST_F(GpuBench, StepsRunOnTheGpuAndGiveTheProcessorsValues) {
  const nlohmann::json gpu = bench("b", "cuda"), cpu = bench("b", "cpu");
  EXPECT_EQ(gpu.at("machine").at("device"), "cuda:0");
  EXPECT_EQ(gpu["machine"].at("name"), "PTX emulator 0");
  const nlohmann::json &on_gpu = gpu.at("results").at(0), &on_cpu = cpu.at("results").at(0);
  EXPECT_EQ(on_gpu.at("device"), "cuda:0");
  EXPECT_EQ(on_cpu.at("device"), "cpu:0");
  EXPECT_GT(on_gpu.at("microseconds").get<double>(), 0);
  const auto found = on_gpu.at("values").get<std::vector<double>>(),
             expected = on_cpu["values"].get<std::vector<double>>();
  ASSERT_EQ(found.size(), 12u);
  ASSERT_EQ(expected.size(), found.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-5 * std::abs(expected[i])) << i;
}

TEST_F(GpuBench, WithoutAGpuItSaysWhy) {
  EXPECT_EQ(run_tool({"bench", "b", "--predict", "--devices", "cuda"}).exit_code, 2);
  ::setenv("PLACEWRIGHT_LIBCUDA", "/nonexistent/libcuda.so.1", 1);
  ToolRun run = run_tool({"bench", "b", "--no-peers", "--rounds", "1", "--devices", "cuda"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.errors, StartsWith("placewright: devices 'cuda': PLACEWRIGHT_LIBCUDA names no driver library"));
  EXPECT_THAT(run.errors, EndsWith("placewright: bench: devices 'cuda' hold none but the processor\n"));
  EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 2) << run.errors;
}

TEST_F(GpuBench, WithoutCpuCodeTheProcessorRefusesInOneLine) {
  without_cpu_code();
  ToolRun run = run_tool({"bench", "b", "--no-peers", "--rounds", "1"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.errors, AllOf(StartsWith("placewright: no kernels can be made for the processor: "),
                                HasSubstr("-DPLACEWRIGHT_LLVM=ON"), HasSubstr("cpu,cuda:1")));
  EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1) << run.errors;
}

TEST_F(GpuBench, WithoutCpuCodeTheGpuTakesAllAndTheReasonIsReported) {
  without_cpu_code();
  EXPECT_EQ(bench("b", "cuda").at("results").at(0).at("device"), "cuda:0");
  ToolRun run = run_tool({"place", "linear.pw", "--devices", "cpu,cuda", "--symbol", "B=32", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  const nlohmann::json report = nlohmann::json::parse(run.output);
  size_t ops = 0;
  for (const nlohmann::json& op : report.at("ops")) {
    if (op.at("kind") == "input") continue;
    ++ops;
    EXPECT_EQ(op.at("devices").at(0), "cuda:0") << op.dump();
  }
  EXPECT_GT(ops, 0u);
  EXPECT_THAT(run.output, HasSubstr("no kernels can be made for the processor"));
}

}  // namespace
}  // namespace placewright::tools_test
