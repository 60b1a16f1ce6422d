#include "placewright/codegen/emitter.h"

#include <mutex>

#include <fmt/core.h>

#include "placewright/base/error.h"
#include "placewright/base/join.h"
#include "placewright/base/shared_library.h"

namespace placewright {
namespace {

SharedLibrary::Search emitter_search() {
  return {{"libplacewright-llvm.so"},
          {folder_of_code(reinterpret_cast<const void*>(&emit_cpu_image))},
          "PLACEWRIGHT_LLVM_LIBRARY",
          true};
}

// Opened once and never closed: LLVM's registries live in it.
EmitCpuImage open_emitter() {
  static const SharedLibrary library = [] {
    std::vector<std::string> reasons;
    if (std::optional<SharedLibrary> opened = SharedLibrary::try_open(emitter_search(), &reasons)) return *opened;
    throw Error(
        fmt::format("no kernels can be made for the processor: libplacewright-llvm.so was not opened ({}); build with "
                    "-DPLACEWRIGHT_LLVM=ON (needs LLVM 19), set PLACEWRIGHT_LLVM_LIBRARY to its path, or move all to a "
                    "GPU: devices "
                    "\"cpu,cuda:1\" and .to(\"cuda:0\")",
                    join(reasons, "; ")));
  }();
  return reinterpret_cast<EmitCpuImage>(library.symbol("placewright_emit_cpu_image"));
}

}  // namespace

std::string missing_emitter() try {
  if (SharedLibrary::stamp(emitter_search()).empty()) open_emitter();
  return {};
} catch (const Error& error) {
  return error.what();
}

std::string code_generator_stamp() {
  return stamp_of_code(reinterpret_cast<const void*>(&emit_cpu_image)) + "\n" + SharedLibrary::stamp(emitter_search());
}

KernelImage emit_cpu_image(std::span<const LoopKernel> kernels, const CpuTarget& target, const EmitOptions& options) {
  KernelImage image;
  if (options.names_only) {
    for (const LoopKernel& loops : kernels) image.entries.push_back({loops.kernel.name, {}, loops.workspace_bytes});
    return image;
  }
  std::string error;
  if (!open_emitter()(kernels.data(), kernels.size(), &target, &options, &image, &error)) throw Error(error);
  return image;
}

}  // namespace placewright
