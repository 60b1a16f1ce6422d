// Training steps of one device within parts of the memory that they would take: launches in another order and what is
// computed again change no bit, and just below the least that is reached a step is refused.
#include <cmath>
#include <cstdlib>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derived_cases.h"
#include "frontend/reference_programs.h"
#include "placewright/passes/memory_need.h"
#include "placewright/passes/placement.h"

namespace placewright {
namespace {

using ::testing::HasSubstr;

// Self-attention and a small MLP, each behind a normalisation and beside a residual.
class Block : public nn::Module {
 public:
  Block(int64_t width, int64_t heads)
      : heads_(heads),
        norm_(add<nn::LayerNorm>("norm", width)),
        query_(add<nn::Linear>("query", width, width)),
        key_(add<nn::Linear>("key", width, width)),
        value_(add<nn::Linear>("value", width, width)),
        out_(add<nn::Linear>("out", width, width)),
        second_norm_(add<nn::LayerNorm>("second_norm", width)),
        up_(add<nn::Linear>("up", width, 4 * width)),
        down_(add<nn::Linear>("down", 4 * width, width)) {}

  Tensor forward(const Tensor& x) override {
    const Sizes sizes = x.sizes();  // (batch, sequence, width)
    const int64_t width = sizes[2] / heads_;
    auto split = [&](const Tensor& all) {
      return all.reshape({sizes[0], sizes[1], heads_, width}).permute({0, 2, 1, 3});
    };
    const Tensor normed = norm_(x);
    const Tensor query = split(query_(normed)), key = split(key_(normed)), value = split(value_(normed));
    const Tensor weights = softmax(matmul(query, key.t()) * (1 / std::sqrt(static_cast<double>(width))));
    const Tensor mixed = matmul(weights, value).permute({0, 2, 1, 3}).reshape({sizes[0], sizes[1], sizes[2]});
    const Tensor attended = x + out_(mixed);
    return attended + down_(gelu(up_(second_norm_(attended))));
  }
  std::string description() const override { return "Block"; }

 private:
  int64_t heads_;
  nn::LayerNorm& norm_;
  nn::Linear &query_, &key_, &value_, &out_;
  nn::LayerNorm& second_norm_;
  nn::Linear &up_, &down_;
};

// A row for each element of a sequence.
class Rows : public nn::Module {
 public:
  Tensor forward(const Tensor& x) override { return x.reshape({-1, x.sizes().back()}); }
  std::string description() const override { return "Rows"; }
};

struct Program {
  std::function<nn::Sequential()> model;
  Sizes batch;
  int64_t labels = 0;
};

Program transformer(int blocks) {
  return {[blocks] {
            nn::Sequential model(nn::Linear(32, 32));
            for (int i = 0; i < blocks; ++i) model.append(std::make_unique<Block>(32, 4));
            model.append(std::make_unique<nn::Linear>(32, 10));
            model.append(std::make_unique<Rows>());
            return model;
          },
          {8, 32, 32},
          8 * 32};
}

Program mlp() {
  return {[] {
            using namespace nn;
            return Sequential(Linear(64, 128), GELU(), Linear(128, 128), GELU(), Linear(128, 128), GELU(),
                              Linear(128, 128), GELU(), Linear(128, 10));
          },
          {512, 64},
          512};
}

Program fashion_net() {
  return {[] { return testing::make_model("e"); }, {64, 1, 28, 28}, 64};
}

struct Outcome {
  std::vector<double> losses;
  std::vector<HostTensor> parameters;
  PlacementPlan plan;
  int64_t needed = 0;
};

Outcome train(const Program& program, int64_t memory) {
  std::map<std::string, int64_t> limits;
  if (memory > 0) limits["cpu:0"] = memory;
  configure({.devices = "cpu", .threads = 1, .memory = limits, .use_cache = false, .notice = [](std::string_view) {}});
  Outcome outcome;
  {
    nn::Sequential model = program.model();
    testing::fill(model);
    optim::Adam optimizer(model.named_parameters());
    TrainingStep step = compile_training_step(model, nn::CrossEntropyLoss(), optimizer);
    for (int s = 0; s < 3; ++s)
      outcome.losses.push_back(
          step(testing::make_images(s, program.batch, DType::f32), testing::make_labels(s, program.labels)).item());
    outcome.plan = step.last().placement();
    outcome.needed = step.last().memory().front().bytes;
    for (const Tensor& parameter : model.parameters()) outcome.parameters.push_back(parameter.value());
  }
  configure({});
  return outcome;
}

// The device gives out no more than the limit, so that what runs has kept within it.
void expect_runs_with(const Program& program, std::initializer_list<double> parts) {
  const Outcome free = train(program, 0);
  EXPECT_TRUE(free.plan.relief.empty());
  for (double part : parts) {
    const auto limit = static_cast<int64_t>(part * static_cast<double>(free.needed));
    SCOPED_TRACE(std::to_string(limit) + " bytes of " + std::to_string(free.needed));
    const Outcome less = train(program, limit);
    EXPECT_LE(less.needed, limit);
    EXPECT_FALSE(less.plan.relief.empty());
    EXPECT_EQ(less.losses, free.losses);
    ASSERT_EQ(less.parameters.size(), free.parameters.size());
    for (size_t i = 0; i < free.parameters.size(); ++i)
      EXPECT_TRUE(less.parameters[i].same_bytes(free.parameters[i])) << "parameter " << i;
  }
}

std::string refusal(const Program& program, int64_t memory) {
  try {
    train(program, memory);
  } catch (const Error& error) {
    configure({});
    return error.what();
  }
  return "";
}

// What a refusal says that a step needs is enough, and a byte less is not.
void expect_refused_below_the_least(const Program& program) {
  const Outcome free = train(program, 0);
  int64_t states = 0;  // parameters with the optimiser's two: a session that cannot hold them says so before
  for (const HostTensor& parameter : free.parameters) states += 3 * parameter.bytes();
  const std::string error = refusal(program, states + 50000);
  ASSERT_THAT(error, HasSubstr("a step needs "));
  const int64_t least = std::atoll(error.c_str() + std::string("a step needs ").size());
  EXPECT_LT(least, free.needed);
  EXPECT_LE(train(program, least).needed, least);
  const std::string below = refusal(program, least - 1);
  EXPECT_THAT(below, HasSubstr("a step needs " + std::to_string(least) + " bytes of memory on cpu:0, which has " +
                               std::to_string(least - 1) + "; it holds "));
  EXPECT_THAT(below, HasSubstr("training_memory_test.cc:"));
}

TEST(TrainingMemory, ATransformersStepRunsWithHalfOfItsMemory) { expect_runs_with(transformer(2), {0.7, 0.5}); }
TEST(TrainingMemory, AnMlpsStepRunsWithLittleMoreThanHalf) { expect_runs_with(mlp(), {0.7, 0.55}); }
// The second convolution's own operands and results are most of it.
TEST(TrainingMemory, AConvNetsStepRunsWithLess) { expect_runs_with(fashion_net(), {0.95, 0.9}); }
TEST(TrainingMemory, BelowTheLeastAStepIsRefused) { expect_refused_below_the_least(transformer(2)); }

TEST(TrainingMemory, TwelveBlocksRunWithAQuarterOfTheirMemory) {
  if (!std::getenv("PLACEWRIGHT_FULL_COUNTS")) GTEST_SKIP() << "the long tier: PLACEWRIGHT_FULL_COUNTS is not set";
  expect_runs_with(transformer(12), {0.7, 0.5, 0.25});
}

}  // namespace
}  // namespace placewright
