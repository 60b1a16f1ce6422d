// Real devices that are slower than the processor by a known factor: they run its kernels and then spin. Wall clock, so
// that plans can be judged by measured times. Tests and bench programs make them; sessions do not know them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "placewright/runtime/cpu/cpu_device.h"
#include "placewright/runtime/device.h"
#include "placewright/runtime/thread_pool.h"

namespace placewright::testing {

// The host, whose launches take `factor` times as long.
class ThrottledHost : public CpuDevice {
 public:
  ThrottledHost(DeviceSpec spec, double factor) : CpuDevice(std::move(spec)), factor_(factor) {}
  void launch(int stream, const KernelLaunch& launch) override;

 private:
  double factor_;
};

// An accelerator with one thread on a processor of its own, which does what it is given in order, and memory that is
// reached by copies only. Whoever waits looks again and again for a while before going to sleep, as drivers do: waking
// a thread takes longer than most launches.
class ThrottledDevice : public Device {
 public:
  ThrottledDevice(DeviceSpec spec, double factor);
  ~ThrottledDevice() override;
  ThrottledDevice(const ThrottledDevice&) = delete;

  const DeviceSpec& spec() const override { return spec_; }
  void* try_allocate(int64_t bytes, int64_t alignment) override;
  void free(void* address) noexcept override;
  int64_t used_bytes() const override;
  std::shared_ptr<const LoadedImage> load(const KernelImage& image) override;
  int open_stream() override;
  void close_stream(int stream) noexcept override;
  void launch(int stream, const KernelLaunch& launch) override;
  void copy(int stream, BufferView destination, BufferView source, int64_t bytes, const char* name) override;
  void accumulate(int stream, void* destination, const void* source, DType dtype, int64_t count) override;
  Event record(int stream) override;
  void wait(int stream, const Event& event) override;
  double finish(const Event& event) override;

  int64_t launches() const;  // so far

 private:
  struct Command {
    int stream;
    std::function<void()> work;
  };
  void give(int stream, std::function<void()> work);
  void serve();

  DeviceSpec spec_;
  double factor_;
  ThreadPool pool_{1};
  mutable std::mutex mutex_;
  std::condition_variable given_, done_;
  std::deque<Command> commands_;
  std::atomic<uint64_t> given_count_ = 0, done_count_ = 0;
  int next_stream_ = 1;
  bool ends_ = false;
  int64_t launches_ = 0, used_ = 0;
  std::unordered_map<void*, int64_t> allocations_;
  std::thread thread_;
};

}  // namespace placewright::testing
