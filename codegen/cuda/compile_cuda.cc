#include "placewright/codegen/cuda/cuda_code.h"
#include "placewright/codegen/cuda/nvrtc.h"

namespace placewright {

CudaImage compile_cuda_text(const CudaText& text, const std::string& target) {
  CudaImage made;
  made.image = {target.starts_with("compute_") ? "ptx" : "cubin", target, kernel_abi_version, {}, text.entries};
  Nvrtc::Compiled compiled = Nvrtc::open().compile(text.text, target);
  made.image.bytes = std::move(compiled.code);
  made.resources = parse_resources(compiled.log);
  return made;
}

}  // namespace placewright
