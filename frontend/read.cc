// Reading a tensor: runs what it is computed from, once, and keeps the value.
#include <fmt/core.h>

#include "load_graph.h"

namespace placewright {
namespace capture {

HostTensor value_of(const Tensor& tensor, Site where) {
  if (!tensor.is_defined()) throw Error("an undefined tensor was read: expected one to be assigned first");
  Node& node = *tensor.node();
  if (node.state) return node.state->read();  // `kind` may become `value` meanwhile
  if (node.depends_on_argument)
    throw Error(
        fmt::format("a tensor was read while a function is compiled, where it has no value yet: return it from the "
                    "function, or read it outside ({})",
                    where ? to_source_site(where).to_string() : "unknown line"));
  std::lock_guard lock(node.mutex);
  node.is_read.store(true, std::memory_order_release);
  if (node.has_host) return node.host.at(tensor.result());
  if (node.computed) {
    node.host = {node.computed->read()};
    node.has_host = true;
    return node.host[0];
  }
  std::vector<HostTensor> host;
  if (node.kind == Node::Kind::op && node.entry->name == "transfer") {
    host = {value_of(node.operands[0], where)};
  } else {
    std::vector<Tensor> results;
    for (size_t i = 0; i < node.results.size(); ++i) results.emplace_back(tensor.node(), static_cast<int>(i));
    for (const Tensor& result : Session::current()->run_lazy(results)) host.push_back(value_of(result, where));
  }
  node.host = std::move(host);
  node.has_host = true;
  // From now on it is a value: what it was computed from may go, once nobody walks it any more.
  std::vector<Tensor> operands, roots;
  auto graphs = lock_graphs();
  node.kind = Node::Kind::value;
  operands.swap(node.operands);
  roots.swap(node.roots);
  graphs.unlock();
  return node.host.at(tensor.result());
}

}  // namespace capture

HostTensor Tensor::value(std::source_location where) const { return capture::value_of(*this, capture::site_of(where)); }

std::vector<Tensor> Session::run_lazy(std::span<const Tensor> results) {
  capture::Captured captured = capture::make_graph("lazy", {}, results, {}, -1);
  std::vector<Tensor> values;
  std::string key = print_graph(captured.graph);
  for (const capture::NodePtr& input : captured.inputs)
    if (input->kind == capture::Node::Kind::value) values.emplace_back(input);
  std::shared_ptr<capture::LoadedGraph> loaded;
  {
    std::lock_guard lock(mutex_);
    auto at = lazy_.find(key);
    if (at != lazy_.end()) loaded = at->second;
  }
  if (!loaded) {
    loaded = capture::LoadedGraph::load(std::move(captured), current());
    loaded->serve_lazily();
    std::lock_guard lock(mutex_);
    lazy_[key] = loaded;
  }
  std::vector<const Tensor*> arguments;
  for (const Tensor& value : values) arguments.push_back(&value);
  std::vector<Tensor> made(results.size());
  loaded->run_lazily(arguments, made);
  return made;
}

}  // namespace placewright
