// Rewrites by identities that hold for every value. Rules by op: simplify_arithmetic.cc, simplify_shaping.cc.
#include <bit>
#include <cmath>
#include <map>

#include "simplifier.h"

namespace placewright {
namespace {

// An elementwise op of operands that were all repeated alike: first compute, then repeat.
std::optional<Value> compute_before_broadcast(Simplifier& simplifier) {
  const Op& op = simplifier.op();
  if (!op.entry->realised_as<Scalar>() || op.operands.empty()) return {};
  std::vector<Value> sources;
  const Op* first = nullptr;
  for (Value operand : op.operands) {
    const Op* broadcast = simplifier.made_by(operand, "broadcast");
    if (!broadcast || (first && broadcast->attributes != first->attributes)) return {};
    if (simplifier.type(broadcast->operands[0]).elements() >= simplifier.result().elements()) return {};
    first = broadcast;
    sources.push_back(broadcast->operands[0]);
  }
  Attributes repeat = first->attributes;
  Value computed = simplifier.make(op.name(), std::move(sources), op.attributes);
  return simplifier.make("broadcast", {computed}, std::move(repeat));
}

using RuleTable = std::multimap<const OpEntry*, SimplifyRule>;

const RuleTable& rules() {
  static const RuleTable table = [] {
    RuleTable made;
    for (std::span<const NamedRule> family : {arithmetic_rules(), shaping_rules()})
      for (const NamedRule& rule : family) made.emplace(&find_op(rule.op), rule.rule);
    return made;
  }();
  return table;
}

bool has_symbol(const Op& op) {
  for (const Type& type : op.results)
    for (const Dim& dim : type.tensor().shape)
      if (!dim.is_number()) return true;
  return false;
}

// An op that has no place yet may be replaced by a value that has one.
bool may_stand_for(const TensorType& value, const TensorType& result) {
  return value.dtype == result.dtype && value.shape == result.shape && value.layout == result.layout &&
         (value.where == result.where || !result.where.is_placed());
}

}  // namespace

std::optional<Value> Simplifier::run() {
  auto [first, last] = rules().equal_range(like_.entry);
  for (auto at = first; at != last; ++at)
    if (std::optional<Value> value = at->second(*this)) return value;
  return compute_before_broadcast(*this);
}

const Op* Simplifier::made_by(Value value, std::string_view name) const {
  const Op& op = builder_.function().op(value);
  return op.is(name) && !op.pin ? &op : nullptr;
}

std::optional<double> Simplifier::splat(Value value) const {
  const Op* op = &builder_.function().op(value);
  while (op->is("broadcast") || op->is("reshape") || op->is("transpose")) op = &builder_.function().op(op->operands[0]);
  if (!op->is("constant")) return {};
  const HostTensor& tensor = op->attributes.get<HostTensor>("value");
  if (tensor.elements() == 0 || tensor.elements() > 64) return {};
  if (is_integer(tensor.dtype()) && std::abs(static_cast<double>(tensor.integer(0))) > 1e15) return {};
  double number = tensor.number(0);
  for (int64_t i = 1; i < tensor.elements(); ++i)
    if (std::bit_cast<uint64_t>(tensor.number(i)) != std::bit_cast<uint64_t>(number)) return {};
  return number;
}

bool Simplifier::is_splat(Value value, double number) const {
  std::optional<double> found = splat(value);
  return found && std::bit_cast<uint64_t>(*found) == std::bit_cast<uint64_t>(number);
}

Value Simplifier::make(std::string_view name, std::vector<Value> operands, Attributes attributes) {
  const OpEntry& entry = find_op(name);
  Op op{&entry, std::move(operands), {}, complete_attributes(entry, std::move(attributes)), {}, like_.origin, {}};
  std::vector<Type> types;
  for (Value operand : op.operands) types.push_back(builder_.type(operand));
  op.results = infer_types({entry, types, {}, op.attributes, &builder_.graph(), {}});
  for (Type& type : op.results) type.set_where(result().where);
  if (std::optional<Value> simpler = Simplifier(builder_, op).run()) return *simpler;
  return builder_.append(std::move(op)).front();
}

Value Simplifier::full(DType dtype, const Shape& shape, double number) {
  HostTensor scalar(dtype, {});
  scalar.set_number(0, number);
  return make("broadcast", {make("constant", {}, {{"value", std::move(scalar)}})},
              {{"shape", shape}, {"dims", Sizes{}}});
}

Graph simplify(Graph graph, const PassContext&) {
  for_each_function(graph, [&](FunctionId id) {
    Rewriter rewriter(graph, id);
    for (int32_t i = 0; i < static_cast<int32_t>(rewriter.old().ops.size()); ++i) {
      const Op& old = rewriter.old().ops[i];
      // A pin is the user's word on where this very op runs. Layouts are assigned to values that stay.
      if (old.pin || old.results.size() != 1 || old.entry->is_structural() || has_symbol(old) ||
          !old.results[0].tensor().layout.is_row_major()) {
        rewriter.take(i);
        continue;
      }
      Op op = rewriter.release(i);
      op.operands = rewriter.operands(op);
      std::optional<Value> simpler = Simplifier(rewriter.builder, op).run();
      if (simpler && may_stand_for(rewriter.builder.type(*simpler).tensor(), op.results[0].tensor()))
        rewriter.replace(i, *simpler);
      else
        rewriter.put(i, std::move(op));
    }
    rewriter.finish();
  });
  return eliminate_dead(std::move(graph), {});  // what the rules left without readers
}

}  // namespace placewright
