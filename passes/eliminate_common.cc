// Joins ops that compute the same from the same operands in the same place.
#include <algorithm>
#include <bit>
#include <functional>
#include <map>

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

// New ops by their hashes, in one table: a node for each would be spread over all memory.
class MadeOps {
 public:
  explicit MadeOps(size_t most) : slots_(std::bit_ceil(2 * most + 1)) {}

  // The op that is the same; -1: there was none, and now `number` is there.
  template <typename IsSame>
  int32_t find_or_add(size_t hash, int32_t number, IsSame is_same) {
    for (size_t at = hash % slots_.size();; at = (at + 1) % slots_.size()) {
      Slot& slot = slots_[at];
      if (slot.op < 0) {
        slot = {hash, number};
        return -1;
      }
      if (slot.hash == hash && is_same(slot.op)) return slot.op;
    }
  }

 private:
  struct Slot {
    size_t hash = 0;
    int32_t op = -1;
  };
  std::vector<Slot> slots_;
};

void eliminate(Graph& graph, FunctionId id) {
  Rewriter rewriter(graph, id);
  MadeOps made(rewriter.old().ops.size());
  std::map<int32_t, std::vector<OriginId>> joined;  // of new ops that stand for several
  for (int32_t i = 0; i < static_cast<int32_t>(rewriter.old().ops.size()); ++i) {
    if (rewriter.old().ops[i].entry->traits.keep) {
      rewriter.take(i);
      continue;
    }
    Op op = rewriter.release(i);
    for (Value& operand : op.operands) operand = rewriter(operand);
    if (op.entry->traits.commutative) std::sort(op.operands.begin(), op.operands.end());
    const std::vector<Op>& ops = rewriter.builder.function().ops;
    const int32_t twin = made.find_or_add(hash_of(op), static_cast<int32_t>(ops.size()),
                                          [&](int32_t known) { return same(ops[known], op); });
    if (twin < 0) {
      rewriter.put(i, std::move(op));
      continue;
    }
    const Op& kept = ops[twin];
    if (!op.operands.empty()) {
      std::vector<OriginId>& origins = joined[twin];
      if (origins.empty()) origins = {kept.origin};
      origins.push_back(op.origin);
    }
    std::vector<Value> values;
    for (size_t r = 0; r < kept.results.size(); ++r) values.push_back({twin, static_cast<int32_t>(r)});
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
