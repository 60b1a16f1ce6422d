// What a kernel does, as the rates of machines and the curves of profiles count it: an op class, a dtype, operations.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "placewright/ir/kernel.h"

namespace placewright {

// A kind of work with a rate of its own.
struct OpClass {
  std::string_view name;     // "contraction"
  std::string_view counted;  // what its operations are
};

std::span<const OpClass> op_classes();
bool is_op_class(std::string_view name);
bool is_product_class(std::string_view name);  // whose factors may be rounded

// What one run of a stage does.
struct StageWork {
  std::string_view op_class;
  DType dtype = DType::f32;   // what its rate is asked for: the factors' of a product, else the widest that it touches
  std::vector<DType> needed;  // the dtypes that a device must have the class for: floating ones, else `dtype`
  double operations = 0;      // as the class counts them
  double bytes = 0;           // that its accesses touch, each element once
  Precision precision = Precision::f32;  // of a product of f32: to what its factors may be rounded
  friend bool operator==(const StageWork&, const StageWork&) = default;
};

std::vector<StageWork> count_work(const StructuredKernel& kernel);  // one a stage

// Scalar instructions in units of an addition; what only names a value is 0.
double node_weight(ScalarOp op);

}  // namespace placewright
