// Writes the training steps of a few real models as graphs: write_graphs DIR. What `placewright place` reads, and the
// corpus on which others may measure their placement algorithms (docs/plan-files.md).
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>

#include <placewright/base/file.h>
#include <placewright/ir/graph.h>
#include <placewright/placewright.h>

namespace {

using namespace pw::nn;

// Self-attention and a small MLP, each behind a normalisation and beside a residual.
class Block : public Module {
 public:
  Block(int64_t width, int64_t heads)
      : heads_(heads),
        norm_(add<LayerNorm>("norm", width)),
        query_(add<Linear>("query", width, width)),
        key_(add<Linear>("key", width, width)),
        value_(add<Linear>("value", width, width)),
        out_(add<Linear>("out", width, width)),
        second_norm_(add<LayerNorm>("second_norm", width)),
        up_(add<Linear>("up", width, 4 * width)),
        down_(add<Linear>("down", 4 * width, width)) {}

  pw::Tensor forward(const pw::Tensor& x) override {
    const pw::Sizes sizes = x.sizes();  // (batch, sequence, width)
    const int64_t width = sizes[2] / heads_;
    auto split = [&](const pw::Tensor& all) {
      return all.reshape({sizes[0], sizes[1], heads_, width}).permute({0, 2, 1, 3});
    };
    pw::Tensor normed = norm_(x);
    pw::Tensor query = split(query_(normed)), key = split(key_(normed)), value = split(value_(normed));
    pw::Tensor weights = pw::softmax(matmul(query, key.t()) * (1 / std::sqrt(static_cast<double>(width))));
    pw::Tensor mixed = matmul(weights, value).permute({0, 2, 1, 3}).reshape({sizes[0], sizes[1], sizes[2]});
    pw::Tensor attended = x + out_(mixed);
    return attended + down_(pw::gelu(up_(second_norm_(attended))));
  }
  std::string description() const override { return "Block"; }

 private:
  int64_t heads_;
  LayerNorm& norm_;
  Linear &query_, &key_, &value_, &out_;
  LayerNorm& second_norm_;
  Linear &up_, &down_;
};

class Transformer : public Module {
 public:
  Transformer(int64_t words, int64_t width, int64_t heads, int blocks)
      : embedding_(add<Embedding>("embedding", words, width)), head_(add<Linear>("head", width, words)) {
    for (int i = 0; i < blocks; ++i) blocks_.push_back(&add<Block>("block" + std::to_string(i), width, heads));
  }
  pw::Tensor forward(const pw::Tensor& ids) override {
    pw::Tensor x = embedding_(ids);
    for (Block* block : blocks_) x = (*block)(x);
    pw::Tensor scores = head_(x);
    return scores.reshape({-1, scores.sizes().back()});
  }
  std::string description() const override { return "Transformer"; }

 private:
  Embedding& embedding_;
  Linear& head_;
  std::vector<Block*> blocks_;
};

// Experts that all see the input, weighted by a gate: branches that could run side by side.
class Mixture : public Module {
 public:
  Mixture(int64_t width, int experts)
      : gate_(add<Linear>("gate", width, experts)), head_(add<Linear>("head", width, 10)) {
    for (int i = 0; i < experts; ++i)
      experts_.push_back(
          &add<Sequential>("expert" + std::to_string(i), Linear(width, 4 * width), ReLU(), Linear(4 * width, width)));
  }
  pw::Tensor forward(const pw::Tensor& x) override {
    const int64_t rows = x.sizes()[0];
    const auto count = static_cast<int64_t>(experts_.size());
    pw::Tensor gates = pw::softmax(gate_(x)), sum;
    for (int64_t i = 0; i < count; ++i) {
      // The gate's column, as a product with a unit vector.
      pw::HostTensor unit(pw::DType::f32, {count, 1});
      for (int64_t j = 0; j < count; ++j) unit.set_number(j, i == j ? 1 : 0);
      pw::Tensor weighted = (*experts_[static_cast<size_t>(i)])(x)*matmul(gates, pw::Tensor(unit)).reshape({rows, 1});
      sum = sum.is_defined() ? sum + weighted : weighted;
    }
    return head_(sum);
  }
  std::string description() const override { return "Mixture"; }

 private:
  Linear &gate_, &head_;
  std::vector<Sequential*> experts_;
};

void write(const std::string& folder, const std::string& name, Module& model, const pw::Tensor& x, int64_t classes) {
  pw::optim::Adam optimizer(model.named_parameters());
  pw::TrainingStep step = pw::compile_training_step(model, CrossEntropyLoss(), optimizer);
  int64_t rows = x.dtype() == pw::DType::i64 ? x.sizes()[0] * x.sizes()[1] : x.sizes()[0];
  pw::Graph graph = step.capture(x, pw::randint(0, classes, {rows}));
  pw::write_file_atomically(folder + "/" + name + ".pw", pw::print_graph(graph));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : ".";
  try {
    pw::manual_seed(1);
    Sequential mlp(Linear(784, 512), ReLU(), Linear(512, 512), ReLU(), Linear(512, 10));
    write(folder, "mlp", mlp, pw::randn({128, 784}), 10);
    Sequential cnn(Conv2d(3, 16, 3, {.padding = 1}), ReLU(), MaxPool2d(2), Flatten(), Linear(784, 10));
    write(folder, "cnn", cnn, pw::randn({16, 3, 14, 14}), 10);
    Sequential lenet(Conv2d(1, 32, 3), ReLU(), Conv2d(32, 64, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(9216, 128),
                     ReLU(), Linear(128, 10));
    write(folder, "lenet", lenet, pw::randn({64, 1, 28, 28}), 10);
    Mixture mixture(256, 4);
    write(folder, "mixture", mixture, pw::randn({64, 256}), 10);
    Transformer transformer(1000, 256, 4, 2);
    write(folder, "transformer", transformer, pw::randint(0, 1000, {8, 64}), 1000);
    return 0;
  } catch (const pw::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
