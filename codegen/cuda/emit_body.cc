// Scalar bodies, and how their loads and stores find memory.
#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "placewright/base/join.h"
#include "stage_emitter.h"

namespace placewright {

std::string cuda_type(DType dtype) {
  switch (dtype) {
    case DType::boolean:
      return "bool";
    case DType::u8:
      return "unsigned char";
    case DType::i32:
      return "int";
    case DType::u32:
      return "unsigned";
    case DType::i64:
      return "i64";
    case DType::u64:
      return "u64";
    case DType::f32:
      return "float";
    case DType::f64:
      return "double";
    default:
      throw Error(fmt::format("no CUDA kernels of {} yet", placewright::name(dtype)));
  }
}

std::string cuda_memory_type(DType dtype) { return dtype == DType::boolean ? "unsigned char" : cuda_type(dtype); }

std::string cuda_constant(const ScalarNode& node) {
  switch (node.dtype) {
    case DType::boolean:
      return node.integer != 0 ? "true" : "false";
    case DType::f32: {
      auto value = static_cast<float>(node.number);
      if (!std::isfinite(value)) return fmt::format("__int_as_float(0x{:x})", std::bit_cast<uint32_t>(value));
      return fmt::format("{:a}f", value);
    }
    case DType::f64:
      if (!std::isfinite(node.number))
        return fmt::format("__longlong_as_double(0x{:x}ll)", std::bit_cast<uint64_t>(node.number));
      return fmt::format("{:a}", node.number);
    default:
      return fmt::format("({})0x{:x}ull", cuda_type(node.dtype), static_cast<uint64_t>(node.integer));
  }
}

const ScalarBody& StageEmitter::body_of(BodyKind kind) const {
  return kind == BodyKind::body ? stage_.body : kind == BodyKind::epilogue ? stage_.epilogue : stage_.reduction.combine;
}

const std::string* StageEmitter::recall(const std::vector<int64_t>& key) const {
  for (auto scope = memo_.rbegin(); scope != memo_.rend(); ++scope)
    if (auto found = scope->find(key); found != scope->end()) return &found->second;
  return nullptr;
}

// The dimensions that a value depends on, as a set of bits.
uint64_t StageEmitter::dependencies(BodyKind kind, const Access& access) {
  uint64_t dims = 0;
  for (const AffineExpr& expr : access.index)
    for (int d = 0; d < stage_.rank(); ++d)
      if (expr.coefficients[d] != 0) dims |= uint64_t{1} << d;
  for (const Access::Indirect& part : access.indirect) dims |= dependencies(kind, part.node);
  return dims;
}

uint64_t StageEmitter::dependencies(BodyKind kind, int number) {
  const ScalarNode& node = body_of(kind)[number];
  uint64_t dims = 0;
  for (int operand : node.operands)
    if (operand >= 0) dims |= dependencies(kind, operand);
  if (node.op == ScalarOp::index) dims |= uint64_t{1} << node.slot;
  if (node.op == ScalarOp::load) dims |= dependencies(kind, stage_.accesses[node.slot]);
  if (node.op == ScalarOp::reduced)
    for (int d = 0; d < stage_.rank(); ++d)
      if (!stage_.reduced[d]) dims |= uint64_t{1} << d;
  return dims;
}

Sizes StageEmitter::relevant(const Sizes& point, uint64_t dims) const {
  Sizes kept = point;
  for (int d = 0; d < stage_.rank(); ++d)
    if (!(dims >> d & 1)) kept[d] = 0;
  return kept;
}

std::string StageEmitter::node(BodyKind kind, int number, const Sizes& point) {
  const ScalarNode& node = body_of(kind)[number];
  if (node.op == ScalarOp::constant) return cuda_constant(node);
  if (node.op == ScalarOp::parameter) return parameters_[node.slot];
  Sizes at = point;
  for (int d = 0; d < stage_.rank(); ++d)
    if (kind == BodyKind::epilogue && stage_.reduced[d]) at[d] = 0;
  if (node.op == ScalarOp::reduced) return reduced_at_.at(at)[static_cast<size_t>(node.slot)];
  at = relevant(at, kind == BodyKind::combine ? 0 : dependencies(kind, number));
  std::vector<int64_t> key{0, static_cast<int64_t>(kind), number};
  key.insert(key.end(), at.begin(), at.end());
  if (const std::string* known = recall(key)) return *known;
  std::string value;
  auto staged = kind == BodyKind::body ? staged_.find(number) : staged_.end();
  if (staged != staged_.end()) {
    value = staged->second;
  } else if (node.op == ScalarOp::load) {
    value = load(kind, node, at);
  } else if (node.op == ScalarOp::index) {
    value = fmt::format("(i64){} + {}", dims_[node.slot].base, at[node.slot]);
  } else {
    std::vector<std::string> operands;
    for (int operand : node.operands)
      if (operand >= 0) operands.push_back(this->node(kind, operand, at));
    std::string type = cuda_type(node.dtype);
    if (node.op == ScalarOp::cast || node.op == ScalarOp::bitcast)
      value = fmt::format("pw::{}<{}, {}>({})", placewright::name(node.op), type,
                          cuda_type(body_of(kind)[node.operands[0]].dtype), operands[0]);
    else
      value = fmt::format("pw::{}({})", placewright::name(node.op), join(operands, ", "));
  }
  std::string made = name("v");
  code_.line(fmt::format("const {} {} = {};", cuda_type(node.dtype), made, value));
  memo_.back()[key] = made;
  return made;
}

// --- Places

std::string StageEmitter::buffer(int number) const { return fmt::format("b{}", number); }

// sum of coefficients * (base + offset) + constant; the division is the caller's.
std::string StageEmitter::index_text(const AffineExpr& expr, const Sizes& point) const {
  std::string text;
  int64_t constant = expr.constant;
  for (int d = 0; d < stage_.rank(); ++d) {
    int64_t coefficient = expr.coefficients[d];
    if (coefficient == 0) continue;
    constant += coefficient * point[d];
    if (dims_[d].base == "0") continue;
    if (!text.empty()) text += " + ";
    text += coefficient == 1 ? dims_[d].base : fmt::format("{} * ({})", dims_[d].base, coefficient);
  }
  if (text.empty()) return std::to_string(constant);
  return constant == 0 ? text : fmt::format("{} + ({})", text, constant);
}

bool StageEmitter::stays_inside(const AffineExpr& expr, int64_t size) const {
  if (expr.divisor != 1) return false;
  int64_t low = expr.constant, high = expr.constant;
  for (int d = 0; d < stage_.rank(); ++d)
    (expr.coefficients[d] < 0 ? low : high) += expr.coefficients[d] * std::max<int64_t>(stage_.extents[d] - 1, 0);
  return low >= 0 && high < size;
}

// Elements that one step along each logical dimension moves by, in a layout without blocks. What is held is there for
// one index of the shared dimensions alone.
std::vector<int64_t> StageEmitter::strides_of(int number) const {
  const KernelBuffer& buffer = kernel_.buffers[number];
  Sizes physical = row_major_strides(physical_sizes(buffer.layout, buffer.sizes));
  std::vector<int64_t> strides(buffer.sizes.size());
  for (size_t i = 0; i < strides.size(); ++i)
    strides[buffer.layout.order.empty() ? i : static_cast<size_t>(buffer.layout.order[i])] = physical[i];
  if (grid_.is_held(number)) std::fill_n(strides.begin(), grid_.shared_dims, 0);
  return strides;
}

StageEmitter::Place StageEmitter::place(BodyKind kind, const Access& access, const Sizes& point) {
  const KernelBuffer& buffer = kernel_.buffers[access.buffer];
  const Layout& layout = buffer.layout;
  Place place;
  auto require = [&](const std::string& condition) {
    place.condition += (place.condition.empty() ? "" : " && ") + condition;
  };
  AffineExpr flat = AffineExpr::number(0, stage_.rank());  // what is affine of the offset
  std::vector<std::string> parts;                          // the rest
  Sizes physical = row_major_strides(physical_sizes(layout, buffer.sizes));
  std::vector<std::string> within;
  std::vector<int64_t> strides = strides_of(access.buffer);
  for (size_t i = 0; i < access.index.size(); ++i) {
    const AffineExpr& expr = access.index[i];
    auto indirect = std::find_if(access.indirect.begin(), access.indirect.end(),
                                 [&](const Access::Indirect& part) { return part.dim == static_cast<int>(i); });
    bool blocked = std::any_of(layout.blocks.begin(), layout.blocks.end(),
                               [&](const Layout::Block& block) { return block.dim == static_cast<int>(i); });
    int64_t low = layout.padding.empty() ? 0 : layout.padding[i].low;
    if (expr.divisor == 1 && indirect == access.indirect.end() && !blocked) {
      for (int d = 0; d < stage_.rank(); ++d) flat.coefficients[d] += expr.coefficients[d] * strides[i];
      flat.constant += (expr.constant + low) * strides[i];
      if (access.guarded && !stays_inside(expr, buffer.sizes[i]))
        require(fmt::format("(u64)({}) < {}ull", index_text(expr, point), buffer.sizes[i]));
      continue;
    }
    std::string at = name("x");
    code_.line(fmt::format("const i64 {} = {};", at, index_text(expr, point)));
    if (expr.divisor != 1) {
      std::string quotient = name("x");
      code_.line(fmt::format("const i64 {} = {} / {};", quotient, at, expr.divisor));
      require(fmt::format("{} % {} == 0", at, expr.divisor));
      at = quotient;
    }
    if (indirect != access.indirect.end()) {
      std::string moved = name("x");
      code_.line(fmt::format("const i64 {} = pw::add({}, {});", moved, at, node(kind, indirect->node, point)));
      at = moved;
      code_.line(fmt::format("if ((u64){} >= {}ull) pw::raise(status, {});", at, buffer.sizes[i],
                             static_cast<uint64_t>(Status::index_out_of_range)));
    }
    if (access.guarded || indirect != access.indirect.end())
      require(fmt::format("(u64){} < {}ull", at, buffer.sizes[i]));
    if (low != 0) at = fmt::format("({} + {})", at, low);
    for (size_t b = 0; b < layout.blocks.size(); ++b) {
      if (layout.blocks[b].dim != static_cast<int>(i)) continue;
      int64_t factor = layout.blocks[b].factor;
      parts.push_back(fmt::format("{} % {} * {}", at, factor, physical[buffer.sizes.size() + b]));
      at = fmt::format("({} / {})", at, factor);
    }
    parts.push_back(fmt::format("{} * {}", at, strides[i]));
  }
  place.offset = index_text(flat, point);
  for (const std::string& part : parts) place.offset += " + " + part;
  return place;
}

// Whether the vector at `first` is a run of memory that one wide access may take: buffers are 64-byte aligned.
bool StageEmitter::is_run(const Access& access, const Sizes& first) const {
  const KernelBuffer& buffer = kernel_.buffers[access.buffer];
  int dim = how_.vector_dim;
  if (dim < 0 || dims_[dim].overhangs || !access.indirect.empty() || !buffer.layout.blocks.empty()) return false;
  int64_t count = dims_[dim].tile;
  if (count < 2 || !std::has_single_bit(static_cast<uint64_t>(count)) || first[dim] != 0) return false;
  std::vector<int64_t> strides = strides_of(access.buffer), along(stage_.extents.size(), 0);
  int64_t constant = 0;
  for (size_t i = 0; i < access.index.size(); ++i) {
    const AffineExpr& expr = access.index[i];
    if (expr.divisor != 1 || (access.guarded && !stays_inside(expr, buffer.sizes[i]))) return false;
    int64_t low = buffer.layout.padding.empty() ? 0 : buffer.layout.padding[i].low;
    constant += (expr.constant + low) * strides[i];
    for (int d = 0; d < stage_.rank(); ++d) along[d] += expr.coefficients[d] * strides[i];
  }
  if (along[dim] != 1 || constant % count != 0) return false;
  for (int d = 0; d < stage_.rank(); ++d) {
    int64_t multiple = d == dim || dims_[d].low_multiple == 0 ? std::max<int64_t>(dims_[d].low_multiple, 0) : 1;
    if (d == dim ? multiple % count != 0 : stage_.extents[d] > 1 && along[d] % count != 0) return false;
  }
  return true;
}

std::string StageEmitter::load(BodyKind kind, const ScalarNode& node, const Sizes& point) {
  const Access& access = stage_.accesses[node.slot];
  bool is_boolean = node.dtype == DType::boolean;
  int dim = how_.vector_dim;
  if (dim >= 0) {
    Sizes first = point;
    first[dim] = 0;
    if (is_run(access, first)) {
      std::vector<int64_t> key{1, static_cast<int64_t>(kind), node.slot};
      key.insert(key.end(), first.begin(), first.end());
      const std::string* known = recall(key);
      std::string wide = known ? *known : name("w");
      if (!known) {
        code_.line(fmt::format("const auto {} = pw::load_vec<{}>({} + ({}));", wide, dims_[dim].tile,
                               buffer(access.buffer), place(kind, access, first).offset));
        memo_.back()[key] = wide;
      }
      return fmt::format("{}.v[{}]{}", wide, point[dim], is_boolean ? " != 0" : "");
    }
  }
  Place at = place(kind, access, point);
  std::string value = fmt::format("{}[{}]{}", buffer(access.buffer), at.offset, is_boolean ? " != 0" : "");
  if (at.condition.empty()) return value;
  ScalarNode outside{.op = ScalarOp::constant,
                     .dtype = node.dtype,
                     .number = access.outside,
                     .integer = is_floating(node.dtype) ? 0 : static_cast<int64_t>(access.outside)};
  return fmt::format("{} ? {} : {}", at.condition, value, cuda_constant(outside));
}

// --- Stores

// All values are computed before the first store, so that a result may stand in an operand's place.
void StageEmitter::store_points(BodyKind kind, const std::vector<Store>& stores, const std::vector<Sizes>& points) {
  for (const Sizes& point : points)
    for (const Store& one : stores) node(kind, one.node, point);
  for (const Store& one : stores)
    for (const Sizes& point : points)
      if (!store_vector(kind, one, point)) store(kind, one, point);
}

void StageEmitter::store(BodyKind kind, const Store& store, const Sizes& point) {
  const Access& access = stage_.accesses[store.access];
  DType dtype = kernel_.buffers[access.buffer].dtype;
  std::string value = node(kind, store.node, point);
  Place at = place(kind, access, point);
  std::string element = fmt::format("{}[{}]", buffer(access.buffer), at.offset);
  if (store.add) {
    std::string before = dtype == DType::boolean ? element + " != 0" : element;
    value = fmt::format("pw::add<{}>({}, {})", cuda_type(dtype), before, value);
  }
  std::string inside = overhang(point, false);
  if (!inside.empty() && !at.condition.empty()) inside += " && ";
  inside += at.condition;
  code_.line(fmt::format("{}{} = {};", inside.empty() ? "" : fmt::format("if ({}) ", inside), element, value));
}

// Whether the point belongs to a run that is stored at once, with its first point.
bool StageEmitter::store_vector(BodyKind kind, const Store& store, const Sizes& point) {
  const Access& access = stage_.accesses[store.access];
  int dim = how_.vector_dim;
  if (dim < 0 || store.add || stage_.reduced[dim]) return false;
  Sizes first = point;
  first[dim] = 0;
  if (!is_run(access, first) || !overhang(point, false).empty()) return false;
  if (point[dim] != 0) return true;
  std::vector<std::string> values;
  for (int64_t i = 0; i < dims_[dim].tile; ++i) {
    Sizes at = first;
    at[dim] = i;
    values.push_back(node(kind, store.node, at));
  }
  std::string type = cuda_memory_type(kernel_.buffers[access.buffer].dtype), wide = name("w");
  code_.line(fmt::format("const pw::vec<{}, {}> {} = {{{{{}}}}};", type, values.size(), wide, join(values, ", ")));
  code_.line(
      fmt::format("pw::store_vec({} + ({}), {});", buffer(access.buffer), place(kind, access, first).offset, wide));
  return true;
}

}  // namespace placewright
