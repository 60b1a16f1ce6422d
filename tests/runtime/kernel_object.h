// The objects that the build made of tests/runtime/kernels, as kernel images.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/ir/kernel_image.h"

namespace placewright::testing_runtime {

inline std::vector<uint8_t> kernel_object(const std::string& name) {
  std::istringstream paths(PLACEWRIGHT_TEST_KERNELS);
  for (std::string path; std::getline(paths, path, ':');)
    if (path.find("/" + name + ".cc.") != std::string::npos) return read_file(path);
  throw Error("no kernel object " + name + " in " PLACEWRIGHT_TEST_KERNELS);
}

inline KernelEntry entry_of(const std::string& symbol, int64_t extent, int64_t grain = 1) {
  return {symbol, {{symbol, extent, grain}}, {}};
}

inline KernelImage kernel_image(std::vector<KernelEntry> entries) {
  return {"elf-x86-64", "x86-64", kernel_abi_version, kernel_object("kernels"), std::move(entries)};
}

}  // namespace placewright::testing_runtime
