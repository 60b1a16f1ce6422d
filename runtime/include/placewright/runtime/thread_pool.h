// One pool of threads for a device. Work is split by index alone, never by which thread is free, so that who computes
// what is the same in every run. Threads start at the first piece of work that is worth them.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace placewright {

class ThreadPool {
 public:
  // A part of a range of work: function(context, begin, end).
  struct Task {
    void (*function)(void* context, int64_t begin, int64_t end);
    void* context;
  };

  // `threads` counts the caller of run: 1 makes no thread at all.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Runs the task over [0, extent) in at most threads() contiguous parts of at least `grain` indices, and returns when
  // all are done. What a part throws is thrown here: that of the first part that failed. If another thread is using the
  // pool, or a task of the pool itself calls it, the caller does all the work.
  void run(int64_t extent, int64_t grain, Task task);

  template <typename Body>  // void(int64_t begin, int64_t end)
  void parallel_for(int64_t extent, int64_t grain, Body&& body) {
    using Type = std::remove_reference_t<Body>;
    run(extent, grain,
        Task{[](void* context, int64_t begin, int64_t end) { (*static_cast<Type*>(context))(begin, end); },
             const_cast<std::remove_const_t<Type>*>(&body)});
  }

 private:
  struct Workers;
  void run_on_workers(int64_t extent, int parts, Task task);

  int threads_;
  std::unique_ptr<Workers> workers_;
};

}  // namespace placewright
