// Graphs of kernels, copies, what libraries run, and graphs. A launch runs whatever may run, the node that was added
// last first: an order that was not asked for is not given. What is not here (other nodes) no caller finds.
#include <algorithm>

#include "driver.h"

namespace cuda_emulator {
namespace {

// Rows of one copy: no pitch that the driver would refuse (0: none is said), no arrays, no second dimension.
bool is_plain(const CopyEnd& end, size_t bytes) {
  const auto most_pitch = static_cast<size_t>(process().options.get("pitch", INT32_MAX));
  bool has_address = end.memory == 1 ? end.host != nullptr : end.memory == 2 && end.device != 0;
  return has_address && end.x_bytes == 0 && end.y == 0 && end.z == 0 && end.level == 0 && !end.array && !end.reserved &&
         (end.pitch == 0 || (end.pitch >= bytes && end.pitch <= most_pitch));
}
bool is_plain(const CopyNodeParameters& copy) {
  return copy.bytes > 0 && copy.height == 1 && copy.depth == 1 && is_plain(copy.from, copy.bytes) &&
         is_plain(copy.to, copy.bytes);
}

int add(GraphNode** added, Graph* graph, GraphNode* const* after, size_t count, GraphNode node) {
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
  return end.memory == 1 ? static_cast<uint8_t*>(end.host) : find(context, end.device, bytes, "a copy");
}

void add_scratch(const GraphNode& node, std::vector<const LibraryWork*>& all) {
  if (node.kind == GraphNode::Kind::library && node.library.scratch_bytes > 0) all.push_back(&node.library);
  if (node.kind == GraphNode::Kind::child)
    for (const GraphNode& each : *node.child) add_scratch(each, all);
}

// What may run at once must not share its scratch memory: one at a time, as here, it would not be seen.
void check_apart(const std::vector<const LibraryWork*>& some, const std::vector<const LibraryWork*>& others) {
  for (const LibraryWork* a : some)
    for (const LibraryWork* b : others)
      if (a->scratch < b->scratch + b->scratch_bytes && b->scratch < a->scratch + a->scratch_bytes)
        throw Fault(719, a->name + " and " + b->name + " may run at once in a graph and share a workspace");
}

void check_scratch(const std::vector<GraphNode>& nodes) {
  std::vector<std::vector<const LibraryWork*>> scratch(nodes.size());
  size_t users = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    add_scratch(nodes[i], scratch[i]);
    users += scratch[i].empty() ? 0 : 1;
  }
  if (users < 2) return;
  std::vector<std::vector<bool>> before(nodes.size(), std::vector<bool>(nodes.size()));
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (size_t earlier : nodes[i].after) {
      before[i][earlier] = true;
      for (size_t j = 0; j < earlier; ++j)
        if (before[earlier][j]) before[i][j] = true;
    }
    for (size_t j = 0; j < i; ++j)
      if (!before[i][j]) check_apart(scratch[i], scratch[j]);
  }
}

bool is_alike(const GraphNode& a, const GraphNode& b) {
  if (a.kind != b.kind || a.after != b.after) return false;
  if (a.kind == GraphNode::Kind::copy)
    return a.copy.from.memory == b.copy.from.memory && a.copy.to.memory == b.copy.to.memory;
  return a.kind != GraphNode::Kind::child ||
         std::equal(a.child->begin(), a.child->end(), b.child->begin(), b.child->end(), is_alike);
}

int64_t count_kernels(const std::vector<GraphNode>& nodes) {
  int64_t count = 0;
  for (const GraphNode& node : nodes) {
    if (node.kind == GraphNode::Kind::kernel) ++count;
    if (node.kind == GraphNode::Kind::child) count += count_kernels(*node.child);
  }
  return count;
}

}  // namespace

GraphNode copy_node(const CopyEnd& from, const CopyEnd& to, size_t bytes) {
  GraphNode node;
  node.kind = GraphNode::Kind::copy;
  node.copy = {from, to, bytes, 1, 1};
  return node;
}

std::vector<GraphNode> copies_of_nodes(const Graph& graph) {
  std::vector<GraphNode> nodes;
  for (const std::unique_ptr<GraphNode>& node : graph.nodes) nodes.push_back(*node);
  return nodes;
}

void run_node(Context& context, const GraphNode& node) {
  switch (node.kind) {
    case GraphNode::Kind::kernel:
      run_kernel(context.memory, node.launch);
      break;
    case GraphNode::Kind::copy:
      std::memmove(end_of_copy(context, node.copy.to, node.copy.bytes),
                   end_of_copy(context, node.copy.from, node.copy.bytes), node.copy.bytes);
      break;
    case GraphNode::Kind::library:
      node.library.run(context);
      break;
    case GraphNode::Kind::child:
      run_nodes(context, *node.child);
      break;
  }
}

void run_nodes(Context& context, const std::vector<GraphNode>& nodes) {
  check_scratch(nodes);
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

int give(Stream& stream, GraphNode node) {
  if (stream.capture) return capture_node(stream, std::move(node));
  stream.commands.push_back([context = stream.context, node = std::move(node)] { run_node(*context, node); });
  return 0;
}

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
    if (int result = check_launch(*parameters, &node.launch)) return result;
    return add(added, graph, after, count, std::move(node));
  });
}

EXPORT int cuGraphAddMemcpyNode(GraphNode** added, Graph* graph, GraphNode* const* after, size_t count,
                                const CopyNodeParameters* parameters, Context* context) {
  return guarded(graph->context, [&] {
    if (!is_plain(*parameters) || context != graph->context) return invalid_value;
    GraphNode node;
    node.kind = GraphNode::Kind::copy;
    node.copy = *parameters;
    return add(added, graph, after, count, std::move(node));
  });
}

// The child is copied: what is done to it later does not reach the node.
EXPORT int cuGraphAddChildGraphNode(GraphNode** added, Graph* graph, GraphNode* const* after, size_t count,
                                    const Graph* child) {
  return guarded(graph->context, [&] {
    if (!child || child == graph || child->context != graph->context) return invalid_value;
    GraphNode node;
    node.kind = GraphNode::Kind::child;
    node.child = std::make_shared<const std::vector<GraphNode>>(copies_of_nodes(*child));
    return add(added, graph, after, count, std::move(node));
  });
}

EXPORT int cuGraphInstantiateWithFlags(GraphExec** made, Graph* graph, unsigned long long flags) {
  return guarded(graph->context, [&] {
    if (flags != 0) return invalid_value;
    if (auto result = static_cast<int>(process().options.get("instantiate", 0))) return result;
    auto exec = std::make_unique<GraphExec>(GraphExec{graph->context, {}, {}});
    for (const std::unique_ptr<GraphNode>& node : graph->nodes) exec->originals.push_back(node.get());
    exec->nodes = copies_of_nodes(*graph);
    *made = exec.get();
    graph->context->execs.push_back(std::move(exec));
    return 0;
  });
}

EXPORT int cuGraphExecKernelNodeSetParams_v2(GraphExec* exec, GraphNode* node, const KernelNodeParameters* parameters) {
  return guarded(exec->context, [&] {
    GraphNode* found = find_node(exec, node);
    if (!found || found->kind != GraphNode::Kind::kernel) return invalid_value;
    return check_launch(*parameters, &found->launch);
  });
}

// The ends stay in the memory that they were in.
EXPORT int cuGraphExecMemcpyNodeSetParams(GraphExec* exec, GraphNode* node, const CopyNodeParameters* parameters,
                                          Context* context) {
  return guarded(exec->context, [&] {
    GraphNode* found = find_node(exec, node);
    if (!found || found->kind != GraphNode::Kind::copy || !is_plain(*parameters) || context != exec->context)
      return invalid_value;
    if (found->copy.from.memory != parameters->from.memory || found->copy.to.memory != parameters->to.memory)
      return invalid_value;
    found->copy = *parameters;
    return 0;
  });
}

// Nodes and what stands between them must be as they were; the kernels and copies may be others.
EXPORT int cuGraphExecChildGraphNodeSetParams(GraphExec* exec, GraphNode* node, const Graph* child) {
  return guarded(exec->context, [&] {
    GraphNode* found = find_node(exec, node);
    if (!found || found->kind != GraphNode::Kind::child || !child || child->context != exec->context)
      return invalid_value;
    GraphNode changed = *found;
    changed.child = std::make_shared<const std::vector<GraphNode>>(copies_of_nodes(*child));
    if (!is_alike(*found, changed)) return update_failure;
    *found = std::move(changed);
    return 0;
  });
}

EXPORT int cuGraphUpload(GraphExec* exec, Stream*) {
  return guarded(exec->context, [] { return 0; });
}

EXPORT int cuGraphLaunch(GraphExec* exec, Stream* stream) {
  return guarded(exec->context, [&] {
    if (stream->context != exec->context) return invalid_handle;
    GraphNode node;
    node.kind = GraphNode::Kind::child;
    node.child = std::make_shared<const std::vector<GraphNode>>(exec->nodes);
    if (stream->capture) return give(*stream, std::move(node));
    ++process().graph_launches;
    const int64_t lose = process().options.get("lose", 0), before = process().launches;
    process().launches += count_kernels(exec->nodes);
    if (before < lose && lose <= process().launches) {
      exec->context->failed = 719;
      return 0;  // as real ones: said later
    }
    return give(*stream, std::move(node));
  });
}

EXPORT int cuGraphExecDestroy(GraphExec* exec) {
  std::lock_guard lock(process().mutex);
  return std::erase_if(exec->context->execs, [&](const auto& each) { return each.get() == exec; }) ? 0 : invalid_value;
}
