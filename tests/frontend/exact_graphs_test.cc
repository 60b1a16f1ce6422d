// Graphs of whole numbers over odd shapes run exactly as the evaluator says: with checked accesses and without, on one
// thread and two.
#include <cstdlib>

#include <gtest/gtest.h>

#include "derived_cases.h"
#include "exact_graph.h"
#include "placewright/ir/evaluate.h"
#include "placewright/run_graph.h"
#include "placewright/session.h"

namespace placewright::testing {
namespace {

class ExactGraphs : public ::testing::TestWithParam<int> {
 protected:
  ExactGraphs() {
    configure({.threads = 1 + GetParam() % 2,
               .use_cache = false,
               .check_bounds = GetParam() / 2 == 1,
               .check_memory = true,
               .notice = [](std::string_view) {}});
  }
  ~ExactGraphs() override { configure({}); }
};

TEST_P(ExactGraphs, RunAsTheEvaluatorSays) {
  const uint64_t seeds = std::getenv("PLACEWRIGHT_FULL_COUNTS") ? 500 : 12;
  for (uint64_t seed = 0; seed < seeds && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    ExactGraph made = make_exact_graph(4 * seed + static_cast<uint64_t>(GetParam()), seed % 2 ? 25 : 8);
    const Function& function = made.graph.main();
    std::map<std::string, HostTensor> inputs;
    for (size_t i = 0; i < made.inputs.size(); ++i)
      inputs.emplace(input_name(function, function.inputs[i]), made.inputs[i]);
    Evaluation expected = evaluate(made.graph, made.inputs);
    GraphRun run = run_graph(made.graph, inputs);
    for (size_t r = 0; r < run.results.size(); ++r)
      EXPECT_EQ(mismatch(run.results[r], expected.results[r], 0), "") << "result " << r;
    for (size_t u = 0; u < function.updates.size(); ++u) {
      const std::string& name = input_name(function, function.updates[u].state);
      EXPECT_EQ(mismatch(run.states.at(name), expected.updates[u], 0), "") << "state " << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(ThreadsAndChecks, ExactGraphs, ::testing::Values(0, 1, 2, 3));

}  // namespace
}  // namespace placewright::testing
