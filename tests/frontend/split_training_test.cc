// Program (c) trained in every way that must give the same numbers: again, on other threads, split by pins over two
// simulated devices, and data-parallel. Every program made on the way passes check_program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derived_cases.h"
#include "frontend/reference_programs.h"
#include "placewright/ir/check_program.h"
#include "placewright/passes/placement.h"

namespace placewright {
namespace {

using ::testing::IsEmpty;

struct Outcome : testing::Trained {
  PlacementPlan plan;
  int64_t load_bytes = 0;
  std::vector<int64_t> step_bytes;
  std::vector<std::string> notices;
};

struct Training {
  std::string devices = "cpu";
  int threads = 1;
  DType dtype = DType::f32;
  int steps = 10;
  std::function<void(nn::Sequential&)> pin = {};  // moves modules to devices
  std::vector<DeviceId> data_parallel = {};
};

Outcome train(const Training& training) {
  SessionOptions session;
  session.devices = training.devices;
  session.threads = training.threads;
  session.use_cache = false;
  session.check_memory = true;
  session.notice = [](std::string_view) {};
  configure(session);
  Outcome outcome;
  {
    nn::Sequential model = testing::make_model("c");
    model.to(training.dtype);
    testing::fill(model);
    if (training.pin) training.pin(model);
    optim::Adam optimizer(model.named_parameters());
    TrainingStep step = compile_training_step(model, nn::CrossEntropyLoss(), optimizer,
                                              {.name = "training_step", .data_parallel = training.data_parallel});
    for (int s = 0; s < training.steps; ++s) {
      Tensor x = testing::make_images(s, {16, 3, 14, 14}, training.dtype);
      outcome.losses.push_back(step(x, testing::make_labels(s, 16)).item());
      outcome.step_bytes.push_back(step.last().step_transfer_bytes());
    }
    check_program(step.last().program());
    outcome.plan = step.last().placement();
    outcome.load_bytes = step.last().load_transfer_bytes();
    outcome.notices = step.last().notices();
    for (const Tensor& parameter : model.parameters()) outcome.parameters.push_back(parameter.value());
  }
  configure({});
  return outcome;
}

TEST(SameTraining, AgainAndOnOtherNumbersOfThreads) {
  Outcome one = train({.threads = 1});
  EXPECT_LT(one.losses[8], one.losses[0]);  // the same batch
  expect_same_bits(train({.threads = 1}), one);
  expect_same_bits(train({.threads = 2}), one);
  expect_same_bits(train({.threads = 3}), one);
}

TEST(SameTraining, SplitByPinsOverTwoDevices) {
  Outcome cpu = train({.steps = 50});
  Outcome split = train({.devices = "cpu,sim:2", .steps = 50, .pin = [](nn::Sequential& model) {
                           model.children()[0].module->to("sim:0");
                           model.children()[4].module->to("sim:1");
                         }});
  expect_same_bits(split, cpu);

  // The ledger is what happened: at load, and in each step.
  int64_t at_load = 0, each_step = 0, between_sims = 0;
  for (const PlannedTransfer& transfer : split.plan.transfers) {
    (transfer.at_load ? at_load : each_step) += transfer.bytes;
    if (transfer.from.kind == "sim" && transfer.to.kind == "sim") between_sims += transfer.bytes;
  }
  EXPECT_EQ(split.plan.bytes_at_load, at_load);
  EXPECT_EQ(split.plan.bytes_per_step, each_step);
  EXPECT_EQ(split.load_bytes, at_load);
  for (int64_t bytes : split.step_bytes) EXPECT_EQ(bytes, each_step);

  // Parameters and Adam's two moments of each go to their devices once.
  constexpr int64_t parameters = 16 * 3 * 9 + 16 + 784 * 10 + 10;
  EXPECT_GE(at_load, 3 * 4 * parameters);
  EXPECT_LT(at_load, 3 * 4 * parameters + 64) << "besides them, step counts at most";
  // In each step the activations cross, and their gradient comes back; the batch comes from the host.
  EXPECT_GE(between_sims, 2 * 4 * 16 * 784);
  EXPECT_GE(each_step, between_sims + 4 * 16 * 3 * 14 * 14);
  EXPECT_LT(each_step, 4 * parameters * 8) << "parameters stay where they are";
  EXPECT_THAT(cpu.step_bytes, ::testing::Each(0));
  EXPECT_EQ(cpu.load_bytes, 0);
}

TEST(SameTraining, DataParallelOverTwoDevices) {
  Outcome single = train({.dtype = DType::f64, .steps = 50});
  Outcome split =
      train({.devices = "cpu,sim:2", .dtype = DType::f64, .steps = 50, .data_parallel = {{"sim", 0}, {"sim", 1}}});
  for (size_t i = 0; i < single.losses.size(); ++i)
    EXPECT_NEAR(split.losses[i], single.losses[i], 1e-9 * single.losses[i]) << "step " << i;
  for (size_t p = 0; p < single.parameters.size(); ++p)
    for (int64_t i = 0; i < single.parameters[p].elements(); ++i)
      ASSERT_NEAR(split.parameters[p].number(i), single.parameters[p].number(i), 1e-9) << p << " element " << i;
  for (int64_t bytes : split.step_bytes) EXPECT_EQ(bytes, split.plan.bytes_per_step);
  EXPECT_EQ(split.load_bytes, split.plan.bytes_at_load);
  EXPECT_THAT(split.notices, IsEmpty());
}

}  // namespace
}  // namespace placewright
