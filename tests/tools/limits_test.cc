// Limits on the command line: memories that plans and runs keep within, and what a plan may copy and hold.
#include <cmath>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "placewright/base/file.h"
#include "placewright/npy.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class Limits : public ::testing::Test {
 protected:
  Limits() {
    auto write = [&](const char* name, Sizes sizes) {
      HostTensor tensor(DType::f32, std::move(sizes));
      for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_number(i, static_cast<double>(i % 7) - 3);
      write_npy(folder_ / name, tensor);
    };
    write("x.npy", {64, 1024});
    write("first.npy", {1024, 1024});
    write("second.npy", {1024, 16});
  }

  // Two layers, 64 rows; with `pin`, all of the second one is on sim:0.
  std::string model(bool pin) {
    std::string text = read_text_file(std::string(PLACEWRIGHT_TEST_DATA) + "/two.pw");
    if (pin) text.insert(text.rfind(" #3\n"), " pin(sim:0 from \"train.cc\":31)");
    write_file_atomically(folder_ / "model.pw", text);
    return folder_ / "model.pw";
  }

  ToolRun run(bool pin, const std::string& memory, const std::string& output) {
    std::vector<std::string> arguments{"run",          model(pin),
                                       "--devices",    pin ? "cpu,sim:1" : "cpu",
                                       "--threads",    "1",
                                       "--input",      "x=" + (folder_ / "x.npy"),
                                       "--input",      "first.weight=" + (folder_ / "first.npy"),
                                       "--input",      "second.weight=" + (folder_ / "second.npy"),
                                       "--output-dir", output};
    if (!memory.empty()) arguments.insert(arguments.end(), {"--memory", memory});
    return run_tool(arguments);
  }

  // What the plan says that a step needs of a device.
  int64_t needed(bool pin, const std::string& device) {
    ToolRun plan =
        run_tool({"place", model(pin), "--devices", pin ? "cpu,sim:1" : "cpu", "--symbol", "B=64", "--json"});
    EXPECT_EQ(plan.exit_code, 0) << plan.errors;
    const Json report = Json::parse(plan.output);
    for (const Json& memory : report.at("memory"))
      if (memory.at("device") == device) return memory.at("needed_bytes");
    ADD_FAILURE() << "no memory of " << device;
    return 0;
  }

  static void expect_one_line(const ToolRun& run, int exit_code, const std::string& message) {
    EXPECT_EQ(run.exit_code, exit_code) << run.output;
    EXPECT_EQ(run.output, "");
    EXPECT_THAT(run.errors, HasSubstr(message));
    EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1) << run.errors;
    EXPECT_LT(run.errors.size(), 600u) << run.errors;
  }

  TemporaryFolder folder_;
};

TEST_F(Limits, RunsWithThePredictedPeakAndRefusesAByteLessWithTheLargestHolders) {
  for (bool pin : {false, true}) {
    const std::string device = pin ? "sim:0" : "cpu:0";
    const std::string free = folder_ / ("free." + device), within = folder_ / ("within." + device),
                      less = folder_ / ("less." + device);
    const int64_t peak = needed(pin, device);
    ASSERT_GT(peak, 0);
    ASSERT_EQ(run(pin, "", free).exit_code, 0);
    ToolRun at_peak = run(pin, device + "=" + std::to_string(peak), within);
    ASSERT_EQ(at_peak.exit_code, 0) << at_peak.errors;
    EXPECT_TRUE(read_npy(within + "/result0.npy").same_bytes(read_npy(free + "/result0.npy")));
    ToolRun below = run(pin, device + "=" + std::to_string(peak - 1), less);
    expect_one_line(below, 1,
                    "a step needs " + std::to_string(peak) + " bytes of memory on " + device + ", which has " +
                        std::to_string(peak - 1) + "; it holds ");
    EXPECT_THAT(below.errors, HasSubstr(pin ? "state second.weight of 65536 bytes (net.cc:12)"
                                            : "state first.weight of 4194304 bytes (net.cc:10)"));
    EXPECT_FALSE(std::filesystem::exists(less));
  }
}

TEST_F(Limits, PlansKeepWithinTheSameMemories) {
  const std::string file = model(false);
  auto place = [&](const std::string& memory) {
    return run_tool({"place", file, "--devices", "cpu,sim:1", "--symbol", "B=64", "--json", "--memory", memory});
  };
  ToolRun plan = place("sim=1000000");
  ASSERT_EQ(plan.exit_code, 0) << plan.errors;
  const Json sim = Json::parse(plan.output).at("devices").at(1);
  EXPECT_EQ(sim.at("device"), "sim:0");
  EXPECT_EQ(sim.at("memory_bytes"), 1000000);
  expect_one_line(place("cpu:0=1000"), 1, "bytes of memory on cpu:0, which has 1000; it holds ");
  ToolRun why = run_tool({"why", file, "tanh", "--devices", "cpu", "--symbol", "B=64", "--memory", "cpu=1000"});
  expect_one_line(why, 1, "which has 1000");
}

// What leaves memory is priced as it is compiled: proof, step, ledger, plan file and checker say one number.
TEST_F(Limits, WhatFreesMemoryIsCountedOnce) {
  const std::string root = PLACEWRIGHT_TEST_DATA "/../..", machine = folder_ / "small.machine";
  const std::string memory = "memory 150754820096", lock = folder_ / "plan.lock";
  std::string text = read_text_file(root + "/tools/machines/h200.machine");
  ASSERT_NE(text.find(memory), std::string::npos);
  write_file_atomically(machine, text.replace(text.find(memory), memory.size(), "memory 56000000"));
  auto place = [&](const std::string& option, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"place", root + "/examples/graphs/lenet.pw", "--machine", machine, option};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_tool(arguments);
  };
  ToolRun plan = place("--json", {});
  ASSERT_EQ(plan.exit_code, 0) << plan.errors;
  const Json report = Json::parse(plan.output);
  double relief = 0;
  bool is_copied = false;
  for (const Json& step : report.at("relief")) relief += step.at("seconds").get<double>();
  for (const Json& copy : report.at("transfers"))
    is_copied = is_copied || copy.at("why") == "waits there for a late reader, to free memory";
  EXPECT_TRUE(is_copied);  // which is a step of relief and a copy of the ledger
  const double chosen = report.at("proof").at("chosen_seconds");
  EXPECT_GT(relief, 0);
  EXPECT_NEAR(report.at("proof").at("relief_seconds").get<double>(), relief, 1e-9);
  EXPECT_NEAR(report.at("seconds").get<double>(), chosen, 50e-9);  // whole nanoseconds a launch
  ASSERT_EQ(place("--certificate", {lock}).exit_code, 0);
  const std::string proof = read_text_file(lock);
  EXPECT_THAT(proof, HasSubstr(" relief " + std::to_string(std::llround(relief * 1e9)) + " bounded"));
}

TEST_F(Limits, WrongMemoriesAreOneLine) {
  const std::string out = folder_ / "out";
  for (const char* memory : {"cpu", "cpu=", "=5", "cpu=0", "cpu=-1", "cpu=1e6", "cpu=nan", "cpu=99999999999999999999"})
    expect_one_line(run(false, memory, out), 1,
                    "--memory '" + std::string(memory) + "': expected DEVICE=BYTES with more than 0 bytes");
  expect_one_line(run(false, "sim:0=1000", out), 1, "memory of 'sim:0': the session has no such device; it has 'cpu'");
  ToolRun twice =
      run_tool({"place", model(false), "--symbol", "B=64", "--memory", "cpu=9000000", "--memory", "cpu=1000"});
  expect_one_line(twice, 1, "--memory 'cpu=1000': cpu is given twice");
  EXPECT_EQ(run_tool({"place", model(false), "--machine", "h200", "--memory", "cpu=1000"}).exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(out));
}

// Without a plan to compare with, too.
TEST_F(Limits, WhatAPlanMayCopyAndHoldFailsBeforeAnythingIsWritten) {
  const std::string lock = folder_ / "plan.lock";
  auto place = [&](const std::string& option, int64_t bytes) {
    return run_tool({"place", "pinned.pw", "--devices", "cpu,sim:2", "--symbol", "B=32", "-o", lock, option,
                     std::to_string(bytes)});
  };
  expect_one_line(
      place("--max-bytes-per-step", 1279), 4,
      "all copies of a step (train.cc:12): at most 1279 bytes -> 1280 bytes: the largest is input:x: 1280 bytes "
      "from cpu:0 to sim:1");
  ToolRun both = place("--max-memory", 10);
  EXPECT_EQ(both.exit_code, 4);
  EXPECT_THAT(both.errors, HasSubstr("peak of sim:1: at most 10 bytes -> "));
  EXPECT_FALSE(std::filesystem::exists(lock));
  EXPECT_EQ(place("--max-bytes-per-step", 1280).exit_code, 0);
  EXPECT_TRUE(std::filesystem::exists(lock));
}

TEST_F(Limits, NumbersOfLimitsAreWholeAndKnown) {
  const std::string file = model(false);
  for (const char* option : {"--max-bytes-per-step", "--max-memory"})
    for (const char* bytes : {"-1", "nan", "1e6", "99999999999999999999999", "many"})
      expect_one_line(run_tool({"place", file, "--symbol", "B=64", option, bytes}), 2,
                      std::string(option) + ": found '" + bytes + "', expected bytes: a whole number from 0");
  for (const char* part : {"-1", "nan", "inf", "1e9"})
    expect_one_line(run_tool({"diff", "a.lock", "b.lock", "--tolerance", part}), 2,
                    std::string("--tolerance: found ") + part + ", expected a number from 0 to 1e+06");
}

}  // namespace
}  // namespace placewright::tools_test
