#include "throttled_device.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <sched.h>

#include "placewright/base/checked.h"
#include "placewright/runtime/accumulate.h"
#include "placewright/runtime/host_code/host_image.h"

namespace placewright::testing {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Leaves what they share to the other thread of the same core.
void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

template <typename Work>
void throttled(double factor, Work work) {
  const double begin = now();
  work();
  const double end = begin + (now() - begin) * factor;
  while (now() < end) pause();
}

// Looks for a while whether it holds: longer than the gap between two launches, and short enough for who else wants the
// processor. Pointless where nobody else could make it hold meanwhile.
template <typename Holds>
void look_for(const Holds& holds) {
  constexpr double seconds = 50e-6;
  if (std::thread::hardware_concurrency() < 2) return;
  const double end = now() + seconds;
  while (!holds() && now() < end) pause();
}

// To the last processor that this process may use: the first ones serve whoever waits.
void pin_to_last_processor(std::thread& thread) {
  cpu_set_t usable, last;
  if (::sched_getaffinity(0, sizeof usable, &usable) != 0) return;
  for (int i = CPU_SETSIZE; i-- > 0;)
    if (CPU_ISSET(i, &usable)) {
      CPU_ZERO(&last);
      CPU_SET(i, &last);
      ::pthread_setaffinity_np(thread.native_handle(), sizeof last, &last);
      return;
    }
}

}  // namespace

void ThrottledHost::launch(int stream, const KernelLaunch& launch) {
  throttled(factor_, [&] { CpuDevice::launch(stream, launch); });
}

ThrottledDevice::ThrottledDevice(DeviceSpec spec, double factor) : spec_(std::move(spec)), factor_(factor) {
  PW_CHECK(!spec_.host_memory && factor_ >= 1, spec_.id.to_string());
  thread_ = std::thread([this] { serve(); });
  pin_to_last_processor(thread_);
}

ThrottledDevice::~ThrottledDevice() {
  {
    std::lock_guard lock(mutex_);
    ends_ = true;
  }
  given_.notify_all();
  thread_.join();
  for (const auto& [address, bytes] : allocations_) std::free(address);
}

void* ThrottledDevice::try_allocate(int64_t bytes, int64_t alignment) {
  std::lock_guard lock(mutex_);
  if (bytes < 0 || bytes > spec_.memory_bytes - used_) return nullptr;
  alignment = std::max<int64_t>(alignment, 64);
  void* address = std::aligned_alloc(static_cast<size_t>(alignment),
                                     static_cast<size_t>(round_up(std::max<int64_t>(bytes, 1), alignment)));
  if (!address) return nullptr;
  allocations_.emplace(address, bytes);
  used_ += bytes;
  return address;
}

void ThrottledDevice::free(void* address) noexcept {
  std::lock_guard lock(mutex_);
  auto found = allocations_.find(address);
  if (found == allocations_.end()) return;
  used_ -= found->second;
  allocations_.erase(found);
  std::free(address);
}

int64_t ThrottledDevice::used_bytes() const {
  std::lock_guard lock(mutex_);
  return used_;
}

int64_t ThrottledDevice::launches() const {
  std::lock_guard lock(mutex_);
  return launches_;
}

std::shared_ptr<const LoadedImage> ThrottledDevice::load(const KernelImage& image) {
  return HostImage::load(image, spec_.target);
}

int ThrottledDevice::open_stream() {
  std::lock_guard lock(mutex_);
  return next_stream_++;
}

// What is running ends first: it is the last one done.
void ThrottledDevice::close_stream(int stream) noexcept {
  std::unique_lock lock(mutex_);
  for (Command& command : commands_)
    if (command.stream == stream) command.work = [] {};
  const uint64_t last = given_count_;
  done_.wait(lock, [&] { return done_count_ >= last; });
}

void ThrottledDevice::launch(int stream, const KernelLaunch& launch) {
  std::vector<void*> buffers(launch.buffers, launch.buffers + launch.buffer_count);
  give(stream, [this, launch = launch, buffers = std::move(buffers)]() mutable {
    launch.buffers = buffers.data();
    throttled(factor_, [&] { static_cast<const HostImage*>(launch.image)->run(launch, pool_); });
    std::lock_guard lock(mutex_);
    ++launches_;
  });
}

void ThrottledDevice::copy(int stream, BufferView destination, BufferView source, int64_t bytes, const char*) {
  give(stream, [=] {
    if (bytes > 0) std::memmove(destination.address, source.address, static_cast<size_t>(bytes));
  });
}

void ThrottledDevice::accumulate(int stream, void* destination, const void* source, DType dtype, int64_t count) {
  give(stream, [=, this] { throttled(factor_, [&] { accumulate_on_host(destination, source, dtype, count); }); });
}

Event ThrottledDevice::record(int stream) {
  std::lock_guard lock(mutex_);
  return {this, stream, given_count_.load(), 0};
}

// All streams are served in the order in which their work was given.
void ThrottledDevice::wait(int, const Event& event) {
  if (event.number != 0 && event.device != this) event.device->finish(event);
}

double ThrottledDevice::finish(const Event& event) {
  auto is_done = [&] { return done_count_ >= event.number; };
  look_for(is_done);
  std::unique_lock lock(mutex_);
  done_.wait(lock, is_done);
  return now();
}

void ThrottledDevice::give(int stream, std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    commands_.push_back({stream, std::move(work)});
    ++given_count_;
  }
  given_.notify_one();
}

void ThrottledDevice::serve() {
  std::unique_lock lock(mutex_);
  while (true) {
    lock.unlock();
    look_for([&] { return done_count_ < given_count_; });
    lock.lock();
    given_.wait(lock, [&] { return ends_ || !commands_.empty(); });
    if (commands_.empty()) return;
    Command command = std::move(commands_.front());
    commands_.pop_front();
    lock.unlock();
    command.work();
    lock.lock();
    ++done_count_;
    done_.notify_all();
  }
}

}  // namespace placewright::testing
