// What the doctor tries of NVIDIA GPUs.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "placewright/base/counts.h"
#include "placewright/base/join.h"
#include "placewright/runtime/cpu/cpu_device.h"
#include "placewright/runtime/cuda/cublaslt.h"
#include "placewright/runtime/cuda/cuda_device.h"
#include "placewright/runtime/cuda/probe.h"

namespace placewright {
namespace {

constexpr int64_t copied_bytes = 64 << 20;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

DeviceCheck check_compiler(const CompilerFacts& compiler, int driver_version) {
  const std::string name = "cuda compiler";
  if (!compiler.missing.empty())
    return {name, "no-compiler", compiler.missing, false,
            compiler.fix + (compiler.fix.empty() ? "" : "; ") + "kernels from the cache run without it"};
  std::string found = fmt::format("{} {}.{} at {}", compiler.name, compiler.major, compiler.minor, compiler.path);
  if (driver_version / 1000 < compiler.major)
    return {
        name, "driver-older-than-compiler",
        fmt::format("{}, but the driver knows CUDA {} at most", found, version_text(driver_version)), false,
        fmt::format("update the driver{}, or use {} {}", compiler.major == 13 ? " (CUDA 13 needs 580 or later)" : "",
                    compiler.name, driver_version / 1000)};
  return {name, "", found, true, ""};
}

// Not a fault where it is missing: kernels run then.
DeviceCheck check_products(const CompilerFacts& compiler, const cuda::Driver& driver) {
  std::vector<std::string> reasons;
  std::shared_ptr<const cuda::CublasLt> library = cuda::CublasLt::try_open(driver, compiler.folders, &reasons);
  return {"cuda products", "",
          library ? fmt::format("{} at {}, where it is faster than a kernel", library->name(), library->path())
                  : "kernels alone: " + join(reasons, "; "),
          true, ""};
}

// A GPU older than all that the compiler knows cannot be used; another one that it does not know takes PTX.
DeviceCheck check_architecture(const CompilerFacts& compiler, const DeviceSpec& spec) {
  int capability = 0;
  for (char c : spec.target)
    if (c >= '0' && c <= '9') capability = capability * 10 + (c - '0');
  const std::string name = spec.id.to_string() + " architecture";
  const std::vector<int>& known = compiler.architectures;
  const int least = *std::min_element(known.begin(), known.end());
  if (capability < least)
    return {name, "architecture-too-old",
            fmt::format("{} is {}, {} compiles for {} and later", spec.name, spec.target, compiler.name, least), false,
            fmt::format("use an older {}, or another GPU", compiler.name)};
  const bool is_known = std::find(known.begin(), known.end(), capability) != known.end();
  return {name, "",
          spec.target + (is_known ? "" : fmt::format(", which {} does not know: it takes PTX", compiler.name)), true,
          ""};
}

// Copies there, launches, copies back, and holds the result against what it must be.
DeviceCheck check_from_end_to_end(const std::shared_ptr<CudaDevice>& device, CpuDevice& host) {
  DeviceCheck check{device->id().to_string(), "", "", true, ""};
  try {
    std::vector<int32_t> values(copied_bytes / sizeof(int32_t));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int32_t>(i * 2654435761u);
    std::vector<int32_t> back(values.size());
    DeviceMemory memory(device, copied_bytes, 256, "the copies of the doctor");
    BufferView there{&host, values.data(), copied_bytes}, here{&host, back.data(), copied_bytes};
    copy_now(memory.view(), there, copied_bytes, "the first copy, which makes the pinned buffers");
    double begin = now();
    copy_now(memory.view(), there, copied_bytes, "64 MB to the device");
    double middle = now();
    copy_now(here, memory.view(), copied_bytes, "64 MB from the device");
    double end = now();
    bool equal = back == values;
    constexpr int64_t count = 1000;
    int stream = device->open_stream();
    device->accumulate(stream, memory.address(), static_cast<int32_t*>(memory.address()) + count, DType::i32, count);
    device->finish(device->record(stream));
    device->close_stream(stream);
    copy_now({&host, back.data(), count * 4}, memory.view(), count * 4, "the launch's result");
    for (size_t i = 0; i < count; ++i)
      equal &=
          static_cast<uint32_t>(back[i]) == static_cast<uint32_t>(values[i]) + static_cast<uint32_t>(values[i + count]);
    double bytes = static_cast<double>(copied_bytes) * 1e-9;
    check.found =
        fmt::format("{} ({}): copies 64 MB at {:.1f} GB/s there and {:.1f} GB/s back, and launches",
                    device->spec().name, device->spec().target, bytes / (middle - begin), bytes / (end - middle));
    if (const std::optional<int64_t> free = device->free_bytes())
      check.found += fmt::format("; {} of {} are free", bytes_text(*free), bytes_text(device->spec().memory_bytes));
    if (!equal)
      check = {check.name, "wrong-result", "what came back is not what was copied and added", false,
               "see nvidia-smi -q for errors of its memory"};
  } catch (const OutOfDeviceMemory& error) {
    check = {check.name, "no-memory", error.what(), false, "end the processes that nvidia-smi lists"};
  } catch (const Error& error) {
    check = {check.name, "not-working", error.what(), false, "see dmesg and nvidia-smi -q"};
  }
  return check;
}

}  // namespace

std::vector<DeviceCheck> examine_cuda(const FindCompiler& find_compiler) {
  StartedCuda started = start_cuda();
  if (started.absent) {
    if (started.absent->code == "no-driver") return {};
    return {{"cuda driver", started.absent->code, started.absent->cause, false, started.absent->fix}};
  }
  int version = 0;
  started.driver->driver_version(&version);
  std::vector<DeviceCheck> checks{{"cuda driver", "",
                                   fmt::format("{}, for CUDA {}, {} device{}", started.driver->path(),
                                               version_text(version), started.count, started.count == 1 ? "" : "s"),
                                   true, ""}};
  std::optional<CompilerFacts> compiler;
  if (find_compiler) compiler = find_compiler(started.driver->major());
  if (compiler) checks.push_back(check_compiler(*compiler, version));
  if (compiler)
    if (std::optional<DeviceCheck> check = check_toolkits(*compiler, started.driver->major()))
      checks.push_back(std::move(*check));
  if (compiler) checks.push_back(check_products(*compiler, *started.driver));
  CpuDevice host(CpuDevice::probe());
  for (int i = 0; i < started.count; ++i) try {
      auto device = std::make_shared<CudaDevice>(started.driver, i);
      if (compiler && !compiler->architectures.empty()) checks.push_back(check_architecture(*compiler, device->spec()));
      checks.push_back(check_from_end_to_end(device, host));
    } catch (const Error& error) {
      checks.push_back({fmt::format("cuda:{}", i), "not-opened", error.what(), false, "see nvidia-smi -q"});
    }
  return checks;
}

}  // namespace placewright
