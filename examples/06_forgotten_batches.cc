// The model was moved, the batches were forgotten: one printed line says what is copied every step, and how to end it.
#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char* accelerator) {
    pw::data::TensorDataset dataset(pw::randn({100, 10}).value(), pw::randn({100, 2}).value());
    pw::data::DataLoader loader(dataset, {.batch_size = 10});
    pw::nn::Linear model(10, 2);
    model.to(accelerator);
    pw::CompiledFunction forward = pw::compile(model);
    int batches = 0;
    int64_t bytes = 0;
    for (const pw::data::Batch& batch : loader) {
      forward(batch.input);
      bytes += forward.last().step_transfer_bytes();
      ++batches;
    }
    std::printf("%d batches, %lld bytes copied\n", batches, static_cast<long long>(bytes));
    print_transfers(forward.last());
    std::printf("%s", pw::placement_report(forward.last()).c_str());
  });
}
