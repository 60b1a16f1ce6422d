// Steps within memories that are too small for them as they stand: what is computed or copied again, and what waits in
// the host's memory, changes no bit, and devices that give out no more than the limit run it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derived_cases.h"
#include "frontend/reference_programs.h"
#include "placewright/passes/memory_need.h"
#include "placewright/passes/placement.h"

namespace placewright {
namespace {

using ::testing::HasSubstr;

struct Outcome : testing::Trained {
  PlacementPlan plan;
  std::map<std::string, int64_t> needs;  // by device
  int64_t load_bytes = 0;
  std::vector<int64_t> step_bytes;
};

struct Program {
  std::function<nn::Sequential()> model;
  Sizes batch;
  std::string devices = "cpu";
  std::function<void(nn::Sequential&)> pin = {};
};

Outcome train(const Program& program, const std::map<std::string, int64_t>& memory) {
  configure(
      {.devices = program.devices, .threads = 1, .memory = memory, .use_cache = false, .notice = [](std::string_view) {
       }});
  Outcome outcome;
  {
    nn::Sequential model = program.model();
    testing::fill(model);
    if (program.pin) program.pin(model);
    optim::Adam optimizer(model.named_parameters());
    TrainingStep step = compile_training_step(model, nn::CrossEntropyLoss(), optimizer);
    for (int s = 0; s < 5; ++s) {
      Tensor x = testing::make_images(s, program.batch, DType::f32);
      outcome.losses.push_back(step(x, testing::make_labels(s, program.batch[0])).item());
      outcome.step_bytes.push_back(step.last().step_transfer_bytes());
    }
    outcome.plan = step.last().placement();
    outcome.load_bytes = step.last().load_transfer_bytes();
    for (const DeviceNeed& need : step.last().memory()) outcome.needs[need.device.to_string()] = need.bytes;
    for (const Tensor& parameter : model.parameters()) outcome.parameters.push_back(parameter.value());
  }
  configure({});
  return outcome;
}

Program mlp() {
  return {[] {
            using namespace nn;
            return Sequential(Linear(64, 128), GELU(), Linear(128, 128), GELU(), Linear(128, 128), GELU(),
                              Linear(128, 128), GELU(), Linear(128, 10));
          },
          {512, 64}};
}

Program conv_net() {
  return {[] { return testing::make_model("c"); }, {64, 3, 14, 14}};
}

Program on_sim(Program program) {
  program.devices = "cpu,sim:1";
  program.pin = [](nn::Sequential& model) { model.to("sim:0"); };
  return program;
}

void expect_ledger_holds(const Outcome& outcome) {
  EXPECT_EQ(outcome.load_bytes, outcome.plan.bytes_at_load);
  for (int64_t bytes : outcome.step_bytes) EXPECT_EQ(bytes, outcome.plan.bytes_per_step);
}

int64_t count(const Outcome& outcome, ReliefKind kind) {
  return std::count_if(outcome.plan.relief.begin(), outcome.plan.relief.end(),
                       [&](const ReliefStep& step) { return step.kind == kind; });
}

// Devices give out no more than the limit, so that whatever runs has kept within it.
void expect_runs_within(const Program& program, const std::string& device, double part = 0.6) {
  Outcome free = train(program, {});
  EXPECT_TRUE(free.plan.relief.empty());
  int64_t need = free.needs.at(device);
  Outcome exact = train(program, {{device, need}});
  EXPECT_TRUE(exact.plan.relief.empty());
  expect_same_bits(exact, free);
  expect_ledger_holds(exact);
  Outcome barely = train(program, {{device, need - 1}});  // another order of the step may be enough
  EXPECT_LT(barely.needs.at(device), need);
  expect_same_bits(barely, free);
  expect_ledger_holds(barely);
  const auto limit = static_cast<int64_t>(static_cast<double>(need) * part);
  Outcome less = train(program, {{device, limit}});
  EXPECT_FALSE(less.plan.relief.empty());
  EXPECT_LE(less.needs.at(device), limit);
  expect_same_bits(less, free);
  expect_ledger_holds(less);
  for (const ReliefStep& step : less.plan.relief) {
    EXPECT_EQ(step.device.to_string(), device);
    EXPECT_GT(step.bytes, 0);
    EXPECT_GE(step.seconds, 0);
    EXPECT_TRUE(step.seconds > 0 || step.kind == ReliefKind::reordered);
    EXPECT_FALSE(step.because.empty());
    EXPECT_FALSE(step.site.file.empty());
  }
}

TEST(MemoryLimits, MlpOnTheCpuRunsWithWhatItNeedsAndWithLess) { expect_runs_within(mlp(), "cpu:0"); }
TEST(MemoryLimits, ConvNetOnTheCpuRunsWithWhatItNeedsAndWithLess) { expect_runs_within(conv_net(), "cpu:0", 0.94); }
TEST(MemoryLimits, MlpOnASimRunsWithWhatItNeedsAndWithLess) { expect_runs_within(on_sim(mlp()), "sim:0", 0.75); }

TEST(MemoryLimits, TheCpuComputesAgainAsItHasNowhereElse) {
  Program program = mlp();
  Outcome free = train(program, {});
  Outcome less = train(program, {{"cpu", free.needs.at("cpu:0") * 11 / 20}});
  EXPECT_GT(count(less, ReliefKind::recomputed), 0);
  EXPECT_EQ(count(less, ReliefKind::offloaded), 0);
  expect_same_bits(less, free);
  EXPECT_THAT(print_plan(less.plan), HasSubstr("memory: "));
}

// Parameters and their moments fit, what the largest launch reads and writes does not.
TEST(MemoryLimits, TooLittleIsRefusedWithTheLargestHolders) {
  for (const auto& [program, device] : {std::pair(mlp(), "cpu:0"), std::pair(on_sim(mlp()), "sim:0")}) {
    try {
      train(program, {{device, 1000000}});
      ADD_FAILURE() << device;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(),
                  HasSubstr("bytes of memory on " + std::string(device) + ", which has 1000000; it holds"));
      EXPECT_THAT(error.what(), HasSubstr("memory_test.cc:"));
    }
    configure({});
  }
}

// The first parameter that finds no room says so before anything is planned; what the step needs in all is what helps.
TEST(MemoryLimits, StatesThatAloneAreTooMuchAreRefusedWithTheLargestHoldersToo) {
  Program program = mlp();
  program.batch = {8, 64};  // of which a step holds less than of parameters
  for (int64_t bytes : {1000, 100000}) {
    try {
      train(program, {{"cpu", bytes}});
      ADD_FAILURE() << bytes;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(),
                  HasSubstr(" bytes of memory on cpu:0, which has " + std::to_string(bytes) + "; it holds state "));
      EXPECT_THAT(error.what(), HasSubstr(" of 65536 bytes"));
      EXPECT_THAT(error.what(), HasSubstr("memory_test.cc:"));
    }
    configure({});
  }
}

// Each step fits, both models' parameters do not: no plan is at fault, and what is there already is named.
TEST(MemoryLimits, WhatOtherModelsHoldIsNamed) {
  const Program program = mlp();
  const int64_t need = train(program, {}).needs.at("cpu:0");
  configure({.threads = 1, .memory = {{"cpu", need}}, .use_cache = false});
  {
    nn::Sequential first = program.model(), second = program.model();
    optim::Adam of_first(first.named_parameters()), of_second(second.named_parameters());
    TrainingStep step = compile_training_step(first, nn::CrossEntropyLoss(), of_first);
    const Tensor x = testing::make_images(0, program.batch, DType::f32), y = testing::make_labels(0, program.batch[0]);
    step(x, y);
    try {
      compile_training_step(second, nn::CrossEntropyLoss(), of_second)(x, y);
      ADD_FAILURE() << "both found room in " << need;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("cpu:0 is out of memory: state '"));
      EXPECT_THAT(error.what(), HasSubstr("; it holds state '"));
      EXPECT_THAT(error.what(), HasSubstr(".weight' of 65536 bytes, state '"));
    }
  }
  configure({});
}

TEST(MemoryLimits, WrongOnesAreRefused) {
  auto error_with = [](const std::map<std::string, int64_t>& memory) -> std::string {
    try {
      configure({.devices = "cpu,sim:1", .memory = memory, .use_cache = false});
      devices();
    } catch (const Error& error) {
      configure({});
      return error.what();
    }
    configure({});
    return "";
  };
  EXPECT_THAT(error_with({{"sim:1", 100}}), HasSubstr("memory of 'sim:1': the session has no such device"));
  EXPECT_THAT(error_with({{"cpu", 0}}), HasSubstr("memory of cpu is 0 bytes, expected more than 0"));
  EXPECT_EQ(error_with({{"sim", 1 << 20}, {"cpu:0", 1 << 30}}), "");
}

}  // namespace
}  // namespace placewright
