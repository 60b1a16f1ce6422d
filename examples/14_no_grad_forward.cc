// Inference: model and input on the accelerator, the result moved back. One read-back.
#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char* accelerator) {
    pw::nn::Linear model(10, 1);
    model.to(accelerator).eval();
    pw::CompiledFunction forward = pw::compile(model);
    pw::Tensor x = pw::randn({10, 10}).to(accelerator);
    pw::Tensor y = forward(x);
    print_device("x", x);
    print_device("y", y);
    pw::Tensor result = y.cpu();
    print_device("result", result);
    std::printf("%s\n", result.to_string().c_str());
    print_transfers(forward.last());
  });
}
