// What the driver's errors mean for a person: a stable code, the cause and the fix.
#pragma once

#include <string>

#include "placewright/runtime/cuda/driver.h"

namespace placewright::cuda {

struct Fault {
  std::string code, cause, fix;
};

// Of cuInit and of opening a device.
Fault fault_of_start(Result result, const Driver& driver);
// Of loading an image.
Fault fault_of_load(Result result, const Driver& driver);

}  // namespace placewright::cuda
