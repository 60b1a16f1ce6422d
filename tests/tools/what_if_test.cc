// The subcommand what-if: its borders against trying every placement of the problem at every number, and the radius of
// the plan against errors of all costs.
#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "placewright/base/file.h"
#include "placewright/ir/machine.h"
#include "placewright/passes/placement_sensitivity.h"
#include "placewright/run_graph.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

std::string data(const std::string& name) { return std::string(PLACEWRIGHT_TEST_DATA) + "/" + name; }
Graph two() { return parse_graph(read_text_file(data("two.pw")), "two.pw"); }
Machine two_machine() { return parse_machine(read_text_file(data("two.machine")), "two.machine"); }

// By trying all placements.
int64_t cheapest_of_all(const PlacementProblem& problem) {
  std::vector<std::vector<int>> allowed;
  for (const std::vector<int64_t>& costs : problem.costs) {
    allowed.emplace_back();
    for (int label = 0; label < problem.labels; ++label)
      if (costs[label] < PlacementProblem::unrunnable) allowed.back().push_back(label);
  }
  std::vector<size_t> chosen(allowed.size(), 0);
  int64_t best = PlacementProblem::unrunnable;
  while (true) {
    Labels labels;
    for (size_t g = 0; g < allowed.size(); ++g) labels.push_back(allowed[g][chosen[g]]);
    best = std::min(best, energy(problem, labels));
    size_t g = 0;
    while (g < chosen.size() && ++chosen[g] == allowed[g].size()) chosen[g++] = 0;
    if (g == chosen.size()) return best;
  }
}

Json what_if(const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"what-if", "two.pw", "--machine", "two.machine", "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  ToolRun run = run_tool(arguments);
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  return Json::parse(run.output).at("axes").at(0);
}

// What a step takes, its result read, with the ops placed as the bits of `number` say: by pins.
double step_of(const Graph& graph, const Machine& machine, int64_t batch, unsigned number) {
  Graph pinned = graph;
  unsigned bit = 0;
  for (Op& op : pinned.main().ops)
    if (!op.is("input")) op.pin = Pin{{(number >> bit++ & 1) ? "cuda" : "cpu", 0}, {"brute.cc", 1}};
  const PlacementPlan plan = plan_graph(pinned, machine, {{"B", batch}});
  const Link& link = machine.links.front();
  const double read = link.latency_seconds + static_cast<double>(batch * 16 * 4) / link.bytes_per_second;
  return plan.seconds + (plan.ops.back().where.devices[0].kind == "cuda" ? read : 0);
}

unsigned number_of(const PlacementPlan& plan, const Graph& graph) {
  unsigned number = 0, bit = 0;
  for (const OpPlacement& op : plan.ops)
    if (!graph.main().ops[op.op].is("input")) number |= (op.where.devices[0].kind == "cuda" ? 1u : 0u) << bit++;
  return number;
}

// A range's placement costs no more than the plan at any number of it, and more just behind it; and plans are the best
// of all placements, each priced as it would be fused, at every number.
TEST(WhatIf, BordersOfTheBatchAreWhereTryingEveryPlacementAtEveryBatchPutsThem) {
  constexpr double nanoseconds = 2e-9;  // prices are rounded
  const Graph graph = two();
  size_t borders = 0, batches = 0;
  for (double bandwidth : {5e9, 1e9, 5e8, 2e8}) {
    Machine machine = two_machine();
    for (Link& link : machine.links) link.bytes_per_second = bandwidth;
    TemporaryFolder folder;
    write_file_atomically(folder / "slower.machine", print_machine(machine));
    ToolRun run = run_tool({"what-if", "two.pw", "--machine", folder / "slower.machine", "--batch", "1:100", "--json"});
    ASSERT_EQ(run.exit_code, 0) << run.errors;
    const Json axis = Json::parse(run.output).at("axes").at(0);
    EXPECT_TRUE(axis.at("exhaustive").get<bool>());
    borders += axis.at("borders").size();
    auto placed_at = [&](int64_t batch) { return number_of(plan_graph(graph, machine, {{"B", batch}}), graph); };
    int64_t next = 1;
    for (const Json& range : axis.at("ranges")) {
      SCOPED_TRACE(range.dump());
      ASSERT_EQ(range.at("from"), next);
      const unsigned standing = placed_at(next);
      next = range.at("to").get<int64_t>() + 1;
      for (int64_t batch = range.at("from"); batch < next; ++batch, ++batches) {
        double best = 1;
        for (unsigned number = 0; number < 8; ++number) best = std::min(best, step_of(graph, machine, batch, number));
        const double planned = step_of(graph, machine, batch, placed_at(batch));
        EXPECT_LE(step_of(graph, machine, batch, standing), planned + nanoseconds) << batch;
        EXPECT_LE(planned, best + nanoseconds) << batch;
      }
      if (next > 100) continue;
      EXPECT_GT(step_of(graph, machine, next, standing), step_of(graph, machine, next, placed_at(next))) << next;
    }
    EXPECT_EQ(next, 101);
  }
  EXPECT_GE(borders, 3u);
  EXPECT_EQ(batches, 400u);
}

// In a graph whose batch is a number, the same as in the one whose batch has a name.
TEST(WhatIf, AGraphWithoutSymbolsHasTheBordersOfTheSymbolicOne) {
  TemporaryFolder folder;
  ToolRun bound = run_tool({"opt", "--pass", "specialise", "--symbol", "B=8", "two.pw", "-o", folder / "eight.pw"});
  ASSERT_EQ(bound.exit_code, 0) << bound.errors;
  ToolRun run = run_tool({"what-if", folder / "eight.pw", "--machine", "two.machine", "--batch", "1:300", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  Json concrete = Json::parse(run.output).at("axes").at(0), symbolic = what_if({"--batch", "1:300"});
  EXPECT_EQ(concrete.at("ranges"), symbolic.at("ranges"));
  EXPECT_EQ(concrete.at("borders"), symbolic.at("borders"));
}

TEST(WhatIf, BordersOfALinksSpeedAreWhereTryingEveryPlacementPutsThem) {
  const Graph graph = two();
  for (const char* batch : {"16", "64", "512"}) {
    Json axis = what_if({"--link", "cpu:cuda:0=0.1:60", "--symbol", std::string("B=") + batch});
    ASSERT_GE(axis.at("borders").size(), 1u) << batch;
    auto problem_at = [&](double gigabytes) {
      Machine machine = two_machine();
      for (Link& link : machine.links) link.bytes_per_second = gigabytes * 1e9;
      return *plan_graph(graph, machine, {{"B", std::stoi(batch)}}).solved;
    };
    for (const Json& range : axis.at("ranges")) {
      const double from = range.at("from"), to = range.at("to");
      const Labels labels = problem_at(from).labels;
      for (double at : {from, std::sqrt(from * to), to})
        ASSERT_EQ(energy(problem_at(at).problem, labels), cheapest_of_all(problem_at(at).problem)) << at;
      if (to >= 60) continue;
      const PlacementProblem behind = problem_at(to * 1.01).problem;
      ASSERT_GT(energy(behind, labels), cheapest_of_all(behind)) << to;
    }
  }
}

TEST(WhatIf, SaysFromWhichBatchTheAcceleratorPays) {
  TemporaryFolder folder;
  Machine slower = two_machine();
  for (Link& link : slower.links) link.bytes_per_second = 2e8;
  write_file_atomically(folder / "slower.machine", print_machine(slower));
  ToolRun run = run_tool({"what-if", "two.pw", "--machine", folder / "slower.machine", "--batch", "8:4096"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.output, ::testing::ContainsRegex("cuda:0 pays from batch [0-9]+\\."));
  EXPECT_THAT(run.output, HasSubstr("Every number in the"));
  size_t begin = 0;
  for (size_t end; (end = run.output.find('\n', begin)) != std::string::npos; begin = end + 1)
    EXPECT_LE(end - begin, 100u) << run.output.substr(begin, end - begin);
}

// Some of these plans have the least sum, others are done earlier: on both sides of a border steps are counted the same
// way, and what is chosen between differs by little.
TEST(WhatIf, AStepDoesNotJumpAtABorder) {
  ToolRun run =
      run_tool({"what-if", data("../../examples/graphs/mlp.pw"), "--machine", "h200", "--batch", "1:4096", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  const Json axis = Json::parse(run.output).at("axes").at(0);
  EXPECT_TRUE(axis.at("objective") == "simulated time" || axis.at("objective") == "sum of times");
  const Json& ranges = axis.at("ranges");
  ASSERT_GT(ranges.size(), 1u);
  for (size_t i = 1; i < ranges.size(); ++i) {
    const double before = ranges[i - 1].at("seconds_to"), after = ranges[i].at("seconds_from");
    EXPECT_NEAR(after, before, before * 0.08) << ranges[i];
  }
}

TEST(WhatIf, WhatIsNotVariedHasASizeThatTheAnswerNames) {
  const std::vector<std::string> command{"what-if", "two.pw", "--machine", "two.machine",
                                         "--batch", "8:64",   "--link",    "cpu:cuda=1:100"};
  ToolRun run = run_tool(command);
  EXPECT_THAT(run.output, HasSubstr("Each figure is varied alone, with B=8 else (--symbol says other numbers).\n"));
  ToolRun slow =
      run_tool({"what-if", "two.pw", "--machine", "two.machine", "--symbol", "B=8", "--link", "cpu:cuda=0.00000001:1"});
  EXPECT_THAT(slow.output, HasSubstr("1e-08 to "));
  std::vector<std::string> other = command;
  for (const char* more : {"--symbol", "B=32", "--json"}) other.push_back(more);
  run = run_tool(other);
  EXPECT_EQ(Json::parse(run.output)["symbols"], (Json{{"B", 32}})) << run.errors;
}

TEST(WhatIf, WhatIsWrongWithARangeIsOneLine) {
  auto refused = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"what-if", "two.pw", "--machine", "two.machine"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ToolRun run = run_tool(arguments);
    EXPECT_EQ(run.exit_code, 1) << run.output;
    EXPECT_EQ(run.output, "");
    EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1) << run.errors;
    return run.errors;
  };
  EXPECT_THAT(refused({"--batch", "64:8"}), HasSubstr("--batch: the range from 64 to 8 holds nothing"));
  for (const char* range : {"", "64", ":", "8:", "a:b", "0:8", "-3:8", "1:2:3", "1e3:2e3"})
    EXPECT_THAT(refused({"--vary", std::string("B=") + range}), HasSubstr("expected a range of numbers above 0"))
        << range;
  EXPECT_THAT(refused({"--batch", "1:5000"}), HasSubstr("B is at most 4096 in this graph, not 5000"));
  EXPECT_THAT(refused({"--vary", "T=1:8", "--symbol", "B=3"}), HasSubstr("the graph has no symbol T; it has B"));
  EXPECT_THAT(refused({"--vary", "B"}), HasSubstr("expected NAME=LOW:HIGH"));
  EXPECT_THAT(refused({"--link", "cpu:tpu=1:8", "--symbol", "B=3"}), HasSubstr("tpu:0"));
  EXPECT_THAT(refused({"--link", "cpu=1:8", "--symbol", "B=3"}), HasSubstr("expected two devices"));
  EXPECT_THAT(refused({"--link", "cpu:cuda=9:8", "--symbol", "B=3"}), HasSubstr("holds nothing"));
  EXPECT_THAT(refused({"--link", "cpu:cuda=1:8"}), HasSubstr("give a number for B"));
  EXPECT_EQ(run_tool({"what-if", "two.pw"}).exit_code, 2);
}

TEST(WhatIf, OnOneDeviceThereIsNoChoice) {
  ToolRun run = run_tool({"what-if", "two.pw", "--batch", "1:64"});
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("cpu:0 is the only device: all runs there, whatever changes."));
}

// Each cost is wrong by its own part, inside the radius that `place` reports; at the rim as often as not.
PlacementProblem perturbed(std::mt19937& random, const PlacementProblem& problem, const Radius& radius, bool at_rim) {
  auto factor = [&] {
    if (at_rim) return radius.whole + (random() % 2 ? radius.parts : -radius.parts);
    return radius.whole - radius.parts + static_cast<int64_t>(random() % static_cast<uint64_t>(2 * radius.parts + 1));
  };
  PlacementProblem other = problem;
  for (std::vector<int64_t>& costs : other.costs)
    for (int64_t& cost : costs)
      if (cost < PlacementProblem::unrunnable) cost *= factor();
  for (PlacementProblem::Value& value : other.values)
    for (int64_t& move : value.moves) move *= factor();
  return other;
}

TEST(WhatIf, NoErrorInsideTheReportedRadiusBeatsThePlanAndTheRivalWinsOutside) {
  std::mt19937 random(11);
  int done = 0;
  for (int64_t batch : {1, 3, 4, 9, 64, 512, 2048, 4096}) {
    ToolRun run =
        run_tool({"place", "two.pw", "--machine", "two.machine", "--symbol", "B=" + std::to_string(batch), "--json"});
    ASSERT_EQ(run.exit_code, 0) << run.errors;
    const Json reported = Json::parse(run.output).at("radius");
    const PlacementPlan plan = plan_graph(two(), two_machine(), {{"B", batch}});
    const SolvedPlacement& solved = *plan.solved;
    const std::optional<Radius> found = error_radius(solved.problem, solved.labels);
    ASSERT_TRUE(found && found->is_proven);
    const Radius& radius = *found;
    EXPECT_EQ(reported.at("relative").get<double>(), radius.relative());
    for (int i = 0; i < 1250; ++i, ++done) {
      const PlacementProblem other = perturbed(random, solved.problem, radius, i % 2 == 0);
      ASSERT_EQ(energy(other, solved.labels), cheapest_of_all(other)) << "batch " << batch;
    }
    // What the plan alone pays errs up, what the rival alone pays errs down, by a little more than the radius.
    ASSERT_FALSE(radius.rival.empty());
    const int64_t up = radius.whole + radius.parts + 1, down = radius.whole - radius.parts - 1;
    PlacementProblem worst = solved.problem;
    for (int g = 0; g < worst.groups(); ++g)
      for (int label = 0; label < worst.labels; ++label)
        if (int64_t& cost = worst.costs[g][label]; cost < PlacementProblem::unrunnable)
          cost *= solved.labels[g] == label ? up : down;
    for (PlacementProblem::Value& value : worst.values) {
      const int from = solved.labels[value.producer], to = 1 - from;
      const bool copied =
          std::any_of(value.consumers.begin(), value.consumers.end(), [&](int g) { return solved.labels[g] == to; });
      value.moves[from * 2 + to] *= copied ? up : down;
      value.moves[to * 2 + from] *= down;
    }
    EXPECT_LT(energy(worst, radius.rival), energy(worst, solved.labels)) << "batch " << batch;
  }
  EXPECT_EQ(done, 10000);
}

}  // namespace
}  // namespace placewright::tools_test
