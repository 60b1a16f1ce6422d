// Nodes to a Graph: inputs in order, ops by serial number, the loss of a gradient in a function of its own.
#include <map>
#include <set>

#include <fmt/core.h>

#include "capture/node.h"
#include "placewright/ir/builder.h"

namespace placewright::capture {
namespace {

class GraphMaker {
 public:
  GraphMaker(std::string name, int64_t constant_limit) : constant_limit_(constant_limit) {
    add_function(captured_.graph, std::move(name));
  }

  Captured make(std::span<const Tensor> arguments, std::span<const Tensor> results,
                std::span<const CapturedUpdate> updates) {
    std::vector<Tensor> roots(results.begin(), results.end());
    for (const CapturedUpdate& update : updates) {
      roots.push_back(update.state);
      roots.push_back(update.value);
    }
    std::vector<NodePtr> nodes = reachable(roots);
    FunctionBuilder main(captured_.graph, 0);
    Values values;
    // States take their names first: they are the only names that outlive the graph.
    for (const NodePtr& node : nodes)
      if (node->kind == Node::Kind::state) names_.insert(node->state->key());
    for (const Tensor& argument : arguments) input(main, values, argument.node());
    for (const NodePtr& node : nodes) {
      if (!is_leaf(*node) || values.contains(node.get())) continue;
      if (node->kind == Node::Kind::argument)
        throw Error(
            fmt::format("argument '{}' of a function that was compiled is used outside of it, where it has no value: "
                        "return from the function what is wanted",
                        node->name));
      input(main, values, node);
    }
    for (const NodePtr& node : nodes)
      if (!is_leaf(*node)) emit(main, values, *node);
    Function& function = captured_.graph.main();
    for (const Tensor& result : results) function.results.push_back(value(values, result));
    for (const CapturedUpdate& update : updates)
      function.updates.push_back({value(values, update.state), value(values, update.value)});
    return std::move(captured_);
  }

 private:
  using Values = std::map<const Node*, std::vector<Value>>;

  static bool is_leaf(const Node& node) { return node.kind != Node::Kind::op && node.kind != Node::Kind::gradient; }

  static Value value(const Values& values, const Tensor& tensor) {
    return values.at(tensor.node().get())[tensor.result()];
  }

  OriginId origin(const Node& node) {
    Origin origin;
    for (Site site : node.frames) origin.frames.push_back(to_source_site(site));
    origin.module_path = node.module_path;
    origin.role = node.role;
    origin.ordinal = ordinals_[{node.module_path, node.role}]++;
    return captured_.graph.origins.intern(std::move(origin));
  }

  std::string unique(const std::string& wanted) {
    std::string name = wanted;
    for (int i = 2; !names_.insert(name).second; ++i) name = fmt::format("{}_{}", wanted, i);
    return name;
  }

  void input(FunctionBuilder& builder, Values& values, const NodePtr& node) {
    builder.origin = origin(*node);
    builder.pin = node->kind == Node::Kind::state ? node->state->pin : node->pin;
    std::string name;
    InputKind kind = InputKind::argument;
    switch (node->kind) {
      case Node::Kind::state:
        kind = InputKind::state;
        name = node->state->key();
        break;
      case Node::Kind::argument:
        name = unique(node->name);
        break;
      default:
        if (constant_limit_ >= 0) return constant(builder, values, node);
        name = unique("value");
    }
    values[node.get()] = {builder.input(name, kind, node->results[0])};
    captured_.inputs.push_back(node);
  }

  void constant(FunctionBuilder& builder, Values& values, const NodePtr& node) {
    if (int64_t bytes = node->results[0].tensor().bytes(); bytes > constant_limit_)
      throw Error(
          fmt::format("a tensor of {} bytes ({}) would become a constant of the compiled function, whose limit is "
                      "{}: pass it as an argument ({})",
                      bytes, node->results[0].to_string(), constant_limit_,
                      node->frames.empty() ? "unknown" : to_source_site(node->frames[0]).to_string()));
    values[node.get()] = {builder.constant(value_of(Tensor(node), {}))};  // read back, if a device computed it
  }

  void emit(FunctionBuilder& builder, Values& values, const Node& node) {
    if (node.kind == Node::Kind::gradient) return emit_gradient(builder, values, node);
    Op op{node.entry, {}, node.results, node.attributes, {}, origin(node), node.pin};
    for (const Tensor& operand : node.operands) op.operands.push_back(value(values, operand));
    values[&node] = builder.append(std::move(op));
  }

  void emit_gradient(FunctionBuilder& builder, Values& values, const Node& node) {
    OriginId at = origin(node);
    FunctionId id = add_function(captured_.graph, fmt::format("loss_{}", captured_.graph.functions.size() - 1));
    FunctionBuilder body(captured_.graph, id);
    Values inner;
    Op op{node.entry, {}, node.results, {}, {id}, at, node.pin};
    for (const Tensor& leaf : node.operands) {
      op.operands.push_back(value(values, leaf));
      body.origin = captured_.graph.functions[builder.id()].op(op.operands.back()).origin;
      std::string name = leaf.node()->state ? leaf.node()->state->name : leaf.node()->name;
      inner[leaf.node().get()] = {body.input(fmt::format("{}#{}", name.empty() ? "value" : name, inner.size()),
                                             InputKind::argument, leaf.node()->results[0])};
    }
    for (const NodePtr& each : reachable(node.roots, node.operands))
      if (!is_leaf(*each) && !inner.contains(each.get())) emit(body, inner, *each);
    for (const Tensor& root : node.roots) body.function().results.push_back(value(inner, root));
    op.attributes.set("with_respect_to", Sizes(node.with_respect_to.begin(), node.with_respect_to.end()));
    values[&node] = builder.append(std::move(op));
  }

  Captured captured_;
  int64_t constant_limit_;
  std::map<std::pair<std::string, Role>, int32_t> ordinals_;
  std::set<std::string> names_;
};

}  // namespace

Captured make_graph(std::string name, std::span<const Tensor> arguments, std::span<const Tensor> results,
                    std::span<const CapturedUpdate> updates, int64_t constant_limit) {
  auto lock = lock_graphs();
  return GraphMaker(std::move(name), constant_limit).make(arguments, results, updates);
}

}  // namespace placewright::capture
