// How long the first training step of a small CNN waits: in a first process, which compiles it, and in a second one,
// which finds it in the cache. Processor times stand beside wall times, for machines that do other things too.
//
//   startup_bench [THREADS]     prints two lines of JSON: empty cache, filled cache; all processors by default
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include <fmt/core.h>
#include <placewright/ir/machine.h>
#include <placewright/placewright.h>
#include <sys/wait.h>

#include "clocks.h"

namespace {

namespace fs = std::filesystem;
using placewright::processor_ms;
using placewright::wall_ms;

double peak_memory_mb() {
  std::ifstream status("/proc/self/status");  // getrusage would count the process that started this one
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::atof(line.c_str() + 6) / 1024;
  return 0;
}

bool has_mapped(std::string_view library) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find(library) != std::string::npos) return true;
  return false;
}

// One process: everything from `main` to some steps. The start of the first step is its end less a later step's time.
void measure(const std::string& cache, int threads) {
  using namespace pw::nn;
  const double wall = wall_ms(), processor = processor_ms();
  pw::SessionOptions session;
  session.threads = threads;
  session.cache_directory = cache;
  pw::configure(session);
  Sequential model(Conv2d(1, 32, 3), ReLU(), Conv2d(32, 64, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(9216, 128),
                   ReLU(), Linear(128, 10));
  pw::optim::Adam optimizer(model.named_parameters(), {.lr = 1e-3});
  pw::TrainingStep step = pw::compile_training_step(model, pw::nn::CrossEntropyLoss(), optimizer);
  pw::Tensor images(pw::HostTensor(pw::DType::f32, {64, 1, 28, 28}));
  pw::Tensor labels(pw::HostTensor(pw::DType::i64, {64}));
  const double prepared_wall = wall_ms() - wall, prepared_processor = processor_ms() - processor;
  step(images, labels).item();
  double first_wall = wall_ms() - wall, first_processor = processor_ms() - processor;
  double step_wall = 1e300, step_processor = 1e300;
  for (int i = 0; i < 5; ++i) {
    const double begin = wall_ms(), processor_begin = processor_ms();
    step(images, labels).item();
    step_wall = std::min(step_wall, wall_ms() - begin);
    step_processor = std::min(step_processor, processor_ms() - processor_begin);
  }
  std::printf(
      "%s\n",
      fmt::format(
          "{{\"threads\": {}, \"from_cache\": {}, \"llvm_loaded\": {}, \"compile_ms\": {:.1f}, \"prepare_ms\": {:.1f}, "
          "\"prepare_processor_ms\": {:.1f}, \"main_to_first_step_ms\": {:.1f}, "
          "\"main_to_first_step_processor_ms\": {:.1f}, \"step_ms\": {:.1f}, \"peak_memory_mb\": {:.1f}}}",
          pw::machine().devices.front().threads, step.last().from_cache(),
          has_mapped("libplacewright-llvm") || has_mapped("libLLVM"), 1e3 * step.last().compile_seconds(),
          prepared_wall, prepared_processor, first_wall - step_wall, first_processor - step_processor, step_wall,
          peak_memory_mb())
          .c_str());
}

// A process of its own, so that nothing is warm but the cache; false if it failed.
bool measure_in_child(const char* program, const std::string& cache, const char* threads) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl(program, program, "--in", cache.c_str(), threads, static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "--in") == 0) try {
      measure(argv[2], std::atoi(argv[3]));
      return 0;
    } catch (const pw::Error& error) {
      std::fprintf(stderr, "startup_bench: %s\n", error.what());
      return 1;
    }
  const char* threads = argc == 2 ? argv[1] : "0";
  if (argc > 2 || std::strspn(threads, "0123456789") != std::strlen(threads)) {
    std::fprintf(stderr, "usage: startup_bench [THREADS]: two lines of JSON, with an empty and with a filled cache\n");
    return 2;
  }
  std::string folder = (fs::temp_directory_path() / "placewright-startup-XXXXXX").string();
  if (!::mkdtemp(folder.data())) {
    std::perror("startup_bench: a folder for the cache");
    return 1;
  }
  const bool done =
      measure_in_child("/proc/self/exe", folder, threads) && measure_in_child("/proc/self/exe", folder, threads);
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return done ? 0 : 1;
}
