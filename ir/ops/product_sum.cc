#include "product_sum.h"

#include <fmt/core.h>

namespace placewright::ops {

AttributeSpec accumulate_attribute() {
  return {"accumulate", AttributeKind::dtype, Attribute(DType::f32),
          "sums of floating products are kept in the wider of this dtype and the operands'"};
}

AttributeSpec precision_attribute() {
  return {"precision", AttributeKind::string, Attribute(std::string("f32")),
          "what f32 factors may be rounded to by a target that gains from it: f32 (not at all), tf32 or bf16"};
}

DType accumulate_dtype(const OpView& view) {
  DType wished = view.attributes.get<DType>("accumulate"), own = view.operand(0).dtype;
  if (!is_floating(wished) || !info(wished).supported)
    throw Error(fmt::format("accumulate is {}, expected f32 or f64", name(wished)));
  return is_floating(own) && info(wished).bits > info(own).bits ? wished : own;
}

void check_precision(const Attributes& attributes) {
  const auto& precision = attributes.get<std::string>("precision");
  if (!try_parse_precision(precision))
    throw Error(fmt::format("precision is '{}', expected f32, tf32 or bf16", precision));
}

void write_product_sum(StageWriter& stage, const OpView& view, int left, int right, bool sums, int buffer,
                       std::vector<Index> at) {
  DType accumulate = accumulate_dtype(view);
  left = stage.cast(left, accumulate);
  right = stage.cast(right, accumulate);
  int value = stage.node(ScalarOp::mul, accumulate, left, right);
  if (sums) {
    value = stage.reduce(Reduction::Kind::sum, value, 0);
    if (accumulate == DType::f32 && view.operand(0).dtype == DType::f32)
      stage.set_precision(*try_parse_precision(view.attributes.get<std::string>("precision")));
  }
  value = stage.cast(value, view.result().dtype);
  stage.store(buffer, std::move(at), value);
  stage.finish();
}

}  // namespace placewright::ops
