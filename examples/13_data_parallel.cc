// Linear(100, 10) trained data-parallel over all accelerators, if there are several: each computes its part of the
// batch, and an all-reduce adds the gradients up.
#include <placewright/ir/program.h>

#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char*) {
    pw::CompileOptions options;
    for (const pw::DeviceId& device : pw::devices())
      if (device.kind != "cpu") options.data_parallel.push_back(device);
    pw::Tensor x = pw::randn({64, 100}), y = pw::randn({64, 10});
    pw::nn::Linear model(100, 10);
    if (options.data_parallel.size() < 2) {
      const std::string only = pw::devices().back().to_string();
      std::printf("one device: nothing to split over, training on %s\n", only.c_str());
      options.data_parallel.clear();
      model.to(only);
      x = x.to(only);
      y = y.to(only);
    }
    pw::optim::SGD optimizer(model.named_parameters(), {.lr = 0.1});
    pw::TrainingStep step = pw::compile_training_step(model, pw::nn::MSELoss(), optimizer, options);
    for (int epoch = 1; epoch <= 10; ++epoch) std::printf("epoch %d: loss %.6f\n", epoch, step(x, y).item());
    for (const pw::DeviceId& device : options.data_parallel) std::printf("used: %s\n", device.to_string().c_str());
    long long reduced = 0;
    for (const pw::LedgerLine& line : pw::transfer_ledger(step.last().program()))
      if (line.facts.from.kind != "cpu" && line.facts.to.kind != "cpu") reduced += line.facts.bytes;
    std::printf("bytes of all-reduces in a step: %lld\n", reduced);
    print_transfers(step.last());
    std::printf("%s", pw::placement_report(step.last()).c_str());
  });
}
