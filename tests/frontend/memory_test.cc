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

struct Outcome {
  std::vector<double> losses;
  std::vector<HostTensor> parameters;
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

void expect_same_bits(const Outcome& found, const Outcome& expected) {
  EXPECT_EQ(found.losses, expected.losses);
  ASSERT_EQ(found.parameters.size(), expected.parameters.size());
  for (size_t i = 0; i < found.parameters.size(); ++i)
    EXPECT_TRUE(found.parameters[i].same_bytes(expected.parameters[i]))
        << "parameter " << i << ": " << testing::mismatch(found.parameters[i], expected.parameters[i], 0);
}

Program mlp() {
  return {[] {
            using namespace nn;
            return Sequential(Linear(64, 128), GELU(), Linear(128, 128), GELU(), Linear(128, 128), GELU(),
                              Linear(128, 128), GELU(), Linear(128, 10));
          },
          {512, 64}};
}

TEST(MemoryLimits, TrainingRunsWithWhatItNeedsAndWithLess) {
  Program program = mlp();
  Outcome free = train(program, {});
  EXPECT_TRUE(free.plan.relief.empty());
  int64_t need = free.needs.at("cpu:0");
  Outcome exact = train(program, {{"cpu", need}});
  EXPECT_TRUE(exact.plan.relief.empty());
  expect_same_bits(exact, free);
  Outcome less = train(program, {{"cpu", need - 1}});
  EXPECT_FALSE(less.plan.relief.empty());
  EXPECT_LT(less.needs.at("cpu:0"), need);
  expect_same_bits(less, free);
  for (const ReliefStep& step : less.plan.relief) std::printf("%s\n", describe(step).c_str());
  Outcome much = train(program, {{"cpu", need * 3 / 4}});
  for (const ReliefStep& step : much.plan.relief) std::printf("%s\n", describe(step).c_str());
  std::printf("%ld %ld %ld\n", need, less.needs.at("cpu:0"), much.needs.at("cpu:0"));
}

}  // namespace
}  // namespace placewright
