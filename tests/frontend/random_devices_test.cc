// Random graphs through the whole chain, from passes to the runtime: the CPU, one simulated device and two of them give
// what the evaluator gives, and the transfers of the plan are those that happen.
#include <cstdlib>
#include <functional>
#include <optional>

#include <gtest/gtest.h>

#include "derived_cases.h"
#include "placewright/ir/evaluate.h"
#include "placewright/passes/memory_need.h"
#include "placewright/run_graph.h"
#include "placewright/session.h"
#include "random_graph.h"

namespace placewright {
namespace {

uint64_t graphs() { return std::getenv("PLACEWRIGHT_FULL_COUNTS") ? 500 : 60; }

class RandomDevices : public ::testing::Test {
 protected:
  static void set_up(bool check_bounds) {
    configure({.devices = "cpu,sim:2",
               .use_cache = false,
               .check_bounds = check_bounds,
               .check_memory = true,
               .notice = [](std::string_view) {}});
  }
  void TearDown() override { configure({}); }
};

std::map<std::string, HostTensor> named_inputs(const testing::RandomGraph& made) {
  std::map<std::string, HostTensor> inputs;
  const Function& main = made.graph.main();
  for (size_t i = 0; i < main.inputs.size(); ++i) inputs.emplace(input_name(main, main.inputs[i]), made.inputs[i]);
  return inputs;
}

// Pins of ops that `choose` gives a device.
Graph pinned(Graph graph, const std::function<std::optional<DeviceId>(size_t op)>& choose) {
  std::vector<Op>& ops = graph.main().ops;
  for (size_t i = 0; i < ops.size(); ++i)
    if (std::optional<DeviceId> device = choose(i); device && !ops[i].is("constant"))
      ops[i].pin = Pin{*device, {"test.cc", static_cast<int>(i)}};
  return graph;
}

// All values of a run, results first, then new states in the order of the graph's updates.
std::vector<HostTensor> values_of(const GraphRun& run, const Function& main) {
  std::vector<HostTensor> values = run.results;
  for (const Update& update : main.updates) values.push_back(run.states.at(input_name(main, update.state)));
  return values;
}

void expect_agree(const std::vector<HostTensor>& found, const std::vector<HostTensor>& expected, bool exact,
                  std::string_view what) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    double allowed = exact ? 0 : testing::random_graph_tolerance(expected[i].dtype());
    EXPECT_EQ(testing::mismatch(found[i], expected[i], allowed), "") << what << ", value " << i;
  }
}

// To the byte, whatever passes behind placement drop, share or make again on another device.
void expect_ledger_holds(const GraphRun& run, std::string_view what) {
  EXPECT_EQ(run.step_transfer_bytes, run.plan.bytes_per_step) << what << "\n" << print_plan(run.plan);
  EXPECT_EQ(run.load_transfer_bytes, run.plan.bytes_at_load) << what << "\n" << print_plan(run.plan);
}

TEST_F(RandomDevices, AgreeWithTheEvaluatorAndTheLedger) {
  uint64_t placed = 0;
  for (uint64_t seed = 0; seed < graphs() && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    set_up(seed % 3 == 0);
    testing::RandomGraph made = testing::make_random_graph(seed, {.floating = seed % 2 ? DType::f64 : DType::f32});
    const Function& main = made.graph.main();
    std::map<std::string, HostTensor> inputs = named_inputs(made);
    Evaluation evaluation = evaluate(made.graph, made.inputs);
    std::vector<HostTensor> expected = evaluation.results;
    expected.insert(expected.end(), evaluation.updates.begin(), evaluation.updates.end());

    GraphRun cpu = run_graph(made.graph, inputs);
    expect_agree(values_of(cpu, main), expected, false, "cpu");
    expect_ledger_holds(cpu, "cpu");

    GraphRun sim = run_graph(pinned(made.graph, [](size_t) { return DeviceId{"sim", 0}; }), inputs);
    expect_agree(values_of(sim, main), values_of(cpu, main), true, "sim:0 against cpu");
    expect_ledger_holds(sim, "sim:0");

    uint64_t state = seed;
    Graph spread = pinned(made.graph, [&](size_t) -> std::optional<DeviceId> {
      state = state * 6364136223846793005u + 1442695040888963407u;
      uint64_t choice = (state >> 33) % 4;
      if (choice > 1) return {};
      return DeviceId{"sim", static_cast<int>(choice)};
    });
    GraphRun two;
    try {
      two = run_graph(spread, inputs);
    } catch (const Error& error) {  // a state and its new value may have got different pins
      ASSERT_NE(std::string(error.what()).find("must stay with"), std::string::npos) << error.what() << "\n"
                                                                                     << print_graph(spread);
      continue;
    }
    ++placed;
    expect_agree(values_of(two, main), expected, false, "two devices");
    expect_ledger_holds(two, "two devices");
    if (HasFailure()) ADD_FAILURE() << print_graph(spread);
  }
  EXPECT_GT(placed, graphs() / 2);
}

// Under a random limit a graph gives the same bits, or is refused before it runs.
TEST_F(RandomDevices, GiveTheSameBitsWithinRandomMemories) {
  uint64_t ran = 0, refused = 0;
  for (uint64_t seed = 0; seed < graphs() && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SessionOptions options{.devices = "cpu,sim:1", .use_cache = false, .notice = [](std::string_view) {}};
    configure(options);
    testing::RandomGraph made = testing::make_random_graph(seed, {.floating = seed % 2 ? DType::f64 : DType::f32});
    const Function& main = made.graph.main();
    std::map<std::string, HostTensor> inputs = named_inputs(made);
    Graph on_sim = pinned(made.graph, [](size_t) { return DeviceId{"sim", 0}; });
    GraphRun free = run_graph(on_sim, inputs);
    GraphPlacement placed = place_graph(on_sim);
    int64_t need = 0;
    for (const DeviceNeed& device : placed.measure(placed.compiled).devices)
      if (device.device.kind == "sim") need = device.bytes;
    if (need < 2) continue;
    options.memory["sim"] = need * 3 / 4 + static_cast<int64_t>(seed * 2654435761u % static_cast<uint64_t>(need));
    configure(options);
    try {
      GraphRun less = run_graph(on_sim, inputs);
      expect_agree(values_of(less, main), values_of(free, main), true, "within a limit");
      expect_ledger_holds(less, "within a limit");
      ++ran;
    } catch (const Error& error) {
      ASSERT_NE(std::string(error.what()).find("bytes of memory on "), std::string::npos) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(ran, 0u);
  EXPECT_GT(refused, 0u);
}

}  // namespace
}  // namespace placewright
