// Expands the ops that their target refuses into what they decompose to, again and again until it takes all.
#include <fmt/core.h>

#include "rewrite.h"

namespace placewright {
namespace {

// The target of the op's device; null if the graph is not placed or nobody said what the device can.
const TargetModel* target_of(const Op& op, const PassContext& context) {
  const Where& where = op.results.front().tensor().where;
  if (!where.is_placed()) return nullptr;
  auto at = context.targets.find(where.devices.front());
  return at == context.targets.end() ? nullptr : at->second;
}

bool must_expand(const Graph& graph, const Function& function, const Op& op, const PassContext& context) {
  if (op.entry->is_structural() || op.results.empty()) return false;
  bool is_composite = op.entry->realised_as<Decompose>() != nullptr;
  const TargetModel* target = target_of(op, context);
  if (!target) return is_composite;
  std::string cause = target->refuses(graph, function, op);
  if (cause.empty()) return false;
  if (is_composite) return true;
  throw Error(fmt::format("{} cannot run {} ({}): {}", op.results.front().tensor().where.devices.front().to_string(),
                          op.name(), graph.origins[op.origin].site(), cause));
}

// Whether anything was expanded.
bool expand_once(Graph& graph, FunctionId id, const PassContext& context) {
  const Function& function = graph.functions[id];
  std::vector<bool> expand;
  bool found = false;
  for (const Op& op : function.ops) {
    expand.push_back(must_expand(graph, function, op, context));
    found = found || expand.back();
  }
  if (!found) return false;
  Rewriter rewriter(graph, id);
  for (size_t i = 0; i < expand.size(); ++i) {
    const Op& op = rewriter.old().ops[i];
    if (expand[i])
      rewriter.replace(static_cast<int32_t>(i), expand_composite(rewriter.builder, op, rewriter.operands(op)));
    else
      rewriter.take(static_cast<int32_t>(i));
  }
  rewriter.finish();
  return true;
}

}  // namespace

Graph decompose(Graph graph, const PassContext& context) {
  for_each_function(graph, [&](FunctionId id) {
    while (expand_once(graph, id, context)) {
    }
  });
  return graph;
}

}  // namespace placewright
