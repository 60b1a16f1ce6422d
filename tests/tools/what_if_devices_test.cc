// what-if where several accelerators work at once, and where memories limit plans: what it says of each number in a
// range is what `place` does at that number, found by planning every one of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/run_graph.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

// Two branches of one layer each, joined at their ends.
constexpr const char* branches = R"(graph v1

origins {
  #1 = forward 0 in "left" from "net.cc":20
  #2 = forward 0 in "right" from "net.cc":30
  #3 = forward 0 in "join" from "net.cc":40
}

function "main"(%0, %1, %2, %3) {
  %0 = input() {kind="argument", name="x"} : f32[B<=4096,1024]
  %1 = input() {kind="state", name="left.weight"} : f32[1024,1024]
  %2 = input() {kind="state", name="right.weight"} : f32[1024,1024]
  %3 = input() {kind="state", name="head"} : f32[1024,16]
  %4 = dot_general(%0, %1) {lhs_contracting=[1], rhs_contracting=[0]} : f32[B<=4096,1024] #1
  %5 = dot_general(%0, %2) {lhs_contracting=[1], rhs_contracting=[0]} : f32[B<=4096,1024] #2
  %6 = dot_general(%4, %3) {lhs_contracting=[1], rhs_contracting=[0]} : f32[B<=4096,16] #3
  %7 = dot_general(%5, %3) {lhs_contracting=[1], rhs_contracting=[0]} : f32[B<=4096,16] #3
  return %6, %7
}
)";

Machine three(double rate, double second, double link, int64_t memory = int64_t{16} << 30) {
  Machine machine = parse_machine(read_text_file(std::string(PLACEWRIGHT_TEST_DATA) + "/two.machine"), "two.machine");
  machine.links.clear();
  machine.devices.push_back(machine.devices[1]);
  machine.devices[2].id = {"cuda", 1};
  for (DeviceSpec& spec : machine.devices)
    if (!spec.host_memory) spec.memory_bytes = memory;
  for (Rate& each : machine.devices[1].rates) each.per_second *= rate;
  for (Rate& each : machine.devices[2].rates) each.per_second *= rate * second;
  for (const DeviceSpec& from : machine.devices)
    for (const DeviceSpec& to : machine.devices)
      if (from.id != to.id) machine.links.push_back({from.id, to.id, 1e-5, link});
  return machine;
}

// Device of each op by key; empty if there is no plan.
using Standing = std::map<std::string, std::string>;

Standing standing_at(const Graph& graph, const Machine& machine, int64_t batch) {
  Standing standing;
  try {
    for (const OpPlacement& op : plan_graph(graph, machine, {{"B", batch}}).ops)
      standing[op.key] = op.where.devices.front().to_string();
  } catch (const Error&) {
  }
  return standing;
}

class WhatIfDevices : public ::testing::Test {
 protected:
  Json batches(const Machine& machine, int64_t high) {
    write_file_atomically(folder_ / "three.machine", print_machine(machine));
    write_file_atomically(folder_ / "branches.pw", branches);
    ToolRun run = run_tool({"what-if", folder_ / "branches.pw", "--machine", folder_ / "three.machine", "--batch",
                            "1:" + std::to_string(high), "--json"});
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    return run.exit_code == 0 ? Json::parse(run.output).at("axes").at(0) : Json();
  }

  // A border is said exactly where the plan becomes another one, with what moves there; elsewhere only where the sum of
  // all times decides and the placement before costs the same.
  void expect_ranges_are_plans(const Machine& machine, int64_t high) {
    const Graph graph = parse_graph(branches);
    const Json axis = batches(machine, high);
    ASSERT_TRUE(axis.at("exhaustive").get<bool>());
    ASSERT_EQ(axis.at("borders").size() + 1, axis.at("ranges").size());
    int64_t next = 1;
    Standing before;
    for (size_t i = 0; i < axis.at("ranges").size(); ++i) {
      const Json& range = axis.at("ranges")[i];
      SCOPED_TRACE(range.dump());
      ASSERT_EQ(range.at("from"), next);
      const Standing standing = standing_at(graph, machine, next);
      EXPECT_EQ(standing.empty(), !range.at("fault").is_null());
      if (i > 0) {
        EXPECT_NE(standing, before);
        expect_moves(axis.at("borders")[i - 1], before, standing);
      }
      for (next = range.at("from"); next <= range.at("to"); ++next, ++batches_) {
        const Standing at = standing_at(graph, machine, next);
        EXPECT_TRUE(at == standing || costs_the_same(graph, machine, next, standing)) << next;
      }
      before = standing;
    }
    EXPECT_EQ(next, high + 1);
    borders_ += axis.at("borders").size();
  }

  static void expect_moves(const Json& border, const Standing& before, const Standing& now) {
    if (before.empty() || now.empty()) return;
    size_t moved = 0, said = 0;
    for (const auto& [key, device] : now) moved += before.contains(key) && before.at(key) != device;
    for (const Json& move : border.at("moves")) {
      said += move.at("ops").size() + move.at("others").get<size_t>();
      for (const std::string key : move.at("ops")) {
        EXPECT_EQ(before.at(key), move.at("from"));
        EXPECT_EQ(now.at(key), move.at("to"));
      }
    }
    EXPECT_EQ(said, moved);
  }

  // By the plan's own prices, where their sum decides.
  static bool costs_the_same(const Graph& graph, const Machine& machine, int64_t batch, const Standing& standing) {
    const PlacementPlan plan = plan_graph(graph, machine, {{"B", batch}});
    const SolvedPlacement& solved = *plan.solved;
    if (solved.is_simulated || solved.is_limited) return false;
    Labels labels = solved.labels;
    for (size_t op = 0; op < plan.ops.size(); ++op)
      for (size_t label = 0; label < solved.devices.size(); ++label)
        if (solved.devices[label].to_string() == standing.at(plan.ops[op].key))
          labels[static_cast<size_t>(solved.group_of[op])] = static_cast<int>(label);
    return energy(solved.problem, labels) == solved.energy;
  }

  TemporaryFolder folder_;
  size_t borders_ = 0, batches_ = 0;
};

TEST_F(WhatIfDevices, RangesAreThePlansOfEveryBatchWhereAcceleratorsWorkAtOnce) {
  for (double second : {1.0, 0.6})
    for (double link : {5e10, 5e9}) expect_ranges_are_plans(three(0.02, second, link), 150);
  EXPECT_GE(borders_, 4u);
  EXPECT_EQ(batches_, 600u);
}

// Weights take 4 MiB each, a batch of 100 takes 400 kB: first both fit one device, then none holds both.
TEST_F(WhatIfDevices, RangesAreThePlansOfEveryBatchWhereMemoriesLimitThem) {
  for (int64_t memory : {5'000'000, 9'000'000}) expect_ranges_are_plans(three(1, 1, 5e10, memory), 150);
  EXPECT_GE(borders_, 2u);
}

// The host is too small from some batch on: that range says so, and nothing else.
TEST_F(WhatIfDevices, BatchesThatNoMemoryHoldsAreARangeWithTheFault) {
  Machine machine = three(1, 1, 5e10, 1'000'000);
  for (DeviceSpec& spec : machine.devices)
    if (spec.host_memory) spec.memory_bytes = 10'000'000;
  expect_ranges_are_plans(machine, 400);
  const Json last = batches(machine, 400).at("ranges").back();
  EXPECT_EQ(last.at("to"), 400);
  EXPECT_THAT(last.at("fault").get<std::string>(), HasSubstr("bytes of memory on "));
}

}  // namespace
}  // namespace placewright::tools_test
