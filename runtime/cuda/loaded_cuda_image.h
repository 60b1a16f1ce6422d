// A kernel image as a module of a device's context.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "lt_product.h"
#include "placewright/runtime/cuda/driver.h"
#include "placewright/runtime/device.h"

namespace placewright {

class LoadedCudaImage : public LoadedImage {
 public:
  struct Phase {
    cuda::FunctionObject* function = nullptr;
    KernelPhase sizes;
  };
  // With the device's context current. Error if the image is not for `target` ("sm_90", "compute_80"), is damaged, or
  // asks for what no device has.
  static std::shared_ptr<const LoadedCudaImage> load(std::shared_ptr<const cuda::Driver> driver, int device,
                                                     const std::string& target, const KernelImage& image);
  ~LoadedCudaImage() override;
  const std::vector<Phase>& phases(int entry) const { return phases_[static_cast<size_t>(entry)]; }
  // What follows the entry's contraction, where that is not all of it.
  const std::vector<Phase>& rest(int entry) const { return rests_[static_cast<size_t>(entry)]; }
  // With the mutex of the device that loaded it held.
  LtEntry& library_entry(int entry) const { return library_entries_[static_cast<size_t>(entry)]; }

 private:
  LoadedCudaImage(std::shared_ptr<const cuda::Driver> driver, int device, std::vector<KernelEntry> entries);
  std::vector<Phase> find_phases(const KernelEntry& entry, const std::vector<KernelPhase>& phases,
                                 const std::string& target) const;

  std::shared_ptr<const cuda::Driver> driver_;
  int device_;
  cuda::ContextObject* context_ = nullptr;  // held, as the image may outlive its device
  cuda::ModuleObject* module_ = nullptr;
  std::vector<std::vector<Phase>> phases_, rests_;
  mutable std::vector<LtEntry> library_entries_;
};

inline std::span<void* const> buffers_of(const KernelLaunch& launch) {
  return {launch.buffers, static_cast<size_t>(launch.buffer_count)};
}

// Error that says what is wrong with the image, and the compiler's log if there is one.
cuda::ModuleObject* load_cuda_module(const cuda::Driver& driver, const char* image, const std::string& what);

}  // namespace placewright
