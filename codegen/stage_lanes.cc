#include "stage_lanes.h"

#include <algorithm>

namespace placewright {
namespace {

// Which nodes of a body differ from lane to lane.
std::vector<bool> varying_nodes(const Stage& stage, const ScalarBody& body, int vector_dim) {
  std::vector<bool> varying;
  for (const ScalarNode& node : body) {
    bool varies = node.op == ScalarOp::reduced || (node.op == ScalarOp::index && node.slot == vector_dim);
    if (node.op == ScalarOp::load) {
      const Access& access = stage.accesses[node.slot];
      for (const AffineExpr& expr : access.index) varies = varies || expr.coefficients[vector_dim] != 0;
      for (const Access::Indirect& part : access.indirect) varies = varies || varying[part.node];
    }
    for (int operand : node.operands) varies = varies || (operand >= 0 && varying[operand]);
    varying.push_back(varies);
  }
  return varying;
}

}  // namespace

int lane_bits(const StructuredKernel& kernel, const Stage& stage, int vector_dim) {
  int bits = 0;
  auto see = [&](DType dtype) {
    if (is_floating(dtype)) bits = std::max(bits, info(dtype).bits);
  };
  for (const ScalarBody* body : {&stage.body, &stage.epilogue}) {
    if (body == &stage.epilogue && stage.reduced[vector_dim]) continue;  // lanes are joined before
    std::vector<bool> varying = varying_nodes(stage, *body, vector_dim);
    for (size_t n = 0; n < body->size(); ++n)
      if (varying[n]) see((*body)[n].dtype);
  }
  for (DType dtype : stage.reduction.dtypes) see(dtype);
  if (bits == 0)
    for (const std::vector<Store>* stores : {&stage.stores, &stage.epilogue_stores})
      for (const Store& store : *stores)
        bits = std::max(bits, info(kernel.buffers[stage.accesses[store.access].buffer].dtype).bits);
  return std::max(bits, 8);
}

}  // namespace placewright
