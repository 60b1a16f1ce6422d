// What `overlap` may not do: more than memories hold, other results, other orders in two runs.
#include <algorithm>

#include <gtest/gtest.h>

#include "placewright/ir/builder.h"
#include "placewright/passes/memory_need.h"
#include "placewright/passes/step_time.h"
#include "test_machine.h"

namespace placewright {
namespace {

// On the accelerator a large value becomes a small one, which meets a weight of the host's.
Graph streamed_weight() {
  return parse_graph(R"(graph v1
function "main"(%0, %1) {
  %0 = input() {kind="argument", name="x"} : f32[8,1000]@[sim:0]
  %1 = input() {kind="state", name="w"} : f32[1000]@[cpu:0]
  %2 = exp(%0) : f32[8,1000]@[sim:0]
  %3 = reduce_sum(%2) {dims=[0]} : f32[1000]@[sim:0]
  %4 = log(%3) : f32[1000]@[sim:0]
  %5 = transfer(%1) {at_load=false, why=""} : f32[1000]@[sim:0]
  %6 = add(%4, %5) : f32[1000]@[sim:0]
  return %6
})");
}

// The graph after a chain of fused launches on the accelerator, at the end of which two weights of the host's are read.
Graph behind_fused_launches(int launches, const TestMachine& machine) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  const Type type(DType::f32, {64, 64});
  builder.pin = Pin{{"sim", 0}, {"train.cc", 7}};
  Value h = builder.input("x", InputKind::argument, type);
  auto product = [&](Value other) {
    h = builder("dot_general", {h, other}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}});
    h = builder("log", {builder("exp", {h})});
  };
  for (int i = 0; i < launches; ++i) product(h);
  builder.pin = Pin{{"cpu", 0}, {"train.cc", 9}};
  std::vector<Value> weights;
  for (const char* name : {"v", "w"}) weights.push_back(builder.input(name, InputKind::argument, type));
  builder.pin = Pin{{"sim", 0}, {"train.cc", 7}};
  for (Value weight : weights) product(weight);
  builder.function().results = {h};
  return run_passes(graph, machine.context, {}, "", "fuse");
}

// When each op is come to, and the end, if the accelerator's launches take what they are priced at, one by one.
std::vector<double> times_of(const Graph& compiled, const TestMachine& machine) {
  std::vector<double> seconds(compiled.main().ops.size(), 0), times{0};
  for (const LaunchTime& launch : price_launches(compiled, machine.context))
    if (launch.device == DeviceId{"sim", 0}) seconds[launch.op] = launch.seconds;
  for (double launch : seconds) times.push_back(times.back() + launch);
  return times;
}

int32_t first_reader(const Function& function, int32_t op) {
  auto reads = [&](const Op& reader) {
    return std::any_of(reader.operands.begin(), reader.operands.end(), [&](Value read) { return read.op == op; });
  };
  return static_cast<int32_t>(std::find_if(function.ops.begin(), function.ops.end(), reads) - function.ops.begin());
}

int64_t need(const Graph& graph, const TestMachine& machine) {
  for (const DeviceNeed& need : measure_need(graph, machine.context).devices)
    if (need.device == DeviceId{"sim", 0}) return need.bytes;
  return 0;
}

TEST(Overlap, CopiesAreHiddenOnlyWhereThereIsRoom) {
  TestMachine machine;
  const Graph graph = streamed_weight();
  const Graph hidden = run_pass(find_pass("overlap"), graph, machine.context);
  EXPECT_NE(print_graph(hidden), print_graph(graph));
  EXPECT_GT(need(hidden, machine), need(graph, machine));
  const int64_t hidden_need = need(hidden, machine);
  for (DeviceSpec& device : machine.machine.devices) device.memory_bytes = hidden_need;
  EXPECT_EQ(print_graph(run_pass(find_pass("overlap"), graph, machine.context)), print_graph(hidden));
  for (DeviceSpec& device : machine.machine.devices) device.memory_bytes = hidden_need - 1;
  EXPECT_EQ(print_graph(run_pass(find_pass("overlap"), graph, machine.context)), print_graph(graph));
}

// A copy takes memory from its issue on. Fused launches hide it too, so that it stands right behind the last launch
// from which on there is enough to hide it and the copies behind it, which wait for their turn.
TEST(Overlap, CopiesStandNoEarlierThanFusedLaunchesHideThem) {
  TestMachine machine;
  for (int launches : {8, 20, 50}) {
    SCOPED_TRACE(launches);
    const Graph graph = run_pass(find_pass("overlap"), behind_fused_launches(launches, machine), machine.context);
    const Function& function = graph.main();
    const std::vector<double> times = times_of(graph, machine);
    double begin = times.back();  // of the copy behind
    int copies = 0;
    for (auto copy = static_cast<int32_t>(function.ops.size()); copy-- > 0;) {
      if (!function.ops[copy].is("transfer")) continue;
      ++copies;
      begin = std::min(begin, times[first_reader(function, copy)]) -
              transfer_seconds(machine.context, {"cpu", 0}, {"sim", 0}, function.tensor({copy, 0}).bytes());
      EXPECT_LE(times[copy], begin) << "copy " << copy << " is not hidden";
      const auto launch =
          std::find_if(function.ops.begin() + copy, function.ops.end(), [](const Op& op) { return op.is("fused"); });
      ASSERT_NE(launch, function.ops.end());
      EXPECT_GT(times[launch - function.ops.begin() + 1], begin) << "copy " << copy << " is early";
    }
    EXPECT_EQ(copies, 2);
  }
}

TEST(Overlap, TheHostAloneKeepsItsOrder) {
  TestMachine machine;
  Graph graph = parse_graph(R"(graph v1
function "main"(%0) {
  %0 = input() {kind="argument", name="x"} : f32[4]@[cpu:0]
  %1 = exp(%0) : f32[4]@[cpu:0]
  %2 = constant() {value=f32[](2)} : f32[]@[cpu:0]
  %3 = log(%1) : f32[4]@[cpu:0]
  return %3
})");
  EXPECT_EQ(print_graph(run_pass(find_pass("overlap"), graph, machine.context)), print_graph(graph));
}

}  // namespace
}  // namespace placewright
