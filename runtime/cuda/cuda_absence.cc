#include "placewright/runtime/cuda/cuda_absence.h"

#include <filesystem>

namespace placewright {

AbsentDevice cuda_absence() {
  std::error_code ignored;
  bool has_driver = std::filesystem::exists("/proc/driver/nvidia/version", ignored);
  return {"cuda", "not-built",
          has_driver ? "this version of Placewright has no CUDA device, though an NVIDIA driver is loaded"
                     : "this version of Placewright has no CUDA device, and no NVIDIA driver is loaded",
          "run on cpu"};
}

}  // namespace placewright
