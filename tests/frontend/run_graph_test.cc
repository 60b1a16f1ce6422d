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

}  // namespace
}  // namespace placewright
