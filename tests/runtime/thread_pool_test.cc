#include "placewright/runtime/thread_pool.h"

#include <atomic>
#include <mutex>
#include <numeric>
#include <pthread.h>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/base/error.h"
#include "placewright/base/log.h"

namespace placewright {
namespace {

TEST(ThreadPool, EveryIndexRunsOnceInPartsFixedByIndex) {
  for (int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    for (int64_t extent : {0, 1, 2, 5, 6, 1000}) {
      std::vector<int> hits(static_cast<size_t>(extent));
      std::mutex mutex;
      std::set<std::pair<int64_t, int64_t>> parts;
      pool.parallel_for(extent, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
        std::lock_guard lock(mutex);
        parts.insert({begin, end});
      });
      for (int hit : hits) EXPECT_EQ(hit, 1);
      EXPECT_EQ(parts.size(), static_cast<size_t>(std::min<int64_t>(extent, threads)));
      int64_t next = 0;
      for (auto [begin, end] : parts) {
        EXPECT_EQ(begin, next);
        EXPECT_LE(end - begin, (extent + threads - 1) / threads);
        next = end;
      }
      EXPECT_EQ(next, extent);
    }
  }
}

TEST(ThreadPool, GrainLimitsTheParts) {
  ThreadPool pool(4);
  std::atomic<int> parts{0};
  auto count = [&](int64_t, int64_t) { ++parts; };
  pool.parallel_for(10, 5, count);
  EXPECT_EQ(parts.exchange(0), 2);
  pool.parallel_for(10, 6, count);
  EXPECT_EQ(parts, 1);
}

TEST(ThreadPool, TheFirstFailureReachesTheCallerAndThePoolGoesOn) {
  ThreadPool pool(3);
  for (int round = 0; round < 50; ++round) {
    std::string message;
    try {
      pool.parallel_for(3, 1, [](int64_t begin, int64_t) {
        if (begin > 0) throw Error("part " + std::to_string(begin));
      });
    } catch (const Error& error) {
      message = error.what();
    }
    EXPECT_EQ(message, "part 1");
  }
  std::atomic<int64_t> sum{0};
  pool.parallel_for(100, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sum += i;
  });
  EXPECT_EQ(sum, 4950);
}

// As under a limit on processes: the system gives no thread, here because none has room for such a stack.
TEST(ThreadPool, GoesOnWithTheThreadsThatTheSystemGives) {
  std::vector<std::string> lines;
  LogCapture capture([&](LogLevel, std::string_view line) { lines.emplace_back(line); });
  pthread_attr_t usual, absurd;
  ASSERT_EQ(::pthread_getattr_default_np(&usual), 0);
  ASSERT_EQ(::pthread_attr_init(&absurd), 0);
  ASSERT_EQ(::pthread_attr_setstacksize(&absurd, size_t{1} << 47), 0);
  ASSERT_EQ(::pthread_setattr_default_np(&absurd), 0);
  ThreadPool pool(4);
  for (int round = 0; round < 2; ++round) {
    std::vector<std::pair<int64_t, int64_t>> parts;
    pool.parallel_for(10, 1, [&](int64_t begin, int64_t end) { parts.emplace_back(begin, end); });
    EXPECT_EQ(parts, (std::vector<std::pair<int64_t, int64_t>>{{0, 3}, {3, 6}, {6, 8}, {8, 10}}));
    EXPECT_THROW(pool.parallel_for(10, 1, [](int64_t, int64_t) { throw Error("a part"); }), Error);
  }
  ASSERT_EQ(::pthread_setattr_default_np(&usual), 0);
  EXPECT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines.at(0), testing::HasSubstr("0 of 3 threads"));
}

TEST(ThreadPool, NestedAndConcurrentUseDoesTheWorkInTheCaller) {
  ThreadPool pool(2);
  std::atomic<int64_t> total{0};
  auto work = [&] {
    for (int round = 0; round < 200; ++round)
      pool.parallel_for(8, 1, [&](int64_t begin, int64_t end) {
        pool.parallel_for(4, 1, [&](int64_t b, int64_t e) { total += (end - begin) * (e - b); });
      });
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_EQ(total, 2 * 200 * 8 * 4);
}

TEST(ThreadPool, WakesThreadsThatWentToSleep) {
  ThreadPool pool(2);
  for (int round = 0; round < 3; ++round) {
    std::atomic<int> parts{0};
    pool.parallel_for(2, 1, [&](int64_t, int64_t) { ++parts; });
    EXPECT_EQ(parts, 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

TEST(ThreadPool, RefusesZeroThreads) { EXPECT_THROW(ThreadPool(0), Error); }

}  // namespace
}  // namespace placewright
