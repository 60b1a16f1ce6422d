// Where ops would run with other links, asked again and again of one graph, is where a plan has them.
#include "placewright/passes/placement_probe.h"

#include <gtest/gtest.h>

#include "placewright/passes/placement.h"
#include "random_graph.h"
#include "test_machine.h"

namespace placewright {
namespace {

TEST(PlacementProbe, SaysWhereAPlanHasEachOp) {
  const TestTarget slow(1e-6, 1e8), fast(1.2e-6, 1e10);
  int moved = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    TestMachine machine;
    machine.context.targets = {{{"cpu", 0}, &slow}, {{"sim", 0}, &fast}};
    const testing::RandomGraphOptions options;
    const Graph graph = run_passes(testing::make_random_graph(seed, options).graph, machine.context, {}, {}, "shard");
    PlacementProbe probe;
    std::vector<DeviceId> before;
    for (double latency : {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-7}) {
      for (Link& link : machine.machine.links) link.latency_seconds = latency;
      std::vector<DeviceId> planned;
      for (const OpPlacement& op : plan_placement(graph, machine.context).ops) planned.push_back(op.where.devices[0]);
      EXPECT_EQ(probe.places(graph, machine.context), planned) << "seed " << seed << ", latency " << latency;
      moved += !before.empty() && planned != before ? 1 : 0;
      before = std::move(planned);
    }
  }
  EXPECT_GT(moved, 3);
}

TEST(PlacementProbe, SaysWhereAPlanHasEachOpOnFasterDevices) {
  const TestTarget slow(1e-6, 1e8);
  int moved = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    TestMachine machine;
    const TestTarget given(1.2e-6, 1e10);
    machine.context.targets = {{{"cpu", 0}, &slow}, {{"sim", 0}, &given}};
    const Graph graph = run_passes(testing::make_random_graph(seed, testing::RandomGraphOptions{}).graph,
                                   machine.context, {}, {}, "shard");
    PlacementProbe probe;
    std::vector<DeviceId> before;
    for (double duration : {1.0, 0.25, 4.0, 64.0, 0.25, 1.0}) {
      const TestTarget target(1.2e-6 * duration, 1e10 / duration);
      machine.context.targets[{"sim", 0}] = &target;
      std::vector<DeviceId> planned;
      for (const OpPlacement& op : plan_placement(graph, machine.context).ops) planned.push_back(op.where.devices[0]);
      EXPECT_EQ(probe.places(graph, machine.context, {{{"sim", 0}, duration}}), planned)
          << "seed " << seed << ", duration " << duration;
      moved += !before.empty() && planned != before ? 1 : 0;
      before = std::move(planned);
    }
  }
  EXPECT_GT(moved, 3);
}

}  // namespace
}  // namespace placewright
