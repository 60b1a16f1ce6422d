// The kernels that calibration measures: for each op class and dtype, five sizes a factor of about ten apart. Of
// products each size has the three forms that a layer's training step runs: the mean of their times counts.
#pragma once

#include <string>
#include <vector>

#include "placewright/ir/kernel.h"
#include "placewright/ir/work.h"

namespace placewright {

struct CalibrationCase {
  std::string op_class;
  DType dtype = DType::f32;
  double operations = 0;  // as the class counts them, the mean over the forms
  std::vector<StructuredKernel> forms;
};

// The smallest size of a class goes first. All kernels' classes and dtypes are what count_work says of them.
std::vector<CalibrationCase> calibration_cases();
// One element: what it takes is a launch's overhead.
StructuredKernel smallest_kernel();

}  // namespace placewright
