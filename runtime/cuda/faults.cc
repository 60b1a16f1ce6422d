#include "faults.h"

#include <iterator>

#include <fmt/format.h>

namespace placewright::cuda {
namespace {

struct Row {
  Result result;
  const char *code, *cause, *fix;
};

constexpr Row start_rows[] = {
    {34, "stub-library", "the libcuda found is the toolkit's stub for linking, not a driver",
     "remove .../stubs from LD_LIBRARY_PATH"},
    {35, "driver-too-old", "the driver is older than what asks for it", "update the NVIDIA driver"},
    {46, "device-unavailable", "the GPU is busy or in exclusive mode, taken by another process",
     "end the other process, or nvidia-smi -c DEFAULT"},
    {100, "no-device",
     "the driver shows no GPU: CUDA_VISIBLE_DEVICES hides them, the container was given none, or MIG is on without "
     "instances",
     "unset CUDA_VISIBLE_DEVICES, start the container with --gpus all, or create MIG instances"},
    {101, "invalid-device", "CUDA_VISIBLE_DEVICES names a GPU that is not there",
     "set it to what nvidia-smi -L lists, or unset it"},
    {304, "no-permission", "the operating system refuses the driver's device files",
     "give this user access to /dev/nvidia*, or pass them to the container"},
    {802, "fabric-not-ready", "the GPUs' fabric is not initialised: the fabric manager does not run",
     "systemctl start nvidia-fabricmanager, of the driver's version"},
    {803, "driver-mismatch", "libcuda and the kernel module are of different versions",
     "reboot after the driver's update, or pass the host's libcuda to the container"},
    {804, "compat-not-supported", "a cuda-compat library is used on a GPU that does not support it",
     "remove the cuda-compat package or its folder from LD_LIBRARY_PATH, or update the driver"},
    {805, "mps-connection-failed", "no connection to the MPS control daemon",
     "start nvidia-cuda-mps-control, or unset CUDA_MPS_PIPE_DIRECTORY"},
    {806, "mps-rpc-failure", "the MPS server and this client do not understand each other",
     "restart nvidia-cuda-mps-control with this driver"},
    {807, "mps-server-not-ready", "the MPS server is not ready", "try again, or restart nvidia-cuda-mps-control"},
    {808, "mps-clients", "the MPS server has as many clients as it may", "end another client"},
    {809, "mps-connections", "the MPS server has no connection left", "end another client"},
    {810, "mps-client-terminated", "the MPS server ended this client", "start the process again"},
    {999, "unknown-driver-error", "the driver fails without a reason, mostly after a suspend or a fault of the GPU",
     "reload the kernel module nvidia_uvm, or reboot; dmesg has the reason"},
};

constexpr Row load_rows[] = {
    {200, "invalid-image", "the kernel image is damaged", "remove it from the cache: placewright cache clear"},
    {209, "wrong-architecture", "the kernel image was made for another GPU architecture",
     "compile for this device's target"},
    {218, "invalid-ptx", "the PTX is not valid", "report it: this is a bug"},
    {221, "no-jit", "libnvidia-ptxjitcompiler.so is missing, so PTX cannot be loaded",
     "install the whole driver; in a container set NVIDIA_DRIVER_CAPABILITIES=compute,utility"},
    {222, "ptx-too-new", "the PTX was made by a newer toolkit than the driver knows",
     "update the driver, or use an older NVRTC"},
    {223, "jit-disabled", "the driver's JIT compiler is disabled", "unset CUDA_DISABLE_PTX_JIT"},
};

template <size_t count>
Fault fault_of(const Row (&rows)[count], Result result, const Driver& driver, const char* unknown) {
  for (const Row& row : rows)
    if (row.result == result)
      return {row.code, fmt::format("{}; {} says {}", row.cause, driver.path(), driver.describe(result)), row.fix};
  return {fmt::format("{}-{}", unknown, result), fmt::format("{} says {}", driver.path(), driver.describe(result)),
          "see the driver's documentation and dmesg"};
}

}  // namespace

Fault fault_of_start(Result result, const Driver& driver) { return fault_of(start_rows, result, driver, "driver"); }
Fault fault_of_load(Result result, const Driver& driver) { return fault_of(load_rows, result, driver, "load"); }

}  // namespace placewright::cuda
