// Makes each copy between devices an op: one for a (value, device), set before its first reader there. What comes from
// compile-time constants alone is made again on each device instead.
#include <map>

#include "movement.h"
#include "rewrite.h"

namespace placewright {
namespace {

class TransferInserter {
 public:
  TransferInserter(Graph& graph, FunctionId id) : rewriter_(graph, id), replicable_(find_replicable(rewriter_.old())) {
    std::vector<Where> places;
    for (const Op& op : rewriter_.old().ops) places.push_back(place_of(op));
    for (const Movement& movement : find_movements(rewriter_.old(), places))
      movements_[{movement.value, movement.to}] = movement;
  }

  void run() {
    for (size_t i = 0; i < rewriter_.old().ops.size(); ++i) copy(static_cast<int32_t>(i));
    const Function& old = rewriter_.old();
    FunctionBuilder& builder = rewriter_.builder;
    std::vector<Update> updates;
    for (const Update& update : old.updates)
      updates.push_back({rewriter_(update.state), on_device(update.value, place_of(old.op(update.state)))});
    rewriter_.finish();
    builder.function().updates = std::move(updates);
  }

 private:
  static Where place_of(const Op& op) { return op.results.empty() ? Where{} : op.results.front().tensor().where; }

  void copy(int32_t i) {
    const Op& op = rewriter_.old().ops[i];
    Where place = place_of(op);
    if (op.is("transfer")) {  // written by the user
      rewriter_.replace(i, user_transfer(op, place));
      return;
    }
    if (op.is("all_reduce")) {
      rewriter_.copy(i);
      return;
    }
    Op made = op;
    for (Value& operand : made.operands) operand = on_device(operand, place);
    rewriter_.put(i, std::move(made));
  }

  Value user_transfer(const Op& op, const Where& place) {
    Value source = op.operands[0];
    const std::string& why = op.attributes.get<std::string>("why");
    return on_device(source, place, op.origin, why.empty() ? "moved by the program" : why);
  }

  // The new value of an old one on the reader's device.
  Value on_device(Value value, const Where& place, OriginId origin = 0, const std::string& why = {}) {
    const Function& old = rewriter_.old();
    const Where from = old.tensor(value).where;
    if (!from.is_single() || !place.is_single() || from == place) return rewriter_(value);
    auto [at, is_new] = moved_.try_emplace({value, place.devices[0]});
    if (is_new) at->second = replicable_[value.op] ? replicate(value, place) : make_transfer(value, place, origin, why);
    return at->second;
  }

  Value replicate(Value value, const Where& place) {
    Op op = rewriter_.old().op(value);
    for (Value& operand : op.operands) operand = on_device(operand, place);
    for (Type& type : op.results) type.set_where(place);
    return rewriter_.builder.append(std::move(op))[value.result];
  }

  Value make_transfer(Value value, const Where& place, OriginId origin, const std::string& why) {
    const Function& old = rewriter_.old();
    Graph& graph = rewriter_.builder.graph();
    const Movement& movement = movements_.at({value, place.devices[0]});
    const Op& producer = old.op(value);
    const Op& reader = movement.reader >= 0 ? old.ops[movement.reader] : producer;
    Op op{&find_op("transfer"), {rewriter_(value)}, {old.type(value)}, {}, {}, 0, {}};
    op.results[0].set_where(place);
    op.origin = graph.origins.with_role(origin ? origin : reader.origin, Role::transfer);
    op.attributes.set("at_load", movement.at_load);
    op.attributes.set("why", why.empty() ? reason(old, movement) : why);
    return rewriter_.builder.append(std::move(op)).front();
  }

  Rewriter rewriter_;
  std::vector<bool> replicable_;
  std::map<std::pair<Value, DeviceId>, Movement> movements_;
  std::map<std::pair<Value, DeviceId>, Value> moved_;
};

}  // namespace

Graph insert_transfers(Graph graph, const PassContext&) {
  TransferInserter(graph, 0).run();
  return graph;
}

}  // namespace placewright
