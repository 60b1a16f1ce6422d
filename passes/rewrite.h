// Rebuilds a function op by op: what nearly every pass does. Internal to passes.
#pragma once

#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "placewright/ir/builder.h"
#include "placewright/passes/pass.h"

namespace placewright {

// Takes a function's ops out of the graph and appends new ones in their place. For each old op in order the pass calls
// copy() or take(), or makes ops through `builder` and says with replace() which values stand for the old results. An
// op for which none is called is dropped: nothing may read it. finish() maps inputs, results and updates.
class Rewriter {
 public:
  Rewriter(Graph& graph, FunctionId function);

  const Function& old() const { return old_; }
  // The new value that stands for an old one.
  Value operator()(Value old_value) const {
    PW_CHECK(has(old_value), "a dropped op is read");
    return map_[at(old_value)];
  }
  std::vector<Value> operands(const Op& op) const;
  bool has(Value old_value) const { return map_[at(old_value)].op >= 0; }

  // The old op as it was, types included, reading the new values.
  void copy(int32_t op);
  // The same, moved: old() then has the op's name and origin, but no operands, types or attributes.
  void take(int32_t op);
  // The old op itself, reading old values; old() then has no more of it than behind take().
  Op release(int32_t op) { return std::move(old_.ops[op]); }
  // Appends an op that is complete, types included, whose results stand for the old one's.
  void put(int32_t op, Op made);
  void replace(int32_t op, std::span<const Value> values);
  void replace(int32_t op, Value value) { replace(op, std::span<const Value>(&value, 1)); }
  void finish();

  FunctionBuilder builder;

 private:
  size_t at(Value old_value) const { return first_[old_value.op] + static_cast<size_t>(old_value.result); }

  Function old_;
  std::vector<size_t> first_;  // of each old op, in `map_`
  std::vector<Value> map_;     // of each old result, op by op
};

// The entry function's ops in another order, by their numbers; each stands behind what it reads.
Graph in_order(Graph graph, const std::vector<int32_t>& order);

// Runs `rewrite` on each function, callees first.
void for_each_function(Graph& graph, const std::function<void(FunctionId)>& rewrite);

// Drops the functions that no op calls any more; the others keep their order.
void drop_unused_functions(Graph& graph);

// Appends a copy of function `callee`'s body to the builder's function, its inputs being `operands`; returns the new
// values of all its ops' results, by op number. Nested functions are shared, not copied.
std::vector<std::vector<Value>> inline_function(FunctionBuilder& builder, FunctionId callee,
                                                const std::vector<Value>& operands);

// The entry's view of an op of `function`; `types` holds the operands' types as long as the view is used.
OpView view_of(const Graph& graph, const Function& function, const Op& op, std::vector<Type>& types);

// The ops that expand a composite, appended to the builder's function: its decomposition, with the op's origin, pin
// and, where the op's results have one, place.
std::vector<Value> expand_composite(FunctionBuilder& builder, const Op& op, const std::vector<Value>& operands);

}  // namespace placewright
