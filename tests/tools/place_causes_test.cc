// Why ops are not elsewhere, in the report's JSON: each cause planted where it is known, named with its kind and line;
// and no op and no device of any shipped graph and machine without a reason.
#include <filesystem>
#include <regex>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "placewright/base/file.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

std::string data(const std::string& name) { return std::string(PLACEWRIGHT_TEST_DATA) + "/" + name; }

std::string replaced(const std::string& text, const std::string& from, const std::string& to) {
  std::string changed = text;
  const size_t at = changed.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? changed : changed.replace(at, from.size(), to);
}

class PlaceCauses : public ::testing::Test {
 protected:
  // What keeps the first product off cuda:0.
  Json rejection(const std::string& batch, const std::vector<std::string>& more = {}) {
    write_file_atomically(folder_ / "model.pw", model_);
    write_file_atomically(folder_ / "two.machine", machine_);
    std::vector<std::string> arguments{"place",    folder_ / "model.pw", "--machine", folder_ / "two.machine",
                                       "--symbol", "B=" + batch,         "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ToolRun run = run_tool(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    if (run.exit_code != 0) return {};
    const Json report = Json::parse(run.output);
    for (const Json& op : report.at("ops"))
      if (op.at("origin") == "first/forward#0") {
        EXPECT_EQ(op.at("site"), "net.cc:10");
        EXPECT_EQ(op.at("devices"), Json::array({"cpu:0"}));
        EXPECT_EQ(op.at("rejected").size(), 1u);
        return op.at("rejected").at(0);
      }
    ADD_FAILURE() << "the op is gone";
    return {};
  }

  TemporaryFolder folder_;
  std::string model_ = read_text_file(data("two.pw")), machine_ = read_text_file(data("two.machine"));
};

TEST_F(PlaceCauses, NoKernelForADtype) {
  model_ = std::regex_replace(model_, std::regex("f32"), "f64");
  const Json rejected = rejection("64");
  EXPECT_EQ(rejected.at("kind"), "no kernel");
  EXPECT_EQ(rejected.at("site"), "net.cc:10");
  EXPECT_THAT(rejected.at("cause").get<std::string>(), HasSubstr("no kernel for contraction of f64"));
}

TEST_F(PlaceCauses, APin) {
  model_ = replaced(model_, "f32[B<=4096,1024] #1", "f32[B<=4096,1024] pin(cpu:0 from \"train.cc\":31) #1");
  const Json rejected = rejection("64");
  EXPECT_EQ(rejected.at("kind"), "pinned");
  EXPECT_EQ(rejected.at("site"), "train.cc:31");
  EXPECT_THAT(rejected.at("cause").get<std::string>(), HasSubstr("train.cc:31"));
}

TEST_F(PlaceCauses, Colocation) {
  model_ = replaced(model_, "f32[B<=4096,1024] #2", "f32[B<=4096,1024] pin(cpu:0 from \"train.cc\":32) #2");
  write_file_atomically(folder_ / "together.rules", "together \"*t\"\n");
  const Json rejected = rejection("64", {"--rules", folder_ / "together.rules"});
  EXPECT_EQ(rejected.at("kind"), "colocated");
  EXPECT_EQ(rejected.at("site"), "net.cc:11");
  EXPECT_THAT(rejected.at("cause").get<std::string>(), HasSubstr("tanh (net.cc:11)"));
}

TEST_F(PlaceCauses, Memory) {
  machine_ = replaced(machine_, "memory 17179869184", "memory 24000000");
  const Json rejected = rejection("4096");
  EXPECT_EQ(rejected.at("kind"), "memory");
  EXPECT_EQ(rejected.at("site"), "net.cc:10");
  EXPECT_THAT(rejected.at("cause").get<std::string>(), ::testing::ContainsRegex("needs [0-9]+ bytes .* of 24000000, "));
}

TEST_F(PlaceCauses, Dearer) {
  machine_ = std::regex_replace(machine_, std::regex("bandwidth 5000000000\n"), "bandwidth 50000000\n");
  const Json rejected = rejection("64");
  EXPECT_EQ(rejected.at("kind"), "dearer");
  EXPECT_EQ(rejected.at("site"), "net.cc:10");
  EXPECT_GT(rejected.at("seconds").get<double>(), 0);
  EXPECT_THAT(rejected.at("cause").get<std::string>(), HasSubstr("above all "));
}

void expect_reasons(const std::string& graph, const std::string& machine) {
  SCOPED_TRACE(graph + " on " + machine);
  const std::string file = data("../../examples/graphs/" + graph);
  ToolRun run = run_tool({"place", file, "--machine", machine, "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  const Json report = Json::parse(run.output);
  std::set<std::string> devices;
  for (const Json& device : report.at("devices")) devices.insert(device.at("device"));
  EXPECT_GT(report.at("ops").size(), 50u);
  for (const Json& op : report.at("ops")) {
    SCOPED_TRACE(op.dump());
    EXPECT_NE(op.at("cause"), "");
    EXPECT_NE(op.at("reason"), "");
    std::set<std::string> named = op.at("devices");
    for (const Json& rejected : op.at("rejected")) {
      named.insert(rejected.at("device"));
      EXPECT_NE(rejected.at("kind"), "");
      EXPECT_NE(rejected.at("cause"), "");
      EXPECT_TRUE(rejected.at("site").is_null() || !rejected.at("site").get<std::string>().empty());
    }
    EXPECT_EQ(named, devices);
  }
}

TEST_F(PlaceCauses, NoOpAndNoDeviceIsWithoutAReason) {
  for (const char* machine : {"h200", "h100", "a100", "rtx4090"}) expect_reasons("mlp.pw", machine);
  for (const char* graph : {"lenet.pw", "cnn.pw", "mixture.pw"}) expect_reasons(graph, "rtx4090");
  expect_reasons("mlp.pw", "h200x8");
}

}  // namespace
}  // namespace placewright::tools_test
