// A tensor to cuda:0: its device, or one line that says why not.
#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char*) {
    pw::Tensor x = pw::ones({100, 100}).to("cuda:0");
    pw::Tensor sum = x.sum();
    print_device("sum", sum);
    std::printf("%g\n", sum.item());
  });
}
