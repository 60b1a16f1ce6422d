#include "placewright/ir/kernel_image.h"

#include <fmt/format.h>

#include "placewright/ir/kernel.h"

namespace placewright {

std::string describe(const Contraction& contraction) {
  std::string text = contraction.batch == 1 ? "" : fmt::format("{} x ", contraction.batch);
  text +=
      fmt::format("{} x {} x {} {}", contraction.rows, contraction.columns, contraction.depth, name(contraction.dtype));
  if (contraction.precision != Precision::f32) text += fmt::format(" ({})", name(contraction.precision));
  if (contraction.left.column != 1) text += ", left transposed";
  if (contraction.right.column != 1) text += ", right transposed";
  if (contraction.scale != 1) text += fmt::format(", times {}", contraction.scale);
  if (contraction.bias >= 0) text += ", bias";
  if (contraction.activation == Contraction::Activation::relu) text += ", relu";
  if (contraction.activation == Contraction::Activation::gelu) text += ", gelu";
  return text;
}

}  // namespace placewright
