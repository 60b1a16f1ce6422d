#include "placewright/runtime/cuda/probe.h"

#include <cstdlib>

#include <fmt/format.h>

#include "faults.h"
#include "placewright/base/join.h"

namespace placewright {
namespace {

constexpr const char* kind = "cuda";

// The kernel module's own file, its device files, or (on Windows' Linux) the device that stands for both.
bool has_kernel_module(const std::filesystem::path& root) {
  std::error_code ignored;
  for (const char* path : {"proc/driver/nvidia/version", "dev/nvidiactl", "dev/dxg"})
    if (std::filesystem::exists(root / path, ignored)) return true;
  return false;
}

bool is_overridden() {
  const char* value = std::getenv(cuda::Driver::search().override_variable.c_str());
  return value && *value;
}

AbsentDevice without_library(const std::filesystem::path& root, const std::vector<std::string>& reasons) {
  if (is_overridden())
    return {kind, "bad-override", "PLACEWRIGHT_LIBCUDA names no driver library: " + join(reasons, "; "),
            "correct or unset PLACEWRIGHT_LIBCUDA"};
  if (has_kernel_module(root))
    return {kind, "no-libcuda",
            "NVIDIA's kernel module is loaded, but libcuda.so.1 cannot be opened: " + join(reasons, "; "),
            "install the driver's user libraries; in a container pass the GPUs (--gpus all, "
            "NVIDIA_DRIVER_CAPABILITIES=compute,utility)"};
  return {kind, "no-driver", "no NVIDIA driver is installed: neither kernel module nor libcuda.so.1",
          "install a driver, or in a container pass the GPUs (--gpus all); the CPU works"};
}

}  // namespace

std::optional<AbsentDevice> find_cuda_absence(const std::filesystem::path& root) {
  std::vector<std::string> reasons;
  std::shared_ptr<const cuda::Driver> driver = cuda::Driver::try_open(&reasons);
  if (!driver) return without_library(root, reasons);
  // What is named by hand is asked, whatever else this machine lacks.
  if (has_kernel_module(root) || is_overridden()) return {};
  return AbsentDevice{kind, "no-kernel-module",
                      fmt::format("{} is there, but NVIDIA's kernel module is not loaded, or this container has no "
                                  "/dev/nvidia*",
                                  driver->path()),
                      "modprobe nvidia (after an update: reboot), or start the container with --gpus all"};
}

StartedCuda start_cuda(const std::filesystem::path& root) {
  StartedCuda started;
  started.absent = find_cuda_absence(root);
  if (started.absent) return started;
  std::shared_ptr<const cuda::Driver> driver = cuda::Driver::try_open(nullptr);
  auto fail = [&](cuda::Result result) {
    cuda::Fault fault = fault_of_start(result, *driver);
    started.absent = AbsentDevice{kind, fault.code, fault.cause, fault.fix};
    return started;
  };
  if (cuda::Result result = driver->init(0); result != 0) return fail(result);
  if (cuda::Result result = driver->device_count(&started.count); result != 0) return fail(result);
  constexpr cuda::Result no_device = 100;
  if (started.count == 0) return fail(no_device);
  started.driver = std::move(driver);
  return started;
}

}  // namespace placewright
