// A thousand mutations of valid text graphs, through parser, verifier, passes and placement: each gives a plan or one
// line of error, never a crash.
#include <gtest/gtest.h>

#include "mutator.h"
#include "placewright/base/error.h"
#include "placewright/run_graph.h"
#include "placewright/session.h"
#include "random_graph.h"

namespace placewright {
namespace {

TEST(MutatedGraphs, GiveAPlanOrOneLine) {
  configure({.devices = "cpu,sim:2", .use_cache = false, .notice = [](std::string_view) {}});
  int refused = 0, planned = 0;
  for (uint32_t seed = 0; seed < 1000; ++seed) {
    const std::string valid = print_graph(testing::make_random_graph(seed % 50).graph);
    const std::string text = Mutator(seed)(valid);
    try {
      plan_graph(parse_graph(text, "mutated.pw"), {});
      ++planned;
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what() << "\n" << text;
      EXPECT_NE(std::string_view(error.what()), "") << text;
    } catch (const std::exception& error) {
      ADD_FAILURE() << "seed " << seed << ": " << error.what() << "\n" << text;
    }
  }
  EXPECT_GT(refused, 500);
  EXPECT_GT(planned, 10) << "some mutations change nothing that matters";
  configure({});
}

}  // namespace
}  // namespace placewright
