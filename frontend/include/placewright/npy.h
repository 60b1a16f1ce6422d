// NumPy's .npy files (format 1.0 to 3.0): one dense tensor each. Never reads pickled objects.
#pragma once

#include <filesystem>

#include "placewright/ir/host_tensor.h"

namespace placewright {

// Reads bool, u8, i32, i64, u32, u64, f32 and f64 in little-endian order, C or Fortran order (made row-major). Error
// names the file, what was found and what was expected; nothing is allocated that the file cannot fill.
HostTensor read_npy(const std::filesystem::path& path);

// Writes format 1.0, row-major, all or nothing.
void write_npy(const std::filesystem::path& path, const HostTensor& tensor);

}  // namespace placewright
