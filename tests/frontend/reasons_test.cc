// No op without a reason: every op of every plan says why it is where it is, what keeps it off each other device, and
// every copy says what it is for. Over the sixteen programs' graphs, moved and not, the example graphs and random ones,
// on the shipped machines, on this one with simulated devices and on those that plans are judged on.
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "exact_graph.h"
#include "judged_plans.h"
#include "placewright/base/file.h"
#include "placewright/placewright.h"
#include "placewright/run_graph.h"
#include "random_graph.h"

namespace placewright {
namespace {

namespace fs = std::filesystem;

const fs::path project = fs::path(PLACEWRIGHT_TEST_DATA) / "../..";

struct Named {
  std::string name;
  Graph graph;
};

std::vector<Named> example_graphs() {
  std::vector<Named> graphs;
  for (const char* name : {"cnn", "lenet", "mixture", "mlp", "transformer"})
    graphs.push_back({name, parse_graph(read_text_file(project / "examples/graphs" / (std::string(name) + ".pw")))});
  return graphs;
}

// What makes a machine's plans another kind of problem: one accelerator or eight, slow links or fast ones.
std::vector<std::pair<std::string, Machine>> shipped_machines(const std::set<std::string>& names) {
  std::vector<std::pair<std::string, Machine>> machines;
  for (const std::string& name : names)
    machines.emplace_back(name, parse_machine(read_text_file(project / "tools/machines" / (name + ".machine")), name));
  return machines;
}

Graph forward_graph(nn::Module& model, const Tensor& x) { return compile(model).capture(std::vector<Tensor>{x}); }

template <typename Optimizer, typename Loss>
Graph training_graph(nn::Module& model, Optimizer optimizer, const Loss& loss, const Tensor& x, const Tensor& y,
                     const CompileOptions& options = {}) {
  return compile_training_step(model, loss, optimizer, options).capture(x, y);
}

// The graphs of examples/: programs 1 to 3 and 12 are one op, 4 and 5, 6 and 7, 8 to 10 differ by what is moved.
// `device`: of the model, or of the data, or of both; none where it is empty.
std::vector<Named> program_graphs(const std::string& model_device, const std::string& data_device) {
  auto data = [&](const Sizes& sizes) {
    Tensor x = randn(sizes);
    return data_device.empty() ? x : x.to(data_device);
  };
  auto moved = [&](auto model) {
    if (!model_device.empty()) model.to(model_device);
    return model;
  };
  const std::string suffix = " (model " + model_device + ", data " + data_device + ")";
  std::vector<Named> graphs;
  auto add = [&](const std::string& name, Graph graph) { graphs.push_back({name + suffix, std::move(graph)}); };
  add("1 to 3", compile([](const Tensor& a, const Tensor& b) {
                  return a + b;
                }).capture(std::vector<Tensor>{data({3, 4}), ones({3, 4})}));
  add("12", compile([](const Tensor& x) { return x.sum(); }).capture(std::vector<Tensor>{data({100, 100})}));
  auto linear = moved(nn::Linear(10, 2));
  add("4, 5", forward_graph(linear, data({1, 10})));
  add("6, 7", forward_graph(linear, data({10, 10})));
  auto sgd = [](nn::Module& model) { return optim::SGD(model.named_parameters(), {.lr = 0.01}); };
  add("8 to 10", training_graph(linear, sgd(linear), nn::MSELoss(), data({100, 10}), data({100, 2})));
  auto wide = moved(nn::Linear(100, 10));
  add("13", training_graph(wide, sgd(wide), nn::MSELoss(), data({64, 100}), data({64, 10})));
  auto narrow = moved(nn::Linear(10, 1));
  add("14", forward_graph(narrow, data({10, 10})));
  for (int64_t batch : {32, 4})
    add("15", training_graph(narrow, sgd(narrow), nn::MSELoss(), data({batch, 10}), data({batch, 1})));
  auto cnn = moved(nn::Sequential(nn::Conv2d(3, 16, 3, {.padding = 1}), nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(),
                                  nn::Linear(784, 10)));
  Tensor labels = randint(0, 10, {16});
  if (!data_device.empty()) labels = labels.to(data_device);
  add("16", training_graph(cnn, optim::Adam(cnn.named_parameters(), {.lr = 1e-3}), nn::CrossEntropyLoss(),
                           data({16, 3, 14, 14}), labels));
  return graphs;
}

// A sentence that was finished: what it names is there.
void expect_said(const std::string& text, const std::string& of) {
  EXPECT_FALSE(text.empty()) << of;
  EXPECT_EQ(text.find("  "), std::string::npos) << of << ": " << text;
  for (const char* cut : {" ", " with", " reads", " by", " of", " at", ":", ","})
    EXPECT_FALSE(text.ends_with(cut)) << of << ": " << text;
}

void expect_reasons(const GraphPlacement& placed) {
  const PlacementPlan& plan = placed.plan;
  ASSERT_EQ(plan.ops.size(), placed.planned.main().ops.size());
  for (const OpPlacement& op : plan.ops) {
    const std::string named = op.what + " (op " + std::to_string(op.op) + ")";
    expect_said(op.reason, named);
    ASSERT_FALSE(op.where.devices.empty()) << named;
    std::multiset<std::string> rejected;
    for (const RejectedDevice& device : op.rejected) {
      expect_said(device.cause, named + " not on " + device.device.to_string());
      if (device.kind != RejectionKind::absent) rejected.insert(device.device.to_string());
      if (op.cause == PlacementCause::only_device) {
        EXPECT_TRUE(device.kind != RejectionKind::dearer && device.kind != RejectionKind::same_cost)
            << named << ": " << device.cause;
      }
    }
    std::multiset<std::string> others;
    for (const DeviceSpec& device : placed.machine.devices)
      if (std::find(op.where.devices.begin(), op.where.devices.end(), device.id) == op.where.devices.end())
        others.insert(device.id.to_string());
    EXPECT_EQ(rejected, others) << named << ": " << op.reason;
  }
  for (const PlannedTransfer& transfer : plan.transfers) {
    expect_said(transfer.why, "the copy of " + transfer.what + " to " + transfer.to.to_string());
    EXPECT_FALSE(transfer.what.empty());
  }
  for (const PlannedTransfer& transfer : placed.transfers)
    expect_said(transfer.why, "the copy of " + transfer.what + " to " + transfer.to.to_string());
  for (const ReliefStep& step : plan.relief) EXPECT_FALSE(step.what.empty());
  for (const std::string& line : plan.absent) expect_said(line, "an absent device");
  for (const std::string& line : plan.hints) expect_said(line, "a hint");
}

void expect_reasons(const Named& named, const std::string& machine_name, const Machine& machine) {
  SCOPED_TRACE(named.name + " on " + machine_name);
  expect_reasons(place_graph(named.graph, machine, {}));
}

class Reasons : public ::testing::Test {
 protected:
  void SetUp() override {
    configure({.devices = "cpu,sim:2", .use_cache = false, .notice = [](std::string_view) {}});
  }
  void TearDown() override { configure({}); }
};

TEST_F(Reasons, OfTheExampleGraphsOnShippedMachines) {
  for (const Named& named : example_graphs())
    for (const auto& [name, machine] : shipped_machines({"h200", "rtx4090"})) expect_reasons(named, name, machine);
  for (const Named& named : example_graphs())
    for (const auto& [name, machine] : shipped_machines({"h200x8", "rtx4090x8-pcie"}))
      if (named.name == "cnn" || named.name == "mlp") expect_reasons(named, name, machine);
}

TEST_F(Reasons, OfTheProgramsUnmovedOnShippedMachines) {
  for (const Named& named : program_graphs("", ""))
    for (const auto& [name, machine] : shipped_machines({"a100", "h100x8-pcie", "h200"}))
      expect_reasons(named, name, machine);
}

TEST_F(Reasons, OfTheProgramsMovedOrNotOnThisMachine) {
  const std::vector<std::pair<std::string, std::string>> moves{
      {"", ""}, {"sim:0", ""}, {"", "sim:0"}, {"sim:0", "sim:0"}, {"sim:0", "sim:1"}};
  for (const auto& [model, data] : moves)
    for (const Named& named : program_graphs(model, data)) {
      SCOPED_TRACE(named.name);
      expect_reasons(place_graph(named.graph));
    }
}

TEST_F(Reasons, OfAReplicatedProgram) {
  nn::Linear model(100, 10);
  CompileOptions options;
  options.data_parallel = {{"sim", 0}, {"sim", 1}};
  expect_reasons(place_graph(training_graph(model, optim::SGD(model.named_parameters(), {.lr = 0.1}), nn::MSELoss(),
                                            randn({64, 100}), randn({64, 10}), options)));
}

TEST_F(Reasons, OfJudgedPrograms) {
  for (const testing::JudgedCase& judged : testing::judged_cases(false))
    expect_reasons({judged.program, judged.graph}, judged.machine_name, judged.machine);
}

// An accelerator with a third of what the step would hold there: ops that have no room, values that leave and return.
TEST_F(Reasons, WhereMemoryIsShort) {
  for (const testing::JudgedCase& judged : testing::judged_cases(false)) {
    if (judged.machine_name != "large") continue;
    const GraphPlacement free = place_graph(judged.graph, judged.machine, {});
    Machine short_of_memory = judged.machine;
    for (const DeviceNeed& need : free.measure(free.compiled).devices)
      for (DeviceSpec& device : short_of_memory.devices)
        if (device.id == need.device && !device.host_memory) device.memory_bytes = need.bytes / 3;
    const GraphPlacement placed = place_graph(judged.graph, short_of_memory, {});
    SCOPED_TRACE(judged.program);
    expect_reasons(placed);
    bool lacks_memory = false;
    for (const OpPlacement& op : placed.plan.ops)
      for (const RejectedDevice& device : op.rejected)
        lacks_memory = lacks_memory || device.kind == RejectionKind::memory;
    EXPECT_TRUE(lacks_memory || !placed.plan.relief.empty());
  }
}

TEST_F(Reasons, OfRandomGraphs) {
  auto machines = shipped_machines({"h200", "rtx4090x8-pcie"});
  machines.emplace_back("two accelerators", testing::judged_cases(false)[2].machine);
  int placed = 0, refused = 0;
  for (uint64_t seed = 0; seed < 40 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Graph graph = seed % 2 ? testing::make_random_graph(seed).graph : testing::make_exact_graph(seed, 20).graph;
    expect_reasons(place_graph(graph));
    for (const auto& [name, machine] : machines) {
      try {
        expect_reasons(place_graph(graph, machine, {}));
        ++placed;
      } catch (const Error& error) {  // the machine has no rates for what the graph needs
        EXPECT_NE(std::string(error.what()).find("no device runs"), std::string::npos) << error.what();
        ++refused;
      }
    }
    Op& pinned = graph.main().ops[seed % graph.main().ops.size()];
    if (!pinned.is("constant")) pinned.pin = Pin{{"sim", 1}, {"test.cc", 1}};
    expect_reasons(place_graph(graph));
  }
  EXPECT_GT(placed, 2 * refused);
}

}  // namespace
}  // namespace placewright
