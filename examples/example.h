// What the small programs share: options, the session, and one line for errors.
#pragma once

#include <cstdio>
#include <cstring>

#include <placewright/placewright.h>

// Runs `body(accelerator)`, where the accelerator is a GPU if there is one and else a simulated one.
// --strict makes copies that nobody asked for errors; --devices LIST opens other devices.
template <typename Body>
int run_example(int argc, char** argv, Body body) {
  pw::SessionOptions options;
  options.devices = "cpu,sim:1";
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--strict") == 0) options.strict = true;
    if (std::strcmp(argv[i], "--devices") == 0 && i + 1 < argc) options.devices = argv[++i];
  }
  try {
    pw::configure(options);
    body(pw::is_available("cuda") ? "cuda:0" : pw::is_available("sim") ? "sim:0" : "cpu:0");
    return 0;
  } catch (const pw::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}

inline void print_device(const char* what, const pw::Tensor& tensor) {
  std::printf("%s: %s (%s)\n", what, tensor.device().to_string().c_str(), tensor.device_reason().c_str());
}

// Bytes between devices (docs/transfers.md): when the specialisation was loaded, in its last step, and of results that
// were read so far.
inline void print_transfers(const pw::Specialisation& made) {
  std::printf("transfers: %lld bytes at load, %lld in the last step, %lld read back\n",
              static_cast<long long>(made.load_transfer_bytes()), static_cast<long long>(made.step_transfer_bytes()),
              static_cast<long long>(made.read_back_bytes()));
}
