#include "placewright/codegen/cuda/cuda_code.h"
#include "placewright/codegen/cuda/nvrtc.h"

namespace placewright {

KernelImage make_cuda_image(const CudaText& text, Nvrtc::Compiled compiled) {
  const std::string& target = compiled.target;
  KernelImage made{target.starts_with("compute_") ? "ptx" : "cubin", target, kernel_abi_version,
                   std::move(compiled.code), text.entries};
  const std::vector<KernelResources> reported = parse_resources(compiled.log);
  for (const KernelEntry& entry : text.entries)
    for (const std::vector<KernelPhase>* phases : {&entry.phases, &entry.rest})
      for (const KernelPhase& phase : *phases)
        for (const KernelResources& each : reported)
          if (each.symbol == phase.symbol) add_occupancy(made.resources.emplace_back(each), phase, target);
  return made;
}

KernelImage compile_cuda_text(const CudaText& text, const std::string& target) {
  return make_cuda_image(text, Nvrtc::open().compile(text.text, target));
}

}  // namespace placewright
