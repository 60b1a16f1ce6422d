#include "stage_writer.h"

#include <algorithm>

#include "placewright/base/error.h"

namespace placewright {

std::optional<AffineExpr> compose(const AffineExpr& inner, const std::vector<AffineExpr>& dims) {
  int rank = dims.empty() ? 0 : static_cast<int>(dims[0].coefficients.size());
  AffineExpr composed = AffineExpr::number(inner.constant, rank);
  composed.divisor = inner.divisor;
  for (size_t d = 0; d < inner.coefficients.size(); ++d) {
    if (inner.coefficients[d] == 0) continue;
    if (dims[d].divisor != 1) return std::nullopt;
    composed.constant += inner.coefficients[d] * dims[d].constant;
    for (int i = 0; i < rank; ++i) composed.coefficients[i] += inner.coefficients[d] * dims[d].coefficients[i];
  }
  return composed;
}

std::optional<Access> compose(Access inner, const std::vector<AffineExpr>& dims, int rank) {
  for (AffineExpr& expr : inner.index) {
    std::optional<AffineExpr> composed = compose(expr, dims);
    if (!composed) return std::nullopt;
    composed->coefficients.resize(static_cast<size_t>(rank), 0);
    expr = std::move(*composed);
  }
  return inner;
}

bool stays_inside(const Access& access, const Sizes& buffer_sizes, const Sizes& extents) {
  if (!access.indirect.empty()) return false;
  for (size_t i = 0; i < access.index.size(); ++i) {
    const AffineExpr& expr = access.index[i];
    if (expr.divisor != 1) return false;
    int64_t low = expr.constant, high = expr.constant;
    for (size_t d = 0; d < extents.size(); ++d)
      (expr.coefficients[d] < 0 ? low : high) += expr.coefficients[d] * std::max<int64_t>(extents[d] - 1, 0);
    if (low < 0 || high >= buffer_sizes[i]) return false;
  }
  return true;
}

int StageWriter::add(const ScalarNode& node) {
  auto same = std::find(body_.begin(), body_.end(), node);
  // NaN constants are equal to nothing, and are added again: harmless.
  if (same != body_.end()) return static_cast<int>(same - body_.begin());
  body_.push_back(node);
  return static_cast<int>(body_.size()) - 1;
}

int StageWriter::add_access(const Access& access) {
  auto same = std::find(stage_.accesses.begin(), stage_.accesses.end(), access);
  // Indirect parts name nodes of one body, so such an access is never shared between bodies.
  if (same != stage_.accesses.end() && access.indirect.empty()) return static_cast<int>(same - stage_.accesses.begin());
  stage_.accesses.push_back(access);
  return static_cast<int>(stage_.accesses.size()) - 1;
}

int StageWriter::load(DType dtype, const Access& access) {
  return add({.op = ScalarOp::load, .dtype = dtype, .slot = add_access(access)});
}

std::vector<int> StageWriter::copy(const Stage& from, std::span<const ScalarNode> body,
                                   const std::vector<AffineExpr>* dims, const Load& load) {
  std::vector<int> nodes;
  for (ScalarNode node : body) {
    for (int& operand : node.operands)
      if (operand >= 0) operand = nodes[operand];
    if (node.op == ScalarOp::load) {
      Access access = from.accesses[node.slot];
      for (Access::Indirect& part : access.indirect) part.node = nodes[part.node];
      nodes.push_back(load(node, access));
    } else if (node.op == ScalarOp::index && dims) {
      nodes.push_back(index((*dims)[node.slot]));
    } else {
      nodes.push_back(add(node));
    }
  }
  return nodes;
}

int StageWriter::index(const AffineExpr& expr) {
  PW_CHECK(expr.divisor == 1);
  int sum = -1;
  auto plus = [&](int node) {
    sum = sum < 0 ? node : add({.op = ScalarOp::add, .dtype = DType::i64, .operands = {sum, node, -1}});
  };
  auto number = [&](int64_t value) { return add({.op = ScalarOp::constant, .dtype = DType::i64, .integer = value}); };
  for (size_t d = 0; d < expr.coefficients.size(); ++d) {
    if (expr.coefficients[d] == 0) continue;
    int at = add({.op = ScalarOp::index, .dtype = DType::i64, .slot = static_cast<int>(d)});
    if (expr.coefficients[d] != 1)
      at = add({.op = ScalarOp::mul, .dtype = DType::i64, .operands = {at, number(expr.coefficients[d]), -1}});
    plus(at);
  }
  if (sum < 0 || expr.constant != 0) plus(number(expr.constant));
  return sum;
}

}  // namespace placewright
