// The objects that the build made of tests/runtime/kernels, as kernel images.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/ir/kernel_image.h"
#include "placewright/ir/machine.h"

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

// The same kernels for a device: GPUs take them as PTX, one thread an element.
inline KernelImage kernel_image_for(const DeviceSpec& device, std::vector<KernelEntry> entries) {
  if (!device.target.starts_with("sm_") && !device.target.starts_with("compute_"))
    return kernel_image(std::move(entries));
  for (KernelEntry& entry : entries)
    for (KernelPhase& phase : entry.phases) {
      phase.groups[0] = phase.extent > 0 ? 1 : 0;
      phase.group_threads[0] = std::max<int64_t>(phase.extent, 1);
    }
  return {"ptx", "compute_75", kernel_abi_version, read_file(PLACEWRIGHT_TEST_DATA "/kernels/kernels.ptx"),
          std::move(entries)};
}

// GPUs stand for themselves where PLACEWRIGHT_LIBCUDA is set, else the emulator stands for them.
inline void use_cuda_emulator() { ::setenv("PLACEWRIGHT_LIBCUDA", PLACEWRIGHT_CUDA_EMULATOR, 0); }

}  // namespace placewright::testing_runtime
