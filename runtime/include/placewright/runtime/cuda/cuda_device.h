// An NVIDIA GPU through the driver API: its primary context, streams and events. Copies from and to the host's pageable
// memory go through pinned staging buffers; what a copy brings to the host arrives when an event behind it is finished.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "placewright/runtime/cuda/driver.h"
#include "placewright/runtime/device.h"
#include "placewright/runtime/device_kinds.h"

namespace placewright {

class CudaGraph;
class LtProducts;

class CudaDevice : public Device {
 public:
  // The `ordinal`-th device of an initialised driver, of which `limit` bytes are given out at most. Error if it cannot
  // be opened, which says why. Products of matrices are cuBLASLt's where that is allowed and was found faster.
  CudaDevice(std::shared_ptr<const cuda::Driver> driver, int ordinal, int64_t limit = INT64_MAX,
             LibraryUse libraries = {});
  ~CudaDevice() override;

  static std::vector<Link> default_links(const DeviceId& host, const std::vector<std::shared_ptr<CudaDevice>>& devices);

  const DeviceSpec& spec() const override { return spec_; }
  void* try_allocate(int64_t bytes, int64_t alignment) override;
  void free(void* address) noexcept override;
  int64_t used_bytes() const override;
  std::optional<int64_t> free_bytes() const override;
  // Formats "cubin" and "ptx".
  std::shared_ptr<const LoadedImage> load(const KernelImage& image) override;
  int latest_compiler() const override { return driver_->major(); }
  int open_stream() override;
  void close_stream(int stream) noexcept override;
  void launch(int stream, const KernelLaunch& launch) override;
  std::string performer(const KernelLaunch& launch) const override;
  void copy(int stream, BufferView destination, BufferView source, int64_t bytes, const char* name) override;
  void accumulate(int stream, void* destination, const void* source, DType dtype, int64_t count) override;
  Event record(int stream) override;
  void wait(int stream, const Event& event) override;
  double finish(const Event& event) override;
  // A CUDA graph, instantiated once.
  std::unique_ptr<PreparedWork> prepare(std::span<const WorkItem> items, std::string* reason) override;
  bool run(int stream, PreparedWork& work, std::string* reason) override;

 private:
  friend class CudaGraph;
  friend class LtProducts;
  // Its context retained, and nothing made in it yet.
  struct Retained {};
  CudaDevice(std::shared_ptr<const cuda::Driver> driver, int ordinal, Retained);

  // Pinned memory between the host's pageable memory and the device.
  struct Staging {
    void* memory = nullptr;
    int64_t bytes = 0;
    cuda::EventObject* last_use = nullptr;
    bool held = false;  // holds what has not been handed over yet
  };
  // What is handed to the host when the stream has passed it.
  struct Delivery {
    uint64_t before_event = 0;  // the first event behind it
    void* to = nullptr;         // of a copy
    int64_t bytes = 0;
    int staging = -1;
    uint64_t* status = nullptr;  // of a launch
    int slot = -1;
    CudaGraph* graph = nullptr;  // of a copy in a graph, or of all its statuses
    const void* from = nullptr;  // of a copy in a graph
  };
  struct Recorded {
    cuda::EventObject* event = nullptr;
    uint64_t number = 0;
  };
  struct Noted {
    uint64_t before_event = 0;
    std::string name;  // of a kernel or copy
  };
  struct Stream {
    cuda::StreamObject* handle = nullptr;
    uint64_t recorded = 0;
    std::deque<Recorded> events;  // the latest ones
    std::deque<Delivery> deliveries;
    std::deque<Noted> unfinished;  // the latest ones that no finished event stands behind
  };
  struct Allocation {
    cuda::Address base = 0;
    int64_t bytes = 0;
  };

  // All below: with mutex_ held.
  void enter() const;  // Makes the context this thread's; DeviceLost if the device is gone.
  void check(cuda::Result result, const std::string& what);
  [[noreturn]] void lose(cuda::Result result);
  void* allocate_now(int64_t bytes, int64_t alignment);  // try_allocate, and free
  void free_now(void* address) noexcept;
  bool release_workspaces();  // of libraries; whether there were any
  Stream& stream_at(int stream);
  void note(Stream& stream, const char* name);
  cuda::EventObject* take_event();
  void deliver(Stream& stream, uint64_t number);
  void finish_all(Stream& stream);
  int take_staging(int64_t bytes);  // -1: all that there may be holds something, or the host has no more to pin
  void require_host_side(Stream& stream, const uint8_t* from, int64_t bytes);
  int take_slot();
  void copy_from_host(Stream& stream, cuda::Address to, const uint8_t* from, int64_t bytes);
  void copy_to_host(Stream& stream, uint8_t* to, cuda::Address from, int64_t bytes);
  // With a `product`, what the entry does with the result of its contraction, which is there.
  void start_kernel(Stream& stream, const KernelLaunch& launch, void* product = nullptr);
  void start(Stream& stream, cuda::FunctionObject* function, const KernelPhase& phase, void** parameters);
  cuda::ModuleObject* load_module(const char* text);
  double seconds_of(cuda::EventObject* event);
  void restart_clock();

  std::shared_ptr<const cuda::Driver> driver_;
  int device_ = 0;
  cuda::ContextObject* context_ = nullptr;
  DeviceSpec spec_;
  mutable std::mutex mutex_;
  std::map<uint64_t, Allocation> allocations_;
  int64_t used_ = 0;
  std::map<int, Stream> streams_;
  int next_stream_ = 1;
  std::vector<cuda::EventObject*> events_;  // all that were made; free_events_ is a part of them
  std::vector<cuda::EventObject*> free_events_;
  std::vector<Staging> staging_;
  uint64_t* slots_ = nullptr;  // status words, in host memory that the device sees
  cuda::Address slots_address_ = 0;
  std::vector<int> free_slots_;
  int internal_stream_ = 0;
  cuda::EventObject* clock_zero_ = nullptr;
  double zero_seconds_ = 0;  // of clock_zero_, on the host's steady clock
  cuda::ModuleObject* own_kernels_ = nullptr;
  std::unique_ptr<LtProducts> products_;
  std::vector<CudaGraph*> graphs_;  // that may have workspaces
  std::string lost_;
};

}  // namespace placewright
