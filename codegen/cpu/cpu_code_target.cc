#include <fmt/core.h>

#include "emit_images.h"
#include "placewright/codegen/code_target.h"
#include "placewright/codegen/cpu_target_model.h"
#include "placewright/codegen/strategy.h"

namespace placewright {
namespace {

class CpuCodeTarget final : public CodeTarget {
 public:
  CpuCodeTarget(const CpuTarget& target, const EmitOptions& options) : target_(target), options_(options) {}

  std::string key() const override {
    return fmt::format("{}\n{} {} {} {} {} {} {} check_bounds={}", code_generator_stamp(), target_.triple,
                       target_.features, target_.vector_bits, target_.vector_registers, target_.l1_bytes,
                       target_.l2_bytes, target_.l3_bytes, options_.check_bounds);
  }
  void split_reductions(StructuredKernel& kernel) const override { placewright::split_reductions(kernel, target_); }
  EmittedKernels emit(std::vector<StructuredKernel> kernels, int threads, const CodeStore&) const override {
    return emit_images(std::move(kernels), target_, options_, threads);
  }
  std::unique_ptr<TargetModel> model(const DeviceSpec& spec, const Profile* profile,
                                     std::shared_ptr<OpFactsTable> facts) const override {
    return make_cpu_target_model(target_, spec, profile, std::move(facts));
  }
  std::string absence() const override { return options_.names_only ? "" : missing_emitter(); }

 private:
  CpuTarget target_;
  EmitOptions options_;
};

}  // namespace

std::shared_ptr<const CodeTarget> make_cpu_code_target(const CpuTarget& target, const EmitOptions& options) {
  return std::make_shared<CpuCodeTarget>(target, options);
}

}  // namespace placewright
