// A transformer of any depth, and its training step as the frontend captures it.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "placewright/placewright.h"

namespace synthetic {

namespace nn = placewright::nn;
using placewright::Tensor;

class Block : public nn::Module {
 public:
  Block(int64_t width, int64_t heads)
      : heads_(heads),
        norms_{&add<nn::LayerNorm>("norm0", width), &add<nn::LayerNorm>("norm1", width)},
        query_(add<nn::Linear>("query", width, width)),
        key_(add<nn::Linear>("key", width, width)),
        value_(add<nn::Linear>("value", width, width)),
        out_(add<nn::Linear>("out", width, width)),
        up_(add<nn::Linear>("up", width, 4 * width)),
        down_(add<nn::Linear>("down", 4 * width, width)) {}

  Tensor forward(const Tensor& x) override {
    const placewright::Sizes sizes = x.sizes();  // (batch, sequence, width)
    const int64_t width = sizes[2] / heads_;
    auto split = [&](const Tensor& all) {
      return all.reshape({sizes[0], sizes[1], heads_, width}).permute({0, 2, 1, 3});
    };
    Tensor normed = (*norms_[0])(x);
    Tensor query = split(query_(normed)), key = split(key_(normed)), value = split(value_(normed));
    Tensor weights = softmax(matmul(query, key.t()) * (1 / std::sqrt(static_cast<double>(width))));
    Tensor attended = x + out_(matmul(weights, value).permute({0, 2, 1, 3}).reshape(sizes));
    return attended + down_(gelu(up_((*norms_[1])(attended))));
  }
  std::string description() const override { return "Block"; }

 private:
  int64_t heads_;
  nn::LayerNorm* norms_[2];
  nn::Linear &query_, &key_, &value_, &out_, &up_, &down_;
};

class Transformer : public nn::Module {
 public:
  Transformer(int64_t words, int64_t width, int64_t heads, int blocks)
      : embedding_(add<nn::Embedding>("embedding", words, width)) {
    for (int i = 0; i < blocks; ++i) blocks_.push_back(&add<Block>("block" + std::to_string(i), width, heads));
    head_ = &add<nn::Linear>("head", width, words);
  }
  Tensor forward(const Tensor& ids) override {
    Tensor x = embedding_(ids);
    for (Block* block : blocks_) x = (*block)(x);
    Tensor scores = (*head_)(x);
    return scores.reshape({-1, scores.sizes().back()});
  }
  std::string description() const override { return "Transformer"; }

 private:
  nn::Embedding& embedding_;
  std::vector<Block*> blocks_;
  nn::Linear* head_;
};

// Adam's updates of all parameters are a third of its ops.
inline placewright::Graph transformer(int ops) {
  constexpr int ops_per_block = 460;  // where `place` looks at them
  Transformer model(64, 16, 2, std::max(1, ops / ops_per_block));
  placewright::optim::Adam optimizer(model.named_parameters());
  placewright::TrainingStep step = placewright::compile_training_step(model, nn::CrossEntropyLoss(), optimizer);
  return step.capture(placewright::randint(0, 64, {4, 8}), placewright::randint(0, 64, {32}));
}

}  // namespace synthetic
