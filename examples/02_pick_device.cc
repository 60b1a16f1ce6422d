// The usual line "cuda if available, else cpu"; without a GPU it also says why.
#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char*) {
    pw::Availability cuda = pw::is_available("cuda");
    const char* device = cuda ? "cuda" : "cpu";
    std::printf("device: %s\n", device);
    if (!cuda) std::printf("no cuda: %s\n", cuda.reason.c_str());
    pw::Tensor a = pw::ones({3, 4}).to(device), b = pw::ones({3, 4}).to(device);
    pw::Tensor sum = a + b;
    print_device("sum", sum);
    std::printf("sum of all elements: %g\n", sum.sum().item());
  });
}
