#include "placewright/ir/type.h"

#include <charconv>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "placewright/base/join.h"

namespace placewright {

Dim Dim::symbol(std::string name, int64_t bound) {
  PW_CHECK(!name.empty() && bound >= 0);
  Dim dim(bound);
  dim.symbol_ = std::move(name);
  return dim;
}

int64_t Dim::number() const {
  if (!is_number())
    throw Error(fmt::format("dimension {} is a symbol, where a number is needed: specialise the graph first", symbol_));
  return number_;
}

std::string Dim::to_string() const {
  return is_number() ? std::to_string(number_) : fmt::format("{}<={}", symbol_, number_);
}

Dim operator*(const Dim& a, const Dim& b) {
  if (a == Dim(1)) return b;
  if (b == Dim(1)) return a;
  if (!a.is_number() || !b.is_number())
    throw Error(fmt::format("cannot multiply dimensions {} and {}: a symbol must keep a dimension of its own",
                            a.to_string(), b.to_string()));
  return checked_mul(a.number_, b.number_);
}

Type::Type() = default;
Type::Type(const Type&) = default;
Type::Type(Type&&) noexcept = default;
Type& Type::operator=(const Type&) = default;
Type& Type::operator=(Type&&) noexcept = default;
Type::~Type() = default;
Type::Type(TensorType tensor) : value_(std::variant<TensorType>(std::move(tensor))) {}
Type::Type(DType dtype, Shape shape) : Type(TensorType{dtype, std::move(shape), {}, {}}) {}
bool operator==(const Type& a, const Type& b) { return a.value_ == b.value_; }

template <typename T>
void Type::set(T TensorType::* member, T value) {
  if (tensor().*member != value) std::get<TensorType>(value_.own()).*member = std::move(value);
}
void Type::set_dtype(DType dtype) { set(&TensorType::dtype, dtype); }
void Type::set_shape(Shape shape) { set(&TensorType::shape, std::move(shape)); }
void Type::set_layout(Layout layout) { set(&TensorType::layout, std::move(layout)); }
void Type::set_where(Where where) { set(&TensorType::where, std::move(where)); }

int64_t element_count(const Sizes& sizes) {
  int64_t count = 1;
  for (int64_t size : sizes) count = checked_mul(count, size);
  return count;
}

int64_t byte_size(DType dtype, const Sizes& sizes) {
  int64_t bits = info(dtype).bits;
  for (int64_t size : sizes) {
    if (size < 0)
      throw Error(fmt::format("a tensor of {}{}: expected sizes of 0 or more", name(dtype), to_string(sizes)));
    if (__builtin_mul_overflow(bits, size, &bits))
      throw Error(fmt::format("a tensor of {}{} takes more bytes than 64 bits count: expected smaller sizes",
                              name(dtype), to_string(sizes)));
  }
  return ceil_div(bits, 8);
}

Sizes row_major_strides(const Sizes& sizes) {
  Sizes strides(sizes.size(), 1);
  for (size_t i = sizes.size(); i-- > 1;) strides[i - 1] = checked_mul(strides[i], sizes[i]);
  return strides;
}

std::string to_string(const Sizes& sizes) { return fmt::format("[{}]", join(sizes, ",")); }

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? "," : "") + shape[i].to_string();
  return text + "]";
}

std::string DeviceId::to_string() const { return kind + ":" + std::to_string(ordinal); }

Sizes physical_sizes(const Layout& layout, const Sizes& logical) {
  Sizes padded = logical;
  for (size_t i = 0; i < layout.padding.size(); ++i)
    padded[i] = checked_add(padded[i], layout.padding[i].low + layout.padding[i].high);
  for (const Layout::Block& block : layout.blocks) padded[block.dim] = ceil_div(padded[block.dim], block.factor);
  Sizes physical;
  if (layout.order.empty())
    physical = padded;
  else
    for (int dim : layout.order) physical.push_back(padded[dim]);
  for (const Layout::Block& block : layout.blocks) physical.push_back(block.factor);
  return physical;
}

DeviceId parse_device(std::string_view text) {
  size_t colon = text.find(':');
  DeviceId device{std::string(text.substr(0, colon)), 0};
  bool ok = !device.kind.empty();
  for (char c : device.kind) ok = ok && (std::isalnum(static_cast<unsigned char>(c)) || c == '_');
  if (colon != std::string_view::npos) {
    std::string_view digits = text.substr(colon + 1);
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), device.ordinal);
    ok = ok && error == std::errc{} && end == digits.data() + digits.size() && device.ordinal >= 0;
  }
  if (!ok) throw Error(fmt::format("'{}' is no device: expected a kind and an ordinal, such as cpu or sim:1", text));
  return device;
}

Sizes TensorType::sizes() const {
  Sizes sizes;
  sizes.reserve(shape.size());
  for (const Dim& dim : shape) sizes.push_back(dim.number());
  return sizes;
}

int64_t TensorType::bytes() const {
  if (!layout.is_row_major()) return byte_size(dtype, element_count(physical_sizes(layout, sizes())));
  int64_t count = 1;  // asked for so often that it makes no list of sizes
  for (const Dim& dim : shape) count = checked_mul(count, dim.number());
  return byte_size(dtype, count);
}

namespace {

std::string layout_text(const Layout& layout) {
  std::vector<std::string> parts;
  if (!layout.order.empty()) parts.push_back(fmt::format("order={}", join(layout.order, ",")));
  for (const Layout::Block& block : layout.blocks) parts.push_back(fmt::format("block={}:{}", block.dim, block.factor));
  for (size_t i = 0; i < layout.padding.size(); ++i)
    if (layout.padding[i] != Layout::Padding{})
      parts.push_back(fmt::format("pad={}:{}..{}", i, layout.padding[i].low, layout.padding[i].high));
  return parts.empty() ? "" : fmt::format("{{{}}}", join(parts, " "));
}

std::string where_text(const Where& where) {
  if (!where.is_placed()) return "";
  std::vector<std::string> devices, shardings;
  for (const DeviceId& device : where.devices) devices.push_back(device.to_string());
  std::string text = fmt::format("@[{}]", join(devices, ","));
  if (!where.mesh_sizes.empty()) text += fmt::format("({})", join(where.mesh_sizes, "x"));
  for (const Sharding& sharding : where.shardings) switch (sharding.kind) {
      case Sharding::Kind::replicated:
        shardings.push_back("replicated");
        break;
      case Sharding::Kind::split:
        shardings.push_back(fmt::format("split {}", sharding.dim));
        break;
      case Sharding::Kind::partial_sum:
        shardings.push_back("partial_sum");
        break;
    }
  if (!shardings.empty()) text += fmt::format("{{{}}}", join(shardings, ", "));
  return text;
}

}  // namespace

std::string Type::to_string() const {
  const TensorType& type = tensor();
  return std::string(name(type.dtype)) + placewright::to_string(type.shape) + layout_text(type.layout) +
         where_text(type.where);
}

}  // namespace placewright
