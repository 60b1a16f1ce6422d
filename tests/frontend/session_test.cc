// Loaders, schedules, summaries, recompilation, the cache, strictness: what users see besides numbers.
#include <filesystem>
#include <fstream>
#include <set>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/base/file.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Frontend : public testing::Test {
 protected:
  void SetUp() override {
    configure({.devices = "cpu,sim:2", .use_cache = false, .notice = [this](std::string_view line) {
                 notices_.emplace_back(line);
               }});
  }
  void TearDown() override { configure({}); }
  std::vector<std::string> notices_;
};

TEST_F(Frontend, LoaderCoversEachSampleOnceInARepeatableOrder) {
  data::TensorDataset dataset(arange(10).value(), arange(10).value());
  auto passes = [&](data::LoaderOptions options) {
    data::DataLoader loader(dataset, options);
    std::vector<std::vector<int64_t>> all;
    for (int pass = 0; pass < 2; ++pass) {
      all.emplace_back();
      for (const data::Batch& batch : loader)
        for (int64_t id : batch.input.to_vector<int64_t>()) all.back().push_back(id);
    }
    return all;
  };
  auto shuffled = passes({.batch_size = 4, .shuffle = true, .seed = 5});
  EXPECT_EQ(shuffled, passes({.batch_size = 4, .shuffle = true, .seed = 5, .prefetch = false}));
  EXPECT_NE(shuffled[0], shuffled[1]);
  EXPECT_EQ(std::set<int64_t>(shuffled[0].begin(), shuffled[0].end()).size(), 10u);
  EXPECT_EQ(passes({.batch_size = 4, .drop_last = true})[0].size(), 8u);
  EXPECT_EQ(data::DataLoader(dataset, {.batch_size = 4}).batches(), 3);
}

TEST_F(Frontend, HyperParametersNeverRecompile) {
  nn::Linear model(3, 1);
  optim::SGD optimizer(model.named_parameters(), {.lr = 0.1});
  TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
  Tensor x = ones({2, 3}), y = zeros({2, 1});
  step(x, y);
  optimizer.set_lr(0);
  HostTensor before = model.weight.value();
  step(x, y);
  EXPECT_TRUE(model.weight.value().same_bytes(before)) << "a rate of 0 changes nothing";
  optimizer.set_lr(0.1);
  step(x, y);
  EXPECT_FALSE(model.weight.value().same_bytes(before));
  EXPECT_EQ(step.specialisations().size(), 1u);
  EXPECT_THROW(optimizer.set_hyper("momentum", 0.9), Error);
}

TEST_F(Frontend, SchedulesFollowTheirFormulas) {
  nn::Linear model(1, 1);
  optim::SGD optimizer(model.named_parameters(), {.lr = 1});
  auto rates = [&](optim::Schedule schedule, int epochs) {
    std::vector<double> all;
    for (int i = 0; i < epochs; ++i, schedule.step()) all.push_back(optimizer.lr());
    optimizer.set_lr(1);
    return all;
  };
  EXPECT_THAT(rates(optim::step_lr(optimizer, 2, 0.5), 5), ElementsAre(1, 1, 0.5, 0.5, 0.25));
  EXPECT_THAT(rates(optim::exponential_lr(optimizer, 0.5), 3), ElementsAre(1, 0.5, 0.25));
  EXPECT_THAT(rates(optim::linear_warmup(optimizer, 2, 0.5), 4), ElementsAre(0.5, 0.75, 1, 1));
  EXPECT_NEAR(rates(optim::cosine_lr(optimizer, 2), 3)[1], 0.5, 1e-15);
}

TEST_F(Frontend, SmallerLastBatchSharesTheState) {
  nn::Linear model(3, 1);
  optim::SGD optimizer(model.named_parameters(), {.lr = 0.1, .momentum = 0.9});
  TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
  double first = step(ones({4, 3}), zeros({4, 1})).item();
  step(ones({1, 3}), zeros({1, 1}));
  EXPECT_LT(step(ones({4, 3}), zeros({4, 1})).item(), first);
  EXPECT_EQ(step.specialisations().size(), 2u);
}

// A model split by pins over two devices computes the same bits, and what the ledger says is what moved.
TEST_F(Frontend, SplitByPinsIsBitEqualAndTheLedgerIsTrue) {
  auto train = [](bool split, int64_t* planned, int64_t* counted) {
    manual_seed(7);
    nn::Sequential model(nn::Linear(6, 8), nn::ReLU(), nn::Linear(8, 3));
    optim::SGD optimizer(model.named_parameters(), {.lr = 0.1});
    if (split) {
      model.children()[0].module->to("sim:0");
      model.children()[2].module->to("sim:1");
    }
    TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
    Tensor x = randn({5, 6}), y = randn({5, 3});
    std::vector<double> losses;
    for (int i = 0; i < 20; ++i) losses.push_back(step(x, y).item());
    *planned = step.last().planned_step_bytes();
    *counted = step.last().step_transfer_bytes();
    return losses;
  };
  int64_t planned = 0, counted = 0;
  std::vector<double> one = train(false, &planned, &counted), two = train(true, &planned, &counted);
  EXPECT_EQ(one, two);
  EXPECT_GT(planned, 0);
  EXPECT_EQ(planned, counted);
}

TEST_F(Frontend, ItemWhileCompilingIsAnErrorThatSaysSo) {
  CompiledFunction function = compile([](const Tensor& x) {
    if (x.sum().item() > 0) return x + 1;
    return x;
  });
  try {
    function(ones({2}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("read while a function is compiled"));
    EXPECT_THAT(error.what(), HasSubstr("tests/frontend/session_test.cc:"));
  }
}

TEST_F(Frontend, CapturedTensorsAreConstantsUpToALimit) {
  Tensor table = arange(4, DType::f32);
  EXPECT_THAT(compile([&](const Tensor& x) { return x + table; })(ones({4})).to_vector<float>(),
              ElementsAre(1, 2, 3, 4));
  Tensor large = zeros({1 << 19});
  EXPECT_THROW(compile([&](const Tensor& x) { return x + large; })(ones({1})), Error);
}

TEST_F(Frontend, LazyValuesAreKeptAndPiecesReused) {
  Tensor a = ones({3});
  for (int i = 0; i < 5; ++i) {
    a = a * 2;
    EXPECT_EQ(a.sum().item(), 3 * (2 << i));
  }
  EXPECT_THAT(where(a > 1, a, 0).to_vector<float>(), ElementsAre(32, 32, 32));
  EXPECT_THAT(concat({a, ones({1})}).to_vector<float>(), ElementsAre(32, 32, 32, 1));
  EXPECT_THAT(slice(arange(6), 0, 1, 6, 2).to_vector<int64_t>(), ElementsAre(1, 3, 5));
  EXPECT_THAT(softmax(zeros({2})).to_vector<float>(), ElementsAre(0.5, 0.5));
  EXPECT_THAT(gradients((a * a).sum(), {a})[0].to_vector<float>(), ElementsAre(64, 64, 64));
  EXPECT_THAT(scalar(2.5f).to_string(), HasSubstr("2.5, f32, cpu:0"));
}

TEST_F(Frontend, SummaryCountsParametersAndWork) {
  nn::Sequential model(nn::Conv2d(1, 4, 3), nn::ReLU(), nn::Flatten(), nn::Linear(144, 10));
  ModelSummary summary = summarise(model, zeros({1, 1, 8, 8}));
  EXPECT_EQ(summary.parameters, 4 * 9 + 4 + 1440 + 10);
  EXPECT_EQ(summary.bytes, 4 * summary.parameters);
  ASSERT_EQ(summary.layers.size(), 5u);
  EXPECT_EQ(to_string(summary.layers[1].output), "[1,4,6,6]");
  EXPECT_GE(summary.layers[4].flops, 2 * 1440);
  EXPECT_THAT(summary.to_string(), HasSubstr("Linear(144, 10)"));
}

TEST_F(Frontend, EachLayerRunsAndLearns) {
  auto learns = [](nn::Sequential model, Tensor x, Tensor y) {
    optim::Adam optimizer(model.named_parameters(), {.lr = 0.05});
    TrainingStep step = compile_training_step(model, nn::CrossEntropyLoss(), optimizer);
    double first = step(x, y).item(), last = first;
    for (int i = 0; i < 15; ++i) last = step(x, y).item();
    EXPECT_LT(last, first);
  };
  using namespace nn;
  Tensor y = randint(0, 3, {6});
  learns(Sequential(Linear(5, 8), LayerNorm(8), GELU(), Linear(8, 3)), randn({6, 5}), y);
  learns(Sequential(Linear(5, 8), SiLU(), Linear(8, 8), Tanh(), Linear(8, 8), Sigmoid(), Linear(8, 3)), randn({6, 5}),
         y);
  learns(Sequential(Embedding(9, 4), Flatten(), Linear(8, 3)), randint(0, 9, {6, 2}), y);
  learns(Sequential(Conv2d(2, 3, 3, {.stride = 2}), AvgPool2d(2), Flatten(), Linear(3, 3)), randn({6, 2, 7, 7}), y);
}

TEST_F(Frontend, DropoutDrawsAnewInEveryStepAndTheSameInEveryRun) {
  auto losses = [](bool training) {
    manual_seed(4);
    nn::Sequential model(nn::Linear(4, 64), nn::Dropout(0.5), nn::Linear(64, 1));
    model.train(training);
    optim::SGD optimizer(model.named_parameters(), {.lr = 0});
    TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
    Tensor x = ones({8, 4}), y = zeros({8, 1});
    std::vector<double> all;
    for (int i = 0; i < 3; ++i) all.push_back(step(x, y).item());
    return all;
  };
  std::vector<double> drawn = losses(true), kept = losses(false);
  EXPECT_NE(drawn[0], drawn[1]);
  EXPECT_NE(drawn[1], drawn[2]);
  EXPECT_EQ(drawn, losses(true));
  EXPECT_EQ(kept[0], kept[2]);
}

TEST_F(Frontend, InitialWeightsArePhiloxBlocksScaledByTheFanIn) {
  constexpr uint64_t seed = 0x299f31d0a4093822;
  manual_seed(seed);
  nn::Linear first(5, 3), second(10, 3);  // not multiples of what is drawn at once; streams 0 and 1, 2 and 3
  auto expect = [&](const Tensor& weight, uint32_t stream, double bound) {
    HostTensor found = weight.value();
    for (uint32_t i = 0; i < found.elements(); ++i) {
      std::array<uint32_t, 4> x{i / 2, 0, stream, 0};
      std::array<uint32_t, 2> key{uint32_t(seed), uint32_t(seed >> 32)};
      for (int round = 0; round < 10; ++round, key[0] += 0x9E3779B9, key[1] += 0xBB67AE85) {
        uint64_t a = 0xD2511F53ull * x[0], b = 0xCD9E8D57ull * x[2];
        x = {uint32_t(b >> 32) ^ x[1] ^ key[0], uint32_t(b), uint32_t(a >> 32) ^ x[3] ^ key[1], uint32_t(a)};
      }
      uint64_t word = x[i % 2 * 2] | uint64_t{x[i % 2 * 2 + 1]} << 32;
      auto expected = static_cast<float>((2 * (static_cast<double>(word >> 11) * 0x1p-53) - 1) * bound);
      EXPECT_EQ(found.data<float>()[i], expected) << "stream " << stream << ", element " << i;
    }
  };
  expect(first.weight, 0, 1 / std::sqrt(5.0));
  expect(first.bias, 1, 1 / std::sqrt(5.0));
  expect(second.weight, 2, 1 / std::sqrt(10.0));
  expect(second.bias, 3, 1 / std::sqrt(10.0));
}

// What a program from the cache tells is what the one that was compiled told.
TEST_F(Frontend, CachedProgramsKnowTheirPlacementAndRepeatTheirNotices) {
  std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / ("kept_" + std::to_string(::getpid()));
  struct Told {
    bool from_cache;
    std::vector<std::string> notices;
    std::string plan, placed;
    int64_t step_bytes;
    float result;
    bool operator==(const Told&) const = default;
  };
  auto run = [&] {
    configure({.devices = "cpu,sim:1", .cache_directory = folder.string(), .notice = [](std::string_view) {}});
    nn::Linear model(3, 2);
    model.to("sim:0");
    CompiledFunction forward = compile([&](const Tensor& x) { return model(x) + ones({1, 2}).to("cpu:0"); });
    float result = forward(ones({1, 3})).sum().item();
    const Specialisation& last = forward.last();
    return Told{last.from_cache(),         last.notices(),
                placement_report(last),    print_graph(last.placed()),
                last.planned_step_bytes(), static_cast<float>(result)};
  };
  Told compiled = run(), kept = run();
  EXPECT_FALSE(compiled.from_cache);
  EXPECT_FALSE(compiled.notices.empty());
  EXPECT_GT(compiled.step_bytes, 0);
  compiled.from_cache = true;
  EXPECT_EQ(compiled, kept);
  std::filesystem::remove_all(folder);
}

TEST_F(Frontend, CacheServesTheNextSession) {
  std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / ("cache_" + std::to_string(::getpid()));
  auto run = [&] {
    configure({.cache_directory = folder.string()});
    nn::Linear model(3, 2);
    CompiledFunction forward = compile(model);
    forward(ones({1, 3}));
    return forward.last().from_cache();
  };
  EXPECT_FALSE(run());
  EXPECT_TRUE(run());
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {  // damage is noticed, and mended
    std::vector<uint8_t> bytes = read_file(entry.path());
    bytes[bytes.size() / 2] ^= 1;
    write_file_atomically(entry.path(), bytes);
  }
  EXPECT_FALSE(run());
  EXPECT_TRUE(run());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace placewright
