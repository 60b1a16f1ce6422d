// The same, only the model moved: with --strict an error, else one printed line for each batch tensor.
#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char* accelerator) {
    pw::Tensor x = pw::randn({100, 10}), y = pw::randn({100, 2});
    pw::nn::Linear model(10, 2);
    model.to(accelerator);
    pw::optim::SGD optimizer(model.named_parameters(), {.lr = 0.01});
    pw::TrainingStep step = pw::compile_training_step(model, pw::nn::MSELoss(), optimizer);
    for (int epoch = 1; epoch <= 10; ++epoch) std::printf("epoch %d: loss %.6f\n", epoch, step(x, y).item());
    print_transfers(step.last());
  });
}
