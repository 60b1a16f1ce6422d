#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "placewright/base/join.h"
#include "placewright/base/shared_library.h"
#include "placewright/runtime/cuda/cublaslt.h"
#include "placewright/runtime/cuda/probe.h"

namespace placewright {
namespace {

// By its own word: the version of CUDA's runtime that it was made with, 13000 for 13.0.
struct Library {
  const char *name, *variable, *version_function;
  std::vector<std::string> files;
};

std::vector<Library> libraries(int driver_major) {
  return {{"cuBLASLt", "PLACEWRIGHT_LIBCUBLASLT", "cublasLtGetCudartVersion", cuda::CublasLt::names(driver_major)},
          {"cuDNN", "PLACEWRIGHT_LIBCUDNN", "cudnnGetCudartVersion", {"libcudnn.so.9"}}};
}

}  // namespace

std::optional<DeviceCheck> check_toolkits(const CompilerFacts& compiler, int driver_major) {
  std::vector<std::string> found;
  std::vector<int> majors;
  auto add = [&](const std::string& name, int major, int minor, const std::string& path) {
    found.push_back(fmt::format("{} for CUDA {}.{} at {}", name, major, minor, path));
    majors.push_back(major);
  };
  if (compiler.missing.empty()) add(compiler.name, compiler.major, compiler.minor, compiler.path);
  const size_t compilers = found.size();
  for (const Library& library : libraries(driver_major)) {
    // As the compiler's: what the loader finds comes first.
    std::optional<SharedLibrary> opened =
        SharedLibrary::try_open({library.files, compiler.folders, library.variable, true, true});
    void* symbol = opened ? opened->try_symbol(library.version_function) : nullptr;
    if (!symbol) continue;
    const auto version = static_cast<int>(reinterpret_cast<size_t (*)()>(symbol)());
    add(library.name, version / 1000, version % 1000 / 10, opened->path());
  }
  if (found.size() == compilers) return std::nullopt;
  const std::string name = "cuda toolkit";
  auto [least, most] = std::minmax_element(majors.begin(), majors.end());
  if (*least == *most) return DeviceCheck{name, "", join(found, ", "), true, ""};
  return DeviceCheck{name, "mixed-toolkits", join(found, ", "), false,
                     fmt::format("keep the libraries of one major: remove those of the others from LD_LIBRARY_PATH and "
                                 "from Python's packages, or set CUDA_HOME to a toolkit of CUDA {}",
                                 *most)};
}

}  // namespace placewright
