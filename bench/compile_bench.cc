// How long a fresh compile of a graph takes for GPUs of one architecture, and a second one that finds its kernels kept.
// Needs NVRTC, and neither GPU nor driver.
//
//   compile_bench MODEL.pw MACHINE.machine TARGET [THREADS]     prints two lines of JSON: nothing kept, all kept
//   compile_bench examples/graphs/lenet.pw tools/machines/h200.machine sm_90
#include <cstdio>
#include <map>
#include <mutex>
#include <thread>

#include <fmt/core.h>

#include "clocks.h"
#include "count_argument.h"
#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/codegen/compile_program.h"
#include "placewright/run_graph.h"

namespace {

using namespace placewright;

class KeptCode {
 public:
  CodeStore store() {
    return {[this](const std::string& key) -> std::optional<std::vector<uint8_t>> {
              std::lock_guard lock(mutex_);
              auto found = bytes_.find(key);
              return found == bytes_.end() ? std::nullopt : std::optional(found->second);
            },
            [this](const std::string& key, std::span<const uint8_t> bytes) {
              std::lock_guard lock(mutex_);
              bytes_[key].assign(bytes.begin(), bytes.end());
            }};
  }
  size_t size() const { return bytes_.size(); }

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<uint8_t>> bytes_;
};

void measure(const GraphPlacement& placed, const std::string& target, int threads, KeptCode& kept) {
  const size_t before = kept.size();
  CompileProgramOptions options;
  options.threads = threads;
  options.store = kept.store();
  for (const DeviceSpec& spec : placed.machine.devices)
    if (!spec.host_memory) options.targets[spec.id] = make_code_target(target, options.target);
  const double wall = wall_ms(), processor = processor_ms();
  const CompiledProgram compiled = compile_program(placed.compiled, options);
  const double took = wall_ms() - wall, worked = processor_ms() - processor;
  size_t launches = 0, entries = 0, bytes = 0;
  for (const Block& block : compiled.program.blocks)
    for (const Instruction& instruction : block.instructions) launches += std::holds_alternative<Launch>(instruction);
  for (const KernelImage& image : compiled.images) entries += image.entries.size(), bytes += image.bytes.size();
  std::printf("%s\n", fmt::format("{{\"target\": \"{}\", \"threads\": {}, \"launches\": {}, \"kernels\": {}, "
                                  "\"images\": {}, \"compiled_images\": {}, \"bytes\": {}, \"compile_ms\": {:.0f}, "
                                  "\"compile_processor_ms\": {:.0f}}}",
                                  target, threads, launches, entries, compiled.images.size(), kept.size() - before,
                                  bytes, took, worked)
                          .c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  const char* usage = "compile_bench MODEL.pw MACHINE.machine TARGET [THREADS]";
  if (count < 4 || count > 5) {
    std::fprintf(stderr, "usage: %s\n", usage);
    return 2;
  }
  try {
    const int threads = count == 5 ? count_argument(arguments[4], usage)
                                   : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    const Graph graph = parse_graph(read_text_file(arguments[1]), arguments[1]);
    const Machine machine = parse_machine(read_text_file(arguments[2]), arguments[2]);
    verify_machine(machine, arguments[2]);
    const GraphPlacement placed = place_graph(graph, machine, {});
    KeptCode kept;
    for (int round = 0; round < 2; ++round) measure(placed, arguments[3], threads, kept);
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
