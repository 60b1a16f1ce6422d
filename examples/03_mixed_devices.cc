// A CPU tensor and one on the accelerator. By default the sum is computed with one transfer and one printed line; with
// --strict it is an error that names both lines before anything runs.
#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char* accelerator) {
    pw::Tensor a = pw::ones({3, 4});
    pw::Tensor b = pw::ones({3, 4}).to(accelerator);
    pw::Tensor sum = a + b;
    print_device("sum", sum);
    std::printf("sum of all elements: %g\n", sum.sum().item());
  });
}
