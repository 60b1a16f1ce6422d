// A graph resized to another batch is the graph that this batch is captured as, to the letter: sizes that merely equal
// the batch stay.
#include "placewright/passes/resize_batch.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/base/error.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Attention over (batch, sequence, width), with a residual; its results are (batch * sequence, classes).
class Attention : public nn::Module {
 public:
  Attention(int64_t words, int64_t width, int64_t heads, int64_t classes)
      : heads_(heads),
        embedding_(add<nn::Embedding>("embedding", words, width)),
        norm_(add<nn::LayerNorm>("norm", width)),
        query_(add<nn::Linear>("query", width, width)),
        head_(add<nn::Linear>("head", width, classes)) {}

  Tensor forward(const Tensor& ids) override {
    Tensor x = embedding_(ids);
    const Sizes sizes = x.sizes();
    const int64_t width = sizes[2] / heads_;
    Tensor query = query_(norm_(x)).reshape({sizes[0], sizes[1], heads_, width}).permute({0, 2, 1, 3});
    Tensor weights = softmax(matmul(query, query.t()) * (1 / std::sqrt(static_cast<double>(width))));
    Tensor mixed = matmul(weights, query).permute({0, 2, 1, 3}).reshape(sizes);
    return head_(x + gelu(mixed)).reshape({sizes[0] * sizes[1], -1});
  }
  std::string description() const override { return "Attention"; }

 private:
  int64_t heads_;
  nn::Embedding& embedding_;
  nn::LayerNorm& norm_;
  nn::Linear &query_, &head_;
};

Graph step_of(nn::Module& model, const Tensor& x, int64_t rows, int64_t classes) {
  optim::Adam optimizer(model.named_parameters());
  return compile_training_step(model, nn::CrossEntropyLoss(), optimizer).capture(x, randint(0, classes, {rows}));
}

void expect_resized(const std::function<Graph(int64_t)>& capture, int64_t from, const std::vector<int64_t>& batches) {
  const Graph graph = capture(from);
  const BatchResizer resizer(graph, find_batch(graph));
  EXPECT_EQ(resizer.batch(), from);
  EXPECT_EQ(print_graph(resizer.resized(from)), print_graph(graph));
  for (int64_t batch : batches) EXPECT_EQ(print_graph(resizer.resized(batch)), print_graph(capture(batch))) << batch;
}

TEST(ResizeBatch, LayersOfTheSizeOfTheBatchStay) {
  auto capture = [](int64_t batch) {
    nn::Sequential model(nn::Linear(16, 16), nn::ReLU(), nn::Linear(16, 16), nn::ReLU(), nn::Linear(16, 16));
    return step_of(model, randn({batch, 16}), batch, 16);
  };
  expect_resized(capture, 16, {1, 3, 15, 17, 1024});
}

TEST(ResizeBatch, ConvolutionsPoolsAndFlattening) {
  auto capture = [](int64_t batch) {
    nn::Sequential model(nn::Conv2d(1, 8, 3), nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(), nn::Linear(8 * 3 * 3, 8));
    return step_of(model, randn({batch, 1, 8, 8}), batch, 8);
  };
  expect_resized(capture, 8, {1, 7, 64});
  expect_resized(capture, 2, {1, 9});
}

TEST(ResizeBatch, AttentionWhoseRowsAreTheBatchTimesTheSequence) {
  auto capture = [](int64_t batch) {
    Attention model(32, 32, 4, 32);
    return step_of(model, randint(0, 32, {batch, 8}), batch * 8, 32);
  };
  expect_resized(capture, 4, {1, 5, 32});
  expect_resized(capture, 8, {2, 3});
}

TEST(ResizeBatch, WhatCannotGrowIsNamedWithItsLine) {
  const Graph graph = parse_graph(R"(graph v1

origins {
  #1 = forward 0 in "fc" from "model.cc":12
}

function "main"(%0, %1) {
  %0 = input() {kind="argument", name="x"} : f32[8,4]
  %1 = input() {kind="state", name="position"} : f32[8,4]
  %2 = add(%0, %1) : f32[8,4] #1  // model.cc:12
  return %2
}
)");
  try {
    BatchResizer resizer(graph, find_batch(graph));
    FAIL() << "a state grew";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("state 'position'"), HasSubstr("model.cc:12")));
  }
  const Graph scalar = parse_graph(R"(graph v1
function "main"(%0) {
  %0 = input() {kind="argument", name="x"} : f32[]
  return %0
}
)");
  EXPECT_EQ(find_batch(scalar), Value{});
  EXPECT_EQ(find_batch_size(scalar), std::nullopt);
}

TEST(ResizeBatch, TheBatchIsTheSymbolOfThatNameOrTheFirstSizeOfTheFirstArgument) {
  auto size_of = [](const char* first, const char* second) {
    const std::string types[] = {first, second};
    std::string text = "graph v1\nfunction \"main\"(%0, %1, %2) {\n";
    text += "  %0 = input() {kind=\"state\", name=\"s\"} : f32[S<=3]\n";
    for (int i = 0; i < 2; ++i)
      text += "  %" + std::to_string(i + 1) + " = input() {kind=\"argument\", name=\"x" + std::to_string(i) +
              "\"} : " + types[i] + "\n";
    const std::optional<Dim> size = find_batch_size(parse_graph(text + "  return %1\n}\n"));
    return !size ? "none" : size->is_number() ? std::to_string(size->number()) : size->symbol_name();
  };
  EXPECT_EQ(size_of("f32[T<=9,batch<=5]", "f32[B<=4]"), "batch");
  EXPECT_EQ(size_of("f32[8]", "f32[batch<=5]"), "batch");
  EXPECT_EQ(size_of("f32[8,T<=9]", "f32[B<=4]"), "8");
  EXPECT_EQ(size_of("f32[]", "f32[B<=4,T<=9]"), "B");
  EXPECT_EQ(size_of("f32[]", "f32[]"), "none");
}

}  // namespace
}  // namespace placewright
