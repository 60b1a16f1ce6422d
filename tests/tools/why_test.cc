// The subcommand why: every smallest change that it names is applied, and the plan that `place` then makes is looked
// at; so is 99% of it.
#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "placewright/base/file.h"
#include "placewright/ir/graph.h"
#include "placewright/ir/machine.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class Why : public ::testing::Test {
 protected:
  // Two layers on a host and an accelerator that lacks f64.
  Why() : machine_(parse_machine(read_text_file(std::string(PLACEWRIGHT_TEST_DATA) + "/two.machine"), "two.machine")) {}

  std::string write(const Machine& machine) {
    std::ofstream(folder_ / "changed.machine") << print_machine(machine);
    return folder_ / "changed.machine";
  }

  static Json why(const std::string& model, const std::string& op, const std::string& machine,
                  const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"why", model, op, "--machine", machine, "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ToolRun run = run_tool(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    return run.exit_code == 0 ? Json::parse(run.output) : Json();
  }

  static Json change(const Json& report, const std::string& device, const std::string& kind) {
    for (const Json& elsewhere : report.at("elsewhere"))
      for (const Json& name : elsewhere.at("devices"))
        if (name == device)
          for (const Json& change : elsewhere.at("changes"))
            if (change.at("kind") == kind) return change;
    ADD_FAILURE() << "no answer about " << kind << " for " << device;
    return {{"flips", false}, {"text", ""}};
  }

  // By the plan file that `place` makes: device and row of each op.
  static std::string plan(const std::string& model, const std::string& machine,
                          const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"place", model, "--machine", machine, "--format", "lock"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ToolRun run = run_tool(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    return run.output;
  }
  static std::string device_in(const std::string& plan, const std::string& key) {
    const size_t row = plan.find("op \"" + key + "\"");
    if (row == std::string::npos) return "no op " + key;
    const size_t on = plan.find(" on ", row) + 4;
    return plan.substr(on, plan.find(' ', on) - on);
  }

  static void scale_links(Machine& machine, double bytes_per_second) {
    for (Link& link : machine.links) link.bytes_per_second = std::max(link.bytes_per_second, bytes_per_second);
  }
  // As `speed` means it: all that an op there takes, its launch included.
  static void scale_device(Machine& machine, const std::string& device, double times) {
    for (DeviceSpec& spec : machine.devices) {
      if (spec.id.to_string() != device) continue;
      spec.memory_bandwidth *= times;
      spec.launch_seconds /= times;
      for (Rate& rate : spec.rates) rate.per_second *= times;
    }
  }

  // The op flips with the number that is named, and not with 99% of it.
  template <typename Apply>
  void expect_true(const std::string& model, const std::vector<std::string>& more, const std::string& key,
                   const std::string& device, const Json& change, Apply apply) {
    SCOPED_TRACE(key + ": " + change.at("text").get<std::string>());
    ASSERT_TRUE(change.at("flips").get<bool>());
    const double needed = change.at("needed").get<double>();
    Machine enough = machine_, less = machine_;
    apply(enough, needed);
    EXPECT_EQ(device_in(plan(model, write(enough), more), key), device);
    apply(less, std::max(0.99 * needed, change.at("now").get<double>()));
    EXPECT_NE(device_in(plan(model, write(less), more), key), device);
  }

  TemporaryFolder folder_;
  Machine machine_;
};

const std::vector<std::string> batch_3 = {"--symbol", "B=3"};

TEST_F(Why, NamesTheDeviceTheReasonAndWhatItWouldCostElsewhere) {
  ToolRun run =
      run_tool({"why", "two.pw", "first/forward#0:dot_general", "--machine", "two.machine", "--symbol", "B=1"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("first/forward#0:dot_general on cuda:0\n  f32[1,1024], made at net.cc:10"));
  EXPECT_THAT(run.output, HasSubstr("not on cpu:0\n  dearer by "));
  EXPECT_THAT(run.output, HasSubstr("its whole island there: a step takes "));
  size_t begin = 0;
  for (size_t end; (end = run.output.find('\n', begin)) != std::string::npos; begin = end + 1)
    EXPECT_LE(end - begin, 100u) << run.output.substr(begin, end - begin);
}

TEST_F(Why, TheNamedLinkSpeedFlipsTheOpAndALittleLessDoesNot) {
  for (Link& link : machine_.links) link.bytes_per_second = 1e8;
  const std::vector<std::string> batch{"--symbol", "B=64"};
  for (const char* key : {"first/forward#0:dot_general", "act/forward#0:tanh"}) {
    Json report = why("two.pw", key, write(machine_), batch);
    ASSERT_EQ(report.at("device"), "cpu:0") << key;
    expect_true("two.pw", batch, key, "cuda:0", change(report, "cuda:0", "link"),
                [](Machine& machine, double gigabytes) { scale_links(machine, gigabytes * 1e9); });
  }
}

TEST_F(Why, TheNamedSpeedOfTheDeviceFlipsTheOpAndALittleLessDoesNot) {
  for (const char* key : {"act/forward#0:tanh", "first/forward#0:dot_general", "second/forward#0:dot_general"}) {
    Json report = why("two.pw", key, "two.machine", batch_3);
    const std::string device = report.at("device") == "cpu:0" ? "cuda:0" : "cpu:0";
    expect_true("two.pw", batch_3, key, device, change(report, device, "speed"),
                [&](Machine& machine, double times) { scale_device(machine, device, times); });
  }
}

// In a training step that ships, with all that passes make of it.
TEST_F(Why, AnswersAboutATrainingStepAreTrue) {
  const std::string model = std::string(PLACEWRIGHT_TEST_DATA) + "/../../examples/graphs/mlp.pw";
  machine_ = parse_machine(run_tool({"machine", "h200"}).output, "h200");
  for (Link& link : machine_.links) link.bytes_per_second = 4e9;  // a little too slow for this step
  const std::string start = folder_ / "start.machine";
  std::ofstream(start) << print_machine(machine_);
  int links = 0, speeds = 0;
  const std::string before = plan(model, start);
  for (size_t at = 0, number = 0; (at = before.find("\nop \"", at)) != std::string::npos; ++at) {
    const size_t begin = at + 5, end = before.find('"', begin);
    const std::string key = before.substr(begin, end - begin);
    if (key.starts_with("input:") || number++ % 26 != 1) continue;
    Json report = why(model, key, start);
    const std::string device = report.at("device") == "cpu:0" ? "cuda:0" : "cpu:0";
    if (Json link = change(report, device, "link"); link.at("flips").get<bool>()) {
      ++links;
      expect_true(model, {}, key, device, link,
                  [](Machine& machine, double gigabytes) { scale_links(machine, gigabytes * 1e9); });
    }
    if (Json speed = change(report, device, "speed"); speed.at("flips").get<bool>()) {
      ++speeds;
      expect_true(model, {}, key, device, speed,
                  [&](Machine& machine, double times) { scale_device(machine, device, times); });
    }
  }
  EXPECT_GT(links, 0);
  EXPECT_GT(speeds, 3);
}

TEST_F(Why, AmbiguousAndUnknownOpsAreOneLineThatListsWhatIsMeant) {
  auto refused = [](const std::string& op) {
    ToolRun run = run_tool({"why", "two.pw", op, "--machine", "two.machine", "--symbol", "B=3"});
    EXPECT_EQ(run.exit_code, 1);
    EXPECT_EQ(run.output, "");
    EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1) << run.errors;
    return run.errors;
  };
  EXPECT_THAT(refused("dot_general"), HasSubstr("'dot_general' means 2 ops; name one of them: "
                                                "first/forward#0:dot_general, second/forward#0:dot_general"));
  EXPECT_THAT(refused("tank"), HasSubstr("no op is named 'tank'"));
  EXPECT_THAT(refused("tank"), HasSubstr("act/forward#0:tanh"));
  EXPECT_THAT(refused("net.cc:99"), HasSubstr("no op is named"));
  EXPECT_THAT(refused(""), HasSubstr("no op is named"));
}

TEST_F(Why, AnOpIsNamedByItsLineOrByWhatItIs) {
  for (const char* name : {"tanh", "net.cc:11", "act/forward#0:tanh"})
    EXPECT_EQ(why("two.pw", name, "two.machine", batch_3).at("op"), "act/forward#0:tanh");
}

TEST_F(Why, OnOneDeviceThereIsNoChoice) {
  ToolRun run = run_tool({"why", "two.pw", "tanh", "--symbol", "B=3"});
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("cpu:0 is the only device: there is no choice to make"));
}

TEST_F(Why, UnknownMachinesAndWrongOptionsAreRefused) {
  EXPECT_EQ(run_tool({"why", "two.pw", "tanh", "--machine", "h2000", "--symbol", "B=3"}).exit_code, 1);
  EXPECT_EQ(run_tool({"why", "two.pw"}).exit_code, 2);
  EXPECT_EQ(run_tool({"why", "two.pw", "tanh", "--machine", "h200", "--devices", "cpu"}).exit_code, 2);
  EXPECT_EQ(run_tool({"why", "two.pw", "tanh", "--format", "html"}).exit_code, 2);
  EXPECT_THAT(run_tool({"why", "two.pw", "tanh", "--machine", "h200"}).errors, HasSubstr("give a number for B"));
}

}  // namespace
}  // namespace placewright::tools_test
