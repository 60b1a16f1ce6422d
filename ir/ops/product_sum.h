// What dot_general and convolution share: the attributes of sums of products, and how such a sum is written.
#pragma once

#include <string_view>
#include <vector>

#include "kernel_writer.h"

namespace placewright::ops {

// "accumulate": floating sums are kept in the wider of this dtype and the operands'; integer sums in the operands'.
AttributeSpec accumulate_attribute();
// "precision": to what the factors may be rounded before they are multiplied.
AttributeSpec precision_attribute();
// Error if the attribute does not name a floating dtype that is supported.
DType accumulate_dtype(const OpView& view);
void check_precision(const Attributes& attributes);

// Multiplies two loaded nodes, sums over the stage's reduced dimensions (if there are any), stores and finishes.
void write_product_sum(StageWriter& stage, const OpView& view, int left, int right, bool sums, int buffer,
                       std::vector<Index> at);

}  // namespace placewright::ops
