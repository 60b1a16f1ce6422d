#include "placewright/runtime/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "placewright/base/error.h"
#include "placewright/base/log.h"

namespace placewright {
namespace {

// About 10-40 microseconds: longer than the gap between two kernels of a step, short enough for an idle machine.
constexpr int spins = 1000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

// Waits until `word` is no longer `old`: spins for a while, then sleeps.
template <typename T>
void wait_while(const std::atomic<T>& word, T old) {
  for (int i = 0; i < spins; ++i) {
    if (word.load(std::memory_order_acquire) != old) return;
    pause();
  }
  word.wait(old, std::memory_order_acquire);
}

// The first `extent % parts` parts are one longer.
int64_t part_begin(int64_t extent, int parts, int part) {
  return extent / parts * part + std::min<int64_t>(part, extent % parts);
}

}  // namespace

struct ThreadPool::Workers {
  // Written by the caller before `ticket` and read by its worker after it; a worker that has no part sees nothing.
  struct alignas(64) Slot {
    std::atomic<uint32_t> ticket{0};
    Task task{};
    int64_t begin = 0, end = 0;
    bool stop = false;
    std::exception_ptr failure;
    std::thread thread;
  };

  explicit Workers(int count) : slots(static_cast<size_t>(count)) {}

  // As many threads as the system gives.
  void start() {
    started = true;
    try {
      for (Slot& slot : slots) {
        slot.thread = std::thread([this, &slot] { serve(slot); });
        ++running;
      }
    } catch (const std::system_error& error) {
      log_warning(fmt::format("{} of {} threads could be started ({}): work is slower, results are the same", running,
                              slots.size(), error.what()));
    }
  }

  void serve(Slot& slot) {
    for (uint32_t seen = 0;; ++seen) {
      wait_while(slot.ticket, seen);
      if (slot.stop) return;
      try {
        slot.task.function(slot.task.context, slot.begin, slot.end);
      } catch (...) {
        slot.failure = std::current_exception();
      }
      if (pending.fetch_sub(1, std::memory_order_acq_rel) == 1) pending.notify_one();
    }
  }

  static void hand_over(Slot& slot) {
    slot.ticket.fetch_add(1, std::memory_order_release);
    slot.ticket.notify_one();
  }

  std::vector<Slot> slots;
  bool started = false;
  int running = 0;
  std::atomic<bool> busy{false};
  alignas(64) std::atomic<int> pending{0};
};

ThreadPool::ThreadPool(int threads) : threads_(threads), workers_(std::make_unique<Workers>(std::max(threads, 1) - 1)) {
  if (threads < 1) throw Error("a thread pool of " + std::to_string(threads) + " threads: expected at least 1");
}

ThreadPool::~ThreadPool() {
  if (!workers_->started) return;
  for (Workers::Slot& slot : workers_->slots) {
    if (!slot.thread.joinable()) continue;
    slot.stop = true;
    Workers::hand_over(slot);
    slot.thread.join();
  }
}

void ThreadPool::run(int64_t extent, int64_t grain, Task task) {
  if (extent <= 0) return;
  int64_t worth = extent / std::max<int64_t>(grain, 1);
  int parts = static_cast<int>(std::clamp<int64_t>(worth, 1, threads_));
  if (parts == 1 || workers_->busy.exchange(true, std::memory_order_acquire)) {
    task.function(task.context, 0, extent);
    return;
  }
  struct Release {
    std::atomic<bool>& busy;
    ~Release() { busy.store(false, std::memory_order_release); }
  } release{workers_->busy};
  run_on_workers(extent, parts, task);
}

void ThreadPool::run_on_workers(int64_t extent, int parts, Task task) {
  Workers& workers = *workers_;
  if (!workers.started) workers.start();
  const int given = std::min(parts, workers.running + 1);  // parts that a thread takes; the last ones are the caller's
  workers.pending.store(given - 1, std::memory_order_relaxed);
  for (int part = 1; part < given; ++part) {
    Workers::Slot& slot = workers.slots[static_cast<size_t>(part - 1)];
    slot.task = task;
    slot.begin = part_begin(extent, parts, part);
    slot.end = part_begin(extent, parts, part + 1);
    Workers::hand_over(slot);
  }
  auto run_here = [&](int part) -> std::exception_ptr {
    try {
      task.function(task.context, part_begin(extent, parts, part), part_begin(extent, parts, part + 1));
    } catch (...) {
      return std::current_exception();
    }
    return nullptr;
  };
  std::exception_ptr failure = run_here(0), last_failure;
  for (int part = given; part < parts; ++part)
    if (std::exception_ptr of_part = run_here(part); !last_failure) last_failure = of_part;
  for (int left; (left = workers.pending.load(std::memory_order_acquire)) != 0;) wait_while(workers.pending, left);
  for (int part = 1; part < given; ++part) {
    std::exception_ptr& of_part = workers.slots[static_cast<size_t>(part - 1)].failure;
    if (of_part && !failure) failure = of_part;
    of_part = nullptr;
  }
  if (!failure) failure = last_failure;
  if (failure) std::rethrow_exception(failure);
}

}  // namespace placewright
