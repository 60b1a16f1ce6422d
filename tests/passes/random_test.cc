// Passes on random graphs: what is said to be exact is exact to the bit, the whole pipeline keeps results within
// rounding, each op reads only what is on its device, and what comes out can be planned in memory.
#include <gtest/gtest.h>

#include "derived_cases.h"
#include "placewright/ir/evaluate.h"
#include "placewright/ir/plan_memory.h"
#include "placewright/passes/placement.h"
#include "random_graph.h"
#include "test_machine.h"

namespace placewright {
namespace {

constexpr uint64_t seeds = 300;

void expect_agree(const Evaluation& found, const Evaluation& expected, double tolerance, const std::string& what) {
  ASSERT_EQ(found.results.size(), expected.results.size());
  ASSERT_EQ(found.updates.size(), expected.updates.size());
  for (size_t i = 0; i < found.results.size(); ++i)
    EXPECT_EQ(testing::mismatch(found.results[i], expected.results[i], tolerance), "") << what << " result " << i;
  for (size_t i = 0; i < found.updates.size(); ++i)
    EXPECT_EQ(testing::mismatch(found.updates[i], expected.updates[i], tolerance), "") << what << " update " << i;
}

TEST(RandomGraphs, ExactPassesChangeNoBit) {
  for (uint64_t seed = 0; seed < seeds && !::testing::Test::HasFailure(); ++seed) {
    testing::RandomGraph made = testing::make_random_graph(seed);
    Evaluation expected = evaluate(made.graph, made.inputs);
    Graph graph = made.graph;
    for (const char* name : {"simplify", "fold_constants", "simplify", "eliminate_common", "eliminate_dead"}) {
      graph = run_pass(find_pass(name), std::move(graph), {});
      expect_agree(evaluate(graph, made.inputs), expected, 0, "seed " + std::to_string(seed) + " after " + name);
    }
  }
}

// Pins some ops; then each op must find its operands on its device.
TEST(RandomGraphs, PipelineKeepsMeaningUnderPins) {
  for (uint64_t seed = 0; seed < seeds && !::testing::Test::HasFailure(); ++seed) {
    testing::RandomGraph made = testing::make_random_graph(seed);
    Evaluation expected = evaluate(made.graph, made.inputs);
    TestMachine machine(seed % 2 == 1);
    std::vector<DeviceId> devices;
    for (const auto& [device, model] : machine.context.targets) devices.push_back(device);
    std::vector<Op>& ops = made.graph.main().ops;
    for (size_t i = seed % 3; i < ops.size(); i += 4)
      if (!ops[i].is("constant")) ops[i].pin = Pin{devices[(seed + i) % devices.size()], {"test.cc", 1}};
    Graph graph;
    try {
      graph = run_passes(made.graph, machine.context);
    } catch (const Error& error) {  // a state and its new value may have got different pins
      ASSERT_NE(std::string(error.what()).find("must stay with"), std::string::npos) << error.what();
      continue;
    }
    std::string what = "seed " + std::to_string(seed);
    expect_agree(evaluate(graph, made.inputs), expected, testing::random_graph_tolerance(DType::f32), what);
    for (const Op& op : graph.main().ops) {
      if (op.is("transfer")) continue;
      for (Value operand : op.operands)
        EXPECT_EQ(graph.main().tensor(operand).where, op.results[0].tensor().where) << what << " " << op.name();
    }
    MemoryPlan plan = plan_memory(graph, 0);
    EXPECT_NO_THROW(check_memory_plan(graph, 0, plan)) << what;
  }
}

TEST(RandomGraphs, PlannedTransfersAreTheOnesInserted) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    TestMachine machine;
    Graph graph = testing::make_random_graph(seed).graph;
    std::vector<Op>& ops = graph.main().ops;
    for (size_t i = 1; i < ops.size(); i += 5)
      if (ops[i].is("input")) ops[i].pin = Pin{{"sim", static_cast<int>(i % 2)}, {"test.cc", 1}};
    PlacementPlan plan = plan_placement(graph, machine.context);
    int64_t planned = 0, inserted = 0;
    for (const PlannedTransfer& transfer : plan.transfers)
      if (!transfer.at_load) planned += transfer.bytes;
    graph = insert_transfers(apply_placement(graph, plan), machine.context);
    for (const Op& op : graph.main().ops)
      if (op.is("transfer") && !op.attributes.get<bool>("at_load")) inserted += op.results[0].tensor().bytes();
    EXPECT_EQ(planned, inserted) << "seed " << seed;
  }
}

// Splits the first argument that has a batch; the answer must stay what it was.
TEST(RandomGraphs, SplitInputsKeepMeaning) {
  int split = 0;
  for (uint64_t seed = 0; seed < seeds && !::testing::Test::HasFailure(); ++seed) {
    testing::RandomGraph made = testing::make_random_graph(seed, {.floating = DType::f64});
    Evaluation expected = evaluate(made.graph, made.inputs);
    TestMachine machine;
    Function& main = made.graph.main();
    for (Value input : main.inputs) {
      Type& type = main.ops[input.op].results[0];
      const TensorType& tensor = type.tensor();
      if (input_kind(main, input) != InputKind::argument || tensor.rank() == 0 || tensor.sizes()[0] < 2) continue;
      type.set_where({{{"sim", 0}, {"sim", 1}}, {}, {{Sharding::Kind::split, 0}}});
      ++split;
      break;
    }
    Graph graph = run_passes(made.graph, machine.context);
    std::vector<HostTensor> inputs;
    for (Value input : graph.main().inputs)
      for (size_t i = 0; i < main.inputs.size(); ++i)
        if (primary_name(input_name(graph.main(), input)) == input_name(main, main.inputs[i]))
          inputs.push_back(made.inputs[i]);
    Evaluation found = evaluate(graph, inputs);
    size_t copies = expected.updates.empty() ? 1 : found.updates.size() / expected.updates.size();
    for (size_t i = 0; i < expected.updates.size(); ++i) found.updates[i] = found.updates[i * copies];
    found.updates.resize(expected.updates.size());
    expect_agree(found, expected, testing::random_graph_tolerance(DType::f64), "seed " + std::to_string(seed));
  }
  EXPECT_GT(split, 100);
}

// Every op on every case of the derived tests, NaN and -0 among them.
TEST(DerivedCases, SimplifyIsExact) {
  for (const OpEntry& entry : op_table())
    for (const testing::DerivedCase& each : testing::derived_cases(entry)) {
      Graph graph = testing::make_graph(each);
      std::vector<HostTensor> operands = testing::make_operands(each);
      Evaluation expected = evaluate(graph, operands);
      Graph simple = run_pass(find_pass("simplify"), graph, {});
      expect_agree(evaluate(simple, operands), expected, 0, each.name);
    }
}

}  // namespace
}  // namespace placewright
