// Graphs of kernels and copies. A launch runs whatever may run, the node that was added last first: an order that was
// not asked for is not given. What is not here (other nodes, capture) no caller finds.
#include <algorithm>

#include "driver.h"

namespace cuda_emulator {
namespace {

// Rows of one copy: no pitch or height that the driver would refuse, no arrays, no second dimension.
bool is_plain(const CopyEnd& end, size_t bytes) {
  bool has_address = end.memory == 1 ? end.host != nullptr : end.memory == 2 && end.device != 0;
  return has_address && end.x_bytes == 0 && end.y == 0 && end.z == 0 && end.level == 0 && !end.array && !end.reserved &&
         end.pitch >= bytes && end.height >= 1;
}
bool is_plain(const CopyNodeParameters& copy) {
  return copy.bytes > 0 && copy.height == 1 && copy.depth == 1 && is_plain(copy.from, copy.bytes) &&
         is_plain(copy.to, copy.bytes);
}

int add(GraphNode** added, Graph* graph, GraphNode* const* after, size_t count, GraphNode node) {
  node.graph = graph;
  for (size_t i = 0; i < count; ++i) {
    size_t place = 0;
    while (place < graph->nodes.size() && graph->nodes[place].get() != after[i]) ++place;
    if (place == graph->nodes.size()) return invalid_value;
    if (std::find(node.after.begin(), node.after.end(), place) != node.after.end()) return invalid_value;
    node.after.push_back(place);
  }
  graph->nodes.push_back(std::make_unique<GraphNode>(std::move(node)));
  *added = graph->nodes.back().get();
  return 0;
}

GraphNode* find_node(GraphExec* exec, const GraphNode* original) {
  for (size_t i = 0; i < exec->nodes.size(); ++i)
    if (exec->originals[i] == original) return &exec->nodes[i];
  return nullptr;
}

uint8_t* end_of_copy(Context& context, const CopyEnd& end, size_t bytes) {
  return end.memory == 1 ? static_cast<uint8_t*>(end.host) : find(context, end.device, bytes, "a copy of a graph");
}

void run_node(Context& context, const GraphNode& node) {
  if (node.is_kernel)
    run_kernel(context.memory, node.launch);
  else
    std::memmove(end_of_copy(context, node.copy.to, node.copy.bytes),
                 end_of_copy(context, node.copy.from, node.copy.bytes), node.copy.bytes);
}

void run_nodes(Context& context, const std::vector<GraphNode>& nodes) {
  std::vector<bool> done(nodes.size());
  for (size_t left = nodes.size(); left > 0; --left) {
    size_t next = nodes.size();
    for (size_t i = 0; i < nodes.size(); ++i) {
      bool is_ready = !done[i];
      for (size_t before : nodes[i].after) is_ready = is_ready && done[before];
      if (is_ready) next = i;
    }
    run_node(context, nodes[next]);
    done[next] = true;
  }
}

}  // namespace
}  // namespace cuda_emulator

using namespace cuda_emulator;

EXPORT int cuGraphCreate(Graph** graph, unsigned flags) {
  return guarded(current, [&] {
    if (flags != 0) return invalid_value;
    current->graphs.push_back(std::make_unique<Graph>(Graph{current, {}}));
    *graph = current->graphs.back().get();
    return 0;
  });
}

EXPORT int cuGraphDestroy(Graph* graph) {
  std::lock_guard lock(process().mutex);
  return std::erase_if(graph->context->graphs, [&](const auto& each) { return each.get() == graph; }) ? 0
                                                                                                      : invalid_value;
}

EXPORT int cuGraphAddKernelNode_v2(GraphNode** added, Graph* graph, GraphNode* const* after, size_t count,
                                   const KernelNodeParameters* parameters) {
  return guarded(graph->context, [&] {
    GraphNode node;
    node.is_kernel = true;
    if (int result = check_launch(*parameters, &node.launch)) return result;
    return add(added, graph, after, count, std::move(node));
  });
}

EXPORT int cuGraphAddMemcpyNode(GraphNode** added, Graph* graph, GraphNode* const* after, size_t count,
                                const CopyNodeParameters* parameters, Context* context) {
  return guarded(graph->context, [&] {
    if (!is_plain(*parameters) || context != graph->context) return invalid_value;
    GraphNode node;
    node.copy = *parameters;
    return add(added, graph, after, count, std::move(node));
  });
}

EXPORT int cuGraphInstantiateWithFlags(GraphExec** made, Graph* graph, unsigned long long flags) {
  return guarded(graph->context, [&] {
    if (flags != 0) return invalid_value;
    if (auto result = static_cast<int>(process().options.get("instantiate", 0))) return result;
    auto exec = std::make_unique<GraphExec>(GraphExec{graph->context, {}, {}});
    for (const std::unique_ptr<GraphNode>& node : graph->nodes) {
      exec->originals.push_back(node.get());
      exec->nodes.push_back(*node);
    }
    *made = exec.get();
    graph->context->execs.push_back(std::move(exec));
    return 0;
  });
}

EXPORT int cuGraphExecKernelNodeSetParams_v2(GraphExec* exec, GraphNode* node, const KernelNodeParameters* parameters) {
  return guarded(exec->context, [&] {
    GraphNode* found = find_node(exec, node);
    if (!found || !found->is_kernel) return invalid_value;
    return check_launch(*parameters, &found->launch);
  });
}

// The ends stay in the memory that they were in.
EXPORT int cuGraphExecMemcpyNodeSetParams(GraphExec* exec, GraphNode* node, const CopyNodeParameters* parameters,
                                          Context* context) {
  return guarded(exec->context, [&] {
    GraphNode* found = find_node(exec, node);
    if (!found || found->is_kernel || !is_plain(*parameters) || context != exec->context) return invalid_value;
    if (found->copy.from.memory != parameters->from.memory || found->copy.to.memory != parameters->to.memory)
      return invalid_value;
    found->copy = *parameters;
    return 0;
  });
}

EXPORT int cuGraphUpload(GraphExec* exec, Stream*) {
  return guarded(exec->context, [] { return 0; });
}

EXPORT int cuGraphLaunch(GraphExec* exec, Stream* stream) {
  return guarded(exec->context, [&] {
    ++process().graph_launches;
    for (const GraphNode& node : exec->nodes)
      if (node.is_kernel && ++process().launches == process().options.get("lose", 0)) {
        exec->context->failed = 719;
        return 0;  // as real ones: said later
      }
    stream->commands.push_back([context = exec->context, nodes = exec->nodes] { run_nodes(*context, nodes); });
    return 0;
  });
}

EXPORT int cuGraphExecDestroy(GraphExec* exec) {
  std::lock_guard lock(process().mutex);
  return std::erase_if(exec->context->execs, [&](const auto& each) { return each.get() == exec; }) ? 0 : invalid_value;
}
