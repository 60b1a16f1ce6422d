#include "placewright/summary.h"

#include <algorithm>
#include <map>

#include <fmt/core.h>

#include "capture/node.h"
#include "placewright/ir/builder.h"

namespace placewright {
namespace {

using capture::Node;
using capture::NodePtr;

double kernel_flops(const Function& function, const Op& op, const Graph& graph) {
  if (op.entry->is_structural()) return 0;
  std::vector<Type> types;
  for (Value operand : op.operands) types.push_back(function.type(operand));
  OpView view{*op.entry, types, op.results, op.attributes, &graph, op.functions};
  return can_lower(*op.entry) ? count_cost(lower_op(view)).flops : 0;
}

// Composites count as what they are made of.
double flops_of(const Node& node) {
  if (node.kind != Node::Kind::op || node.entry->is_structural()) return 0;
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "op"));
  std::vector<Value> operands;
  for (const Tensor& operand : node.operands)
    operands.push_back(builder.input(fmt::format("x{}", operands.size()), InputKind::argument,
                                     Type(operand.dtype(), operand.shape())));
  builder.add(node.entry->name, operands, node.attributes);
  double flops = 0;
  for (size_t i = 0; i < builder.function().ops.size(); ++i) {
    const Op op = builder.function().ops[i];  // a copy: the function grows
    const Decompose* composite = op.entry->realised_as<Decompose>();
    if (composite) {
      std::vector<Type> types;
      for (Value operand : op.operands) types.push_back(builder.type(operand));
      composite->decompose(builder, {*op.entry, types, op.results, op.attributes, &graph, op.functions}, op.operands);
    } else {
      flops += kernel_flops(builder.function(), op, graph);
    }
  }
  return flops;
}

void collect(const nn::Module& module, const std::string& path, std::vector<LayerSummary>& layers) {
  layers.push_back({path, module.description(), {}, 0, 0, 0, {}});
  for (const nn::Module::Child& child : module.children())
    collect(*child.module, path.empty() ? child.name : path + "." + child.name, layers);
}

std::string grouped(int64_t number) {
  std::string digits = std::to_string(number);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

}  // namespace

ModelSummary summarise(nn::Module& model, const Tensor& input) {
  ModelSummary summary;
  collect(model, "", summary.layers);
  std::map<std::string, LayerSummary*> by_path;
  for (LayerSummary& layer : summary.layers) by_path[layer.path] = &layer;
  for (const nn::NamedParameter& each : model.named_parameters()) {
    size_t dot = each.name.rfind('.');
    LayerSummary& owner = *by_path.at(dot == std::string::npos ? "" : each.name.substr(0, dot));
    int64_t bytes = byte_size(each.tensor.dtype(), each.tensor.elements());
    owner.parameters += each.tensor.elements();
    owner.bytes += bytes;
    summary.parameters += each.tensor.elements();
    summary.trainable += nn::requires_grad(each.tensor) ? each.tensor.elements() : 0;
    summary.bytes += bytes;
  }
  Tensor output = model({input, std::source_location{}});
  for (const NodePtr& node : capture::reachable({&output, 1})) {
    if (node->serial <= input.node()->serial || node->kind != Node::Kind::op) continue;
    auto at = by_path.find(node->module_path);
    if (at == by_path.end()) continue;
    at->second->flops += flops_of(*node);
    summary.flops += flops_of(*node);
    // A module's output is the last thing made in it or below it.
    for (std::string path = node->module_path;;
         path.resize(path.rfind('.') == std::string::npos ? 0 : path.rfind('.'))) {
      by_path.at(path)->output = node->results[0].tensor().shape;
      by_path.at(path)->device = Tensor(node).device();
      if (path.empty()) break;
    }
  }
  return summary;
}

std::string ModelSummary::to_string() const {
  std::string text = fmt::format("{:<28} {:<32} {:<18} {:>12} {:>14}  {}\n", "layer", "module", "output", "parameters",
                                 "flops", "device");
  for (const LayerSummary& layer : layers)
    text += fmt::format("{:<28} {:<32} {:<18} {:>12} {:>14}  {}\n", layer.path.empty() ? "(model)" : layer.path,
                        layer.description, placewright::to_string(layer.output), grouped(layer.parameters),
                        grouped(static_cast<int64_t>(layer.flops)),
                        layer.device.kind.empty() ? "-" : layer.device.to_string());
  return text + fmt::format("{} parameters ({} trainable), {} bytes, {} flops forward\n", grouped(parameters),
                            grouped(trainable), grouped(bytes), grouped(static_cast<int64_t>(flops)));
}

}  // namespace placewright
