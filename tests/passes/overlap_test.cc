// What `overlap` may not do: more than memories hold, other results, other orders in two runs.
#include <gtest/gtest.h>

#include "placewright/passes/memory_need.h"
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
