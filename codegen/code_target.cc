#include "placewright/codegen/code_target.h"

namespace placewright {

std::shared_ptr<const CodeTarget> make_code_target(const std::string& target, const CpuTarget& host,
                                                   const EmitOptions& options) {
  if (std::shared_ptr<const CodeTarget> made = try_make_cuda_code_target(target)) return made;
  return make_cpu_code_target(host, options);
}

std::vector<NamedTarget> ahead_of_time_targets(const std::string& target) {
  std::vector<NamedTarget> targets;
  for (const std::string& kin : cuda_kin(target)) targets.push_back({kin, try_make_cuda_code_target(kin)});
  if (targets.empty()) {
    const std::string level = cpu_level(target);
    targets.push_back({level, make_cpu_code_target(named_cpu_target(level), {})});
  }
  return targets;
}

}  // namespace placewright
