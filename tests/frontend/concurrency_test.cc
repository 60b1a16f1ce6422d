// Several threads on one session, and calls after calls that failed: right results, and states that agree.
#include <atomic>
#include <functional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/base/log.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

class Concurrency : public testing::Test {
 protected:
  void SetUp() override {
    configure({.devices = "cpu,sim:2", .use_cache = false, .notice = [](std::string_view) {}});
  }
  void TearDown() override { configure({}); }

  // What the threads throw is a failure of the test that names it.
  static void run_at_once(const std::vector<std::function<void()>>& bodies) {
    std::atomic<int> waiting{static_cast<int>(bodies.size())};
    std::vector<std::thread> threads;
    for (const std::function<void()>& body : bodies)
      threads.emplace_back([&] {
        --waiting;
        while (waiting > 0) std::this_thread::yield();
        try {
          body();
        } catch (const std::exception& error) {
          ADD_FAILURE() << error.what();
        }
      });
    for (std::thread& thread : threads) thread.join();
  }
  static std::vector<std::function<void()>> times(int count, const std::function<void(int)>& body) {
    std::vector<std::function<void()>> bodies;
    for (int i = 0; i < count; ++i) bodies.push_back([&body, i] { body(i); });
    return bodies;
  }
};

struct Trainer {
  explicit Trainer(CompileOptions options = {.name = "training_step"})
      : step(compile_training_step(model, nn::MSELoss(), optimizer, std::move(options))) {}
  nn::Linear model{4, 2};
  optim::SGD optimizer{model.named_parameters(), {.lr = 0.01}};
  TrainingStep step;
};

// Each step is one of a row, whichever thread asked for it: the losses together are those of one thread.
TEST_F(Concurrency, StepsOfSeveralThreadsAreStepsOfOne) {
  Tensor x = ones({8, 4}), y = ones({8, 2});
  constexpr int threads = 4, steps = 25;
  manual_seed(1);
  Trainer alone;
  std::vector<double> expected;
  for (int i = 0; i < threads * steps; ++i) expected.push_back(alone.step(x, y).item());
  manual_seed(1);
  Trainer shared;
  std::vector<double> losses(threads * steps);
  run_at_once(times(threads, [&](int thread) {
    for (int i = 0; i < steps; ++i) losses[static_cast<size_t>(thread * steps + i)] = shared.step(x, y).item();
  }));
  std::sort(losses.begin(), losses.end(), std::greater<>());
  EXPECT_EQ(losses, expected);
  EXPECT_EQ(shared.step.specialisations().size(), 1u);
  EXPECT_TRUE(shared.model.weight.value().same_bytes(alone.model.weight.value()));
}

// Training, inference, saving and loading of one model, all at their first call: no state is handed over twice, and
// whoever reads sees the parameters of one step, never half of them.
TEST_F(Concurrency, FirstCallsOfFunctionsThatShareAModel) {
  for (int round = 0; round < 4; ++round) {
    Trainer trainer;
    CompiledFunction infer = compile(trainer.model),
                     infer_double = compile([&](const Tensor& x) { return trainer.model(x) * 2; });
    Tensor x = ones({8, 4}), y = ones({8, 2});
    run_at_once({[&] { trainer.step(x, y).item(); }, [&] { infer(x).value(); }, [&] { infer_double(x).value(); },
                 [&] { trainer.model.weight.value(); }, [&] { trainer.model(x).value(); },
                 [&] { nn::set_value(trainer.model.bias, HostTensor(DType::f32, {2})); }});
    HostTensor once = infer(x).value(), twice = infer_double(x).value();
    for (int64_t i = 0; i < once.elements(); ++i) EXPECT_EQ(twice.number(i), 2 * once.number(i));
  }
}

// Lazy tensors that share what they are computed from, read by threads at once: what one reads becomes a value while
// another still walks it.
TEST_F(Concurrency, LazyTensorsAreReadByThreadsAtOnce) {
  for (int round = 0; round < 20; ++round) {
    Tensor x = full({4}, round), shared = x + 1;
    std::vector<double> sums(4);
    run_at_once(times(4, [&](int thread) {
      Tensor mine = shared * (thread % 2 + 1) + shared;
      if (thread == 3) shared.value();
      sums[static_cast<size_t>(thread)] = mine.sum().item();
    }));
    EXPECT_THAT(sums, testing::ElementsAre(8 * (round + 1), 12 * (round + 1), 8 * (round + 1), 12 * (round + 1)));
  }
}

// A result that one thread reads while another passes it on, and one tensor that functions on two devices take.
TEST_F(Concurrency, OneTensorInSeveralThreads) {
  CompiledFunction doubled = compile([](const Tensor& x) { return x * 2; });
  CompiledFunction on_first = compile([](const Tensor& x) { return x.to("sim:0") + 1; });
  CompiledFunction on_second = compile([](const Tensor& x) { return x.to("sim:1") + 2; });
  for (int round = 0; round < 20; ++round) {
    Tensor y = doubled(full({64}, round)), moved = y.to("sim:0");
    run_at_once({[&] { EXPECT_EQ(y.sum().item(), 128 * round); }, [&] { EXPECT_EQ(y.value().number(63), 2 * round); },
                 [&] { EXPECT_EQ(doubled(y).value().number(0), 4 * round); },
                 [&] { EXPECT_EQ(on_first(moved).value().number(0), 2 * round + 1); },
                 [&] { EXPECT_EQ(on_second(moved).value().number(0), 2 * round + 2); },
                 [&] { EXPECT_EQ(on_first(y).value().number(63), 2 * round + 1); }});
  }
}

// Replicas take a new value with their state, between steps: had they not, their devices would go apart for ever.
TEST_F(Concurrency, NewValuesReachAllReplicasBetweenSteps) {
  Trainer trainer({.name = "training_step", .data_parallel = {{"sim", 0}, {"sim", 1}}});
  Tensor x = ones({8, 4}), y = ones({8, 2});
  trainer.step(x, y);
  std::atomic<bool> done{false};
  run_at_once({[&] {
                 for (int i = 0; i < 60; ++i) trainer.step(x, y);
                 done = true;
               },
               [&] {
                 for (int i = 0; !done; ++i) {
                   HostTensor value(DType::f32, {2, 4});
                   for (int64_t k = 0; k < 8; ++k) value.set_number(k, i % 7);
                   nn::set_value(trainer.model.weight, value);
                   trainer.model.weight.value();
                 }
               }});
  // Samples of both devices agree: each output is computed with one device's replica.
  optim::SGD still(trainer.model.named_parameters(), {.lr = 0});
  CompiledFunction infer = compile(trainer.model, {.data_parallel = {{"sim", 0}, {"sim", 1}}});
  HostTensor outputs = infer(x).value();
  for (int64_t row = 1; row < 8; ++row) EXPECT_EQ(outputs.number(row * 2), outputs.number(0)) << row;
}

// A notice may ask the session for something.
TEST_F(Concurrency, NoticesMayUseTheSession) {
  size_t seen = 0;
  configure({.cache_directory = "/proc/no/such/folder", .notice = [&](std::string_view) { seen += devices().size(); }});
  EXPECT_EQ((ones({2}) + 1).sum().item(), 4);
  EXPECT_EQ(seen, 1u);
}

}  // namespace
}  // namespace placewright
