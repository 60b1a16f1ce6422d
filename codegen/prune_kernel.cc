#include "prune_kernel.h"

#include <vector>

namespace placewright {
namespace {

int root_of(const StructuredKernel& kernel, int buffer) {
  while (kernel.buffers[buffer].alias_of >= 0) buffer = kernel.buffers[buffer].alias_of;
  return buffer;
}

// Stores into local memory that nothing reads, and the stages and buffers that are left with nothing to do.
void drop_dead_stores(StructuredKernel& kernel) {
  for (bool changed = true; changed;) {
    changed = false;
    std::vector<bool> read(kernel.buffers.size());
    for (const Stage& stage : kernel.stages)
      for (const ScalarBody* body : {&stage.body, &stage.epilogue})
        for (const ScalarNode& node : *body)
          if (node.op == ScalarOp::load) read[root_of(kernel, stage.accesses[node.slot].buffer)] = true;
    for (Stage& stage : kernel.stages)
      for (std::vector<Store>* stores : {&stage.stores, &stage.epilogue_stores})
        changed = std::erase_if(*stores,
                                [&](const Store& one) {
                                  int root = root_of(kernel, stage.accesses[one.access].buffer);
                                  return kernel.buffers[root].role == KernelBuffer::Role::local && !read[root];
                                }) > 0 ||
                  changed;
    changed =
        std::erase_if(kernel.stages,
                      [](const Stage& stage) { return stage.stores.empty() && stage.epilogue_stores.empty(); }) > 0 ||
        changed;
  }
}

}  // namespace

void prune_stage(Stage& stage) {
  auto prune = [&](ScalarBody& body, std::vector<Store>& stores, std::vector<int>* values) {
    std::vector<bool> live(body.size());
    auto mark_access = [&](const Access& access) {
      for (const Access::Indirect& part : access.indirect) live[part.node] = true;
    };
    for (const Store& one : stores) {
      live[one.node] = true;
      mark_access(stage.accesses[one.access]);
    }
    if (values)
      for (int value : *values) live[value] = true;
    for (size_t n = body.size(); n-- > 0;) {
      if (!live[n]) continue;
      for (int operand : body[n].operands)
        if (operand >= 0) live[operand] = true;
      if (body[n].op == ScalarOp::load) mark_access(stage.accesses[body[n].slot]);
    }
    std::vector<int> moved(body.size(), -1);
    ScalarBody kept;
    for (size_t n = 0; n < body.size(); ++n) {
      if (!live[n]) continue;
      moved[n] = static_cast<int>(kept.size());
      for (int& operand : body[n].operands)
        if (operand >= 0) operand = moved[operand];
      if (body[n].op == ScalarOp::load)
        for (Access::Indirect& part : stage.accesses[body[n].slot].indirect) part.node = moved[part.node];
      kept.push_back(body[n]);
    }
    for (Store& one : stores) {
      one.node = moved[one.node];
      for (Access::Indirect& part : stage.accesses[one.access].indirect) part.node = moved[part.node];
    }
    if (values)
      for (int& value : *values) value = moved[value];
    body = std::move(kept);
  };
  prune(stage.body, stage.stores, stage.has_reduction() ? &stage.reduction.values : nullptr);
  prune(stage.epilogue, stage.epilogue_stores, nullptr);
  std::vector<int> moved(stage.accesses.size(), -1);
  std::vector<Access> kept;
  auto keep = [&](int& slot) {
    if (moved[slot] < 0) {
      moved[slot] = static_cast<int>(kept.size());
      kept.push_back(stage.accesses[slot]);
    }
    slot = moved[slot];
  };
  for (ScalarBody* body : {&stage.body, &stage.epilogue})
    for (ScalarNode& node : *body)
      if (node.op == ScalarOp::load) keep(node.slot);
  for (std::vector<Store>* stores : {&stage.stores, &stage.epilogue_stores})
    for (Store& one : *stores) keep(one.access);
  stage.accesses = std::move(kept);
}

namespace {

void drop_unused_buffers(StructuredKernel& kernel) {
  std::vector<bool> used(kernel.buffers.size());
  for (size_t b = 0; b < used.size(); ++b) used[b] = kernel.buffers[b].role != KernelBuffer::Role::local;
  for (const Stage& stage : kernel.stages)
    for (const Access& access : stage.accesses) used[access.buffer] = used[root_of(kernel, access.buffer)] = true;
  std::vector<int> moved(kernel.buffers.size(), -1);
  std::vector<KernelBuffer> kept;
  for (size_t b = 0; b < used.size(); ++b) {
    if (!used[b]) continue;
    moved[b] = static_cast<int>(kept.size());
    kept.push_back(kernel.buffers[b]);
    if (kept.back().alias_of >= 0) kept.back().alias_of = root_of(kernel, static_cast<int>(b));
  }
  for (KernelBuffer& buffer : kept)
    if (buffer.alias_of >= 0) buffer.alias_of = moved[buffer.alias_of];
  kernel.buffers = std::move(kept);
  for (Stage& stage : kernel.stages)
    for (Access& access : stage.accesses) access.buffer = moved[access.buffer];
}

}  // namespace

void prune_kernel(StructuredKernel& kernel) {
  drop_dead_stores(kernel);
  for (Stage& stage : kernel.stages) prune_stage(stage);
  drop_unused_buffers(kernel);
}

}  // namespace placewright
