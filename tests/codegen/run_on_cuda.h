// Runs kernels on a CUDA device, for tests: on GPUs where PLACEWRIGHT_LIBCUDA is set, else on the PTX emulator.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "placewright/ir/host_tensor.h"
#include "placewright/ir/kernel.h"
#include "placewright/runtime/device_kinds.h"

namespace placewright::testing {

struct CudaDevices {
  std::shared_ptr<Device> host, cuda;
  std::string absence;  // why there is no `cuda`
};
const CudaDevices& cuda_devices();

// Runs an entry on one tensor for each of its operands and results, in order; results are written in place.
Status run_on_cuda(const LoadedImage& image, int entry, std::vector<HostTensor>& buffers);

}  // namespace placewright::testing
