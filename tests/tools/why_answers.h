// What the tests of `why` share: its answers as JSON, and the plans that `place` then makes.
#pragma once

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "placewright/base/file.h"
#include "placewright/ir/machine.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {

class WhyAnswers : public ::testing::Test {
 protected:
  using Json = nlohmann::json;

  // Two layers on a host and an accelerator that lacks f64.
  WhyAnswers()
      : machine_(parse_machine(read_text_file(std::string(PLACEWRIGHT_TEST_DATA) + "/two.machine"), "two.machine")) {}

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

}  // namespace placewright::tools_test
