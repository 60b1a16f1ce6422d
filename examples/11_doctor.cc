// Is there a GPU, how many, and if not: why, and what would help?
#include "example.h"

int main(int argc, char** argv) {
  return run_example(argc, argv, [](const char* accelerator) {
    pw::Availability cuda = pw::is_available("cuda");
    std::printf("cuda: %s, %d devices\n", cuda ? "available" : "not available", pw::device_count("cuda"));
    if (!cuda) std::printf("because: %s\n", cuda.reason.c_str());
    for (const pw::DeviceId& device : pw::devices()) std::printf("found: %s\n", device.to_string().c_str());
    std::printf("these programs use: %s\n", accelerator);
  });
}
