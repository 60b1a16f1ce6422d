// The same with the batches moved: no copy that nobody asked for.
#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char* accelerator) {
    pw::data::TensorDataset dataset(pw::randn({100, 10}).value(), pw::randn({100, 2}).value());
    pw::data::DataLoader loader(dataset, {.batch_size = 10});
    pw::nn::Linear model(10, 2);
    model.to(accelerator);
    pw::CompiledFunction forward = pw::compile(model);
    for (const pw::data::Batch& batch : loader) forward(batch.input.to(accelerator));
    std::printf("unexplained copies: %zu\n", forward.last().notices().size());
    print_transfers(forward.last());
  });
}
