// What a step takes is one number: the objective, the proof, the time line, fit, why and what-if say the same of one
// plan, whether sums or simulation chose it, within memory limits too.
#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "placewright/base/duration.h"
#include "placewright/base/file.h"
#include "placewright/ir/machine.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

const std::string root = PLACEWRIGHT_TEST_DATA "/../..";

struct Case {
  const char* graph;
  const char* machine;
  double memory = 0;  // of each accelerator, of what a step needs there; 0: what the machine has
};

void PrintTo(const Case& each, std::ostream* out) {
  *out << each.graph << " on " << each.machine;
  if (each.memory > 0) *out << " with " << each.memory << " of the memory";
}

class SameStep : public ::testing::TestWithParam<Case> {
 protected:
  static Json ask(const std::vector<std::string>& arguments) {
    ToolRun run = run_tool(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    return run.exit_code == 0 ? Json::parse(run.output) : Json();
  }

  std::string model() const { return root + "/examples/graphs/" + GetParam().graph; }

  // The shipped machine, or one with as much memory as the case says.
  std::string machine() const {
    const Case& each = GetParam();
    if (each.memory == 0) return each.machine;
    const Json roomy = ask({"place", model(), "--machine", each.machine, "--json"});
    Machine machine =
        parse_machine(read_text_file(root + "/tools/machines/" + std::string(each.machine) + ".machine"), each.machine);
    for (const Json& row : roomy.at("memory"))
      for (DeviceSpec& spec : machine.devices)
        if (!spec.host_memory && row.at("device") == spec.id.to_string())
          spec.memory_bytes = std::llround(row.at("needed_bytes").get<double>() * each.memory);
    const std::string path = folder_ / "less.machine";
    write_file_atomically(path, print_machine(machine));
    return path;
  }

  TemporaryFolder folder_;
};

TEST_P(SameStep, IsSaidEverywhere) {
  const std::string machine = this->machine();
  const Json placed = ask({"place", model(), "--machine", machine, "--json"});
  const Json& proof = placed.at("proof");
  const double done = placed.at("timeline").at("seconds");
  const bool is_simulated = proof.at("of") == "simulated time";
  double end = 0;
  for (const Json& span : placed.at("timeline").at("spans")) end = std::max(end, span.at("end").get<double>());
  EXPECT_DOUBLE_EQ(end, done);
  if (is_simulated) {
    EXPECT_EQ(proof.at("chosen_seconds"), done);
    EXPECT_LE(proof.at("bound_seconds"), done);
    EXPECT_THAT(placed.at("objective").get<std::string>(), HasSubstr("by simulation: " + duration_text(done) + ","));
  }
  const double step = proof.at("chosen_seconds");
  // Of a sum, the planner rounds each copy to nanoseconds.
  const double copies = static_cast<double>(placed.at("transfers").size());
  const double tolerance = is_simulated ? 0 : 0.5e-9 * (copies + 1);

  const Json fit = ask({"fit", model(), "--machines", machine, "--json"});
  EXPECT_EQ(fit.at("machines").at(0).at("plan").at("step_seconds"), done);

  const std::string batch = std::to_string(fit.at("batch").at("size").get<int64_t>());
  const Json what_if = ask({"what-if", model(), "--machine", machine, "--json", "--batch", batch + ":" + batch});
  EXPECT_NEAR(what_if.at("axes").at(0).at("ranges").at(0).at("seconds_from").get<double>(), step, tolerance);

  const Json& ops = placed.at("ops");
  auto input = std::find_if(ops.begin(), ops.end(), [](const Json& op) { return op.at("kind") == "input"; });
  ASSERT_NE(input, ops.end());
  const Json why =
      ask({"why", model(), "input:" + input->at("what").get<std::string>(), "--machine", machine, "--json"});
  EXPECT_NEAR(why.at("step_seconds").get<double>(), step, tolerance);
}

INSTANTIATE_TEST_SUITE_P(Shipped, SameStep,
                         ::testing::Values(Case{"mixture.pw", "a100x8-pcie"}, Case{"mixture.pw", "h200x8"},
                                           Case{"mixture.pw", "h200"}, Case{"mixture.pw", "a100"},
                                           Case{"mixture.pw", "rtx4090"}, Case{"lenet.pw", "h200"},
                                           Case{"mlp.pw", "h100x8-pcie"}, Case{"cnn.pw", "rtx4090"},
                                           Case{"lenet.pw", "h200", 0.9}, Case{"transformer.pw", "h200", 0.9},
                                           Case{"mixture.pw", "a100x8-pcie", 0.7},
                                           Case{"mixture.pw", "rtx4090x8-pcie", 0.9}));

}  // namespace
}  // namespace placewright::tools_test
