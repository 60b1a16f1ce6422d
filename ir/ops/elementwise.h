// What the files of elementwise entries share.
#pragma once

#include "checks.h"
#include "families.h"
#include "graph_writer.h"
#include "scalar_writer.h"

namespace placewright::ops {

std::vector<OpEntry> unary_ops();
std::vector<OpEntry> binary_ops();
std::vector<OpEntry> selection_ops();  // select, clamp, cast

// Realised by one scalar instruction on all operands.
inline Scalar one_instruction(ScalarOp op) {
  return {[op](ScalarBody& body, std::span<const int> x, const OpView&) {
    return ScalarWriter(body)(op, x[0], x.size() > 1 ? x[1] : -1, x.size() > 2 ? x[2] : -1);
  }};
}

}  // namespace placewright::ops
