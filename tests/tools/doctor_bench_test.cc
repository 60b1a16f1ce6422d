// The subcommands doctor and bench.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "environment_variable.h"
#include "placewright/base/file.h"
#include "placewright/codegen/cuda/nvrtc.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;
using Variable = EnvironmentVariable;

TEST(Doctor, FindsTheHostAndAWorkingCompiler) {
  ToolRun run = run_tool({"doctor"});
  EXPECT_EQ(run.exit_code, 0) << run.output << run.errors;
  EXPECT_THAT(run.output, HasSubstr("  cpu:0 "));
  EXPECT_THAT(run.output, HasSubstr("compiler good: compiles and runs a kernel\n"));
}

TEST(Doctor, JsonNamesWhatIsAbsentWithCauseAndFix) {
  EXPECT_EQ(run_tool({"doctor", "--format", "yaml"}).exit_code, 2);
  ToolRun run = run_tool({"doctor", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  nlohmann::json found = nlohmann::json::parse(run.output);
  EXPECT_EQ(found.at("devices").at(0).at("device"), "cpu:0");
  EXPECT_GT(found["devices"][0]["memory_bytes"].get<int64_t>(), 0);
  for (const auto& absent : found.at("absent"))
    for (const char* key : {"kind", "code", "cause", "fix"}) EXPECT_NE(absent.at(key).get<std::string>(), "") << key;
}

// The emulator stands for GPUs; `faults` says how it fails.
struct EmulatedGpus {
  explicit EmulatedGpus(const std::string& faults) : options("PLACEWRIGHT_EMULATOR", faults) {}
  Variable driver{"PLACEWRIGHT_LIBCUDA", PLACEWRIGHT_CUDA_EMULATOR}, options;
  // Whatever toolkits this machine has.
  Variable cublas{"PLACEWRIGHT_LIBCUBLASLT", "/none"}, cudnn{"PLACEWRIGHT_LIBCUDNN", "/none"};
};

TEST(Doctor, TriesGpusFromEndToEnd) {
  EmulatedGpus gpus("count=1");
  const bool has_compiler = Nvrtc::try_open() != nullptr;
  ToolRun run = run_tool({"doctor"});
  EXPECT_EQ(run.exit_code, has_compiler ? 0 : 3) << run.output << run.errors;
  EXPECT_THAT(run.output, HasSubstr("cuda driver good: "));
  EXPECT_THAT(run.output, HasSubstr("cuda:0   good: PTX emulator 0 (compute_80): copies 64 MB at "));
  EXPECT_THAT(run.output, HasSubstr(has_compiler ? "cuda compiler good: NVRTC " : "no-compiler; fix: "));
  EXPECT_EQ(run.output.find("cuda:0 architecture good: compute_80") != std::string::npos, has_compiler) << run.output;
}

// What is at fault, by name and code.
std::map<std::string, std::string> faults_found() {
  ToolRun run = run_tool({"doctor", "--format", "json"});
  std::map<std::string, std::string> faults;
  const nlohmann::json found = nlohmann::json::parse(run.output);
  for (const auto& check : found.at("checks"))
    if (!check.at("good").get<bool>()) faults[check.at("check")] = check.at("code");
  EXPECT_EQ(run.exit_code, faults.empty() ? 0 : 3) << run.errors;
  return faults;
}

TEST(Doctor, AVariableThatNobodyReadsIsAFinding) {
  const Variable other("PLACEWRIGHT_FULL_COUNTER", "1"), good("PLACEWRIGHT_JOBS", "2");
  EXPECT_THAT(faults_found(), ::testing::Not(Contains(Pair("environment", "misspelt-variable"))));
  const Variable misspelt("PLACEWRIGHT_LIBNVRCT", "/usr/lib");
  EXPECT_THAT(faults_found(), Contains(Pair("environment", "misspelt-variable")));
  EXPECT_THAT(run_tool({"doctor"}).output,
              HasSubstr("environment FAULT: nothing reads PLACEWRIGHT_LIBNVRCT, which is set\n           "
                        "misspelt-variable; fix: unset it, or set PLACEWRIGHT_LIBNVRTC if that is meant\n"));
}

TEST(Doctor, LibrariesOfTwoToolkitsAreAFinding) {
  EmulatedGpus gpus("count=1");
  Variable cublas("PLACEWRIGHT_LIBCUBLASLT", PLACEWRIGHT_TOOLKIT_13000);
  Variable cudnn("PLACEWRIGHT_LIBCUDNN", PLACEWRIGHT_TOOLKIT_12080);
  EXPECT_THAT(faults_found(), Contains(Pair("cuda toolkit", "mixed-toolkits")));
}

TEST(Doctor, AMissingCompilerOfGpusIsAFinding) {
  EmulatedGpus gpus("count=1");
  // Nothing, and a library that is another.
  for (const char* path : {"/nowhere", PLACEWRIGHT_CUDA_EMULATOR}) {
    Variable compiler("PLACEWRIGHT_LIBNVRTC", path);
    EXPECT_THAT(faults_found(), ElementsAre(Pair("cuda compiler", "no-compiler"))) << path;
    EXPECT_THAT(
        run_tool({"doctor"}).output,
        HasSubstr("no-compiler; fix: correct or unset PLACEWRIGHT_LIBNVRTC, which is obeyed alone; kernels from"));
  }
}

TEST(Doctor, HoldsTheCompilerAgainstDriverAndGpus) {
  if (!Nvrtc::try_open()) GTEST_SKIP() << "no NVRTC: scripts/setup.sh --cuda installs it";
  {
    EmulatedGpus gpus("count=1,version=11080");
    EXPECT_THAT(faults_found(), ElementsAre(Pair("cuda compiler", "driver-older-than-compiler")));
  }
  EmulatedGpus gpus("count=1,capability=35");  // older than any that NVRTC 12 and 13 compile for
  EXPECT_THAT(faults_found(), Contains(Pair("cuda:0 architecture", "architecture-too-old")));
}

// Of two toolkits, whichever the loader finds first.
TEST(Doctor, TakesTheCompilerOfTheDriversMajor) {
  TemporaryFolder folder;
  std::filesystem::copy_file(PLACEWRIGHT_TOOLKIT_12080, folder / "libnvrtc.so.12");
  std::filesystem::copy_file(PLACEWRIGHT_TOOLKIT_13000, folder / "libnvrtc.so.13");
  const Variable compiler("PLACEWRIGHT_LIBNVRTC", folder.path());
  for (const auto& [faults, found] :
       {std::pair("count=1,version=12080", "NVRTC 12.8 at "), std::pair("count=1", "NVRTC 13.0 at ")}) {
    EmulatedGpus gpus(faults);
    EXPECT_THAT(run_tool({"doctor"}).output, HasSubstr(std::string("cuda compiler good: ") + found));
    EXPECT_THAT(faults_found(), ::testing::IsEmpty());
  }
}

TEST(Doctor, AFaultOfADriverIsAFindingWithCodeAndFix) {
  EmulatedGpus gpus("init=803");
  ToolRun run = run_tool({"doctor", "--json"});
  EXPECT_EQ(run.exit_code, 3);
  nlohmann::json found = nlohmann::json::parse(run.output);
  EXPECT_EQ(found.at("checks").back().at("code"), "driver-mismatch");
  EXPECT_THAT(found["checks"].back().at("fix").get<std::string>(), HasSubstr("reboot"));
}

// A driver's library where the loader finds it, on a machine whose kernel has no such module.
TEST(Doctor, ALibraryWithoutItsKernelModuleIsAFinding) {
  for (const char* path : {"/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"})
    if (std::filesystem::exists(path)) GTEST_SKIP() << "this machine has " << path;
  TemporaryFolder folder;
  std::filesystem::create_symlink(PLACEWRIGHT_CUDA_EMULATOR, folder / "libcuda.so.1");
  Variable driver("PLACEWRIGHT_LIBCUDA", ""), path("LD_LIBRARY_PATH", folder.path());
  ToolRun run = run_tool({"doctor", "--json"});
  EXPECT_EQ(run.exit_code, 3) << run.errors;
  nlohmann::json fault = nlohmann::json::parse(run.output).at("checks").back();
  EXPECT_EQ(fault.at("code"), "no-kernel-module");
  EXPECT_THAT(fault.at("found").get<std::string>(), HasSubstr(folder / "libcuda.so.1 is there"));
  EXPECT_THAT(fault.at("fix").get<std::string>(), HasSubstr("modprobe nvidia"));
}

// Why an op is not on a GPU is what the driver says.
TEST(Doctor, WhatItFindsIsTheReasonInThePlacementReport) {
  EmulatedGpus gpus("init=802");
  ToolRun run = run_tool({"place", "--devices", "cpu,cuda:1", "--symbol", "B=32", "linear.pw"});
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("the fabric manager does not run"));
}

// Devices that were asked for and are not there are never missed in silence: what runs says so, once, and goes on.
TEST(FewerDevices, ThanWereAskedForAreSaid) {
  TemporaryFolder folder;
  std::ofstream(folder / "model.pw") << R"(graph v1
function "main"() {
  %0 = iota() {shape=[3], dtype=i64, dim=0} : i64[3]
  return %0
}
)";
  auto errors_of = [&](const std::string& devices) {
    ToolRun run = run_tool({"run", folder / "model.pw", "--output-dir", folder / "results", "--devices", devices});
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    return run.errors;
  };
  {
    EmulatedGpus gpus("init=100");
    EXPECT_THAT(errors_of("cpu,cuda:1"), AllOf(StartsWith("placewright: devices 'cpu,cuda:1': "),
                                               HasSubstr("(no-device); "), EndsWith("; it goes on with 0 of 1\n")));
    EXPECT_EQ(errors_of("cpu"), "");  // not asked for
  }
  EmulatedGpus gpus("count=2");
  EXPECT_EQ(errors_of("cpu,cuda:3"),
            "placewright: devices 'cpu,cuda:3': the session asks for 3 GPUs, the driver shows 2 (too-few); ask for "
            "fewer, or see CUDA_VISIBLE_DEVICES; it goes on with 2 of 3\n");
  EXPECT_EQ(errors_of("cpu,cuda:2"), "");
}

TEST(Bench, HoldsPredictionsAgainstMeasurements) {
  TemporaryFolder folder;
  ToolRun run = run_tool({"bench", "a", "c", "--predict", "--rounds", "1", "--json", folder / "predict.json"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("median error"));
  nlohmann::json document = nlohmann::json::parse(read_text_file(folder / "predict.json"));
  ASSERT_EQ(document.at("predictions").size(), 2u);
  for (const auto& row : document["predictions"]) {
    double sum = 0;
    for (const auto& launch : row.at("launches")) {
      EXPECT_GT(launch.at("measured_microseconds").get<double>(), 0);
      sum += launch.at("predicted_microseconds").get<double>();
    }
    // Beside the launches there is the call.
    EXPECT_GT(row.at("predicted_microseconds").get<double>(), sum);
    EXPECT_LT(row.at("predicted_microseconds").get<double>(), sum + 10);
    // Whatever else runs here: within a factor of twenty.
    EXPECT_LT(row.at("measured_microseconds").get<double>(), 20 * row.at("predicted_microseconds").get<double>());
    EXPECT_GT(row.at("measured_microseconds").get<double>(), row.at("predicted_microseconds").get<double>() / 20);
  }
}

TEST(Bench, MeasuresWithoutPeersAndWritesJson) {
  TemporaryFolder folder;
  ToolRun run =
      run_tool({"bench", "a", "gemm-16x16x16-nt", "--no-peers", "--rounds", "1", "--json", folder / "bench.json"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  nlohmann::json document = nlohmann::json::parse(read_text_file(folder / "bench.json"));
  ASSERT_EQ(document.at("results").size(), 2u);
  for (const auto& row : document["results"]) {
    EXPECT_EQ(row.at("threads"), 1);
    EXPECT_GT(row.at("microseconds").get<double>(), row.at("floor_microseconds").get<double>());
    EXPECT_TRUE(row.at("peer").is_null() && row.at("peer_microseconds").is_null() && row.at("ratio").is_null());
  }
  EXPECT_GT(document.at("machine").at("fma_peak_gflops").get<double>(), 0);
  EXPECT_GT(document["machine"].at("bandwidth_gb_per_second").get<double>(), 0);
}

TEST(Bench, WrongProgramsAreErrors) {
  EXPECT_EQ(run_tool({"bench", "--no-peers", "z"}).errors,
            "placewright: bench: there is no program 'z', expected a b c d e gemm or conv\n");
  ToolRun run = run_tool({"bench", "--no-peers", "--rounds", "1", "gemm-4x4-nn"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.errors, HasSubstr("expected gemm-MxNxK-FORM"));
  EXPECT_EQ(run_tool({"bench", "--peers", "--no-peers"}).exit_code, 2);
}

}  // namespace
}  // namespace placewright::tools_test
