// What the files of shaping entries share: ops that move elements and compute nothing.
#pragma once

#include "checks.h"
#include "families.h"
#include "kernel_writer.h"
#include "naive_loops.h"
#include "placewright/base/checked.h"

namespace placewright::ops {

std::vector<OpEntry> slicing_ops();  // slice, pad, concat

// A kernel of one stage that stores, at every position of the result, the element of operand 0 at index(positions).
template <typename Map>
StructuredKernel lower_copy(const OpView& view, Map index) {
  KernelWriter kernel(view);
  StageWriter stage(kernel, std::string(view.entry.name));
  std::vector<Index> position;
  for (int64_t size : view.result().sizes()) position.push_back(stage.parallel(size));
  int value = stage.load(kernel.operand(0), index(position));
  stage.store(kernel.result(), position, value);
  stage.finish();
  return kernel.take();
}

inline Sample shaping_sample(Shape shape, Attributes attributes) {
  return {.operands = {Type(DType::f32, std::move(shape))}, .attributes = std::move(attributes)};
}

}  // namespace placewright::ops
