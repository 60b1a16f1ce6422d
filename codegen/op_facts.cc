#include "placewright/codegen/op_facts.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

#include <fmt/core.h>

#include "placewright/codegen/lower.h"
#include "placewright/ir/op_table.h"
#include "placewright/ir/plan_memory.h"

namespace placewright {
namespace {

// Numbers one after the other, mostly: a string of its own would look for room, out of line, at each.
class SignatureText {
 public:
  template <typename T>
  void add(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    add(&value, sizeof value);
  }
  void add(const void* from, size_t bytes) {
    if (bytes == 0) return;
    if (text_.size() - size_ < bytes) text_.resize(2 * (size_ + bytes));
    std::memcpy(text_.data() + size_, from, bytes);
    size_ += bytes;
  }
  void add_text(std::string_view text) {
    add(text.size());
    add(text.data(), text.size());
  }
  size_t size() const { return size_; }
  void set(size_t at, size_t value) { std::memcpy(text_.data() + at, &value, sizeof value); }
  std::string take() {
    text_.resize(size_);
    return std::move(text_);
  }

 private:
  static constexpr size_t usual_length = 512;
  std::string text_ = std::string(usual_length, '\0');
  size_t size_ = 0;
};

void append(SignatureText& text, const Sizes& sizes) {
  text.add(sizes.size());
  text.add(sizes.data(), sizes.size() * sizeof(int64_t));
}

void append(SignatureText& text, const Shape& shape) {
  text.add(shape.size());
  for (const Dim& dim : shape) {
    text.add(dim.bound());
    text.add(dim.is_number());
    if (!dim.is_number()) text.add_text(dim.symbol_name());
  }
}

void append(SignatureText& text, const TensorType& type) {
  text.add(type.dtype);
  append(text, type.shape);
  text.add(type.layout.is_row_major());
  if (type.layout.is_row_major()) return;
  TensorType laid_out;
  laid_out.layout = type.layout;
  text.add_text(Type(laid_out).to_string());
}

// Appends the attribute, unless it holds a large tensor.
bool try_append(SignatureText& text, const Attribute& attribute) {
  constexpr int64_t small_bytes = 64;
  text.add(attribute.index());
  if (const auto* tensor = std::get_if<HostTensor>(&attribute)) {
    if (tensor->bytes() > small_bytes) return false;
    text.add(tensor->dtype());
    append(text, tensor->sizes());
    text.add(tensor->raw(), static_cast<size_t>(tensor->bytes()));
  } else if (const auto* string = std::get_if<std::string>(&attribute)) {
    text.add_text(*string);
  } else if (const auto* sizes = std::get_if<Sizes>(&attribute)) {
    append(text, *sizes);
  } else if (const auto* shape = std::get_if<Shape>(&attribute)) {
    append(text, *shape);
  } else {
    std::visit(
        [&](const auto& value) {
          if constexpr (std::is_trivially_copyable_v<std::decay_t<decltype(value)>>) text.add(value);
        },
        attribute);
  }
  return true;
}

bool try_append(SignatureText& text, const Graph& graph, const Function& function, const Op& op) {
  text.add(op.entry);
  text.add(op.operands.size());
  for (Value operand : op.operands) append(text, function.tensor(operand));
  text.add(op.results.size());
  for (const Type& type : op.results) append(text, type.tensor());
  for (const auto& [name, attribute] : op.attributes) {
    text.add_text(name);
    if (!try_append(text, attribute)) return false;
  }
  for (FunctionId id : op.functions) {
    const Function& body = graph.functions[id];
    text.add(body.ops.size());
    for (const Op& inner : body.ops) {
      const size_t begin = text.size();
      text.add(size_t{0});  // its length, once that is known
      if (!try_append(text, graph, body, inner)) return false;
      text.set(begin, text.size() - begin - sizeof(size_t));
      for (Value operand : inner.operands) text.add(operand);
    }
    text.add(body.results.size());
    for (Value result : body.results) text.add(result);
  }
  return true;
}

}  // namespace

std::optional<std::string> lowering_signature(const Graph& graph, const Function& function, const Op& op) {
  SignatureText text;
  if (!try_append(text, graph, function, op)) return std::nullopt;
  return text.take();
}

namespace {

bool has_kernel(const Op& op) {
  return op.is("fused") || op.is("relayout") || (can_lower(*op.entry) && !op.entry->traits.view);
}

// The leading dimensions that an access steps along as the stage does, as numbers of pieces.
Sizes pieces_of(const Stage& stage, const Access& access, const KernelBuffer& buffer) {
  Sizes pieces{1};
  for (size_t d = 0; d < access.index.size() && d < stage.extents.size(); ++d) {
    const bool is_moved = std::any_of(access.indirect.begin(), access.indirect.end(),
                                      [&](const Access::Indirect& part) { return part.dim == static_cast<int>(d); });
    const AffineExpr along = AffineExpr::dim(static_cast<int>(d), stage.rank());
    if (is_moved || stage.reduced[d] || access.index[d] != along || buffer.sizes[d] != stage.extents[d]) break;
    pieces.push_back(pieces.back() * stage.extents[d]);
  }
  return pieces;
}

void find_rows(const StructuredKernel& kernel, size_t interface, OpFacts& facts) {
  if (kernel.stages.size() != 1 || kernel.buffers.size() != interface) return;
  const Stage& stage = kernel.stages[0];
  if (std::find(stage.sequential.begin(), stage.sequential.end(), true) != stage.sequential.end()) return;
  facts.pieces.resize(interface);
  for (const Access& access : stage.accesses) {
    Sizes& pieces = facts.pieces[static_cast<size_t>(access.buffer)];
    Sizes found = pieces_of(stage, access, kernel.buffers[static_cast<size_t>(access.buffer)]);
    if (pieces.empty() || found.size() < pieces.size()) pieces = std::move(found);
  }
  if (!stage.has_reduction()) return;
  Rows rows{1, 1};
  for (int d = 0; d < stage.rank(); ++d) {
    if (!stage.reduced[d] && rows.length > 1) return;
    (stage.reduced[d] ? rows.length : rows.count) *= stage.extents[d];
  }
  facts.rows = rows;
}

// What only drops or adds dimensions of one element.
void find_pieces_of_view(const Sizes& from, const Sizes& to, OpFacts& facts) {
  auto without_ones = [](Sizes sizes) {
    std::erase(sizes, 1);
    return sizes;
  };
  const Sizes kept = without_ones(from);
  if (kept != without_ones(to)) return;
  Sizes pieces{1};
  for (int64_t size : kept) pieces.push_back(pieces.back() * size);
  facts.pieces.assign(2, pieces);
}

OpFacts make_facts(const Graph& graph, const Function& function, const Op& op) {
  OpFacts facts;
  for (const Type& type : op.results) facts.results += static_cast<double>(type.tensor().elements());
  for (Value operand : op.operands)
    facts.operands = std::max(facts.operands, static_cast<double>(function.tensor(operand).elements()));
  if (op.entry->traits.view && op.operands.size() == 1)
    find_pieces_of_view(function.tensor(op.operands[0]).sizes(), op.results[0].tensor().sizes(), facts);
  if (!has_kernel(op)) return facts;
  StructuredKernel kernel = lower_launch(graph, function, op);
  find_rows(kernel, op.operands.size() + op.results.size(), facts);
  facts.stages = count_work(kernel);
  facts.cost = count_cost(kernel);
  for (const Stage& stage : kernel.stages) facts.reduces = facts.reduces || stage.has_reduction();
  return facts;
}

LaunchMemory make_memory(const Graph& graph, const Function& function, const Op& op, const KernelMemory& generator) {
  LaunchMemory memory;
  if (!has_kernel(op)) return memory;
  StructuredKernel kernel = lower_launch(graph, function, op, generator.split);
  auto operands = static_cast<int>(op.operands.size());
  for (int operand = 0; operand < operands; ++operand)
    for (int result = 0; result < static_cast<int>(op.results.size()); ++result)
      if (may_run_in_place(kernel, operand, operands + result)) memory.overwritten.emplace_back(operand, result);
  if (generator.workspaces) memory.workspaces = generator.workspaces(std::move(kernel));
  return memory;
}

}  // namespace

std::string kernel_key(StructuredKernel kernel) {
  kernel.name.clear();
  for (KernelBuffer& buffer : kernel.buffers) buffer.name.clear();
  for (Stage& stage : kernel.stages) {
    stage.name.clear();
    stage.reduction.split = {};
  }
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (char c : print_kernel(kernel)) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

std::shared_ptr<const OpFacts> OpFactsTable::find(const Graph& graph, const Function& function, const Op& op) {
  std::optional<std::string> known_by = lowering_signature(graph, function, op);
  if (!known_by) return std::make_shared<const OpFacts>(make_facts(graph, function, op));
  {
    std::lock_guard lock(mutex_);
    if (auto found = facts_.find(*known_by); found != facts_.end()) return found->second;
  }
  auto made = std::make_shared<const OpFacts>(make_facts(graph, function, op));
  std::lock_guard lock(mutex_);
  return facts_.try_emplace(std::move(*known_by), std::move(made)).first->second;
}

std::string OpFactsTable::key(const Graph& graph, const Function& function, const Op& op) {
  if (!has_kernel(op)) return "";
  std::optional<std::string> known_by = lowering_signature(graph, function, op);
  if (!known_by) return kernel_key(lower_launch(graph, function, op));
  std::lock_guard lock(mutex_);
  auto [at, is_new] = keys_.try_emplace(std::move(*known_by));
  if (is_new) at->second = kernel_key(lower_launch(graph, function, op));
  return at->second;
}

std::shared_ptr<const LaunchMemory> OpFactsTable::memory(const Graph& graph, const Function& function, const Op& op,
                                                         const KernelMemory& generator) {
  std::optional<std::string> known_by = lowering_signature(graph, function, op);
  if (!known_by) return std::make_shared<const LaunchMemory>(make_memory(graph, function, op, generator));
  {
    std::lock_guard lock(mutex_);
    auto& known = memory_[generator.key];
    if (auto found = known.find(*known_by); found != known.end()) return found->second;
  }
  auto made = std::make_shared<const LaunchMemory>(make_memory(graph, function, op, generator));
  std::lock_guard lock(mutex_);
  return memory_[generator.key].try_emplace(std::move(*known_by), std::move(made)).first->second;
}

}  // namespace placewright
