// Drops ops that no result and no update depends on, and functions that no op calls. Inputs stay: they are the call's
// signature.
#include "rewrite.h"

namespace placewright {

Graph eliminate_dead(Graph graph, const PassContext&) {
  for_each_function(graph, [&](FunctionId id) {
    const Function& function = graph.functions[id];
    std::vector<bool> live(function.ops.size(), false);
    for (Value result : function.results) live[result.op] = true;
    for (const Update& update : function.updates) live[update.value.op] = true;
    bool any_dead = false;
    for (size_t i = function.ops.size(); i-- > 0;) {
      live[i] = live[i] || function.ops[i].entry->traits.keep;
      any_dead = any_dead || !live[i];
      if (!live[i]) continue;
      for (Value operand : function.ops[i].operands) live[operand.op] = true;
    }
    if (!any_dead) return;
    Rewriter rewriter(graph, id);
    for (size_t i = 0; i < live.size(); ++i)
      if (live[i]) rewriter.take(static_cast<int32_t>(i));
    rewriter.finish();
  });
  drop_unused_functions(graph);
  return graph;
}

}  // namespace placewright
