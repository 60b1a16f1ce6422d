#include "placewright/tensor.h"

#include <cmath>
#include <ostream>

#include <fmt/core.h>

#include "capture/node.h"
#include "placewright/base/checked.h"
#include "session_body.h"

namespace placewright {

using capture::At;
using capture::Node;

namespace {

const Node& defined(const std::shared_ptr<Node>& node) {
  if (!node) throw Error("an undefined tensor was used: found no value, expected one to be assigned first");
  return *node;
}

HostTensor random(const Sizes& sizes, DType dtype, double (HostRandom::*draw)(uint64_t) const) {
  std::shared_ptr<Session> session = Session::current();
  HostRandom random(session->seed(), session->next_stream());
  HostTensor host(dtype, sizes);
  for (int64_t i = 0; i < host.elements(); ++i) host.set_number(i, (random.*draw)(static_cast<uint64_t>(i)));
  return host;
}

bool fits(int64_t value, DType dtype) {
  const DTypeInfo& of = info(dtype);
  if (of.kind == DTypeKind::floating) return true;
  if (of.kind == DTypeKind::boolean) return value == 0 || value == 1;
  const bool is_signed = of.kind == DTypeKind::signed_integer;
  if (value < 0 && !is_signed) return false;
  const int digits = of.bits - is_signed;
  return digits >= 63 || (value >> digits) == (value < 0 ? -1 : 0);
}

std::string element_text(const HostTensor& host, int64_t position) {
  if (host.dtype() == DType::boolean) return host.integer(position) ? "true" : "false";
  if (!is_floating(host.dtype())) return fmt::format("{}", host.integer(position));
  return fmt::format("{:.4g}", host.number(position));
}

// Nested brackets; of a dimension above six elements the first and last three.
void print_elements(const HostTensor& host, const Sizes& strides, size_t dim, int64_t offset, std::string& text) {
  if (dim == host.sizes().size()) {
    text += element_text(host, offset);
    return;
  }
  constexpr int64_t edge = 3;
  int64_t size = host.sizes()[dim];
  bool is_last = dim + 1 == host.sizes().size();
  text += "[";
  for (int64_t i = 0; i < size; ++i) {
    if (i) text += is_last ? ", " : ",\n" + std::string(dim + 8, ' ');
    if (size > 2 * edge && i == edge) {
      text += "...";
      i = size - edge - 1;
      continue;
    }
    print_elements(host, strides, dim + 1, offset + i * strides[dim], text);
  }
  text += "]";
}

}  // namespace

Tensor::Tensor(HostTensor value, std::source_location where) : Tensor(At(where).value(std::move(value))) {}

DType Tensor::dtype() const { return defined(node_).results[result_].tensor().dtype; }
const Shape& Tensor::shape() const { return defined(node_).results[result_].tensor().shape; }
Sizes Tensor::sizes() const { return defined(node_).results[result_].tensor().sizes(); }
int Tensor::rank() const { return static_cast<int>(shape().size()); }
int64_t Tensor::elements() const { return element_count(sizes()); }
int64_t Tensor::size(int dim) const { return shape()[capture::resolve_dim(dim, rank(), "size")].number(); }

DeviceId Tensor::device() const {
  const Node& node = defined(node_);
  return node.state && node.state->pin ? node.state->pin->device : node.device;
}

std::string Tensor::device_reason() const {
  const Node& node = defined(node_);
  if (node.state && node.state->pin) return "moved at " + node.state->pin->site.to_string();
  return node.device_reason.empty() ? "nothing was moved: tensors are made in host memory" : node.device_reason;
}

double Tensor::item(std::source_location where) const {
  if (elements() != 1)
    throw Error(fmt::format("item() of a tensor of shape {}, expected one element ({})",
                            placewright::to_string(shape()),
                            capture::to_source_site(capture::site_of(where)).to_string()));
  return value(where).number(0);
}

std::string Tensor::to_string() const {
  if (!is_defined()) return "tensor(undefined)";
  HostTensor host = value(std::source_location{});
  std::string text = "tensor(";
  print_elements(host, row_major_strides(host.sizes()), 0, 0, text);
  return text + fmt::format(", {}, {})", name(dtype()), device().to_string());
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) { return out << tensor.to_string(); }

Tensor Tensor::to(const DeviceId& device, std::source_location where) const {
  return At(where).transfer(*this, device);
}
Tensor Tensor::to(const char* device, std::source_location where) const {
  return to(parse_device(device ? device : ""), where);
}
Tensor Tensor::to(const std::string& device, std::source_location where) const {
  return to(parse_device(device), where);
}
Tensor Tensor::to(DType dtype, std::source_location where) const { return At(where).cast(*this, dtype); }

Tensor Tensor::reshape(Sizes sizes, std::source_location where) const {
  Shape target;
  int rest = -1;
  int64_t known = 1;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == -1) {
      if (rest >= 0) throw Error("reshape: found -1 twice, expected it at most once");
      rest = static_cast<int>(i);
    } else {
      if (sizes[i] < 0)
        throw Error(fmt::format("reshape: size {}, expected 0 or more, or -1 once for the rest", sizes[i]));
      known = checked_mul(known, sizes[i]);
    }
    target.emplace_back(sizes[i] == -1 ? 0 : sizes[i]);
  }
  if (rest >= 0) {
    int64_t all = elements();
    if (known == 0 || all % known != 0)
      throw Error(fmt::format("reshape: {} elements do not divide into {}", all, placewright::to_string(sizes)));
    target[rest] = all / known;
  }
  return At(where)("reshape", {*this}, {{"shape", target}});
}

Tensor Tensor::flatten(int from, std::source_location where) const {
  if (rank() == 0) return reshape({1}, where);
  int first = capture::resolve_dim(from, rank(), "flatten");
  Shape target(shape().begin(), shape().begin() + first);
  Dim rest = 1;
  for (int d = first; d < rank(); ++d) rest = rest * shape()[d];
  target.push_back(rest);
  return At(where)("reshape", {*this}, {{"shape", target}});
}

Tensor Tensor::permute(Sizes dims, std::source_location where) const {
  for (int64_t& dim : dims) dim = capture::resolve_dim(dim, rank(), "permute");
  return At(where)("transpose", {*this}, {{"permutation", dims}});
}

Tensor Tensor::transpose(int a, int b, std::source_location where) const {
  Sizes dims;
  for (int d = 0; d < rank(); ++d) dims.push_back(d);
  std::swap(dims[capture::resolve_dim(a, rank(), "transpose")], dims[capture::resolve_dim(b, rank(), "transpose")]);
  return permute(dims, where);
}

Tensor Tensor::t(std::source_location where) const { return rank() < 2 ? *this : transpose(-2, -1, where); }

namespace {
Sizes all_dims(const Tensor& x, Sizes dims, std::string_view op) {
  if (dims.empty())
    for (int d = 0; d < x.rank(); ++d) dims.push_back(d);
  for (int64_t& dim : dims) dim = capture::resolve_dim(dim, x.rank(), op);
  return dims;
}
}  // namespace

Tensor Tensor::sum(Sizes dims, bool keep_dims, std::source_location where) const {
  return At(where)("reduce_sum", {*this},
                   {{"dims", all_dims(*this, std::move(dims), "sum")}, {"keep_dims", keep_dims}});
}

Tensor Tensor::mean(Sizes dims, bool keep_dims, std::source_location where) const {
  return At(where)("mean", {*this}, {{"dims", all_dims(*this, std::move(dims), "mean")}, {"keep_dims", keep_dims}});
}

Tensor Tensor::argmax(int dim, std::source_location where) const {
  return At(where)("argmax", {*this}, {{"dim", int64_t{capture::resolve_dim(dim, rank(), "argmax")}}});
}

Operand::operator Tensor() const {
  if (is_tensor()) return tensor();
  return At(where_).convert(*this, capture::common_dtype({this, 1}));
}

Tensor zeros(Sizes sizes, DType dtype, Here where) { return Tensor(HostTensor(dtype, std::move(sizes)), where); }
Tensor ones(Sizes sizes, DType dtype, Here where) { return full(std::move(sizes), 1, dtype, where); }

Tensor full(Sizes sizes, double value, DType dtype, Here where) {
  HostTensor host(dtype, std::move(sizes));
  for (int64_t i = 0; i < host.elements(); ++i) host.set_number(i, value);
  return Tensor(std::move(host), where);
}

Tensor arange(int64_t count, DType dtype, Here where) {
  HostTensor host(dtype, {count});
  for (int64_t i = 0; i < count; ++i)
    is_floating(dtype) ? host.set_number(i, static_cast<double>(i)) : host.set_integer(i, i);
  return Tensor(std::move(host), where);
}

Tensor rand(const Sizes& sizes, DType dtype, Here where) {
  return Tensor(random(sizes, dtype, &HostRandom::uniform), where);
}
Tensor randn(const Sizes& sizes, DType dtype, Here where) {
  return Tensor(random(sizes, dtype, &HostRandom::normal), where);
}

Tensor randint(int64_t low, int64_t high, Sizes sizes, DType dtype, Here where) {
  if (high <= low) throw Error(fmt::format("randint: found low {} and high {}, expected low < high", low, high));
  if (!fits(low, dtype) || !fits(high - 1, dtype))
    throw Error(fmt::format("randint: numbers from {} to {} do not fit into {}: choose a wider dtype", low, high - 1,
                            name(dtype)));
  std::shared_ptr<Session> session = Session::current();
  HostRandom random(session->seed(), session->next_stream());
  HostTensor host(dtype, std::move(sizes));
  for (int64_t i = 0; i < host.elements(); ++i) {
    // Unsigned: the distance from low to high may be more than the largest i64.
    auto value = static_cast<int64_t>(
        static_cast<uint64_t>(low) +
        random.below(static_cast<uint64_t>(high) - static_cast<uint64_t>(low), static_cast<uint64_t>(i)));
    is_floating(dtype) ? host.set_number(i, static_cast<double>(value)) : host.set_integer(i, value);
  }
  return Tensor(std::move(host), where);
}

}  // namespace placewright
