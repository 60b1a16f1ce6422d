// Where a state's new value is the old value of another state that is updated too, makes it a copy: states that swap or
// rotate could otherwise overwrite each other.
#include <set>

#include "rewrite.h"

namespace placewright {
namespace {

Value without_views(const Function& function, Value value) {
  while (function.op(value).entry->traits.view && !function.op(value).is("transfer"))
    value = function.op(value).operands[0];
  return value;
}

}  // namespace

Graph separate_states(Graph graph, const PassContext&) {
  FunctionBuilder builder(graph, 0);
  std::set<Value> updated;
  for (const Update& update : graph.main().updates)
    if (update.value != update.state) updated.insert(update.state);
  for (size_t i = 0; i < graph.main().updates.size(); ++i) {
    Update update = graph.main().updates[i];
    if (update.value == update.state || !updated.contains(without_views(graph.main(), update.value))) continue;
    const TensorType type = graph.main().tensor(update.value);
    builder.origin = graph.main().op(update.value).origin;
    Sizes dims;
    for (int d = 0; d < type.rank(); ++d) dims.push_back(d);
    Value copy = builder("broadcast", {update.value}, {{"shape", type.shape}, {"dims", dims}});  // adds no dimension
    graph.main().ops[copy.op].results[0].set_where(type.where);
    graph.main().updates[i].value = copy;
  }
  return graph;
}

}  // namespace placewright
