// Random graphs are what the fuzz tests of passes, code generators and devices stand on: they must be valid,
// repeatable, finite and varied, and passes must keep their meaning.
#include "random_graph.h"

#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "derived_cases.h"
#include "placewright/ir/evaluate.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/pass.h"

namespace placewright::testing {
namespace {

TEST(RandomGraphs, AreValidFiniteAndRoundTrip) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    RandomGraph made = make_random_graph(seed, {.floating = seed % 2 ? DType::f64 : DType::f32});
    verify_graph(made.graph);
    std::string text = print_graph(made.graph);
    EXPECT_EQ(print_graph(parse_graph(text)), text);
    EXPECT_FALSE(made.graph.main().results.empty());
    for (const HostTensor& result : evaluate(made.graph, made.inputs).results)
      for (int64_t i = 0; i < result.elements(); ++i) ASSERT_FALSE(std::isnan(result.number(i))) << text;
  }
}

TEST(RandomGraphs, AreTheSameForTheSameSeed) {
  RandomGraph first = make_random_graph(5), second = make_random_graph(5), other = make_random_graph(6);
  EXPECT_EQ(print_graph(first.graph), print_graph(second.graph));
  for (size_t i = 0; i < first.inputs.size(); ++i) EXPECT_TRUE(first.inputs[i].same_bytes(second.inputs[i]));
  EXPECT_NE(print_graph(first.graph), print_graph(other.graph));
}

TEST(RandomGraphs, UseAlmostEveryOp) {
  std::set<std::string_view> used;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    RandomGraph made = make_random_graph(seed);
    for (const Op& op : made.graph.main().ops) used.insert(op.name());
  }
  for (const OpEntry& entry : op_table()) EXPECT_TRUE(entry.is_structural() || used.contains(entry.name)) << entry.name;
}

TEST(RandomGraphs, PassesKeepTheirMeaning) {
  for (uint64_t seed = 1000; seed < 1060; ++seed) {
    SCOPED_TRACE(seed);
    RandomGraph made = make_random_graph(seed);
    Evaluation before = evaluate(made.graph, made.inputs);
    Evaluation after = evaluate(run_passes(made.graph, {}), made.inputs);
    for (auto [found, expected] :
         {std::pair(&after.results, &before.results), std::pair(&after.updates, &before.updates)}) {
      ASSERT_EQ(found->size(), expected->size());
      for (size_t i = 0; i < found->size(); ++i) {
        double allowed = random_graph_tolerance((*expected)[i].dtype());
        EXPECT_EQ(mismatch((*found)[i], (*expected)[i], allowed), "") << "result " << i;
      }
    }
  }
}

}  // namespace
}  // namespace placewright::testing
