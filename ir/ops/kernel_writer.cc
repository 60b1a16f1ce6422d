#include "kernel_writer.h"

#include <algorithm>
#include <limits>

#include "placewright/base/checked.h"

namespace placewright::ops {
namespace {

ScalarNode constant_node(DType dtype, double value) {
  ScalarNode node{.op = ScalarOp::constant, .dtype = dtype};
  if (is_floating(dtype))
    node.number = value;
  else
    node.integer = static_cast<int64_t>(value);
  return node;
}

ScalarNode limit_value(DType dtype, bool highest) {
  ScalarNode node{.op = ScalarOp::constant, .dtype = dtype};
  int bits = info(dtype).bits;
  switch (info(dtype).kind) {
    case DTypeKind::boolean:
      node.integer = highest;
      break;
    case DTypeKind::floating:
      node.number = (highest ? 1 : -1) * std::numeric_limits<double>::infinity();
      break;
    case DTypeKind::unsigned_integer:
      node.integer = highest ? static_cast<int64_t>(~uint64_t{0} >> (64 - bits)) : 0;
      break;
    case DTypeKind::signed_integer: {
      auto limit = static_cast<int64_t>(~uint64_t{0} >> (65 - bits));
      node.integer = highest ? limit : -limit - 1;
      break;
    }
  }
  return node;
}

}  // namespace

ScalarNode lowest_value(DType dtype) { return limit_value(dtype, false); }
ScalarNode highest_value(DType dtype) { return limit_value(dtype, true); }

Index operator+(Index a, const Index& b) {
  PW_CHECK(a.divisor == 1 && b.divisor == 1);
  a.terms.insert(a.terms.end(), b.terms.begin(), b.terms.end());
  a.constant += b.constant;
  return a;
}

Index operator-(Index a, const Index& b) { return std::move(a) + b * -1; }

Index operator*(Index a, int64_t factor) {
  PW_CHECK(a.divisor == 1);
  for (auto& [dim, coefficient] : a.terms) coefficient *= factor;
  a.constant *= factor;
  return a;
}

Index divide_or_outside(Index a, int64_t divisor) {
  PW_CHECK(a.divisor == 1 && divisor > 0);
  a.divisor = divisor;
  return a;
}

KernelWriter::KernelWriter(const OpView& view) : operands_(static_cast<int>(view.operands.size())) {
  kernel_.name = view.entry.name;
  auto add = [&](const TensorType& type, KernelBuffer::Role role, std::string name) {
    kernel_.buffers.push_back({std::move(name), type.dtype, type.sizes(), type.layout, role, -1});
  };
  for (int i = 0; i < operands_; ++i) add(view.operand(i), KernelBuffer::Role::input, "in" + std::to_string(i));
  for (int i = 0; i < static_cast<int>(view.results.size()); ++i)
    add(view.result(i), KernelBuffer::Role::output, "out" + std::to_string(i));
}

int KernelWriter::local(std::string name, DType dtype, Sizes sizes) {
  kernel_.buffers.push_back({std::move(name), dtype, std::move(sizes), {}, KernelBuffer::Role::local, -1});
  return static_cast<int>(kernel_.buffers.size()) - 1;
}

int KernelWriter::alias(std::string name, int buffer, Sizes sizes) {
  kernel_.buffers.push_back({std::move(name), dtype(buffer), std::move(sizes), {}, KernelBuffer::Role::local, buffer});
  return static_cast<int>(kernel_.buffers.size()) - 1;
}

Index StageWriter::dimension(int64_t extent, bool reduced) {
  PW_CHECK(stage_.body.empty(), "dimensions stand before the body");
  Index index;
  index.terms.emplace_back(stage_.rank(), 1);
  stage_.extents.push_back(extent);
  stage_.reduced.push_back(reduced);
  return index;
}

bool StageWriter::may_leave(const AffineExpr& index, int64_t size) const {
  if (index.divisor != 1) return true;
  int64_t low = index.constant, high = index.constant;
  for (int d = 0; d < stage_.rank(); ++d) {
    if (stage_.extents[d] == 0) return false;  // the domain is empty
    int64_t reach = checked_mul(index.coefficients[d], stage_.extents[d] - 1);
    (reach < 0 ? low : high) += reach;
  }
  return low < 0 || high >= size;
}

int StageWriter::access(int buffer, const std::vector<Index>& index, double outside) {
  const Sizes& sizes = kernel_.buffers[buffer].sizes;
  PW_CHECK(index.size() == sizes.size(), stage_.name + ": an access has the wrong rank");
  Access made;
  made.buffer = buffer;
  made.outside = outside;
  for (size_t i = 0; i < index.size(); ++i) {
    AffineExpr expr = AffineExpr::number(index[i].constant, stage_.rank());
    for (const auto& [dim, coefficient] : index[i].terms) expr.coefficients[dim] += coefficient;
    expr.divisor = index[i].divisor;
    made.guarded = made.guarded || may_leave(expr, sizes[i]);
    made.index.push_back(std::move(expr));
  }
  stage_.accesses.push_back(std::move(made));
  return static_cast<int>(stage_.accesses.size()) - 1;
}

int StageWriter::load(int buffer, const std::vector<Index>& index, double outside) {
  int slot = access(buffer, index, outside);
  current().push_back({.op = ScalarOp::load, .dtype = kernel_.buffers[buffer].dtype, .slot = slot});
  return static_cast<int>(current().size()) - 1;
}

int StageWriter::load_indirect(int buffer, std::vector<Index> index, int dim, int node) {
  int loaded = load(buffer, std::move(index));
  stage_.accesses.back().indirect = {{dim, node}};
  return loaded;
}

int StageWriter::number(DType dtype, double value) {
  current().push_back(constant_node(dtype, value));
  return static_cast<int>(current().size()) - 1;
}

int StageWriter::position(const Index& index) {
  PW_CHECK(index.divisor == 1);
  int sum = -1;
  auto add = [&](int term) { sum = sum < 0 ? term : node(ScalarOp::add, DType::i64, sum, term); };
  for (const auto& [dim, coefficient] : index.terms) {
    current().push_back({.op = ScalarOp::index, .dtype = DType::i64, .slot = dim});
    int term = static_cast<int>(current().size()) - 1;
    if (coefficient != 1) {
      int factor = number(DType::i64, static_cast<double>(coefficient));
      term = node(ScalarOp::mul, DType::i64, term, factor);
    }
    add(term);
  }
  if (sum < 0 || index.constant != 0) add(number(DType::i64, static_cast<double>(index.constant)));
  return sum;
}

int StageWriter::node(ScalarOp op, DType dtype, int a, int b, int c) {
  current().push_back({.op = op, .dtype = dtype, .operands = {a, b, c}});
  return static_cast<int>(current().size()) - 1;
}

int StageWriter::cast(int value, DType dtype) {
  return this->dtype(value) == dtype ? value : node(ScalarOp::cast, dtype, value);
}

int StageWriter::reduce(Reduction::Kind kind, int value, double init) {
  return reduce(kind, value, constant_node(dtype(value), init));
}

int StageWriter::reduce(Reduction::Kind kind, int value, const ScalarNode& init) {
  DType dtype = this->dtype(value);
  stage_.reduction.dtypes = {dtype};
  stage_.reduction.values = {value};
  stage_.reduction.init = {init};
  stage_.reduction.kind = kind;
  stage_.epilogue.push_back({.op = ScalarOp::reduced, .dtype = dtype, .slot = 0});
  return 0;
}

std::vector<int> StageWriter::reduce_custom(std::vector<int> values, const std::vector<double>& init,
                                            ScalarBody combine, std::vector<int> combined) {
  std::vector<ScalarNode> nodes;
  for (size_t i = 0; i < values.size(); ++i) nodes.push_back(constant_node(dtype(values[i]), init[i]));
  return reduce_custom(std::move(values), std::move(nodes), std::move(combine), std::move(combined));
}

std::vector<int> StageWriter::reduce_custom(std::vector<int> values, std::vector<ScalarNode> init, ScalarBody combine,
                                            std::vector<int> combined) {
  Reduction& reduction = stage_.reduction;
  std::vector<int> nodes;
  for (size_t i = 0; i < values.size(); ++i) {
    DType dtype = stage_.body[values[i]].dtype;
    reduction.dtypes.push_back(dtype);
    stage_.epilogue.push_back({.op = ScalarOp::reduced, .dtype = dtype, .slot = static_cast<int>(i)});
    nodes.push_back(static_cast<int>(i));
  }
  reduction.init = std::move(init);
  reduction.values = std::move(values);
  reduction.combine = std::move(combine);
  reduction.combined = std::move(combined);
  reduction.kind = Reduction::Kind::custom;
  return nodes;
}

void StageWriter::store(int buffer, const std::vector<Index>& index, int node) {
  int slot = access(buffer, index, 0);
  (stage_.has_reduction() ? stage_.epilogue_stores : stage_.stores).push_back({slot, node, false});
}

void StageWriter::add_indirect(int buffer, std::vector<Index> index, int dim, int node, int value) {
  PW_CHECK(!stage_.has_reduction());
  store(buffer, std::move(index), value);
  stage_.accesses.back().indirect = {{dim, node}};
  stage_.stores.back().add = true;
}

void StageWriter::sequential(const Index& dimension) {
  PW_CHECK(dimension.terms.size() == 1);
  if (stage_.sequential.empty()) stage_.sequential.assign(stage_.extents.size(), false);
  stage_.sequential[dimension.terms[0].first] = true;
}

void StageWriter::finish() { kernel_.stages.push_back(std::move(stage_)); }

}  // namespace placewright::ops
