#include "placewright/codegen/cuda/cuda_code.h"
#include "placewright/codegen/cuda/nvrtc.h"

namespace placewright {

CudaImage compile_cuda_text(const CudaText& text, const std::string& target) {
  CudaImage made;
  made.image = {target.starts_with("compute_") ? "ptx" : "cubin", target, kernel_abi_version, {}, text.entries};
  Nvrtc::Compiled compiled = Nvrtc::open().compile(text.text, target);
  made.image.bytes = std::move(compiled.code);
  const std::vector<KernelResources> reported = parse_resources(compiled.log);
  for (const KernelEntry& entry : text.entries)
    for (const KernelPhase& phase : entry.phases)
      for (const KernelResources& each : reported)
        if (each.symbol == phase.symbol) add_occupancy(made.resources.emplace_back(each), phase, target);
  return made;
}

}  // namespace placewright
