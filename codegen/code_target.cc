#include "placewright/codegen/code_target.h"

namespace placewright {

std::shared_ptr<const CodeTarget> make_code_target(const std::string& target, const CpuTarget& host,
                                                   const EmitOptions& options) {
  if (std::shared_ptr<const CodeTarget> made = try_make_cuda_code_target(target)) return made;
  return make_cpu_code_target(host, options);
}

}  // namespace placewright
