#include <algorithm>

#include <gtest/gtest.h>

#include "placewright/ir/builder.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/pass.h"

namespace placewright {
namespace {

// y = x w, and w itself: a target without wishes reads a settled weight through one relayout.
TEST(AssignLayouts, ASettledWeightIsReadRowMajorThroughOneRelayout) {
  Graph graph;
  add_function(graph, "main");
  FunctionBuilder b(graph, 0);
  Value x = b.input("x", InputKind::argument, Type(DType::f32, {3, 6}));
  Value w = b.input("w", InputKind::state, Type(DType::f32, {6, 4}));
  Value y = b("dot_general", {x, w}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}});
  b.function().results = {y, w};
  PassContext context;
  context.options.state_layouts["w"] = Layout{.order = {1, 0}, .blocks = {}, .padding = {}};
  Graph assigned = assign_layouts(graph, context);
  ASSERT_NO_THROW(verify_graph(assigned));
  const Function& main = assigned.main();
  EXPECT_EQ(main.tensor(main.inputs[1]).layout, context.options.state_layouts["w"]);
  EXPECT_TRUE(main.tensor(main.inputs[0]).layout.is_row_major());
  EXPECT_EQ(std::count_if(main.ops.begin(), main.ops.end(), [](const Op& op) { return op.is("relayout"); }), 1);
  for (Value result : main.results) EXPECT_TRUE(main.tensor(result).layout.is_row_major());

  // What a step updates stays row-major, whatever was found.
  graph.main().updates = {{w, w}};
  EXPECT_TRUE(assign_layouts(graph, context).main().tensor(w).layout.is_row_major());
}

}  // namespace
}  // namespace placewright
