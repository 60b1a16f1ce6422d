// Trains a linear model through the installed package, and says whether its loss fell.
#include <iostream>

#include <placewright/placewright.h>

int main() {
  pw::configure({.threads = 1, .use_cache = false});
  pw::nn::Linear model(10, 2);
  pw::optim::SGD optimizer(model.named_parameters(), {.lr = 0.1});
  pw::TrainingStep step = pw::compile_training_step(model, pw::nn::MSELoss(), optimizer);
  pw::Tensor x = pw::randn({100, 10}), y = pw::randn({100, 2});
  double first = step(x, y).item(), last = first;
  for (int i = 0; i < 50; ++i) last = step(x, y).item();
  std::cout << (last < first ? "the loss fell" : "the loss did not fall") << "\n";
}
