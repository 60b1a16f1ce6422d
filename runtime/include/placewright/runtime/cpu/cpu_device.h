// The host's processors and memory as a device.
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>

#include "placewright/runtime/device.h"
#include "placewright/runtime/thread_pool.h"

namespace placewright {

class CpuDevice : public Device {
 public:
  // `spec.memory_bytes` limits what it gives out; 0: no limit but the system's. `spec.threads` is the pool's size.
  explicit CpuDevice(DeviceSpec spec);

  // What this machine offers: id cpu:0, target, memory, processors that this process may use. Rates are published-style
  // estimates that calibration replaces.
  static DeviceSpec probe();

  const DeviceSpec& spec() const override { return spec_; }
  ThreadPool& pool() { return pool_; }
  void* try_allocate(int64_t bytes, int64_t alignment) override;
  void free(void* address) noexcept override;
  int64_t used_bytes() const override;
  std::shared_ptr<const LoadedImage> load(const KernelImage& image) override;
  int open_stream() override { return 0; }
  void close_stream(int) noexcept override {}
  void launch(int stream, const KernelLaunch& launch) override;
  void copy(int stream, BufferView destination, BufferView source, int64_t bytes, const char* name) override;
  void accumulate(int stream, void* destination, const void* source, DType dtype, int64_t count) override;
  Event record(int) override { return {}; }
  void wait(int stream, const Event& event) override;
  double finish(const Event& event) override;

 private:
  struct Allocation {
    int64_t bytes;         // that were asked for
    int64_t mapped_bytes;  // with what alignment and pages add
    bool mapped;
  };
  DeviceSpec spec_;
  ThreadPool pool_;
  mutable std::mutex mutex_;
  std::unordered_map<void*, Allocation> allocations_;
  int64_t used_ = 0;
};

}  // namespace placewright
