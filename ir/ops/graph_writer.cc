#include "graph_writer.h"

#include <algorithm>

#include <fmt/core.h>

namespace placewright::ops {

Shape broadcast_shape(const Shape& a, const Shape& b) {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape shape = longer;
  for (size_t i = 0; i < shorter.size(); ++i) {
    Dim& dim = shape[shape.size() - 1 - i];
    const Dim& other = shorter[shorter.size() - 1 - i];
    if (dim == Dim(1))
      dim = other;
    else if (other != Dim(1) && other != dim)
      throw Error(fmt::format("shapes {} and {} do not broadcast: {} against {}", to_string(a), to_string(b),
                              dim.to_string(), other.to_string()));
  }
  return shape;
}

Expr Expr::number(double value) const { return {*builder_, builder_->constant(dtype(), value)}; }

Expr apply(std::string_view op, const std::vector<Expr>& operands) {
  FunctionBuilder& builder = operands.front().builder();
  Shape shape;
  for (const Expr& operand : operands) shape = broadcast_shape(shape, operand.shape());
  std::vector<Value> values;
  for (const Expr& operand : operands) values.push_back(builder.broadcast_to(operand, shape));
  return {builder, builder(op, std::move(values))};
}

Expr cast(const Expr& a, DType dtype) { return {a.builder(), a.builder().cast(a, dtype)}; }

Expr reshape(const Expr& a, const Shape& shape) {
  if (a.shape() == shape) return a;
  return {a.builder(), a.builder()("reshape", {a}, {{"shape", shape}})};
}

Expr broadcast_to(const Expr& a, const Shape& shape) { return {a.builder(), a.builder().broadcast_to(a, shape)}; }

Expr full_like(const Expr& a, double value) { return broadcast_to(a.number(value), a.shape()); }

Expr sum(const Expr& a, const Sizes& dims, bool keep_dims) {
  return {a.builder(), a.builder()("reduce_sum", {a}, {{"dims", dims}, {"keep_dims", keep_dims}})};
}

Expr maximum(const Expr& a, const Sizes& dims) {
  return {a.builder(), a.builder()("reduce_max", {a}, {{"dims", dims}})};
}

Expr spread(const Expr& a, const Shape& shape, const Sizes& dims) {
  Sizes kept;
  for (int64_t d = 0; d < static_cast<int64_t>(shape.size()); ++d)
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) kept.push_back(d);
  return {a.builder(), a.builder()("broadcast", {a}, {{"shape", shape}, {"dims", kept}})};
}

Expr pick(const Expr& a, const Expr& labels, int64_t dim) {
  Expr kept = reshape(labels, reduced_shape(a.shape(), {dim}, true));
  return reshape({a.builder(), a.builder()("take_along_dim", {a, kept}, {{"dim", dim}})}, labels.shape());
}

Expr take_rows(const Expr& a, const Expr& indices) {
  return {a.builder(), a.builder()("gather", {a, indices}, {{"dim", int64_t{0}}})};
}

Expr count(const Expr& a, const Sizes& dims) {
  double known = 1;
  std::optional<Expr> symbols;
  for (int64_t dim : dims) {
    const Dim size = a.shape()[dim];
    if (size.is_number()) {
      known *= static_cast<double>(size.number());
      continue;
    }
    Expr symbol{a.builder(), a.builder()("size_of", {a}, {{"dim", dim}})};
    symbol = cast(symbol, a.dtype());
    symbols = symbols ? *symbols * symbol : symbol;
  }
  if (!symbols) return a.number(known);
  return known == 1 ? *symbols : *symbols * known;
}

Expr positions(FunctionBuilder& builder, DType dtype, const Shape& shape, int64_t dim) {
  return {builder, builder("iota", {}, {{"dtype", dtype}, {"shape", shape}, {"dim", dim}})};
}

Sizes all_dims(int rank) {
  Sizes dims(rank);
  for (int d = 0; d < rank; ++d) dims[d] = d;
  return dims;
}

Shape reduced_shape(const Shape& shape, const Sizes& dims, bool keep_dims) {
  Shape reduced;
  for (int64_t d = 0; d < static_cast<int64_t>(shape.size()); ++d) {
    bool named = std::find(dims.begin(), dims.end(), d) != dims.end();
    if (!named)
      reduced.push_back(shape[d]);
    else if (keep_dims)
      reduced.push_back(1);
  }
  return reduced;
}

}  // namespace placewright::ops
