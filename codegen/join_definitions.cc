#include <algorithm>

#include "joiner.h"
#include "placewright/base/error.h"
#include "placewright/ir/work.h"

namespace placewright {
namespace {

double body_weight(const ScalarBody& body) {
  double weight = 0;
  for (const ScalarNode& node : body) weight += node_weight(node.op);
  return weight;
}

// The stage dimension of each of an access's indices, if they are the stage's dimensions in some order.
std::optional<std::vector<int>> permuted_dims(const Stage& stage, const Access& access) {
  std::vector<int> dims;
  std::vector<bool> seen(stage.extents.size());
  for (const AffineExpr& expr : access.index) {
    int dim = -1;
    for (int d = 0; d < stage.rank(); ++d)
      if (expr == AffineExpr::dim(d, stage.rank())) dim = d;
    if (dim < 0 || seen[dim]) return std::nullopt;
    seen[dim] = true;
    dims.push_back(dim);
  }
  if (std::find(seen.begin(), seen.end(), false) != seen.end()) return std::nullopt;
  return dims;
}

}  // namespace

// The value of an elementwise op (one plain stage, one store that permutes its dimensions) as a definition.
std::optional<Joiner::Definition> Joiner::try_define(const Op& op, const StructuredKernel& own) {
  if (op.results.size() != 1 || own.stages.size() != 1 || own.buffers.size() != op.operands.size() + 1)
    return std::nullopt;
  const Stage& stage = own.stages[0];
  if (stage.has_reduction() || stage.stores.size() != 1 || stage.stores[0].add || !stage.sequential.empty())
    return std::nullopt;
  const Access& out = stage.accesses[stage.stores[0].access];
  if (out.guarded || !out.indirect.empty()) return std::nullopt;
  Definition definition;
  std::optional<std::vector<int>> dims = permuted_dims(stage, out);
  if (!dims) return std::nullopt;
  definition.dims = std::move(*dims);
  definition.stage.name = stage.name;
  definition.stage.extents = stage.extents;
  definition.stage.reduced = stage.reduced;
  StageWriter writer(definition.stage, definition.stage.body);
  std::vector<int> nodes = writer.copy(stage, stage.body, nullptr, [&](const ScalarNode&, const Access& access) {
    PW_CHECK(access.buffer < static_cast<int>(op.operands.size()), "a body that loads what its own op stores");
    return read(writer, op.operands[access.buffer], access, definition.latest);
  });
  definition.node = nodes[stage.stores[0].node];
  definition.weight = body_weight(definition.stage.body);
  return definition;
}

std::optional<Joiner::Definition> Joiner::drop_ones(Value value, Value operand) {
  Sizes to = type(value).sizes(), from = type(operand).sizes();
  std::vector<int> kept_to, kept_from;
  for (size_t d = 0; d < to.size(); ++d)
    if (to[d] != 1) kept_to.push_back(static_cast<int>(d));
  for (size_t d = 0; d < from.size(); ++d)
    if (from[d] != 1) kept_from.push_back(static_cast<int>(d));
  if (kept_to.size() != kept_from.size()) return std::nullopt;
  for (size_t i = 0; i < kept_to.size(); ++i)
    if (to[kept_to[i]] != from[kept_from[i]]) return std::nullopt;
  int rank = static_cast<int>(to.size());
  Definition definition;
  definition.stage.name = "reshape";
  definition.stage.extents = to;
  definition.stage.reduced.assign(to.size(), false);
  for (int d = 0; d < rank; ++d) definition.dims.push_back(d);
  Access access;
  access.index.assign(from.size(), AffineExpr::number(0, rank));
  for (size_t i = 0; i < kept_to.size(); ++i) access.index[kept_from[i]] = AffineExpr::dim(kept_to[i], rank);
  StageWriter writer(definition.stage, definition.stage.body);
  definition.node = read(writer, operand, access, definition.latest);
  definition.weight = body_weight(definition.stage.body);
  return definition;
}

// The node that gives `value` at `access`'s index (its buffer is ignored); raises `latest` to what it depends on.
int Joiner::read(StageWriter& writer, Value value, Access access, int& latest) {
  auto found = definitions_.find(value);
  if (found != definitions_.end()) {
    const Definition& definition = found->second;
    bool plain = access.indirect.empty() &&
                 (!access.guarded || stays_inside(access, type(value).sizes(), writer.stage().extents));
    if (plain && !computes_too_often(writer, definition))
      if (std::optional<int> node = inline_definition(writer, definition, access)) {
        latest = std::max(latest, definition.latest);
        return *node;
      }
    materialise(value);
  }
  Stored stored = stored_.at(value);
  latest = std::max(latest, stored.stage);
  access.buffer = stored.buffer;
  if (access.guarded && stays_inside(access, type(value).sizes(), writer.stage().extents)) access.guarded = false;
  return writer.load(type(value).dtype, access);
}

// Whether a reader would compute the elements of a definition so often that they are better stored.
bool Joiner::computes_too_often(StageWriter& writer, const Definition& definition) {
  if (definition.weight == 0) return false;
  const Stage& reader = writer.stage();
  bool in_epilogue = &writer.body() == &reader.epilogue;
  double points = 1, elements = 1;
  for (int d = 0; d < reader.rank(); ++d)
    if (!in_epilogue || !reader.reduced[d]) points *= static_cast<double>(reader.extents[d]);
  for (int64_t size : definition.stage.extents) elements *= static_cast<double>(size);
  if (points <= 1.5 * elements) return false;
  return definition.weight > cheap || (reader.has_reduction() && points > 4 * elements);
}

std::optional<int> Joiner::inline_definition(StageWriter& writer, const Definition& definition, const Access& at) {
  const int rank = writer.stage().rank();
  std::vector<AffineExpr> dims(definition.stage.extents.size(), AffineExpr::number(0, rank));
  for (size_t i = 0; i < definition.dims.size(); ++i) {
    if (at.index[i].divisor != 1) return std::nullopt;
    dims[definition.dims[i]] = at.index[i];
  }
  const std::span<const ScalarNode> needed(definition.stage.body.data(), static_cast<size_t>(definition.node) + 1);
  for (const ScalarNode& node : needed)
    if (node.op == ScalarOp::load && !compose(definition.stage.accesses[node.slot], dims, rank)) return std::nullopt;
  return writer
      .copy(definition.stage, needed, &dims,
            [&](const ScalarNode& node, const Access& access) {
              return writer.load(node.dtype, *compose(access, dims, rank));
            })
      .back();
}

}  // namespace placewright
