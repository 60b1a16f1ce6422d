#include <algorithm>

#include <fmt/core.h>

#include "joiner.h"

namespace placewright {

int Joiner::add_buffer(std::string name, const TensorType& type, KernelBuffer::Role role, int alias_of) {
  kernel_.buffers.push_back({std::move(name), type.dtype, type.sizes(), type.layout, role, alias_of});
  return static_cast<int>(kernel_.buffers.size()) - 1;
}

int Joiner::buffer_for(Value value) {
  auto home = home_.find(value);
  std::string name = fmt::format("v{}", value.op);
  if (home == home_.end()) return add_buffer(name, type(value), KernelBuffer::Role::local);
  const KernelBuffer& output = kernel_.buffers[home->second];
  if (output.sizes == type(value).sizes()) return home->second;
  return add_buffer(name, type(value), KernelBuffer::Role::local, home->second);
}

int Joiner::root_of(int buffer) const {
  while (kernel_.buffers[buffer].alias_of >= 0) buffer = kernel_.buffers[buffer].alias_of;
  return buffer;
}

Joiner::Stored Joiner::store(Value value) {
  if (definitions_.contains(value)) materialise(value);
  return stored_.at(value);
}

void Joiner::materialise(Value value) {
  Definition definition = std::move(definitions_.at(value));
  definitions_.erase(value);
  int buffer = buffer_for(value);
  for (int t = static_cast<int>(kernel_.stages.size()) - 1; t >= std::max(definition.latest, 0); --t)
    if (attach(definition, buffer, t)) {
      stored_[value] = {buffer, t};
      return;
    }
  Stage stage = std::move(definition.stage);
  Access out{buffer, {}, false, 0, {}};
  for (int dim : definition.dims) out.index.push_back(AffineExpr::dim(dim, stage.rank()));
  stage.accesses.push_back(std::move(out));
  stage.stores = {{static_cast<int>(stage.accesses.size()) - 1, definition.node, false}};
  kernel_.stages.push_back(std::move(stage));
  stored_[value] = {buffer, static_cast<int>(kernel_.stages.size()) - 1};
}

// The definition's accesses over a stage's dimensions, if they can be written so.
std::optional<std::vector<Access>> Joiner::accesses_from(const Stage& stage, const Definition& definition,
                                                         const std::vector<AffineExpr>& dims) const {
  std::vector<Access> accesses;
  for (const Access& access : definition.stage.accesses) {
    std::optional<Access> composed = compose(access, dims, stage.rank());
    if (!composed) return std::nullopt;
    accesses.push_back(std::move(*composed));
  }
  return accesses;
}

// Of each access, the node that a stage stores at the very point that is read; -1: it stores nothing there. Nothing if
// an access reads what the stage writes at other points.
std::optional<std::vector<int>> Joiner::stored_nodes(const Stage& stage, const std::vector<Store>& stores,
                                                     const std::vector<Access>& accesses) const {
  std::vector<int> nodes;
  for (const Access& access : accesses) {
    nodes.push_back(-1);
    for (const Store& one : stores) {
      const Access& written = stage.accesses[one.access];
      if (root_of(written.buffer) != root_of(access.buffer)) continue;
      bool same_point = written.buffer == access.buffer && written.index == access.index && access.indirect.empty();
      if (!same_point) return std::nullopt;
      nodes.back() = one.node;
    }
  }
  return nodes;
}

// Makes a definition part of stage `t`: of its body, or of its reduction's epilogue. The domains must be the same, the
// two must read or write something in common, and what the stage itself writes must be read at the very point that
// writes it: such reads become the stored nodes themselves.
bool Joiner::attach(const Definition& definition, int buffer, int t) {
  Stage& stage = kernel_.stages[t];
  if (std::find(stage.sequential.begin(), stage.sequential.end(), true) != stage.sequential.end()) return false;
  std::vector<AffineExpr> dims;
  Sizes parallel;
  for (int d = 0; d < stage.rank(); ++d)
    if (!stage.reduced[d]) {
      parallel.push_back(stage.extents[d]);
      dims.push_back(AffineExpr::dim(d, stage.rank()));
    }
  if (parallel != definition.stage.extents) return false;
  const bool reduces = stage.has_reduction();
  std::vector<Store>& stores = reduces ? stage.epilogue_stores : stage.stores;
  for (const Store& one : stores)
    if (one.add || !stage.accesses[one.access].indirect.empty() || stage.accesses[one.access].guarded) return false;
  std::optional<std::vector<Access>> accesses = accesses_from(stage, definition, dims);
  if (!accesses) return false;
  std::optional<std::vector<int>> own_nodes = stored_nodes(stage, stores, *accesses);
  if (!own_nodes) return false;
  auto shares = [&](const Access& access) {
    return std::any_of(stage.accesses.begin(), stage.accesses.end(),
                       [&](const Access& other) { return other.buffer == access.buffer; });
  };
  if (std::none_of(accesses->begin(), accesses->end(), shares)) return false;
  StageWriter writer(stage, reduces ? stage.epilogue : stage.body);
  const std::span<const ScalarNode> needed(definition.stage.body.data(), static_cast<size_t>(definition.node) + 1);
  std::vector<int> nodes = writer.copy(definition.stage, needed, &dims, [&](const ScalarNode& node, Access access) {
    if ((*own_nodes)[node.slot] >= 0) return (*own_nodes)[node.slot];
    access.index = (*accesses)[node.slot].index;
    return writer.load(node.dtype, access);
  });
  Access out{buffer, {}, false, 0, {}};
  for (int dim : definition.dims) out.index.push_back(dims[dim]);
  stage.accesses.push_back(std::move(out));
  stores.push_back({static_cast<int>(stage.accesses.size()) - 1, nodes.back(), false});
  return true;
}

}  // namespace placewright
