// Joins ops that compute the same from the same operands in the same place.
#include <algorithm>
#include <functional>
#include <map>
#include <unordered_map>

#include "rewrite.h"

namespace placewright {
namespace {

void mix(size_t& hash, size_t more) { hash ^= more + 0x9e3779b97f4a7c15 + (hash << 6) + (hash >> 2); }

size_t hash_of(const Attribute& attribute) {
  size_t hash = attribute.index();
  if (const auto* tensor = std::get_if<HostTensor>(&attribute)) {
    mix(hash, std::hash<std::string_view>()(
                  {reinterpret_cast<const char*>(tensor->raw()), static_cast<size_t>(tensor->bytes())}));
  } else if (const auto* sizes = std::get_if<Sizes>(&attribute)) {
    for (int64_t size : *sizes) mix(hash, static_cast<size_t>(size));
  } else if (const auto* number = std::get_if<int64_t>(&attribute)) {
    mix(hash, static_cast<size_t>(*number));
  } else if (const auto* shape = std::get_if<Shape>(&attribute)) {
    for (const Dim& dim : *shape) mix(hash, static_cast<size_t>(dim.bound()));
  }
  return hash;  // other kinds are told apart by comparing
}

size_t hash_of(const Op& op) {
  size_t hash = std::hash<std::string_view>()(op.name());
  for (Value operand : op.operands)
    mix(hash, static_cast<size_t>(operand.op) * 31 + static_cast<size_t>(operand.result));
  for (const auto& [name, value] : op.attributes) mix(hash, hash_of(value));
  return hash;
}

bool same(const Op& a, const Op& b) {
  return a.entry == b.entry && a.operands == b.operands && a.attributes == b.attributes && a.functions == b.functions &&
         a.results == b.results && a.pin == b.pin;
}

void eliminate(Graph& graph, FunctionId id) {
  Rewriter rewriter(graph, id);
  std::unordered_multimap<size_t, int32_t> made;    // by hash: new ops
  std::map<int32_t, std::vector<OriginId>> joined;  // of new ops that stand for several
  for (int32_t i = 0; i < static_cast<int32_t>(rewriter.old().ops.size()); ++i) {
    if (rewriter.old().ops[i].entry->traits.keep) {
      rewriter.take(i);
      continue;
    }
    Op op = rewriter.release(i);
    op.operands = rewriter.operands(op);
    if (op.entry->traits.commutative) std::sort(op.operands.begin(), op.operands.end());
    size_t hash = hash_of(op);
    std::optional<int32_t> twin;
    auto [first, last] = made.equal_range(hash);
    for (auto at = first; at != last && !twin; ++at)
      if (same(rewriter.builder.function().ops[at->second], op)) twin = at->second;
    if (!twin) {
      made.emplace(hash, static_cast<int32_t>(rewriter.builder.function().ops.size()));
      rewriter.replace(i, rewriter.builder.append(std::move(op)));
      continue;
    }
    const Op& kept = rewriter.builder.function().ops[*twin];
    if (!op.operands.empty()) {
      std::vector<OriginId>& origins = joined[*twin];
      if (origins.empty()) origins = {kept.origin};
      origins.push_back(op.origin);
    }
    std::vector<Value> values;
    for (size_t r = 0; r < kept.results.size(); ++r) values.push_back({*twin, static_cast<int32_t>(r)});
    rewriter.replace(i, std::move(values));
  }
  for (const auto& [op, origins] : joined) rewriter.builder.function().ops[op].origin = graph.origins.merge(origins);
  rewriter.finish();
}

}  // namespace

Graph eliminate_common(Graph graph, const PassContext&) {
  for_each_function(graph, [&](FunctionId id) { eliminate(graph, id); });
  return graph;
}

}  // namespace placewright
