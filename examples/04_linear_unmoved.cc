// A model and its input that nobody moved: where does it run, and why?
#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char*) {
    pw::nn::Linear model(10, 2);
    pw::CompiledFunction forward = pw::compile(model);
    pw::Tensor output = forward(pw::randn({1, 10}));
    print_device("output", output);
    print_transfers(forward.last());
    std::printf("%s", pw::placement_report(forward.last()).c_str());
  });
}
