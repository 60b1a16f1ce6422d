// The subcommand compile: what a machine would run, made where that machine is not.
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cuda_cases.h"
#include "placewright/base/file.h"
#include "placewright/ir/program.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A product of matrices that is worth a GPU, and an exponential of each row's sum.
constexpr const char* model = R"(graph v1

origins {
  #1 = forward 0 in "net" from "net.py":10
  #2 = forward 1 in "net" from "net.py":11
}

function "main"(%0, %1) {
  %0 = input() {kind="argument", name="x"} : f32[2048,2048]
  %1 = input() {kind="state", name="net.weight"} : f32[2048,2048]
  %2 = dot_general(%0, %1) {lhs_contracting=[1], rhs_contracting=[0]} : f32[2048,2048] #1
  %3 = exp(%2) : f32[2048,2048] #2
  %4 = reduce_sum(%3) {dims=[1]} : f32[2048] #2
  return %4
}
)";

class Compile : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string absence = testing::nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
    write_file_atomically(folder_ / "model.pw", model);
    run_ = run_tool({"compile", folder_ / "model.pw", "--machine", "h200", "-o", folder_ / "built"});
    ASSERT_EQ(run_.exit_code, 0) << run_.errors;
  }
  nlohmann::json json(const std::string& file) const {
    return nlohmann::json::parse(read_text_file(folder_ / ("built/" + file)));
  }
  TemporaryFolder folder_;
  ToolRun run_;
};

TEST_F(Compile, WritesTheProgramAndItsKernelsForThreeGenerations) {
  Program program = parse_program(read_text_file(folder_ / "built/program.txt"));
  verify_program(program);
  nlohmann::json contents = json("kernels.json");
  std::map<std::string, std::map<int, std::set<std::string>>> entries;  // of each target's images
  std::set<std::string> products;                                       // targets with what begins with the product
  for (const auto& image : contents.at("images")) {
    std::vector<uint8_t> bytes = read_file(folder_ / ("built/" + image.at("file").get<std::string>()));
    ASSERT_GT(bytes.size(), 4u);
    EXPECT_EQ(std::string(bytes.begin() + 1, bytes.begin() + 4), "ELF");
    const std::string text(bytes.begin(), bytes.end());
    for (const auto& entry : image.at("entries")) {
      entries[image.at("target")][image.at("image")].insert(entry.at("name").get<std::string>());
      for (const auto& phase : entry.at("phases"))
        EXPECT_THAT(text, HasSubstr(phase.at("symbol").get<std::string>())) << image.at("file");
      if (entry.value("product", "") != "2048 x 2048 x 2048 f32") continue;
      products.insert(image.at("target").get<std::string>());
      ASSERT_FALSE(entry.at("rest").empty());  // the exponential
      for (const auto& phase : entry["rest"])
        EXPECT_THAT(text, HasSubstr(phase.at("symbol").get<std::string>())) << image.at("file");
    }
  }
  EXPECT_THAT(products, ElementsAre("sm_100", "sm_80", "sm_90"));
  int launches = 0;
  for (const Instruction& instruction : program.blocks.at(0).instructions)
    if (const Launch* launch = std::get_if<Launch>(&instruction)) {
      ++launches;
      ASSERT_EQ(program.streams.at(launch->stream).device, (DeviceId{"cuda", 0}));
      for (const char* target : {"sm_80", "sm_90", "sm_100"})
        EXPECT_EQ(entries[target][launch->image].count(launch->entry), 1u) << target << " " << launch->entry;
    }
  EXPECT_GT(launches, 0);
}

TEST_F(Compile, ReportsWhatEachKernelTakes) {
  nlohmann::json placement = json("placement.json");
  ASSERT_FALSE(placement.at("kernels").empty());
  std::set<std::string> targets;
  for (const auto& kernel : placement["kernels"]) {
    targets.insert(kernel.at("target").get<std::string>());
    EXPECT_GT(kernel.at("registers"), 0);
    EXPECT_GT(kernel.at("occupancy"), 0.0);
    EXPECT_LE(kernel.at("occupancy"), 1.0);
    EXPECT_EQ(kernel.at("spill_store_bytes"), 0);
    ASSERT_FALSE(kernel.at("origins").empty());
    EXPECT_THAT(kernel["origins"][0].get<std::string>(), HasSubstr("net.py:1"));
  }
  EXPECT_THAT(targets, ElementsAre("sm_100", "sm_80", "sm_90"));
  const std::string text = read_text_file(folder_ / "built/placement.txt");
  for (const std::string& shown : {text, run_.output})
    EXPECT_THAT(shown, AllOf(HasSubstr("\nKernels: "), HasSubstr("    sm_80 "), HasSubstr("    sm_100 "),
                             HasSubstr(" registers, "), HasSubstr(" shared, occupancy ")));
  EXPECT_THAT(text, StartsWith(folder_ / "model.pw on h200\n"));
}

// The same files, byte by byte: programs and kernels depend on model and machine alone.
TEST_F(Compile, AgainGivesTheSameFiles) {
  ToolRun again = run_tool({"compile", folder_ / "model.pw", "--machine", "h200", "-o", folder_ / "again"});
  ASSERT_EQ(again.exit_code, 0) << again.errors;
  size_t files = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder_ / "built")) {
    if (!entry.is_regular_file()) continue;
    ++files;
    const fs::path other = fs::path(folder_ / "again") / fs::relative(entry.path(), folder_ / "built");
    EXPECT_EQ(read_file(entry.path()), read_file(other)) << other;
  }
  EXPECT_GE(files, 7u);
}

// What has no elements has no groups, and says so as others say how many.
TEST(CompileNothing, HasLaunchSizes) {
  if (const std::string absence = testing::nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  TemporaryFolder folder;
  write_file_atomically(folder / "model.pw", R"(graph v1

origins {
  #1 = forward 0 in "net" from "net.py":10
}

function "main"(%0, %1) {
  %0 = input() {kind="argument", name="x"} : f32[0,10]
  %1 = input() {kind="argument", name="y"} : f32[8,10]
  %2 = exp(%0) : f32[0,10] #1
  %3 = exp(%1) : f32[8,10] #1
  return %2, %3
}
)");
  write_file_atomically(folder / "gpu.rules", "pin \"net\" on cuda:0\n");
  const ToolRun run = run_tool(
      {"compile", folder / "model.pw", "--machine", "h200", "--rules", folder / "gpu.rules", "-o", folder / "built"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  std::set<int64_t> groups;
  const nlohmann::json contents = nlohmann::json::parse(read_text_file(folder / "built/kernels.json"));
  for (const auto& image : contents.at("images"))
    for (const auto& entry : image.at("entries"))
      for (const auto& phase : entry.at("phases")) groups.insert(phase.at("groups").at(0).get<int64_t>());
  EXPECT_THAT(groups, ElementsAre(0, 1));
}

// Every kernel of whole programs, for three architectures; in the long tier more of them.
TEST(CompileGraphs, WithoutSpills) {
  if (const std::string absence = testing::nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  std::vector<std::string> graphs{"lenet"};
  if (testing::full_counts()) graphs.insert(graphs.end(), {"mixture", "mlp", "transformer"});
  for (const std::string& graph : graphs) {
    TemporaryFolder folder;
    const std::string file = std::string(PLACEWRIGHT_TEST_DATA) + "/../../examples/graphs/" + graph + ".pw";
    const ToolRun run = run_tool({"compile", file, "--machine", "h200", "-o", folder / "built"});
    ASSERT_EQ(run.exit_code, 0) << graph << ": " << run.errors;
    const nlohmann::json placement = nlohmann::json::parse(read_text_file(folder / "built/placement.json"));
    std::map<std::string, int> kernels;
    for (const auto& kernel : placement.at("kernels")) {
      ++kernels[kernel.at("target")];
      EXPECT_EQ(kernel.at("spill_store_bytes").get<int64_t>() + kernel.at("spill_load_bytes").get<int64_t>(), 0)
          << graph << " " << kernel.at("target") << " " << kernel.at("origins");
    }
    EXPECT_EQ(kernels.size(), 3u) << graph;
    for (const auto& [target, count] : kernels) EXPECT_EQ(count, kernels["sm_90"]) << graph << " " << target;
  }
}

TEST(CompileWithout, ACompilerIsOneLineAndNoFiles) {
  TemporaryFolder folder;
  write_file_atomically(folder / "model.pw", model);
  ASSERT_EQ(::setenv("PLACEWRIGHT_LIBNVRTC", "/nowhere/libnvrtc.so", 1), 0);
  ToolRun run = run_tool({"compile", folder / "model.pw", "--machine", "h200", "-o", folder / "built"});
  ::unsetenv("PLACEWRIGHT_LIBNVRTC");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.errors,
              StartsWith("placewright: no libnvrtc, which compiles kernels for CUDA devices: correct or unset "
                         "PLACEWRIGHT_LIBNVRTC, which is obeyed alone (/nowhere/libnvrtc.so: "));
  EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1) << run.errors;
  EXPECT_FALSE(fs::exists(folder / "built"));
}

TEST(CompileWithout, AGpuInTheMachineNeedsNoCompilerOfTheirs) {
  TemporaryFolder folder;
  ToolRun run = run_tool({"compile", "linear.pw", "--symbol", "B=32", "-o", folder / "built"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.output, AllOf(HasSubstr("/x86-64-v"), HasSubstr("1 image, ")));
  EXPECT_EQ(run_tool({"compile", "linear.pw"}).exit_code, 2);
  EXPECT_THAT(run_tool({"compile", "linear.pw", "-o", folder / "other"}).errors, HasSubstr("give a number for B"));
}

}  // namespace
}  // namespace placewright::tools_test
