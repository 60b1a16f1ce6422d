// run_graph on graphs that once went wrong.
#include "placewright/run_graph.h"

#include <gtest/gtest.h>

#include "placewright/ir/builder.h"
#include "placewright/session.h"

namespace placewright {
namespace {

class RunGraph : public ::testing::Test {
 protected:
  void SetUp() override { configure({.devices = "cpu,sim:1", .use_cache = false}); }
  void TearDown() override { configure({}); }

  RunGraph() : b_(graph_, add_function(graph_, "main")) {}
  Graph graph_;
  FunctionBuilder b_;
};

HostTensor counted(const Sizes& sizes) {
  HostTensor made(DType::f32, sizes);
  for (int64_t i = 0; i < made.elements(); ++i) made.data<float>()[i] = static_cast<float>(i);
  return made;
}

// The three share memory, but each has its own sizes.
TEST_F(RunGraph, ResultsThatAreViewsOfEachOtherKeepTheirSizes) {
  Value x = b_.input("x", InputKind::argument, Type(DType::f32, {2, 3}));
  Value sum = b_("add", {x, x});
  Value flat = b_("reshape", {sum}, {{"shape", Shape{6}}});
  b_.function().results = {sum, flat, b_("reshape", {x}, {{"shape", Shape{3, 2}}})};
  GraphRun run = run_graph(graph_, {{"x", counted({2, 3})}});
  EXPECT_EQ(run.results[0].sizes(), (Sizes{2, 3}));
  EXPECT_EQ(run.results[1].sizes(), (Sizes{6}));
  EXPECT_EQ(run.results[2].sizes(), (Sizes{3, 2}));
  for (int64_t i = 0; i < 6; ++i) {
    EXPECT_EQ(run.results[0].number(i), 2.0 * static_cast<double>(i));
    EXPECT_EQ(run.results[1].number(i), 2.0 * static_cast<double>(i));
    EXPECT_EQ(run.results[2].number(i), static_cast<double>(i));
  }
}

TEST_F(RunGraph, PinnedArgumentsAreUploaded) {
  b_.pin = Pin{{"sim", 0}, {"test.cc", 1}};
  Value x = b_.input("x", InputKind::argument, Type(DType::f32, {5}));
  b_.function().results = {b_("add", {x, x})};
  GraphRun run = run_graph(graph_, {{"x", counted({5})}});
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(run.results[0].number(i), 2.0 * static_cast<double>(i));
  EXPECT_EQ(run.step_transfer_bytes, 0);
}

TEST_F(RunGraph, ADeviceMayHoldEmptyTemporariesOnly) {
  Value x = b_.input("x", InputKind::argument, Type(DType::f32, {0, 3}));
  b_.pin = Pin{{"sim", 0}, {"test.cc", 1}};
  Value there = b_("neg", {x});
  b_.pin = Pin{{"cpu", 0}, {"test.cc", 2}};
  b_.function().results = {b_("reduce_sum", {there}, {{"dims", Sizes{0}}})};
  GraphRun run = run_graph(graph_, {{"x", counted({0, 3})}});
  for (int64_t i = 0; i < 3; ++i) EXPECT_EQ(run.results[0].number(i), 0);
}

// Each device that reads the constant gets it once, at load, whichever device it lives on.
TEST_F(RunGraph, AConstantInputThatTwoDevicesRead) {
  for (DeviceId home : {DeviceId{"cpu", 0}, DeviceId{"sim", 0}, DeviceId{"sim", 1}}) {
    SCOPED_TRACE(home.to_string());
    configure({.devices = "cpu,sim:2", .use_cache = false, .notice = [](std::string_view) {}});
    Graph graph;
    FunctionBuilder b(graph, add_function(graph, "main"));
    auto on = [&](const DeviceId& device) { b.pin = Pin{device, {"test.cc", 1}}; };
    Value x = b.input("x", InputKind::argument, Type(DType::f32, {4}));
    on(home);
    Value c = b.input("constant0", InputKind::constant, Type(DType::f32, {4}));
    for (const DeviceId& device : {DeviceId{"cpu", 0}, DeviceId{"sim", 0}, DeviceId{"sim", 1}}) {
      on(device);
      Value own = b.constant(counted({4}));  // the program names it, as it names the user's
      b.function().results.push_back(b("add", {b("mul", {x, c}), own}));
    }
    HostTensor factors(DType::f32, {4});
    for (int64_t i = 0; i < 4; ++i) factors.data<float>()[i] = 10;
    GraphRun run = run_graph(graph, {{"x", counted({4})}, {"constant0", factors}});
    for (const HostTensor& result : run.results)
      for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(result.number(i), 11.0 * static_cast<double>(i));
    EXPECT_EQ(run.load_transfer_bytes, run.plan.bytes_at_load) << print_plan(run.plan);
    EXPECT_EQ(run.step_transfer_bytes, run.plan.bytes_per_step);
    EXPECT_EQ(run.step_transfer_bytes, 2 * 16) << "x goes to both";
    // The own constants of the sims, and the given one: from the host once to each, or to its home and on from there.
    EXPECT_EQ(run.load_transfer_bytes, 2 * 16 + (home.kind == "cpu" ? 2 : 3) * 16);
  }
}

}  // namespace
}  // namespace placewright
