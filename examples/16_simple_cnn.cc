// A small CNN with cross entropy and Adam; prints where everything ran.
#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char*) {
    using namespace pw::nn;
    pw::data::TensorDataset dataset(pw::randn({32, 3, 14, 14}).value(), pw::randint(0, 10, {32}).value());
    pw::data::DataLoader loader(dataset, {.batch_size = 16});
    Sequential model(Conv2d(3, 16, 3, {.padding = 1}), ReLU(), MaxPool2d(2), Flatten(), Linear(784, 10));
    pw::optim::Adam optimizer(model.named_parameters(), {.lr = 1e-3});
    pw::TrainingStep step = pw::compile_training_step(model, CrossEntropyLoss(), optimizer);
    for (int epoch = 1; epoch <= 50; ++epoch) {
      double loss = 0;
      for (const pw::data::Batch& batch : loader) loss += step(batch.input, batch.target).item();
      if (epoch % 10 == 0) std::printf("epoch %d: loss %.6f\n", epoch, loss / static_cast<double>(loader.batches()));
    }
    print_transfers(step.last());
    std::printf("%s", pw::placement_report(step.last()).c_str());
  });
}
