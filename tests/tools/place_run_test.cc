// The subcommands place and run.
#include <fstream>

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
  EXPECT_THAT(run.output, HasSubstr("sim:1      4 us  train.cc:12\n      placed on sim:1 at train.cc:31\n"
                                    "      not cpu:0, sim:0: pinned\n"));
  EXPECT_THAT(run.output, HasSubstr("step x cpu:0 -> sim:1 1,280 B, 6.05 us: read by dot_general, train.cc:12\n"));
  EXPECT_THAT(run.output, HasSubstr("Transfer ledger: 1,280 B a step, 80 B at load\n"));
}

TEST(Place, RulesComeFromAFile) {
  ToolRun run =
      run_tool({"place", "--json", "--devices", "cpu,sim:2", "--symbol", "B=32", "--rules", "head.rules", "linear.pw"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  nlohmann::json plan = nlohmann::json::parse(run.output);
  int limited = 0;
  for (const auto& op : plan["ops"]) {
    if (op["what"] == "x") continue;
    EXPECT_EQ(op["devices"], nlohmann::json::array({"sim:0"})) << op.dump();
    for (const auto& rejected : op["rejected"])
      if (rejected["kind"] == "not allowed") {
        EXPECT_EQ(rejected["site"], "head.rules:2");
        ++limited;
      }
  }
  EXPECT_GT(limited, 0);
  EXPECT_THAT(run_tool({"place", "--rules", "nowhere.rules", "linear.pw"}).errors, HasSubstr("nowhere.rules"));
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
  EXPECT_EQ(run.errors,
            "placewright: devices 'cpu,tpu:2': found tpu:2, expected cpu and cuda:N with N up to 64 and sim:N with N "
            "up to 64\n");
}

// A machine that is nowhere near: the plan needs its file only.
TEST(Place, PlansForTheMachineOfAFile) {
  TemporaryFolder folder;
  const std::string here =
      R"(device cpu:0 "laptop" target "x86-64-v3" host memory 8589934592 bandwidth 30000000000 threads 4 launch 1e-07 {
  rate "contraction" f32 100000000000
  rate "elementwise" f32 10000000000
}
)";
  const std::string there =
      R"(device tpu:1 "far" target "far" memory 8589934592 bandwidth 3000000000000 threads 1 launch 1e-06 {
  rate "contraction" f32 100000000000000
  rate "elementwise" f32 10000000000000
}
link cpu:0 -> tpu:1 latency 1e-06 bandwidth 50000000000
link tpu:1 -> cpu:0 latency 1e-06 bandwidth 50000000000
)";
  auto place = [&](const std::string& text) {
    std::ofstream(folder / "m.machine") << text;
    return run_tool({"place", "--machine", folder / "m.machine", "--symbol", "B=32", "pinned.pw"});
  };
  std::string tpu = here + there;
  for (size_t at; (at = tpu.find("tpu")) != std::string::npos;) tpu.replace(at, 3, "sim");
  ToolRun run = place(tpu);
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("placed on sim:1 at train.cc:31"));
  EXPECT_THAT(run.output, HasSubstr("step x cpu:0 -> sim:1 1,280 B"));

  auto expect_refused = [&](const std::string& text, const std::string& message) {
    ToolRun refused = place(text);
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_EQ(refused.output, "");
    EXPECT_THAT(refused.errors, HasSubstr(message));
    EXPECT_EQ(std::count(refused.errors.begin(), refused.errors.end(), '\n'), 1) << refused.errors;
  };
  expect_refused(here + there, "sim:1");  // what the graph is pinned to
  expect_refused("", "no device of host memory");
  expect_refused(here + here, "m.machine:5:8: cpu:0 stands here twice");
  expect_refused(here + "link cpu:0 -> sim:7 latency 0 bandwidth 1\n", "m.machine:5:15: no device sim:7");
  expect_refused(here.substr(0, here.size() / 2), "m.machine:");
  std::string slow = here;
  slow.replace(slow.find("10000000000\n}"), 11, "-1");
  expect_refused(slow, "m.machine:3:26: operations per second is -1, expected a finite number > 0");
  EXPECT_EQ(run_tool({"place", "--machine", "m", "--devices", "cpu", "linear.pw"}).exit_code, 2);
  EXPECT_THAT(run_tool({"place", "--machine", folder / "none", "linear.pw"}).errors, HasSubstr("No such file"));
}

TEST(Place, TheDoctorsMachineGivesThisMachinesPlan) {
  TemporaryFolder folder;
  ToolRun doctor = run_tool({"doctor", "--machine"});
  ASSERT_EQ(doctor.exit_code, 0) << doctor.errors;
  std::ofstream(folder / "this.machine") << doctor.output;
  ToolRun there = run_tool({"place", "--machine", folder / "this.machine", "--symbol", "B=4", "linear.pw"});
  ToolRun here = run_tool({"place", "--symbol", "B=4", "linear.pw"});
  EXPECT_EQ(there.exit_code, 0) << there.errors;
  // The first line names the machine.
  EXPECT_EQ(there.output.substr(there.output.find('\n')), here.output.substr(here.output.find('\n')));
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
