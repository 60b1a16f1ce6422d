// What plans are judged on: programs and machines.
#include <cmath>

#include "judged_plans.h"
#include "placewright/base/file.h"
#include "placewright/placewright.h"

namespace placewright::testing {
namespace {

using namespace nn;

class Block : public Module {
 public:
  Block(int64_t width, int64_t heads)
      : heads_(heads),
        norms_{&add<LayerNorm>("norm0", width), &add<LayerNorm>("norm1", width)},
        query_(add<Linear>("query", width, width)),
        key_(add<Linear>("key", width, width)),
        value_(add<Linear>("value", width, width)),
        out_(add<Linear>("out", width, width)),
        up_(add<Linear>("up", width, 4 * width)),
        down_(add<Linear>("down", 4 * width, width)) {}

  Tensor forward(const Tensor& x) override {
    const Sizes sizes = x.sizes();  // (batch, sequence, width)
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
  LayerNorm* norms_[2];
  Linear &query_, &key_, &value_, &out_, &up_, &down_;
};

class Transformer : public Module {
 public:
  Transformer(int64_t words, int64_t width, int64_t heads, int blocks)
      : embedding_(add<Embedding>("embedding", words, width)) {
    for (int i = 0; i < blocks; ++i) blocks_.push_back(&add<Block>("block" + std::to_string(i), width, heads));
    head_ = &add<Linear>("head", width, words);
  }
  Tensor forward(const Tensor& ids) override {
    Tensor x = embedding_(ids);
    for (Block* block : blocks_) x = (*block)(x);
    Tensor scores = (*head_)(x);
    return scores.reshape({-1, scores.sizes().back()});
  }
  std::string description() const override { return "Transformer"; }

 private:
  Embedding& embedding_;
  std::vector<Block*> blocks_;
  Linear* head_;
};

Graph transformer_of_twelve_blocks() {
  Transformer model(1000, 256, 4, 12);
  optim::Adam optimizer(model.named_parameters());
  TrainingStep step = compile_training_step(model, CrossEntropyLoss(), optimizer);
  return step.capture(randint(0, 1000, {8, 64}), randint(0, 1000, {512}));
}

Graph example(const std::string& name) {
  return parse_graph(read_text_file(std::string(PLACEWRIGHT_EXAMPLE_GRAPHS) + "/" + name + ".pw"));
}

// One rate for all classes, as the simulated clock has it.
DeviceSpec device(const DeviceId& id, double rate, double bandwidth, double launch_seconds) {
  DeviceSpec spec;
  spec.id = id;
  spec.name = id.to_string();
  spec.target = "none";
  spec.host_memory = id.kind == "cpu";
  spec.memory_bytes = int64_t{8} << 30;
  spec.memory_bandwidth = bandwidth;
  spec.launch_seconds = launch_seconds;
  for (const DTypeInfo& entry : dtype_table())
    if (entry.supported)
      for (const char* op_class :
           {"contraction", "convolution", "elementwise", "reduction", "movement", "gather", "scatter"})
        spec.rates.push_back({op_class, entry.dtype, rate});
  return spec;
}

Machine machine_of(const std::vector<DeviceSpec>& accelerators) {
  Machine machine;
  machine.devices.push_back(device({"cpu", 0}, 50e9, 20e9, 50e-9));
  for (const DeviceSpec& spec : accelerators) {
    for (const DeviceSpec& other : machine.devices)
      for (auto [from, to] : {std::pair(other.id, spec.id), std::pair(spec.id, other.id)})
        machine.links.push_back({from, to, 6e-6, from.kind == to.kind ? 50e9 : 12e9});
    machine.devices.push_back(spec);
  }
  return machine;
}

// It lacks kernels for sums of f32.
DeviceSpec without_sums(DeviceSpec spec) {
  std::erase_if(spec.rates, [](const Rate& rate) { return rate.op_class == "reduction" && rate.dtype == DType::f32; });
  return spec;
}

}  // namespace

std::vector<JudgedCase> judged_cases(bool all) {
  const DeviceSpec small = device({"sim", 0}, 400e9, 100e9, 4e-6), large = device({"sim", 1}, 10e12, 800e9, 5e-6);
  DeviceSpec only = large;
  only.id = {"sim", 0};
  std::vector<std::pair<std::string, Graph>> programs{
      {"c", example("cnn")}, {"d", example("mlp")}, {"e", example("lenet")}};
  if (all) programs.emplace_back("transformer", transformer_of_twelve_blocks());
  if (all) programs.emplace_back("mixture", example("mixture"));
  std::vector<JudgedCase> cases;
  for (const auto& [name, graph] : programs) {
    auto lacking = [&, &program = name](const DeviceSpec& spec) {
      return program == "mixture" ? without_sums(spec) : spec;
    };
    cases.push_back({name, "small", graph, machine_of({lacking(small)})});
    cases.push_back({name, "large", graph, machine_of({lacking(only)})});
    cases.push_back({name, "both", graph, machine_of({small, lacking(large)})});
  }
  return cases;
}

}  // namespace placewright::testing
