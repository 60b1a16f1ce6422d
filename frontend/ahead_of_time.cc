#include "placewright/ahead_of_time.h"

#include <algorithm>
#include <memory>
#include <thread>
#include <tuple>
#include <utility>

#include "placewright/base/error.h"
#include "placewright/codegen/compile_program.h"

namespace placewright {
namespace {

struct Collected {
  std::vector<TargetImage> images;
  int count = 0;  // of the program's, so far
};

// One lowering for several targets that would all lower alike: each emits the same kernels, and the first one's images
// stand for all in the program.
class SeveralTargets final : public CodeTarget {
 public:
  SeveralTargets(std::vector<NamedTarget> targets, Collected& collected)
      : targets_(std::move(targets)), collected_(collected) {}

  std::string key() const override { return first().key(); }
  void split_reductions(StructuredKernel& kernel) const override { first().split_reductions(kernel); }

  EmittedKernels emit(std::vector<StructuredKernel> kernels, int threads, const CodeStore& store) const override {
    EmittedKernels shown;
    for (const auto& [name, target] : targets_) {
      EmittedKernels emitted = target->emit(kernels, threads, store);
      PW_CHECK(shown.image_of.empty() || shown.image_of == emitted.image_of, "kin that share out kernels differently");
      for (size_t i = 0; i < emitted.images.size(); ++i)
        collected_.images.push_back({name, collected_.count + static_cast<int>(i), emitted.images[i]});
      if (shown.images.empty()) shown = std::move(emitted);
    }
    collected_.count += static_cast<int>(shown.images.size());
    return shown;
  }

  std::unique_ptr<TargetModel> model(const DeviceSpec& spec, const Profile* profile,
                                     std::shared_ptr<OpFactsTable> facts) const override {
    return first().model(spec, profile, std::move(facts));
  }

 private:
  const CodeTarget& first() const { return *targets_.front().target; }
  std::vector<NamedTarget> targets_;
  Collected& collected_;
};

}  // namespace

AheadOfTime compile_ahead_of_time(const GraphPlacement& placed) {
  Collected collected;
  CompileProgramOptions options;
  options.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  std::map<std::string, std::shared_ptr<const CodeTarget>> known;  // devices of one target share kernels
  const std::vector<DeviceSpec>& devices = placed.machine.devices;
  auto host = std::find_if(devices.begin(), devices.end(), [](const DeviceSpec& spec) { return spec.host_memory; });
  PW_CHECK(host != devices.end(), "a machine without a host");
  options.host = host->id;
  for (const DeviceSpec& spec : devices) {
    std::shared_ptr<const CodeTarget>& target = known[spec.target];
    if (!target) target = std::make_shared<SeveralTargets>(ahead_of_time_targets(spec.target), collected);
    options.targets[spec.id] = target;
  }
  CompiledProgram compiled = compile_program(placed.compiled, options);
  std::sort(collected.images.begin(), collected.images.end(), [](const TargetImage& a, const TargetImage& b) {
    auto key = [](const TargetImage& i) { return std::tuple(i.target.size(), i.target, i.number); };  // sm_80, sm_100
    return key(a) < key(b);
  });
  return {std::move(compiled.program), std::move(compiled.constants), std::move(collected.images)};
}

}  // namespace placewright
