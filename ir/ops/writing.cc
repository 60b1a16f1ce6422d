#include "writing.h"

namespace placewright::ops {
namespace {

bool gives_boolean(ScalarOp op) {
  switch (op) {
    case ScalarOp::equal:
    case ScalarOp::not_equal:
    case ScalarOp::less:
    case ScalarOp::less_equal:
    case ScalarOp::greater:
    case ScalarOp::greater_equal:
    case ScalarOp::is_nan:
    case ScalarOp::is_finite:
      return true;
    default:
      return false;
  }
}

int64_t integer_limit(DType dtype, bool highest) {
  const DTypeInfo& entry = info(dtype);
  if (entry.kind == DTypeKind::boolean) return highest;
  if (entry.kind == DTypeKind::unsigned_integer)
    return highest ? static_cast<int64_t>(~uint64_t{0} >> (64 - entry.bits)) : 0;
  int64_t limit = static_cast<int64_t>(~uint64_t{0} >> (65 - entry.bits));
  return highest ? limit : -limit - 1;
}

ScalarNode limit_node(DType dtype, bool highest) {
  ScalarNode node{.op = ScalarOp::constant, .dtype = dtype};
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (is_floating(dtype))
    node.number = highest ? infinity : -infinity;
  else
    node.integer = integer_limit(dtype, highest);
  return node;
}

}  // namespace

int expect_dim(int64_t dim, int rank, std::string_view attribute) {
  expect(dim >= 0 && dim < rank, "{} names dimension {} of an operand with {} dimensions", attribute, dim, rank);
  return static_cast<int>(dim);
}

std::vector<bool> expect_dims(const Sizes& dims, int rank, std::string_view attribute) {
  std::vector<bool> named(rank, false);
  for (int64_t dim : dims) {
    int d = expect_dim(dim, rank, attribute);
    expect(!named[d], "{} names dimension {} twice", attribute, dim);
    named[d] = true;
  }
  return named;
}

void expect_same_shape(const Shape& found, const Shape& expected, std::string_view operand) {
  expect(found == expected, "operand {} has shape {}, expected {}", operand, to_string(found), to_string(expected));
}

StructuredKernel make_kernel(const OpView& view) {
  StructuredKernel kernel{std::string(view.entry.name), {}, {}};
  auto add = [&](const TensorType& type, std::string name, KernelBuffer::Role role) {
    kernel.buffers.push_back({std::move(name), type.dtype, type.sizes(), type.layout, role, -1});
  };
  for (size_t i = 0; i < view.operands.size(); ++i)
    add(view.operands[i].tensor(), fmt::format("in{}", i), KernelBuffer::Role::input);
  for (size_t i = 0; i < view.results.size(); ++i)
    add(view.results[i].tensor(), fmt::format("out{}", i), KernelBuffer::Role::output);
  return kernel;
}

Stage make_stage(std::string name, Sizes extents) {
  Stage stage;
  stage.name = std::move(name);
  stage.reduced.assign(extents.size(), false);
  stage.extents = std::move(extents);
  return stage;
}

std::vector<AffineExpr> identity_index(int rank, int domain_rank) {
  std::vector<AffineExpr> index;
  for (int d = 0; d < rank; ++d) index.push_back(AffineExpr::dim(d, domain_rank));
  return index;
}

int add_access(Stage& stage, int buffer, std::vector<AffineExpr> index) {
  Access access;
  access.buffer = buffer;
  access.index = std::move(index);
  stage.accesses.push_back(std::move(access));
  return static_cast<int>(stage.accesses.size()) - 1;
}

int add_guarded_access(Stage& stage, int buffer, std::vector<AffineExpr> index, double outside) {
  int access = add_access(stage, buffer, std::move(index));
  stage.accesses[access].guarded = true;
  stage.accesses[access].outside = outside;
  return access;
}

ScalarNode constant_node(DType dtype, double value) {
  ScalarNode node{.op = ScalarOp::constant, .dtype = dtype};
  if (is_floating(dtype))
    node.number = value;
  else
    node.integer = static_cast<int64_t>(value);
  return node;
}

ScalarNode lowest_node(DType dtype) { return limit_node(dtype, false); }
ScalarNode highest_node(DType dtype) { return limit_node(dtype, true); }

int BodyWriter::append(const ScalarNode& node) {
  body_.push_back(node);
  return static_cast<int>(body_.size()) - 1;
}

int BodyWriter::constant(DType dtype, double value) { return append(constant_node(dtype, value)); }

int BodyWriter::integer(DType dtype, int64_t value) {
  ScalarNode node = constant_node(dtype, 0);
  if (is_floating(dtype))
    node.number = static_cast<double>(value);
  else
    node.integer = value;
  return append(node);
}

int BodyWriter::operator()(ScalarOp op, int a, int b, int c) {
  int last = c >= 0 ? c : b >= 0 ? b : a;
  DType result = gives_boolean(op) ? DType::boolean : dtype(last);
  return append({.op = op, .dtype = result, .operands = {a, b, c}});
}

int BodyWriter::cast(int node, DType to) {
  return dtype(node) == to ? node : append({.op = ScalarOp::cast, .dtype = to, .operands = {node, -1, -1}});
}

void reduce(Stage& stage, Reduction::Kind kind, int value, DType accumulate) {
  Reduction& reduction = stage.reduction;
  reduction.kind = kind;
  reduction.dtypes = {accumulate};
  reduction.values = {value};
  switch (kind) {
    case Reduction::Kind::sum:
      reduction.init = {constant_node(accumulate, 0)};
      break;
    case Reduction::Kind::prod:
      reduction.init = {constant_node(accumulate, 1)};
      break;
    case Reduction::Kind::max:
      reduction.init = {lowest_node(accumulate)};
      break;
    case Reduction::Kind::min:
      reduction.init = {highest_node(accumulate)};
      break;
    case Reduction::Kind::any:
      reduction.init = {constant_node(accumulate, 0)};
      break;
    case Reduction::Kind::all:
      reduction.init = {constant_node(accumulate, 1)};
      break;
    case Reduction::Kind::none:
    case Reduction::Kind::custom:
      PW_CHECK(false, "a reduction of one state has a kind of its own");
  }
}

void store(Stage& stage, int access, int node) {
  (stage.has_reduction() ? stage.epilogue_stores : stage.stores).push_back({access, node, false});
}

}  // namespace placewright::ops
