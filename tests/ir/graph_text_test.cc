// Text form, verifier and evaluator of the Graph level.
#include <set>

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/ir/builder.h"
#include "placewright/ir/evaluate.h"
#include "placewright/ir/graph.h"
#include "placewright/ir/merged_origins.h"

namespace placewright {
namespace {

using ::testing::HasSubstr;

Graph sample_graph() {
  Graph graph;
  FunctionId main = add_function(graph, "main");
  FunctionBuilder builder(graph, main);
  TensorType placed{DType::f32,
                    {Dim::symbol("B", 64), 10},
                    {{1, 0}, {{0, 16}}, {{0, 2}, {}}},
                    {{{"sim", 0}, {"sim", 1}}, {}, {{Sharding::Kind::split, 0}}}};
  Value x = builder.input("x", InputKind::argument, placed);
  OriginId first = graph.origins.intern({{{"train.cc", 31}, {"main.cc", 3}}, "fc1", Role::forward, 0, {}});
  OriginId second = graph.origins.intern({{{"train.cc", 32}}, "", Role::backward, 1, {}});
  builder.origin = graph.origins.merge(std::vector{first, second});
  builder.pin = Pin{{"sim", 1}, {"train.cc", 40}};
  Value moved = builder("transfer", {x});
  builder.pin.reset();
  Value state = builder.input("weight \"w\"", InputKind::state, Type(DType::f32, {2, 2}));
  Value constant = builder.constant(HostTensor::from<float>({2, 2}, {1.5f, -0.0f, 1e-30f, 3}));
  builder.constant(HostTensor::from<float>({2}, {NAN, INFINITY}));
  builder.constant(HostTensor::from<int64_t>({3}, {7, 7, 7}));
  builder.constant(HostTensor(DType::boolean, {0, 3}));
  builder.function().results = {moved};
  builder.function().updates = {{state, constant}};
  return graph;
}

TEST(GraphText, RoundTripsExactly) {
  Graph graph = sample_graph();
  verify_graph(graph);
  std::string text = print_graph(graph);
  EXPECT_THAT(text, HasSubstr("f32[B<=64,10]{order=1,0 block=0:16 pad=0:0..2}@[sim:0,sim:1]{split 0}"));
  EXPECT_THAT(text, HasSubstr("pin(sim:1 from \"train.cc\":40)"));
  Graph again = parse_graph(text);
  EXPECT_EQ(print_graph(again), text);
  const Op &before = graph.main().ops[1], &after = again.main().ops[1];
  EXPECT_EQ(before.attributes, after.attributes);
  EXPECT_EQ(before.pin, after.pin);
  EXPECT_EQ(graph.origins[before.origin].frames, again.origins[after.origin].frames);
}

TEST(GraphText, OriginsOfManyLaunchesAreListedOnce) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  std::vector<OriginId> shared;
  for (int i = 0; i < 100; ++i) shared.push_back(graph.origins.intern({{}, "shared", Role::forward, i, {}}));
  const OriginId joined = graph.origins.merge(shared);
  EXPECT_EQ(graph.origins.merge(std::vector{OriginId{0}, joined, joined}), joined);
  Value x = builder.input("x", InputKind::argument, Type(DType::f32, {2}));
  size_t listed = 0;
  for (int i = 0; i < 100; ++i) {
    const OriginId own = graph.origins.intern({{}, "own", Role::forward, i, {}});
    builder.origin = graph.origins.merge(i % 2 ? std::vector{own, joined} : std::vector{joined, own});
    EXPECT_EQ(graph.origins[builder.origin].name(), i % 2 ? fmt::format("own/forward#{}", i) : "shared/forward#0");
    listed += graph.origins[builder.origin].merged.size();
    const std::vector<OriginId> all = merged_origins(graph.origins, builder.origin);
    EXPECT_EQ(all.front(), builder.origin);
    EXPECT_EQ(std::set<OriginId>(all.begin(), all.end()).size(), all.size());
    for (OriginId id : shared)
      EXPECT_TRUE(id == shared[0] || std::find(all.begin(), all.end(), id) != all.end()) << i << " lacks " << id;
    x = builder("neg", {x});
  }
  EXPECT_LE(listed, 200u);
  builder.function().results = {x};
  const std::string text = print_graph(graph);
  const Graph again = parse_graph(text);
  EXPECT_EQ(print_graph(again), text);
  for (size_t i = 0; i < graph.main().ops.size(); ++i)
    EXPECT_EQ(merged_origins(graph.origins, graph.main().ops[i].origin).size(),
              merged_origins(again.origins, again.main().ops[i].origin).size());
}

std::string error_of(std::string_view text) {
  try {
    parse_graph(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(GraphText, ErrorsNameLineAndColumn) {
  EXPECT_EQ(error_of("graph v2"), "graph:1:7: found 'v2', expected 'v1'");
  EXPECT_EQ(error_of("graph v1\nfunction \"f\"() {\n  %0 = nonsense() : f32[]\n"),
            "graph:3:8: there is no op 'nonsense'");
  EXPECT_EQ(error_of("graph v1\nfunction \"f\"() {\n  return %0\n}"),
            "graph:3:10: value %0.0 does not stand before its use");
  EXPECT_EQ(error_of("graph v1\nfunction \"f\"() {\n  %0 = constant() {value=f32[2](1)} : f32[2]\n  return\n}"),
            "graph:3:34: found ')', expected ','");
  EXPECT_EQ(error_of("graph v1\nfunction \"f\"() {\n  %0 = constant() {value=f32[9999999,9999999](splat 0)} : f32[]"),
            "graph:3:26: a constant is too large");
  EXPECT_EQ(error_of("graph v1\norigins {\n  #1 = forward 0 with #3\n}"), "graph:3:3: origin #3 is not in the table");
  EXPECT_EQ(error_of("graph v1\norigins {\n  #1 = forward 0 with #2\n  #2 = forward 1 with #1\n}"),
            "graph:3:3: origin #1 is merged into itself");
}

TEST(GraphText, EveryPrefixIsRefusedCleanly) {
  std::string text = print_graph(sample_graph());
  for (size_t length = 0; length + 2 < text.size(); ++length)
    EXPECT_THROW(parse_graph(std::string_view(text).substr(0, length)), Error) << length;
}

TEST(VerifyGraph, RefusesWhatEntriesDoNotAllow) {
  Graph graph = sample_graph();
  graph.main().ops[1].results[0] = Type(DType::f64, {2});
  EXPECT_THROW(verify_graph(graph), Error);
  graph = sample_graph();
  graph.main().updates[0].value = graph.main().inputs[0];
  EXPECT_THROW(verify_graph(graph), Error);
  graph = sample_graph();
  graph.main().ops[1].operands[0] = {5, 0};
  EXPECT_THROW(verify_graph(graph), Error);
}

TEST(Evaluate, RefusesInputsOfAnotherType) {
  Graph graph;
  add_function(graph, "main");
  FunctionBuilder builder(graph, 0);
  Value x = builder.input("x", InputKind::argument, Type(DType::f32, {2}));
  builder.function().results = {x};
  std::vector<HostTensor> good{HostTensor::from<float>({2}, {1, 2})}, bad{HostTensor::from<float>({3}, {1, 2, 3})};
  EXPECT_TRUE(evaluate(graph, good).results[0].same_bytes(good[0]));
  EXPECT_THROW(evaluate(graph, bad), Error);
}

}  // namespace
}  // namespace placewright
