#include "placewright/ir/op_table.h"

#include <map>

#include <fmt/core.h>

#include "ops/families.h"

namespace placewright {
namespace {

struct Table {
  std::vector<OpEntry> entries;
  std::map<std::string_view, const OpEntry*> by_name;

  Table() {
    for (auto family : {ops::structural, ops::elementwise, ops::shaping, ops::reductions, ops::indexing,
                        ops::contractions, ops::convolutions, ops::windows, ops::random, ops::activations,
                        ops::normalisations, ops::losses, ops::composites})
      for (OpEntry& entry : family()) entries.push_back(std::move(entry));
    for (const OpEntry& entry : entries) {
      bool is_new = by_name.emplace(entry.name, &entry).second;
      PW_CHECK(is_new, "two ops named " + std::string(entry.name));
      PW_CHECK(entry.infer, std::string(entry.name) + " has no infer");
      PW_CHECK(entry.evaluate || entry.is_structural(), std::string(entry.name) + " has no evaluate");
    }
  }
};

const Table& table() {
  static const Table table;  // made at first use: no static constructor, and immutable ever after
  return table;
}

bool has_kind(AttributeKind kind, const Attribute& value) {
  switch (kind) {
    case AttributeKind::boolean:
      return std::holds_alternative<bool>(value);
    case AttributeKind::integer:
      return std::holds_alternative<int64_t>(value);
    case AttributeKind::number:
      return std::holds_alternative<double>(value);
    case AttributeKind::string:
      return std::holds_alternative<std::string>(value);
    case AttributeKind::dtype:
      return std::holds_alternative<DType>(value);
    case AttributeKind::sizes:
      return std::holds_alternative<Sizes>(value);
    case AttributeKind::shape:
      return std::holds_alternative<Shape>(value);
    case AttributeKind::tensor:
      return std::holds_alternative<HostTensor>(value);
  }
  return false;
}

std::string_view describe(DTypeClass dtypes) {
  switch (dtypes) {
    case DTypeClass::any:
      return "any dtype";
    case DTypeClass::numeric:
      return "a number";
    case DTypeClass::floating:
      return "a floating dtype";
    case DTypeClass::integer:
      return "an integer dtype";
    case DTypeClass::boolean:
      return "bool";
    case DTypeClass::index:
      return "i32 or i64";
  }
  return "";
}

// The structured kernel of an elementwise expression: one stage, every access the identity.
StructuredKernel lower_scalar(const Scalar& scalar, const OpView& view) {
  StructuredKernel kernel{std::string(view.entry.name), {}, {}};
  Sizes sizes = view.result().sizes();
  int rank = static_cast<int>(sizes.size());
  Stage stage;
  stage.name = view.entry.name;
  stage.extents = sizes;
  stage.reduced.assign(rank, false);
  auto add_buffer = [&](const TensorType& type, KernelBuffer::Role role, std::string buffer_name) {
    kernel.buffers.push_back({std::move(buffer_name), type.dtype, type.sizes(), type.layout, role, -1});
    Access access;
    access.buffer = static_cast<int>(kernel.buffers.size()) - 1;
    for (int d = 0; d < rank; ++d) access.index.push_back(AffineExpr::dim(d, rank));
    stage.accesses.push_back(std::move(access));
  };
  std::vector<int> loads;
  for (size_t i = 0; i < view.operands.size(); ++i) {
    add_buffer(view.operand(static_cast<int>(i)), KernelBuffer::Role::input, "in" + std::to_string(i));
    loads.push_back(static_cast<int>(stage.body.size()));
    stage.body.push_back(
        {.op = ScalarOp::load, .dtype = view.operand(static_cast<int>(i)).dtype, .slot = static_cast<int>(i)});
  }
  add_buffer(view.result(), KernelBuffer::Role::output, "out0");
  int result = scalar.expression(stage.body, loads, view);
  stage.stores.push_back({static_cast<int>(stage.accesses.size()) - 1, result, false});
  kernel.stages.push_back(std::move(stage));
  return kernel;
}

}  // namespace

bool accepts(DTypeClass dtypes, DType dtype) {
  switch (dtypes) {
    case DTypeClass::any:
      return true;
    case DTypeClass::numeric:
      return dtype != DType::boolean;
    case DTypeClass::floating:
      return is_floating(dtype);
    case DTypeClass::integer:
      return is_integer(dtype);
    case DTypeClass::boolean:
      return dtype == DType::boolean;
    case DTypeClass::index:
      return dtype == DType::i32 || dtype == DType::i64;
  }
  return false;
}

Gradient::Gradient(Rule rule) : kind_(Kind::rule), rule_(std::move(rule)) {}
Gradient::Gradient(Kind kind) : kind_(kind) {}
Gradient::Gradient(const Gradient&) = default;
Gradient::Gradient(Gradient&&) noexcept = default;
Gradient& Gradient::operator=(const Gradient&) = default;
Gradient& Gradient::operator=(Gradient&&) noexcept = default;
Gradient::~Gradient() = default;

std::span<const OpEntry> op_table() { return table().entries; }

const OpEntry* try_find_op(std::string_view name) {
  auto at = table().by_name.find(name);
  return at == table().by_name.end() ? nullptr : at->second;
}

const OpEntry& find_op(std::string_view name) {
  if (const OpEntry* entry = try_find_op(name)) return *entry;
  throw Error(fmt::format("there is no op '{}'", name));
}

Attributes complete_attributes(const OpEntry& entry, Attributes attributes) {
  for (const AttributeSpec& spec : entry.signature.attributes) {
    const Attribute* given = attributes.try_get(spec.name);
    if (!given && !spec.fallback) throw Error(fmt::format("{}: attribute {} is missing", entry.name, spec.name));
    if (!given)
      attributes.set(spec.name, *spec.fallback);
    else if (!has_kind(spec.kind, *given))
      throw Error(fmt::format("{}: attribute {} has the wrong kind", entry.name, spec.name));
  }
  for (const auto& [name, value] : attributes) {
    bool known = false;
    for (const AttributeSpec& spec : entry.signature.attributes) known = known || spec.name == name;
    if (!known) throw Error(fmt::format("{}: there is no attribute '{}'", entry.name, name));
  }
  return attributes;
}

std::vector<Type> infer_types(const OpView& view) {
  const OpEntry& entry = view.entry;
  std::span<const Type> operands = view.operands;
  const std::vector<OperandSpec>& specs = entry.signature.operands;
  bool variadic = !specs.empty() && specs.back().variadic;
  if (operands.size() < specs.size() - variadic || (!variadic && operands.size() > specs.size()))
    throw Error(fmt::format("{}: found {} operands, expected {}{}", entry.name, operands.size(),
                            specs.size() - variadic, variadic ? " or more" : ""));
  for (size_t i = 0; i < operands.size(); ++i) {
    const OperandSpec& spec = specs[std::min(i, specs.size() - 1)];
    DType dtype = operands[i].tensor().dtype;
    if (!accepts(spec.dtypes, dtype))
      throw Error(fmt::format("{}: operand {} is {}, expected {}", entry.name, spec.name, operands[i].to_string(),
                              describe(spec.dtypes)));
    if (entry.signature.same_dtype && dtype != operands[0].tensor().dtype)
      throw Error(fmt::format("{}: operands have dtypes {} and {}, expected one; cast one of them", entry.name,
                              name(operands[0].tensor().dtype), name(dtype)));
  }
  try {
    return entry.infer(view);
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", entry.name, error.what()));
  }
}

bool can_lower(const OpEntry& entry) { return entry.realised_as<Scalar>() || entry.realised_as<Lower>(); }

StructuredKernel lower_op(const OpView& view) {
  if (const Scalar* scalar = view.entry.realised_as<Scalar>()) return lower_scalar(*scalar, view);
  const Lower* lower = view.entry.realised_as<Lower>();
  PW_CHECK(lower, std::string(view.entry.name) + " has no lowering");
  return lower->lower(view);
}

}  // namespace placewright
