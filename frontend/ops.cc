#include "placewright/ops.h"

#include <fmt/core.h>

#include "capture/node.h"

namespace placewright {

using capture::At;

namespace {

Sizes two(int64_t value) { return {value, value}; }

// An error of our own checks, with the user's line.
[[noreturn]] void fail(const Operand& x, const std::string& message) {
  SourceSite site = capture::to_source_site(capture::site_of(x.where()));
  throw Error(site.file.empty() ? message : fmt::format("{} ({})", message, site.to_string()));
}

Tensor floating(const At& at, const Operand& x) {
  DType dtype = capture::common_dtype({&x, 1});
  return at.convert(x, is_floating(dtype) ? dtype : DType::f32);
}

Attributes pool_attributes(int64_t window, const Pool2dOptions& options) {
  return {{"window", two(window)},
          {"stride", options.stride ? two(options.stride) : Sizes{}},
          {"padding_low", two(options.padding)},
          {"padding_high", two(options.padding)}};
}

Tensor compare(std::string_view op, const Operand& a, const Operand& b) {
  At at(a.where());
  return at(op, at.meet({a, b}));
}

}  // namespace

Tensor operator+(const Operand& a, const Operand& b) { return compare("add", a, b); }
Tensor operator-(const Operand& a, const Operand& b) { return compare("sub", a, b); }
Tensor operator*(const Operand& a, const Operand& b) { return compare("mul", a, b); }
Tensor operator/(const Operand& a, const Operand& b) {
  At at(a.where());
  return at("div", at.meet({a, b}, true));
}
Tensor operator-(const Operand& a) {
  At at(a.where());
  return at("neg", at.meet({a}));
}
Tensor operator<(const Operand& a, const Operand& b) { return compare("less", a, b); }
Tensor operator<=(const Operand& a, const Operand& b) { return compare("less_equal", a, b); }
Tensor operator>(const Operand& a, const Operand& b) { return compare("greater", a, b); }
Tensor operator>=(const Operand& a, const Operand& b) { return compare("greater_equal", a, b); }
Tensor operator==(const Operand& a, const Operand& b) { return compare("equal", a, b); }
Tensor operator!=(const Operand& a, const Operand& b) { return compare("not_equal", a, b); }

Tensor matmul(const Operand& a, const Operand& b) {
  At at(a.where());
  const Operand both[] = {a, b};
  DType dtype = capture::common_dtype(both);
  return at("matmul", {at.convert(a, dtype), at.convert(b, dtype)});
}

Tensor linear(const Operand& x, const Tensor& weight, const Tensor& bias) {
  At at(x.where());
  std::vector<Tensor> operands{at.convert(x, weight.dtype()), weight};
  if (bias.is_defined()) operands.push_back(bias);
  return at("linear", std::move(operands));
}

Tensor conv2d(const Operand& x, const Tensor& weight, const Tensor& bias, Conv2dOptions options) {
  At at(x.where());
  Tensor result = at("conv", {at.convert(x, weight.dtype()), weight},
                     {{"stride", two(options.stride)},
                      {"padding_low", two(options.padding)},
                      {"padding_high", two(options.padding)},
                      {"dilation", two(options.dilation)},
                      {"groups", options.groups}});
  if (!bias.is_defined()) return result;
  return at("add", {result, at("broadcast", {bias}, {{"shape", result.shape()}, {"dims", Sizes{1}}})});
}

Tensor max_pool2d(const Operand& x, int64_t window, Pool2dOptions options) {
  At at(x.where());
  return at("max_pool", {x}, pool_attributes(window, options));
}

Tensor avg_pool2d(const Operand& x, int64_t window, Pool2dOptions options) {
  At at(x.where());
  return at("avg_pool", {floating(at, x)}, pool_attributes(window, options));
}

Tensor softmax(const Operand& x, int dim) {
  At at(x.where());
  Tensor value = floating(at, x);
  return at("softmax", {value}, {{"dim", int64_t{capture::resolve_dim(dim, value.rank(), "softmax")}}});
}

Tensor log_softmax(const Operand& x, int dim) {
  At at(x.where());
  Tensor value = floating(at, x);
  return at("log_softmax", {value}, {{"dim", int64_t{capture::resolve_dim(dim, value.rank(), "log_softmax")}}});
}

Tensor layer_norm(const Operand& x, const Tensor& weight, const Tensor& bias, double epsilon) {
  At at(x.where());
  std::vector<Tensor> operands{at.convert(x, weight.dtype()), weight};
  if (bias.is_defined()) operands.push_back(bias);
  return at("layer_norm", std::move(operands), {{"epsilon", epsilon}});
}

Tensor embedding(const Tensor& table, const Operand& ids) {
  At at(ids.where());
  return at("embedding", {table, ids});
}

Tensor concat(const std::vector<Tensor>& parts, int dim, Here where) {
  if (parts.empty()) throw Error("concat: found no tensors, expected one or more");
  At at(where);
  std::vector<Operand> operands;
  for (const Tensor& part : parts) operands.emplace_back(part, where);
  DType dtype = capture::common_dtype(operands);
  std::vector<Tensor> converted;
  for (const Tensor& part : parts) converted.push_back(at.cast(part, dtype));
  return at("concat", std::move(converted), {{"dim", int64_t{capture::resolve_dim(dim, parts[0].rank(), "concat")}}});
}

Tensor stack(const std::vector<Tensor>& parts, Here where) {
  At at(where);
  std::vector<Tensor> raised;
  for (const Tensor& part : parts) {
    Shape shape = part.shape();
    shape.insert(shape.begin(), Dim(1));
    raised.push_back(at("reshape", {part}, {{"shape", shape}}));
  }
  return concat(raised, 0, where);
}

Tensor slice(const Operand& x, int dim, int64_t start, int64_t stop, int64_t step) {
  At at(x.where());
  Tensor value = x;
  int d = capture::resolve_dim(dim, value.rank(), "slice");
  int64_t size = value.shape()[d].number();
  if (start < 0) start += size;
  if (stop < 0) stop += size;
  stop = std::min(stop, size);
  if (start < 0 || start > stop || step < 1)
    fail(x, fmt::format(
                "slice: start {}, stop {}, step {} of a dimension of {}, expected 0 <= start <= stop and step >= 1",
                start, stop, step, size));
  Sizes starts(value.rank(), 0), stops = value.sizes(), steps(value.rank(), 1);
  starts[d] = start;
  stops[d] = stop;
  steps[d] = step;
  return at("slice", {value}, {{"starts", starts}, {"limits", stops}, {"strides", steps}});
}

Tensor where(const Operand& condition, const Operand& if_true, const Operand& if_false) {
  At at(condition.where());
  std::vector<Tensor> values = at.meet({if_true, if_false});
  Tensor chosen = at.convert(condition, DType::boolean);
  Shape shape;
  try {
    shape = capture::common_shape(chosen.shape(), values[0].shape());
  } catch (const Error& error) {
    fail(condition, fmt::format("where: a condition of shape {} and values of {} do not broadcast: {}",
                                to_string(chosen.shape()), to_string(values[0].shape()), error.what()));
  }
  return at("select", {at.broadcast(chosen, shape), at.broadcast(values[0], shape), at.broadcast(values[1], shape)});
}

Tensor clamp(const Operand& x, const Operand& low, const Operand& high) {
  At at(x.where());
  return at("clamp", at.meet({x, low, high}));
}

Tensor mse_loss(const Operand& prediction, const Operand& target) {
  At at(prediction.where());
  return at("mse", at.meet({prediction, target}, true));
}

namespace {
Tensor class_loss(std::string_view op, const Operand& x, const Operand& labels) {
  At at(x.where());
  Tensor classes = labels;
  if (classes.dtype() == DType::u8) classes = at.cast(classes, DType::i32);
  return at(op, {floating(at, x), classes});
}
}  // namespace

Tensor cross_entropy(const Operand& logits, const Operand& labels) {
  return class_loss("cross_entropy", logits, labels);
}
Tensor nll_loss(const Operand& log_probabilities, const Operand& labels) {
  return class_loss("nll", log_probabilities, labels);
}

std::vector<Tensor> gradients(const Tensor& loss, const std::vector<Tensor>& with_respect_to, Here where) {
  std::vector<Tensor> all = At(where).gradients({loss}, with_respect_to);
  return {all.begin() + 1, all.end()};
}

}  // namespace placewright
