// Model and input moved: the accelerator runs it; what was moved was moved at load, nothing in a step.
#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char* accelerator) {
    pw::nn::Linear model(10, 2);
    model.to(accelerator);
    pw::CompiledFunction forward = pw::compile(model);
    pw::Tensor x = pw::randn({1, 10}).to(accelerator);
    forward(x);
    pw::Tensor output = forward(x);
    print_device("output", output);
    print_transfers(forward.last());
    std::printf("%s", pw::placement_report(forward.last()).c_str());
  });
}
