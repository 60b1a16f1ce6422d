// The subcommands place and run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "placewright/base/file.h"
#include "placewright/npy.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using ::testing::HasSubstr;

TEST(Place, SaysWhereEveryOpRunsAndWhatIsCopied) {
  ToolRun run = run_tool({"place", "--devices", "cpu,sim:2", "--symbol", "B=32", "pinned.pw"});
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("dot_general train.cc:12 on sim:1: placed on sim:1 at train.cc:31"));
  EXPECT_THAT(run.output, HasSubstr("x cpu:0 -> sim:1 1280 bytes every step"));
  EXPECT_THAT(run.output, HasSubstr("transfers: 1280 bytes a step, 80 bytes at load\n"));
}

TEST(Place, JsonHoldsEveryOpWithItsReasonAndTheLedger) {
  ToolRun run = run_tool({"place", "--json", "--devices", "cpu,sim:2", "--symbol", "B=32", "pinned.pw"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  nlohmann::json plan = nlohmann::json::parse(run.output);
  ASSERT_EQ(plan.at("ops").size(), 3u);
  EXPECT_EQ(plan["ops"][2]["what"], "dot_general");
  EXPECT_EQ(plan["ops"][2]["devices"], nlohmann::json::array({"sim:1"}));
  EXPECT_EQ(plan["ops"][2]["cause"], "pinned");
  EXPECT_EQ(plan["ops"][2]["site"], "train.cc:12");
  EXPECT_EQ(plan["bytes_per_step"], 32 * 10 * 4);
  EXPECT_EQ(plan["bytes_at_load"], 10 * 2 * 4);
  int64_t bytes_per_step = 0;
  for (const auto& transfer : plan["transfers"])
    if (transfer["when"] == "step") bytes_per_step += transfer["bytes"].get<int64_t>();
  EXPECT_EQ(bytes_per_step, plan["bytes_per_step"]);
}

TEST(Place, APinOnAnAbsentDeviceIsAnError) {
  ToolRun run = run_tool({"place", "--devices", "cpu", "--symbol", "B=32", "pinned.pw"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.output, "");
  EXPECT_THAT(run.errors, HasSubstr("sim:1"));
  EXPECT_THAT(run.errors, HasSubstr("train.cc:31"));
}

TEST(Place, StrictRefusesATransferThatNobodyAskedFor) {
  ToolRun run = run_tool({"place", "--strict", "--devices", "cpu,sim:2", "--symbol", "B=32", "pinned.pw"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.output, "");
  EXPECT_THAT(run.errors, HasSubstr("train.cc:12"));
  EXPECT_THAT(run.errors, HasSubstr("train.cc:31"));
  EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1);
}

TEST(Place, UnknownDevicesAreAnError) {
  ToolRun run = run_tool({"place", "--devices", "cpu,tpu:2", "linear.pw"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.errors, "placewright: devices 'cpu,tpu:2': found tpu:2, expected cpu and sim:N with N up to 64\n");
}

class Run : public ::testing::Test {
 protected:
  Run() {
    HostTensor x(DType::f32, {3, 10}), weight(DType::f32, {10, 2});
    for (int64_t i = 0; i < x.elements(); ++i) x.set_number(i, static_cast<double>(i));
    for (int64_t i = 0; i < weight.elements(); ++i) weight.set_number(i, static_cast<double>(i));
    write_npy(folder_ / "x.npy", x);
    write_npy(folder_ / "weight.npy", weight);
    write_npy(folder_ / "bias.npy", HostTensor::from<float>({2}, {1, 2}));
  }
  TemporaryFolder folder_;
};

TEST_F(Run, ComputesResultsFromFilesOnEveryDevice) {
  for (const char* devices : {"cpu", "cpu,sim:1"}) {
    ToolRun run = run_tool({"run", "linear.pw", "--input", "x=" + (folder_ / "x.npy"), "--input",
                            "fc.weight=" + (folder_ / "weight.npy"), "--input", "fc.bias=" + (folder_ / "bias.npy"),
                            "--devices", devices, "--output-dir", folder_ / "out"});
    ASSERT_EQ(run.exit_code, 0) << run.errors;
    EXPECT_EQ(run.output, (folder_ / "out") + "/result0.npy  f32[3,2]\n");
    HostTensor expected = HostTensor::from<float>({3, 2}, {571, 617, 1471, 1617, 2371, 2617});
    EXPECT_TRUE(read_npy(folder_ / "out/result0.npy").same_bytes(expected));
  }
}

TEST_F(Run, WritesTheStatesThatWereUpdated) {
  write_npy(folder_ / "count.npy", HostTensor::from<int64_t>({}, {41}));
  ToolRun run = run_tool(
      {"run", "counter.pw", "--input", "../count=" + (folder_ / "count.npy"), "--output-dir", folder_ / "out"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  // The graph's name for its state must not lead out of the folder.
  EXPECT_EQ(read_npy(folder_ / "out/_.._count.npy").integer(0), 42);
}

TEST_F(Run, WrongInputsAreOneLineAndWriteNothing) {
  auto errors = [&](std::vector<std::string> inputs) {
    std::vector<std::string> arguments{"run", "linear.pw", "--output-dir", folder_ / "out"};
    for (const std::string& input : inputs) arguments.insert(arguments.end(), {"--input", input});
    ToolRun run = run_tool(arguments);
    EXPECT_EQ(run.exit_code, 1);
    EXPECT_EQ(run.output, "");
    return run.errors;
  };
  std::string x = "x=" + (folder_ / "x.npy"), weight = "fc.weight=" + (folder_ / "weight.npy"),
              bias = "fc.bias=" + (folder_ / "bias.npy");
  EXPECT_EQ(errors({x, weight}), "placewright: input 'fc.bias' is missing: it is state f32[2]\n");
  EXPECT_EQ(errors({x, weight, "fc.bias=" + (folder_ / "x.npy")}),
            "placewright: input 'fc.bias': found f32[3,10], expected f32[2]\n");
  EXPECT_EQ(errors({x, weight, bias, "y=" + (folder_ / "x.npy")}), "placewright: the graph has no input 'y'\n");
  EXPECT_EQ(errors({x, x}), "placewright: --input '" + x + "': the input is given twice\n");
  EXPECT_EQ(errors({"x"}), "placewright: --input 'x': expected NAME=FILE.npy\n");
  EXPECT_FALSE(try_read_file(folder_ / "out/result0.npy").has_value());
}

}  // namespace
}  // namespace placewright::tools_test
