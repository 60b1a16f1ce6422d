// Which products of matrices NVIDIA's library runs on a device: candidates and the kernel are timed once, at the first
// launch, on scratch results; what is fastest is kept, in memory and where the session keeps things.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "loaded_cuda_image.h"
#include "lt_product.h"
#include "placewright/runtime/cuda/cuda_device.h"

namespace placewright {

// All with the device's mutex held and its context current.
class LtProducts {
 public:
  LtProducts(CudaDevice& device, LibraryUse use);
  ~LtProducts();

  struct Run {
    LtEntry* entry = nullptr;
    LtProduct::Operands operands;
  };
  // If the library is to run this launch. Opens it at the first product; measures, on the stream, a product that is
  // new.
  std::optional<Run> find(CudaDevice::Stream& stream, const KernelLaunch& launch);
  // False if it could not: then the kernel runs, this time and from now on.
  bool start(CudaDevice::Stream& stream, const KernelLaunch& launch);
  // Whether a choice made for it before still is one for the addresses that it has now.
  bool still_fits(const KernelLaunch& launch, const LtChoice& choice) const;
  void drop(const KernelLaunch& launch);  // the kernel runs from now on
  std::string performer(const KernelLaunch& launch) const;
  void close(cuda::StreamObject* stream);  // which has nothing to do any more
  // Gives the streams' workspaces back, behind what uses them; whether there were any.
  bool release_workspaces();
  // The program lacks memory: from now on kernels run what the library would need some of its own for.
  void save_memory() { is_short_ = true; }

 private:
  struct Workspace {
    void* address = nullptr;
    int64_t bytes = 0;
  };
  bool open();
  bool is_chosen(const LtEntry& entry) const;
  void make_product(LtEntry& entry, const KernelLaunch& launch);
  static LtEntry& entry_of(const KernelLaunch& launch);
  LtChoice choose(CudaDevice::Stream& stream, const KernelLaunch& launch, const LtProduct& product,
                  const LtProduct::Operands& operands);
  LtChoice measure(CudaDevice::Stream& stream, const KernelLaunch& launch, const LtProduct& product, bool& is_complete);
  LtChoice fastest(CudaDevice::Stream& stream, const LtProduct& product, const LtProduct::Operands& operands,
                   void* workspace, float& least);
  float milliseconds(CudaDevice::Stream& stream, const std::function<bool()>& go);
  bool keeps_nan(CudaDevice::Stream& stream, const LtProduct& product, const cuda::LtCandidate& candidate,
                 const LtProduct::Operands& operands, void* workspace);
  void* workspace_of(CudaDevice::Stream& stream, int64_t bytes);

  CudaDevice& device_;
  LibraryUse use_;
  bool was_opened_ = false;
  bool is_short_ = false;  // of memory
  std::shared_ptr<const cuda::CublasLt> library_;
  cuda::LtHandleObject* handle_ = nullptr;
  std::map<std::string, LtChoice> choices_;  // by key
  std::map<cuda::StreamObject*, Workspace> workspaces_;
};

}  // namespace placewright
