#include "loaded_cuda_image.h"

#include <algorithm>

#include <fmt/format.h>

#include "faults.h"

namespace placewright {
namespace {

constexpr int64_t most_threads = 1024, most_threads_in_z = 64;
constexpr std::array<int64_t, 3> most_groups{2147483647, 65535, 65535};

struct Capability {
  int major = 0, minor = 0;
};

// "sm_90a", "compute_80": ten times the major, and the minor.
Capability capability_of(const std::string& target) {
  int number = 0;
  for (char c : target)
    if (c >= '0' && c <= '9') number = number * 10 + (c - '0');
  return {number / 10, number % 10};
}

// Machine code runs on devices of its major and at least its minor; PTX on all later ones.
bool is_runnable(const KernelImage& image, const std::string& target) {
  Capability made = capability_of(image.target), here = capability_of(target);
  if (image.format == "ptx") return made.major * 10 + made.minor <= here.major * 10 + here.minor;
  bool specific = !image.target.empty() && image.target.back() == 'a';
  if (specific) return made.major == here.major && made.minor == here.minor;
  return target.starts_with("sm_") && made.major == here.major && made.minor <= here.minor;
}

void require_sizes(const KernelEntry& entry, const KernelPhase& phase) {
  int64_t threads = 1;
  for (size_t i = 0; i < 3; ++i) {
    if (phase.groups[i] < 0 || phase.groups[i] > most_groups[i])
      throw Error(fmt::format("kernel {}: {} groups in {}, expected 0 to {}", entry.name, phase.groups[i], "xyz"[i],
                              most_groups[i]));
    threads *= std::clamp<int64_t>(phase.group_threads[i], 0, most_threads + 1);
  }
  if (threads < 1 || threads > most_threads)
    throw Error(fmt::format("kernel {}: groups of {} x {} x {} threads, expected 1 to {} in all", entry.name,
                            phase.group_threads[0], phase.group_threads[1], phase.group_threads[2], most_threads));
  if (phase.group_threads[2] > most_threads_in_z)
    throw Error(fmt::format("kernel {}: groups of {} threads in z, expected {} at most", entry.name,
                            phase.group_threads[2], most_threads_in_z));
}

}  // namespace

cuda::ModuleObject* load_cuda_module(const cuda::Driver& driver, const char* image, const std::string& what) {
  char log[2048] = "";
  int options[] = {cuda::jit_error_log, cuda::jit_error_log_bytes};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
  cuda::ModuleObject* module = nullptr;
  cuda::Result result = driver.module_load(&module, image, 2, options, values);
  if (result == 0) return module;
  cuda::Fault fault = fault_of_load(result, driver);
  log[sizeof log - 1] = 0;
  throw Error(
      fmt::format("cannot load {}: {} ({}){}{}; {}", what, fault.cause, fault.code, *log ? ": " : "", log, fault.fix));
}

LoadedCudaImage::LoadedCudaImage(std::shared_ptr<const cuda::Driver> driver, int device,
                                 std::vector<KernelEntry> entries)
    : LoadedImage(std::move(entries)),
      driver_(std::move(driver)),
      device_(device),
      library_entries_(this->entries().size()) {}

LoadedCudaImage::~LoadedCudaImage() {
  if (!context_) return;
  driver_->context_set(context_);
  if (module_) driver_->module_unload(module_);
  driver_->context_release(device_);
}

std::shared_ptr<const LoadedCudaImage> LoadedCudaImage::load(std::shared_ptr<const cuda::Driver> driver, int device,
                                                             const std::string& target, const KernelImage& image) {
  if (image.format != "cubin" && image.format != "ptx")
    throw Error(fmt::format("kernel image of format '{}', expected cubin or ptx", image.format));
  if (image.abi_version != kernel_abi_version)
    throw Error(
        fmt::format("kernel image of ABI {}, expected {}: compile it anew", image.abi_version, kernel_abi_version));
  if (!is_runnable(image, target))
    throw Error(fmt::format("kernel image of format {} for {}, expected one that runs on {}", image.format,
                            image.target, target));
  if (image.bytes.empty()) throw Error("kernel image without code");
  std::shared_ptr<LoadedCudaImage> loaded(new LoadedCudaImage(std::move(driver), device, image.entries));
  const cuda::Driver& table = *loaded->driver_;
  if (cuda::Result result = table.context_retain(&loaded->context_, device); result != 0)
    throw Error(fmt::format("cannot use the context of {}: {}", target, table.describe(result)));
  std::string text(image.bytes.begin(), image.bytes.end());  // closed by a zero, as PTX must be
  loaded->module_ = load_cuda_module(table, text.c_str(), fmt::format("a kernel image for {}", image.target));
  for (const KernelEntry& entry : image.entries) {
    loaded->phases_.push_back(loaded->find_phases(entry, entry.phases, target));
    loaded->rests_.push_back(loaded->find_phases(entry, entry.rest, target));
  }
  return loaded;
}

std::vector<LoadedCudaImage::Phase> LoadedCudaImage::find_phases(const KernelEntry& entry,
                                                                 const std::vector<KernelPhase>& phases,
                                                                 const std::string& target) const {
  std::vector<Phase> found;
  for (const KernelPhase& sizes : phases) {
    require_sizes(entry, sizes);
    Phase& phase = found.emplace_back(Phase{nullptr, sizes});
    if (cuda::Result result = driver_->module_function(&phase.function, module_, sizes.symbol.c_str()); result != 0)
      throw Error(fmt::format("kernel {}: its image has no function {}: {}", entry.name, sizes.symbol,
                              driver_->describe(result)));
    // Without asking there are 48 KiB together with what the kernel declares itself, which only the driver knows.
    if (sizes.shared_bytes == 0) continue;
    if (cuda::Result result = driver_->function_set(phase.function, cuda::function_dynamic_shared_bytes,
                                                    static_cast<int>(sizes.shared_bytes));
        result != 0)
      throw Error(fmt::format("kernel {}: {} bytes of shared memory a group are more than {} has: {}", entry.name,
                              sizes.shared_bytes, target, driver_->describe(result)));
  }
  return found;
}

}  // namespace placewright
