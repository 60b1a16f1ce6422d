// A kernel image of format elf-x86-64, loaded into this process: for every device that runs its kernels on the host's
// processors.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "placewright/runtime/device.h"
#include "placewright/runtime/host_code/host_code.h"
#include "placewright/runtime/thread_pool.h"

namespace placewright {

class HostImage : public LoadedImage {
 public:
  // `target` is what the device offers, as host_target says it. Error if the image's target names a "+feature" more.
  static std::shared_ptr<const HostImage> load(const KernelImage& image, const std::string& target);

  // Runs all phases of the launch's entry; its addresses are the host's.
  void run(const KernelLaunch& launch, ThreadPool& pool) const;

 private:
  using Function = void (*)(void* const* buffers, const int64_t* scalars, int64_t begin, int64_t end, uint64_t* status);
  struct Phase {
    Function function;
    int64_t extent, grain;
  };
  HostImage(std::vector<KernelEntry> entries, std::shared_ptr<const HostCode> code);

  std::shared_ptr<const HostCode> code_;
  std::vector<std::vector<Phase>> phases_;  // of each entry
};

// The features of this processor, as such a target string: "x86-64+avx+avx2+...", with LLVM's names, sorted.
std::string host_target();

}  // namespace placewright
