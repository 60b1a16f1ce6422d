// Whether NVIDIA GPUs can be used here, and if not, why and what to do.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "placewright/ir/machine.h"
#include "placewright/runtime/cuda/driver.h"
#include "placewright/runtime/device_kinds.h"

namespace placewright {

// What files tell: cheap, and asked at the start of every session. Empty if nothing speaks against a GPU.
// `root` is where /proc, /dev and /usr are looked for.
std::optional<AbsentDevice> find_cuda_absence(const std::filesystem::path& root = "/");

struct StartedCuda {
  std::shared_ptr<const cuda::Driver> driver;  // initialised; null if absent
  int count = 0;                               // of devices
  std::optional<AbsentDevice> absent;
};
// Opens and initialises the driver: up to some tenths of a second on a machine with GPUs.
StartedCuda start_cuda(const std::filesystem::path& root = "/");

// Whether the libraries of NVIDIA's toolkits that a process would find belong together. Opens cuBLASLt and cuDNN where
// there are any (PLACEWRIGHT_LIBCUBLASLT and PLACEWRIGHT_LIBCUDNN name them, a file or a folder, alone): each was made
// for one major of CUDA, and with libraries of another one in the same process calls fail late and without a reason.
// Empty where there is nothing beside the compiler. `driver_major`: Driver::major().
std::optional<DeviceCheck> check_toolkits(const CompilerFacts& compiler, int driver_major = 0);

// The driver, the compiler, and each device from end to end: a launch, and 64 MB there and back.
std::vector<DeviceCheck> examine_cuda(const FindCompiler& find_compiler);

}  // namespace placewright
