// What ships runs with the bytes that its plan says: every graph of examples/graphs and the training steps of the
// programs. With one byte less it runs relieved, or is refused with its largest holders.
#include <functional>
#include <map>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "frontend/reference_programs.h"
#include "placewright/base/file.h"
#include "placewright/passes/memory_need.h"
#include "placewright/run_graph.h"

namespace placewright {
namespace {

using ::testing::HasSubstr;

constexpr const char* device = "cpu:0";

void configure_with(int64_t bytes) {
  std::map<std::string, int64_t> memory;
  if (bytes > 0) memory[device] = bytes;
  configure({.devices = "cpu", .threads = 1, .memory = memory, .use_cache = false});
}

// What was computed, for comparison by its bits.
struct Outcome {
  std::vector<HostTensor> tensors;
  bool is_relieved = false;
};

void expect_same_bits(const Outcome& found, const Outcome& expected) {
  ASSERT_EQ(found.tensors.size(), expected.tensors.size());
  for (size_t i = 0; i < found.tensors.size(); ++i)
    EXPECT_TRUE(found.tensors[i].same_bytes(expected.tensors[i])) << "tensor " << i;
}

// A program within a limit, 0 for none. `needed`: what a step needs as it stands, by its plan.
class LimitedProgram {
 public:
  virtual ~LimitedProgram() = default;
  virtual Outcome run(int64_t limit, int64_t* needed = nullptr) = 0;

  // The number in "a step needs N bytes"; 0 if it ran.
  std::pair<int64_t, std::string> refusal(int64_t limit) {
    try {
      run(limit);
    } catch (const Error& error) {
      configure({});
      const std::string text = error.what(), before = "a step needs ";
      const size_t at = text.find(before);
      EXPECT_NE(at, std::string::npos) << text;
      return {at == std::string::npos ? -1 : std::atoll(text.c_str() + at + before.size()), text};
    }
    return {0, ""};
  }
};

void expect_exact(LimitedProgram& program) {
  int64_t needed = 0;
  const Outcome free = program.run(0, &needed);
  ASSERT_GT(needed, 0);
  const Outcome at_peak = program.run(needed);
  EXPECT_FALSE(at_peak.is_relieved);
  expect_same_bits(at_peak, free);
  int64_t least = needed;
  if (auto [below, text] = program.refusal(needed - 1); below > 0) {
    EXPECT_EQ(below, needed) << text;
  } else {
    EXPECT_TRUE(program.run(needed - 1).is_relieved);
    int64_t limit = needed - 1;
    for (least = 0; least == 0;) least = program.refusal(limit = limit / 4 * 3).first;
    ASSERT_GT(least, limit);
    ASSERT_LT(least, needed);
    expect_same_bits(program.run(least), free);
  }
  const auto [below, text] = program.refusal(least - 1);
  EXPECT_EQ(below, least) << text;
  EXPECT_THAT(text, HasSubstr(" bytes of memory on cpu:0, which has " + std::to_string(least - 1) + "; it holds "));
}

class LimitedGraph : public LimitedProgram {
 public:
  explicit LimitedGraph(const std::string& name)
      : graph_(parse_graph(read_text_file(PLACEWRIGHT_TEST_DATA "/../../examples/graphs/" + name + ".pw"))) {
    const Function& function = graph_.main();
    for (Value input : function.inputs) {
      const TensorType& type = function.tensor(input);
      HostTensor tensor(type.dtype, type.sizes());
      for (int64_t i = 0; i < tensor.elements(); ++i)
        if (is_integer(type.dtype))
          tensor.set_integer(i, i % 7);
        else
          tensor.set_number(i, type.rank() == 0 ? 0.5 : static_cast<double>(i % 13) / 64);
      inputs_.emplace(input_name(function, input), std::move(tensor));
    }
  }

  Outcome run(int64_t limit, int64_t* needed) override {
    configure_with(limit);
    GraphRun run = run_graph(graph_, inputs_);
    if (needed) {
      GraphPlacement placed = place_graph(graph_);
      for (const DeviceNeed& need : placed.measure(placed.compiled).devices)
        if (need.device.to_string() == device) *needed = need.bytes;
    }
    configure({});
    Outcome outcome{std::move(run.results), !run.plan.relief.empty()};
    for (auto& [name, state] : run.states) outcome.tensors.push_back(std::move(state));
    return outcome;
  }

 private:
  Graph graph_;
  std::map<std::string, HostTensor> inputs_;
};

TEST(MemoryOfPrograms, GraphsThatShipRunWithWhatTheyNeedAndAreRefusedBelowTheLeast) {
  for (const char* name : {"cnn", "lenet", "mixture", "mlp", "transformer"}) {
    SCOPED_TRACE(name);
    LimitedGraph graph(name);
    expect_exact(graph);
  }
}

enum class Optimiser { sgd, adam };

class LimitedTraining : public LimitedProgram {
 public:
  LimitedTraining(std::function<nn::Sequential()> model, Sizes batch, Optimiser optimiser)
      : model_(std::move(model)), batch_(std::move(batch)), optimiser_(optimiser) {}

  Outcome run(int64_t limit, int64_t* needed) override {
    configure_with(limit);
    Outcome outcome;
    {
      nn::Sequential model = model_();
      testing::fill(model);
      std::optional<optim::SGD> sgd;
      std::optional<optim::Adam> adam;
      const Tensor x = testing::make_images(0, batch_, DType::f32);
      std::optional<TrainingStep> step;
      if (optimiser_ == Optimiser::sgd) {
        sgd.emplace(model.named_parameters(), optim::SGDOptions{.lr = 0.01});
        step = compile_training_step(model, nn::MSELoss(), *sgd);
        const Tensor y = testing::make_images(1, {batch_[0], model(x).sizes()[1]}, DType::f32);
        outcome.tensors.push_back((*step)(x, y).value());
      } else {
        adam.emplace(model.named_parameters());
        step = compile_training_step(model, nn::CrossEntropyLoss(), *adam);
        outcome.tensors.push_back((*step)(x, testing::make_labels(0, batch_[0])).value());
      }
      outcome.is_relieved = !step->last().placement().relief.empty();
      if (needed) *needed = step->last().memory().front().bytes;
      for (const Tensor& parameter : model.parameters()) outcome.tensors.push_back(parameter.value());
    }
    configure({});
    return outcome;
  }

 private:
  std::function<nn::Sequential()> model_;
  Sizes batch_;
  Optimiser optimiser_;
};

// What inference programs compute, once.
class LimitedFunction : public LimitedProgram {
 public:
  LimitedFunction(std::function<nn::Sequential()> model, Sizes batch)
      : model_(std::move(model)), batch_(std::move(batch)) {}

  Outcome run(int64_t limit, int64_t* needed) override {
    configure_with(limit);
    Outcome outcome;
    {
      const Tensor x = testing::make_images(0, batch_, DType::f32);
      nn::Sequential model = model_ ? model_() : nn::Sequential();
      if (model_) testing::fill(model);
      CompiledFunction function = model_ ? compile(model) : compile([](const Tensor& a) { return a + a; });
      outcome.tensors.push_back(function(x).value());
      outcome.is_relieved = !function.last().placement().relief.empty();
      if (needed) *needed = function.last().memory().front().bytes;
    }
    configure({});
    return outcome;
  }

 private:
  std::function<nn::Sequential()> model_;  // none: x + x
  Sizes batch_;
};

TEST(MemoryOfPrograms, InferenceRunsWithWhatItNeedsAndIsRefusedBelowTheLeast) {
  using namespace nn;
  LimitedFunction add({}, {3, 4});                                             // 1, 2, 3
  LimitedFunction one([] { return Sequential(Linear(10, 2)); }, {1, 10});      // 4, 5
  LimitedFunction batch([] { return Sequential(Linear(10, 2)); }, {10, 10});   // 6, 7
  LimitedFunction square({}, {100, 100});                                      // 12
  LimitedFunction single([] { return Sequential(Linear(10, 1)); }, {10, 10});  // 14
  for (auto& [name, program] : std::initializer_list<std::pair<const char*, LimitedFunction*>>{
           {"1", &add}, {"4", &one}, {"6", &batch}, {"12", &square}, {"14", &single}}) {
    SCOPED_TRACE(name);
    expect_exact(*program);
  }
}

TEST(MemoryOfPrograms, TrainingStepsRunWithWhatTheyNeedAndAreRefusedBelowTheLeast) {
  using namespace nn;
  LimitedTraining line([] { return Sequential(Linear(10, 2)); }, {100, 10}, Optimiser::sgd);        // 8, 9, 10
  LimitedTraining parallel([] { return Sequential(Linear(100, 10)); }, {64, 100}, Optimiser::sgd);  // 13
  LimitedTraining batches([] { return Sequential(Linear(10, 1)); }, {32, 10}, Optimiser::sgd);      // 15
  LimitedTraining cnn([] { return testing::make_model("c"); }, {16, 3, 14, 14}, Optimiser::adam);
  LimitedTraining mlp([] { return Sequential(Linear(784, 512), ReLU(), Linear(512, 512), ReLU(), Linear(512, 10)); },
                      {128, 784}, Optimiser::adam);
  LimitedTraining lenet([] { return testing::make_model("e"); }, {64, 1, 28, 28}, Optimiser::adam);
  for (auto& [name, program] : std::initializer_list<std::pair<const char*, LimitedTraining*>>{
           {"8", &line}, {"13", &parallel}, {"15", &batches}, {"16", &cnn}, {"d", &mlp}, {"e", &lenet}}) {
    SCOPED_TRACE(name);
    expect_exact(*program);
  }
}

}  // namespace
}  // namespace placewright
