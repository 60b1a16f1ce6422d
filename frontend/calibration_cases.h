// The kernels that calibration measures: for each op class and dtype, five sizes a factor of about ten apart, and
// larger ones for devices that are done with those in no time. Of products each size has the three forms that a layer's
// training step runs: the mean of their times counts.
#pragma once

#include <string>
#include <vector>

#include "placewright/ir/kernel.h"
#include "placewright/ir/work.h"

namespace placewright {

struct CalibrationCase {
  std::string op_class;
  DType dtype = DType::f32;
  Precision precision = Precision::f32;  // of products of f32
  bool is_large = false;                 // for fast devices alone
  double operations = 0;                 // as the class counts them, the mean over the forms
  std::vector<StructuredKernel> forms = {};
};

// Of each class, dtype and precision (`rounded`: those other than f32) the smallest size goes first. All that kernels
// are is what count_work says of them.
std::vector<CalibrationCase> calibration_cases(const std::vector<Precision>& rounded);
// One element: what it takes is a launch's overhead.
StructuredKernel smallest_kernel();

}  // namespace placewright
