// What makes images of a device's kernels: one folder of codegen/ for each kind of target. Whoever compiles asks
// make_code_target and never learns which one it got.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "placewright/codegen/cpu_target.h"
#include "placewright/codegen/emitter.h"
#include "placewright/codegen/op_facts.h"
#include "placewright/ir/kernel.h"
#include "placewright/ir/kernel_image.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/target_model.h"

namespace placewright {

struct Profile;  // ir/profile.h

struct EmittedKernels {
  std::vector<KernelImage> images;  // one or a few: each is compiled by one thread
  std::vector<int> image_of;        // of each kernel
};

// Bytes under keys that outlive the process, for targets whose compiler is slow. Both may be called from several
// threads; either may be empty.
struct CodeStore {
  std::function<std::optional<std::vector<uint8_t>>(const std::string& key)> load;
  std::function<void(const std::string& key, std::span<const uint8_t> bytes)> store;
};

// Safe to use from several threads.
class CodeTarget {
 public:
  virtual ~CodeTarget() = default;
  // All that images depend on beside their kernels: part of the key of whatever is kept of them.
  virtual std::string key() const = 0;
  // Decides the splits of an op's own reductions, before the op is joined with others.
  virtual void split_reductions(StructuredKernel& kernel) const = 0;
  // Entries are named after the kernels. The bytes depend on the kernels alone, never on the number of threads.
  virtual EmittedKernels emit(std::vector<StructuredKernel> kernels, int threads, const CodeStore& store) const = 0;
  // What passes must know of the device. `profile` may be null and must outlive the model.
  virtual std::unique_ptr<TargetModel> model(const DeviceSpec& spec, const Profile* profile,
                                             std::shared_ptr<OpFactsTable> facts) const = 0;
  // Why nothing can be emitted in this process, and what to do; empty if it can. Opens nothing that is there.
  virtual std::string absence() const { return {}; }
};

// The code target of a device whose DeviceSpec::target this is. Devices that run the host's kernels get those of
// `host`. `latest_compiler`: Device::latest_compiler().
std::shared_ptr<const CodeTarget> make_code_target(const std::string& target, const CpuTarget& host,
                                                   const EmitOptions& options = {}, int latest_compiler = 0);

// Of a device with this target that is not here, as far as the target's name says it: processors' does not.
KernelMemory kernel_memory(const std::string& target);

// The model of a device for which nothing can be emitted: it refuses, with that cause, all that would need a kernel.
std::unique_ptr<TargetModel> make_refusing_model(std::unique_ptr<TargetModel> model, std::string cause);

struct NamedTarget {
  std::string name;  // "sm_90", "x86-64-v3"
  std::shared_ptr<const CodeTarget> target;
};
// What a program for devices of this target is compiled for where they are not: the target itself, and its kin, for
// which the same kernels are the same programs. Never empty; needs neither devices nor compilers.
std::vector<NamedTarget> ahead_of_time_targets(const std::string& target);

// Where the toolkits of all targets that need one keep their libraries: of devices, too.
std::vector<std::filesystem::path> toolkit_folders();

// One for each folder; `try_` ones answer null for a target that is another's.
std::shared_ptr<const CodeTarget> make_cpu_code_target(const CpuTarget& target, const EmitOptions& options);
std::shared_ptr<const CodeTarget> try_make_cuda_code_target(const std::string& target, int latest_compiler = 0);
std::optional<KernelMemory> try_cuda_kernel_memory(const std::string& target);
std::vector<std::string> cuda_kin(const std::string& target);  // empty for a target that is another's
std::vector<std::filesystem::path> cuda_toolkit_folders();

}  // namespace placewright
