// Between logical, row-major tensors and the bytes of a layout, in host memory.
#pragma once

#include <cstdint>

#include "placewright/ir/host_tensor.h"
#include "placewright/ir/type.h"

namespace placewright {

// Writes the whole physical extent; padding becomes zero. `bytes` must hold the physical size.
void write_physical(const HostTensor& logical, const Layout& layout, uint8_t* bytes);
HostTensor read_physical(DType dtype, const Sizes& sizes, const Layout& layout, const uint8_t* bytes);

}  // namespace placewright
