#include "placewright/ir/loops.h"

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "placewright/base/join.h"

namespace placewright {

bool is_clipped_by(const Stage& stage, const Access& access, size_t i, int dim) {
  const AffineExpr& expr = access.index[i];
  if (!access.guarded || access.outside != 0 || !access.indirect.empty() || expr.divisor != 1) return false;
  for (int d = 0; d < stage.rank(); ++d)
    if (d != dim && stage.reduced[d] && expr.coefficients[d] != 0) return false;
  return stage.reduced[dim] && std::abs(expr.coefficients[dim]) == 1;
}

bool stays_in_padding(const Stage& stage, const Access& access, const KernelBuffer& buffer, size_t i) {
  const AffineExpr& expr = access.index[i];
  int64_t low = expr.constant, high = expr.constant;
  for (int d = 0; d < stage.rank(); ++d)
    (expr.coefficients[d] < 0 ? low : high) += expr.coefficients[d] * std::max<int64_t>(stage.extents[d] - 1, 0);
  Layout::Padding padding = buffer.layout.padding.empty() ? Layout::Padding{} : buffer.layout.padding[i];
  return low >= -padding.low && high < buffer.sizes[i] + padding.high;
}

int64_t physical_elements(const KernelBuffer& buffer) {
  return element_count(physical_sizes(buffer.layout, buffer.sizes));
}

int64_t flat_offset(const KernelBuffer& buffer, const Access& access, const Sizes& position) {
  const Layout& layout = buffer.layout;
  Sizes index;
  for (const AffineExpr& expr : access.index) {
    int64_t at = expr.constant;
    for (size_t d = 0; d < position.size(); ++d) at += expr.coefficients[d] * position[d];
    index.push_back(at);  // a divisor is applied where the index is computed at run time
  }
  for (size_t i = 0; i < layout.padding.size(); ++i) index[i] += layout.padding[i].low;
  Sizes within;
  for (const Layout::Block& block : layout.blocks) {
    int64_t quotient = index[block.dim] / block.factor;
    if (index[block.dim] % block.factor < 0) --quotient;
    within.push_back(index[block.dim] - quotient * block.factor);
    index[block.dim] = quotient;
  }
  Sizes physical;
  for (size_t i = 0; i < index.size(); ++i)
    physical.push_back(layout.order.empty() ? index[i] : index[layout.order[i]]);
  physical.insert(physical.end(), within.begin(), within.end());
  Sizes strides = row_major_strides(physical_sizes(layout, buffer.sizes));
  int64_t offset = 0;
  for (size_t i = 0; i < physical.size(); ++i) offset += physical[i] * strides[i];
  return offset;
}

namespace {

void print_nodes(const LoopKernel& loops, const std::vector<LoopNode>& nodes, int depth, std::string& text) {
  std::string indent(static_cast<size_t>(2 * depth), ' ');
  for (const LoopNode& node : nodes) {
    if (node.kind == LoopNode::Kind::loop) {
      text += fmt::format("{}for d{} step {}{}\n", indent, node.dim, node.step, node.thread ? " thread" : "");
      print_nodes(loops, node.body, depth + 1, text);
      continue;
    }
    const LoopStage& stage = loops.stages[node.stage];
    text += fmt::format("{}leaf {} {} tile {}", indent, node.stage, loops.kernel.stages[node.stage].name,
                        to_string(stage.tiles));
    if (stage.vector_dim >= 0) text += fmt::format(" vector d{} x{}", stage.vector_dim, stage.lanes);
    if (stage.partial_accumulators > 1) text += fmt::format(" partial {}", stage.partial_accumulators);
    for (const Loop& loop : node.reductions) text += fmt::format(" reduce d{} step {}", loop.dim, loop.step);
    if (stage.transposed_store) text += " transposed";
    text += "\n";
  }
}

}  // namespace

std::string print_loops(const LoopKernel& loops) {
  std::string text = fmt::format("loops {} workspaces [{}]\n", loops.kernel.name, join(loops.workspace_bytes, ","));
  for (const LoopFunction& function : loops.functions) {
    text += fmt::format("function {} extent {} grain {}\n", function.symbol, function.extent, function.grain);
    print_nodes(loops, function.nodes, 1, text);
  }
  return text;
}

}  // namespace placewright
