// Linear regression in shuffled batches of 32 of 100 samples: the last batch has 4, a second specialisation on the same
// state.
#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char*) {
    pw::HostTensor inputs = pw::randn({100, 10}).value();
    pw::HostTensor targets = (pw::Tensor(inputs).sum({1}, true) * 0.5 + 1).value();
    pw::data::TensorDataset dataset(inputs, targets);
    pw::data::DataLoader loader(dataset, {.batch_size = 32, .shuffle = true});
    pw::nn::Linear model(10, 1);
    pw::optim::SGD optimizer(model.named_parameters(), {.lr = 0.01});
    pw::TrainingStep step = pw::compile_training_step(model, pw::nn::MSELoss(), optimizer);
    for (int epoch = 1; epoch <= 100; ++epoch) {
      double loss = 0;
      for (const pw::data::Batch& batch : loader) loss += step(batch.input, batch.target).item();
      if (epoch % 10 == 0) std::printf("epoch %d: loss %.6f\n", epoch, loss / static_cast<double>(loader.batches()));
    }
    std::printf("specialisations: %zu\n", step.specialisations().size());
    print_transfers(step.last());
  });
}
