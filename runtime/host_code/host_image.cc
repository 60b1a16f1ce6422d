#include "placewright/runtime/host_code/host_image.h"

#include <algorithm>
#include <cpuid.h>

#include <fmt/core.h>

namespace placewright {
namespace {

// The features of "x86-64+avx+fma" or "x86_64-unknown-linux-gnu +avx,+fma".
std::vector<std::string> features(const std::string& target) {
  std::vector<std::string> words;
  for (size_t plus = target.find('+'); plus != std::string::npos; plus = target.find('+', plus + 1)) {
    size_t end = std::min(target.find_first_of("+, ", plus + 1), target.size());
    words.push_back(target.substr(plus + 1, end - plus - 1));
  }
  return words;
}

void require_target(const KernelImage& image, const std::string& offered) {
  if (image.format != "elf-x86-64")
    throw Error(fmt::format("kernel image of format {}, expected elf-x86-64", image.format));
  if (image.abi_version != kernel_abi_version)
    throw Error(fmt::format("kernel image of ABI version {}, expected {}: compile it again", image.abi_version,
                            kernel_abi_version));
  if (image.target == offered) return;
  std::vector<std::string> has = features(offered);
  for (const std::string& wanted : features(image.target))
    if (std::find(has.begin(), has.end(), wanted) == has.end())
      throw Error(fmt::format("kernel image for {}, but this processor has no {}: compile it again here", image.target,
                              wanted));
}

}  // namespace

std::shared_ptr<const HostImage> HostImage::load(const KernelImage& image, const std::string& target) {
  require_target(image, target);
  std::string name = image.entries.empty() ? "without entries" : image.entries.front().name;
  return std::shared_ptr<const HostImage>(new HostImage(image.entries, HostCode::load(image.bytes, name)));
}

HostImage::HostImage(std::vector<KernelEntry> entries, std::shared_ptr<const HostCode> code)
    : LoadedImage(std::move(entries)), code_(std::move(code)) {
  for (const KernelEntry& entry : this->entries()) {
    std::vector<Phase>& phases = phases_.emplace_back();
    for (const KernelPhase& phase : entry.phases) {
      void* address = code_->try_symbol(phase.symbol);
      if (!address) throw Error(fmt::format("kernel {}: its image has no function '{}'", entry.name, phase.symbol));
      if (phase.extent < 0 || phase.grain < 1)
        throw Error(fmt::format("kernel {}: extent {} and grain {}, expected at least 0 and 1", entry.name,
                                phase.extent, phase.grain));
      phases.push_back({reinterpret_cast<Function>(address), phase.extent, phase.grain});
    }
  }
}

void HostImage::run(const KernelLaunch& launch, ThreadPool& pool) const {
  for (const Phase& phase : phases_[static_cast<size_t>(launch.entry)]) {
    if (launch.status && *launch.status != 0) return;  // what follows must not see what went wrong
    if (phase.extent / 2 < phase.grain) {              // not worth two threads
      phase.function(launch.buffers, launch.scalars, 0, phase.extent, launch.status);
      continue;
    }
    pool.parallel_for(phase.extent, phase.grain, [&](int64_t begin, int64_t end) {
      phase.function(launch.buffers, launch.scalars, begin, end, launch.status);
    });
  }
}

std::string host_target() {
  std::string target = "x86-64";
#if defined(__x86_64__)
  __builtin_cpu_init();
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  __get_cpuid(1, &eax, &ebx, &ecx, &edx);
  auto add = [&](bool has, const char* feature) {
    if (has) (target += '+') += feature;
  };
  add(__builtin_cpu_supports("avx"), "avx");
  add(__builtin_cpu_supports("avx2"), "avx2");
  add(__builtin_cpu_supports("avx512bf16"), "avx512bf16");
  add(__builtin_cpu_supports("avx512bw"), "avx512bw");
  add(__builtin_cpu_supports("avx512cd"), "avx512cd");
  add(__builtin_cpu_supports("avx512dq"), "avx512dq");
  add(__builtin_cpu_supports("avx512f"), "avx512f");
  add(__builtin_cpu_supports("avx512vl"), "avx512vl");
  add(__builtin_cpu_supports("avx512vnni"), "avx512vnni");
  add(__builtin_cpu_supports("bmi"), "bmi");
  add(__builtin_cpu_supports("bmi2"), "bmi2");
  add(ecx & bit_CMPXCHG16B, "cx16");
  add(__builtin_cpu_supports("avx512f"), "evex512");
  add(__builtin_cpu_supports("f16c"), "f16c");
  add(__builtin_cpu_supports("fma"), "fma");
  add(__builtin_cpu_supports("lzcnt"), "lzcnt");
  add(ecx & bit_MOVBE, "movbe");
  add(__builtin_cpu_supports("popcnt"), "popcnt");
  add(__builtin_cpu_supports("sse3"), "sse3");
  add(__builtin_cpu_supports("sse4.1"), "sse4.1");
  add(__builtin_cpu_supports("sse4.2"), "sse4.2");
  add(__builtin_cpu_supports("ssse3"), "ssse3");
#endif
  return target;
}

}  // namespace placewright
