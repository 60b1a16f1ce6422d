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
    const pw::Specialisation& made = forward.last();
    std::printf("bytes at load: %lld, bytes in the second step: %lld\n",
                static_cast<long long>(made.load_transfer_bytes()), static_cast<long long>(made.step_transfer_bytes()));
    std::printf("%s", pw::placement_report(made).c_str());
  });
}
