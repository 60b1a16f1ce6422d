// Rules that pin become pins of the ops that they mean, which no later pass joins with others. What the other kinds of
// rules ask, placement sees to.
#include <fmt/core.h>

#include "placewright/passes/pass.h"

namespace placewright {
namespace {

void pin(const Graph& graph, Op& op, const PlacementRule& rule) {
  const DeviceId& device = rule.devices[0];
  if (op.pin && op.pin->device != device)
    throw Error(fmt::format("{}: rule pin \"{}\" puts {} on {}, but it is placed on {} at {}; take one of the two away",
                            rule.site.to_string(), rule.pattern, op_name(graph, op), device.to_string(),
                            op.pin->device.to_string(), op.pin->site.to_string()));
  if (!op.pin) op.pin = Pin{device, rule.site};
}

}  // namespace

Graph apply_rules(Graph graph, const PassContext&) {
  for (const PlacementRule& rule : graph.rules) {
    bool means_any = false;
    for (Op& op : graph.main().ops) {
      if (!means(rule, graph, op)) continue;
      means_any = true;
      if (rule.kind == PlacementRule::Kind::pin) pin(graph, op, rule);
    }
    if (!means_any)
      throw Error(
          fmt::format("{}: rule {} \"{}\" means no op of the model; `placewright place --every-op` and plan "
                      "files show their names",
                      rule.site.to_string(), name(rule.kind), rule.pattern));
  }
  return graph;
}

}  // namespace placewright
