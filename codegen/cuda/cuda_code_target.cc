// CUDA devices as a target: kernels to images by a pool of NVRTC's compilations, kept in the store by their text.
#include <algorithm>
#include <cstdlib>

#include <fmt/core.h>

#include "parallel.h"
#include "placewright/base/checked.h"
#include "placewright/base/hash.h"
#include "placewright/base/join.h"
#include "placewright/codegen/code_target.h"
#include "placewright/codegen/cuda/cuda_code.h"
#include "placewright/codegen/cuda/nvrtc.h"
#include "placewright/codegen/machine_target_model.h"
#include "placewright/codegen/strategy.h"
#include "prelude.h"

namespace placewright {
namespace {

// Few enough that all threads have work, and that one changed kernel spares the others; the prelude is read once each.
constexpr size_t kernels_an_image = 4;

bool is_ours(const std::string& target) { return target.starts_with("sm_") || target.starts_with("compute_"); }

// That multiply f32 rounded to tf32: those of compute capability 8.0 and later.
bool has_matrix_units(const std::string& target) { return std::atoi(target.c_str() + target.find('_') + 1) >= 80; }

// What stages are chosen for.
StructuredKernel simplify(StructuredKernel kernel, const std::string& target) {
  kernel = collapse_dimensions(std::move(kernel));
  if (!has_matrix_units(target))
    for (Stage& stage : kernel.stages) stage.reduction.precision = Precision::f32;
  return kernel;
}

// What is emitted for a kernel. What a product leaves of it takes the same parameters, so that none of them is held.
struct Chosen {
  StructuredKernel deep;
  Schedule schedule;
  std::optional<Contraction> contraction = {};
  std::optional<StructuredKernel> rest = {};
  Schedule rest_schedule = {};
};

void hold_nothing(Schedule& schedule) {
  for (StageGroup& group : schedule.groups) group.held.clear();
}

Chosen choose(const StructuredKernel& wanted, const std::string& target) {
  const StructuredKernel kernel = simplify(wanted, target);
  Chosen chosen{split_depth(kernel), {}};
  chosen.deep.name = wanted.name;
  chosen.schedule = choose_grid_schedule(chosen.deep);
  chosen.contraction = match_contraction(kernel);
  if (chosen.contraction) return chosen;
  std::optional<PartedContraction> parts = part_contraction(kernel, chosen.deep);
  if (!parts) return chosen;
  chosen.contraction = parts->contraction;
  chosen.rest = std::move(parts->rest);
  chosen.rest->name = wanted.name + "_rest";
  chosen.rest_schedule = choose_grid_schedule(*chosen.rest);
  hold_nothing(chosen.schedule);
  hold_nothing(chosen.rest_schedule);
  return chosen;
}

std::vector<int64_t> workspaces_of(const StructuredKernel& kernel, const std::string& target) {
  const Chosen chosen = choose(kernel, target);
  return workspace_bytes(chosen.deep, chosen.schedule);
}

class CudaCodeTarget final : public CodeTarget {
 public:
  CudaCodeTarget(std::string target, int latest_compiler)
      : target_(std::move(target)), latest_compiler_(latest_compiler) {}

  std::string key() const override {
    return fmt::format("{} {} [{}] {}", target_, Nvrtc::stamp(latest_compiler_), join(nvrtc_options(target_), " "),
                       hash_text(cuda_prelude()));
  }

  // Lanes join what each of them reduced, in an order that follows from the stage as fused: none is settled before.
  void split_reductions(StructuredKernel&) const override {}

  EmittedKernels emit(std::vector<StructuredKernel> kernels, int threads, const CodeStore& store) const override {
    EmittedKernels emitted;
    emitted.images.resize(ceil_div(kernels.size(), kernels_an_image));
    for (size_t i = 0; i < kernels.size(); ++i) emitted.image_of.push_back(static_cast<int>(i / kernels_an_image));
    parallel_for(threads, emitted.images.size(), [&](size_t image) {
      size_t begin = image * kernels_an_image, end = std::min(begin + kernels_an_image, kernels.size());
      emitted.images[image] = compile(emit_text({kernels.data() + begin, end - begin}), store);
    });
    return emitted;
  }

  std::unique_ptr<TargetModel> model(const DeviceSpec& spec, const Profile* profile,
                                     std::shared_ptr<OpFactsTable> facts) const override {
    return make_machine_target_model(spec, profile, std::move(facts));
  }

 private:
  // The kernels, and behind them what products leave of some of them, which becomes a part of their entries.
  CudaText emit_text(std::span<const StructuredKernel> kernels) const {
    std::vector<StructuredKernel> emitted;
    std::vector<Schedule> schedules;
    std::vector<std::optional<Contraction>> contractions;
    std::vector<size_t> rest_of;
    std::vector<Chosen> all;
    for (const StructuredKernel& wanted : kernels) all.push_back(choose(wanted, target_));
    for (Chosen& chosen : all) {
      if (chosen.rest) rest_of.push_back(emitted.size());
      contractions.push_back(chosen.contraction);
      emitted.push_back(std::move(chosen.deep));
      schedules.push_back(std::move(chosen.schedule));
    }
    for (size_t of : rest_of) {
      emitted.push_back(std::move(*all[of].rest));
      schedules.push_back(std::move(all[of].rest_schedule));
    }
    CudaText text = emit_cuda_text(emitted, schedules);
    for (size_t i = 0; i < kernels.size(); ++i) text.entries[i].contraction = contractions[i];
    for (size_t r = 0; r < rest_of.size(); ++r)
      text.entries[rest_of[r]].rest = std::move(text.entries[kernels.size() + r].phases);
    text.entries.resize(kernels.size());
    return text;
  }

  // What was compiled once for this target, by this NVRTC, is not compiled again. In front of the code are kept the
  // target that it is for, and the log, which says what the kernels take.
  KernelImage compile(const CudaText& text, const CodeStore& store) const {
    const std::string key = fmt::format("cuda code 3\n{}\n{}", this->key(), text.text);
    if (store.load)
      if (std::optional<std::vector<uint8_t>> kept = store.load(key)) return make_cuda_image(text, unpack(*kept));
    Nvrtc::Compiled compiled = Nvrtc::open(latest_compiler_).compile(text.text, target_);
    if (store.store) store.store(key, pack(compiled));
    return make_cuda_image(text, std::move(compiled));
  }

  static std::vector<uint8_t> pack(const Nvrtc::Compiled& compiled) {
    std::vector<uint8_t> bytes;
    for (const std::string& part : {compiled.target, compiled.log}) {
      bytes.insert(bytes.end(), part.begin(), part.end());
      bytes.push_back(0);
    }
    bytes.insert(bytes.end(), compiled.code.begin(), compiled.code.end());
    return bytes;
  }

  static Nvrtc::Compiled unpack(const std::vector<uint8_t>& bytes) {
    auto at = bytes.begin();
    auto part = [&] {
      const auto begin = at, end = std::find(begin, bytes.end(), 0);
      PW_CHECK(end != bytes.end(), "kept code without its target and log");
      at = end + 1;
      return std::string(begin, end);
    };
    Nvrtc::Compiled compiled;
    compiled.target = part();
    compiled.log = part();
    compiled.code.assign(at, bytes.end());
    return compiled;
  }

  const std::string target_;
  const int latest_compiler_;
};

}  // namespace

std::shared_ptr<const CodeTarget> try_make_cuda_code_target(const std::string& target, int latest_compiler) {
  if (!is_ours(target)) return nullptr;
  return std::make_shared<CudaCodeTarget>(target, latest_compiler);
}

// As CudaCodeTarget emits them.
std::optional<KernelMemory> try_cuda_kernel_memory(const std::string& target) {
  if (!is_ours(target)) return {};
  return KernelMemory{has_matrix_units(target) ? "cuda with matrix units" : "cuda",
                      {},
                      [target](StructuredKernel kernel) { return workspaces_of(kernel, target); }};
}

// The generations that data centres have: what is compiled for one of them runs on its own alone. PTX runs on all later
// ones.
std::vector<std::string> cuda_kin(const std::string& target) {
  if (!is_ours(target)) return {};
  if (!target.starts_with("sm_")) return {target};
  std::vector<std::string> kin{"sm_80", "sm_90", "sm_100"};
  if (std::find(kin.begin(), kin.end(), target) == kin.end()) kin.push_back(target);
  return kin;
}

std::vector<std::filesystem::path> cuda_toolkit_folders() { return Nvrtc::folders(); }

}  // namespace placewright
