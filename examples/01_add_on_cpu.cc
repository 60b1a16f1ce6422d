// Two tensors on the CPU, added.
#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char*) {
    pw::Tensor a = pw::randn({3, 4}), b = pw::randn({3, 4});
    pw::Tensor c = a + b;
    print_device("a", a);
    print_device("b", b);
    print_device("a + b", c);
    std::printf("%s\n", c.to_string().c_str());
  });
}
