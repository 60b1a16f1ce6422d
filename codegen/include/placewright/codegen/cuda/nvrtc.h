// NVRTC, NVIDIA's compiler of CUDA C++ as a library: opened on first need, with prototypes of our own, so that neither
// building nor starting Placewright asks for a toolkit. It needs no GPU and no driver.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "placewright/codegen/cuda/cuda_code.h"

namespace placewright {

// Safe to use from several threads: compilations run side by side.
class Nvrtc {
 public:
  // Looks in $PLACEWRIGHT_LIBNVRTC (a file or a folder, alone), then where the loader does, $CUDA_HOME, $CUDA_PATH,
  // /usr/local/cuda, what `scripts/setup.sh --cuda` installed, and Python's wheels. One of a later major than `latest`
  // (0: none is too late), the driver's, is taken only where there is no other: the driver may refuse what it makes.
  // Null if there is none; `reasons` gets a line for each place tried.
  static std::shared_ptr<const Nvrtc> try_open(std::vector<std::string>* reasons = nullptr, int latest = 0);
  // The process's: opened at the first call. Error says where it was looked for and what to do.
  static const Nvrtc& open(int latest = 0);

  // Changes with the library that would be opened, which stays closed where its file is found without.
  static std::string stamp(int latest = 0);
  static std::string advice(int latest = 0);  // what to do where it is not found
  // Of these places, the folders: where other libraries of a toolkit stand as well.
  static std::vector<std::filesystem::path> folders();

  virtual ~Nvrtc() = default;
  virtual const std::string& path() const = 0;
  virtual std::string version() const = 0;             // "13.0"
  virtual std::vector<int> architectures() const = 0;  // compute capabilities it compiles for: 80, 90 ...

  struct Compiled {
    std::vector<uint8_t> code;
    std::string log;     // of the compiler and of ptxas
    std::string target;  // that the code is for
  };
  // `target` is "sm_90" for a cubin or "compute_80" for PTX. Of a GPU that this NVRTC does not know, the code is PTX
  // for the latest one before it that it does, which the driver assembles. Error holds the log.
  virtual Compiled compile(const std::string& text, const std::string& target) const = 0;
};

// What the compiler made of the text, with what its log says of the resources.
KernelImage make_cuda_image(const CudaText& text, Nvrtc::Compiled compiled);
// What a compilation depends on beside text and target.
std::vector<std::string> nvrtc_options(const std::string& target);
// What ptxas's -v wrote of each kernel, in its own order; empty for PTX.
std::vector<KernelResources> parse_resources(const std::string& log);

}  // namespace placewright
