#include "at_results.h"

#include <algorithm>

namespace placewright {

std::vector<int> result_dims(const Stage& stage) {
  std::vector<int> dims;
  for (int d = 0; d < stage.rank(); ++d)
    if (!stage.reduced[d]) dims.push_back(d);
  return dims;
}

ScalarNode node_of(ScalarOp op, DType dtype, int slot) {
  ScalarNode node;
  node.op = op;
  node.dtype = dtype;
  node.slot = slot;
  return node;
}

Stage at_results(const Stage& stage, const Sizes& more) {
  const std::vector<int> dims = result_dims(stage);
  Stage made;
  made.name = stage.name;
  for (int d : dims) made.extents.push_back(stage.extents[d]);
  made.extents.insert(made.extents.end(), more.begin(), more.end());
  made.reduced.assign(made.extents.size(), false);
  made.accesses = stage.accesses;
  for (Access& access : made.accesses)
    for (AffineExpr& expr : access.index) {
      Sizes kept;
      for (int d : dims) kept.push_back(expr.coefficients[d]);
      kept.resize(made.extents.size(), 0);
      expr.coefficients = std::move(kept);
    }
  made.epilogue = stage.epilogue;
  for (ScalarNode& node : made.epilogue)
    if (node.op == ScalarOp::index)
      node.slot = static_cast<int>(std::find(dims.begin(), dims.end(), node.slot) - dims.begin());
  made.epilogue_stores = stage.epilogue_stores;
  return made;
}

}  // namespace placewright
