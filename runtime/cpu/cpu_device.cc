#include "placewright/runtime/cpu/cpu_device.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <fmt/core.h>
#include <sys/mman.h>

#include "placewright/base/checked.h"
#include "placewright/runtime/accumulate.h"
#include "placewright/runtime/host_code/host_image.h"

namespace placewright {
namespace {

constexpr int64_t huge_page = int64_t{2} << 20;

// From huge pages where the system has them: page faults are 25-65% of the time of large steps on small ones.
void* map_huge(int64_t bytes) {
  size_t size = static_cast<size_t>(bytes + huge_page);
  void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  auto begin = reinterpret_cast<uintptr_t>(base);
  uintptr_t aligned = (begin + huge_page - 1) & ~static_cast<uintptr_t>(huge_page - 1);
  if (aligned > begin) ::munmap(base, aligned - begin);
  uintptr_t end = begin + size, used_end = aligned + static_cast<uintptr_t>(bytes);
  if (end > used_end) ::munmap(reinterpret_cast<void*>(used_end), end - used_end);
  void* address = reinterpret_cast<void*>(aligned);
  ::madvise(address, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  return address;
}

int usable_processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return 1;
}

// The brand string: three leaves of CPUID, 16 characters each. No file is read: a start must be quick.
std::string processor_name() {
  std::string name;
#if defined(__x86_64__)
  for (unsigned leaf = 0x80000002; leaf <= 0x80000004; ++leaf) {
    unsigned words[4] = {};
    if (!__get_cpuid(leaf, &words[0], &words[1], &words[2], &words[3])) return "unknown processor";
    name.append(reinterpret_cast<const char*>(words), sizeof words);
  }
#endif
  name = name.substr(0, name.find('\0'));
  name.erase(0, name.find_first_not_of(' '));
  name.erase(name.find_last_not_of(' ') + 1);
  return name.empty() ? "unknown processor" : name;
}

}  // namespace

CpuDevice::CpuDevice(DeviceSpec spec) : spec_(std::move(spec)), pool_(spec_.threads) {
  PW_CHECK(spec_.host_memory, spec_.id.to_string());
}

DeviceSpec CpuDevice::probe() {
  DeviceSpec spec;
  spec.id = {"cpu", 0};
  spec.name = processor_name();
  spec.target = host_target();
  spec.host_memory = true;
  spec.threads = usable_processors();
  spec.memory_bytes = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  spec.memory_bandwidth = 30e9;
  spec.launch_seconds = 20e-9;
  // Lanes x two fused multiply-adds a cycle at 3 GHz.
  double lanes = spec.target.find("+avx512f") != std::string::npos ? 16
                 : spec.target.find("+avx2") != std::string::npos  ? 8
                                                                   : 4;
  double f32 = lanes * 2 * 2 * 3e9 * spec.threads;
  for (const DTypeInfo& entry : dtype_table()) {
    if (!entry.supported) continue;
    double scale = 32.0 / std::max(entry.bits, 8);
    double product = entry.kind == DTypeKind::floating ? f32 * scale : f32 / 8;
    double plain = f32 / 4 * std::min(scale, 1.0);
    for (const auto& [op_class, rate] :
         {std::pair("contraction", product), {"convolution", product}, {"elementwise", plain}, {"reduction", plain}})
      spec.rates.push_back({op_class, entry.dtype, rate});
    for (const char* op_class : {"movement", "gather", "scatter"})
      spec.rates.push_back({op_class, entry.dtype, spec.memory_bandwidth});
  }
  return spec;
}

void* CpuDevice::try_allocate(int64_t bytes, int64_t alignment) {
  std::lock_guard lock(mutex_);
  if (bytes < 0 || bytes > (int64_t{1} << 46)) return nullptr;
  int64_t size = round_up(std::max<int64_t>(bytes, 1), std::max<int64_t>(alignment, 64));
  if (spec_.memory_bytes > 0 && bytes > spec_.memory_bytes - used_) return nullptr;
  bool mapped = size >= huge_page && alignment <= huge_page;
  if (mapped) size = round_up(size, 4096);
  void* address =
      mapped ? map_huge(size)
             : std::aligned_alloc(static_cast<size_t>(std::max<int64_t>(alignment, 64)), static_cast<size_t>(size));
  if (!address) return nullptr;
  allocations_.emplace(address, Allocation{bytes, size, mapped});
  used_ += bytes;  // as plans count them: the limit is a plan's, and page sizes are not
  return address;
}

void CpuDevice::free(void* address) noexcept {
  std::lock_guard lock(mutex_);
  auto found = allocations_.find(address);
  if (found == allocations_.end()) return;
  used_ -= found->second.bytes;
  if (found->second.mapped)
    ::munmap(address, static_cast<size_t>(found->second.mapped_bytes));
  else
    std::free(address);
  allocations_.erase(found);
}

int64_t CpuDevice::used_bytes() const {
  std::lock_guard lock(mutex_);
  return used_;
}

std::shared_ptr<const LoadedImage> CpuDevice::load(const KernelImage& image) {
  return HostImage::load(image, spec_.target);
}

void CpuDevice::launch(int, const KernelLaunch& launch) {
  static_cast<const HostImage*>(launch.image)->run(launch, pool_);
}

void CpuDevice::copy(int, BufferView destination, BufferView source, int64_t bytes, const char* name) {
  if (!destination.device->is_host_memory() || !source.device->is_host_memory())
    throw Error(fmt::format("copy {} from {} to {}: only the stream of the device that is not the host's can do it",
                            name, source.device->id().to_string(), destination.device->id().to_string()));
  if (bytes > 0) std::memmove(destination.address, source.address, static_cast<size_t>(bytes));
}

void CpuDevice::accumulate(int, void* destination, const void* source, DType dtype, int64_t count) {
  accumulate_on_host(destination, source, dtype, count);
}

void CpuDevice::wait(int, const Event& event) {
  if (event.number != 0) event.device->finish(event);
}

double CpuDevice::finish(const Event& event) {
  PW_CHECK(event.number == 0);
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace placewright
