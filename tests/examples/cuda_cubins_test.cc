// The kernels of the sixteen small programs and of the models' steps, as they are compiled, for three architectures:
// all assemble, and what is elementwise or works on rows does not spill. Needs NVRTC, and neither GPU nor driver.
#include <cstring>
#include <filesystem>
#include <mutex>
#include <set>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cuda_cases.h"
#include "examples/run_example.h"
#include "placewright/base/file.h"
#include "placewright/codegen/code_target.h"
#include "placewright/codegen/compile_program.h"
#include "placewright/codegen/cuda/nvrtc.h"
#include "placewright/passes/pass.h"
#include "placewright/run_graph.h"

namespace placewright::testing {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> architectures{"sm_80", "sm_90", "sm_100"};
const std::string root = PLACEWRIGHT_TEST_DATA "/../..";

// The text under a key of the code generator's; empty where it is another's.
std::string cuda_text_of(const std::string& key) {
  if (!key.starts_with("cuda code ")) return "";
  return key.substr(key.find('\n', key.find('\n') + 1) + 1);
}

// Kernels whose sums are of products: their tiles fill the registers on purpose.
std::set<std::string> product_kernels(const std::string& text) {
  const std::string begin = "extern \"C\" __global__ void ";
  std::set<std::string> found;
  for (size_t at = text.find(begin); at != std::string::npos;) {
    const size_t next = text.find(begin, at + 1), name = text.find(") ", at) + 2;
    const std::string body = text.substr(at, next - at);
    if (body.find("pw::multiply_add(") != std::string::npos || body.find("pw::add_product_") != std::string::npos)
      found.insert(text.substr(name, text.find('(', name) - name));
    at = next;
  }
  return found;
}

struct Assembled {
  size_t kernels = 0, products = 0;
};

Assembled expect_cubins(const std::set<std::string>& texts, const std::vector<std::string>& targets,
                        const std::string& program) {
  Assembled all;
  for (const std::string& text : texts) {
    const std::set<std::string> products = product_kernels(text);
    for (const std::string& target : targets) {
      const Nvrtc::Compiled compiled = Nvrtc::open().compile(text, target);
      EXPECT_EQ(std::string(compiled.code.begin(), compiled.code.begin() + 4),
                "\x7f"
                "ELF")
          << program;
      for (const KernelResources& uses : parse_resources(compiled.log)) {
        ++all.kernels;
        EXPECT_GT(uses.registers, 0) << uses.symbol;
        const bool is_product = products.contains(uses.symbol);
        all.products += is_product;
        const int64_t spilled = uses.spill_store_bytes + uses.spill_load_bytes;
        if (is_product && spilled > 0)
          std::printf("%s, %s for %s: a sum of products spills %lld bytes\n", program.c_str(), uses.symbol.c_str(),
                      target.c_str(), static_cast<long long>(spilled));
        EXPECT_TRUE(is_product || spilled == 0)
            << program << ", " << uses.symbol << " for " << target << " spills " << spilled << " bytes\n"
            << text;
      }
    }
  }
  return all;
}

class CudaCubins : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  }
};

// --- The small programs, which leave what they compiled in the cache

std::string key_in(const std::vector<uint8_t>& entry) {
  constexpr size_t header = 40;  // a mark, the key's bytes, the payload's, a checksum
  uint64_t bytes = 0;
  if (entry.size() < header) return "";
  std::memcpy(&bytes, entry.data() + 8, sizeof bytes);
  if (bytes > entry.size() - header) return "";
  return {entry.begin() + header, entry.begin() + static_cast<int64_t>(header + bytes)};
}

TEST_F(CudaCubins, SmallProgramsAssembleAndDoNotSpill) {
  std::vector<std::string> programs{"10_train_all_moved"}, targets{"sm_90"};
  if (full_counts()) {
    targets = architectures;
    programs.clear();
    const fs::path folder = fs::read_symlink("/proc/self/exe").parent_path() / "examples";
    for (const fs::directory_entry& each : fs::directory_iterator(folder))
      if (std::isdigit(each.path().filename().string()[0])) programs.push_back(each.path().filename().string());
    ASSERT_EQ(programs.size(), 16u);
  }
  const fs::path cache = fs::path(::testing::TempDir()) / ("cuda_cubins_" + std::to_string(::getpid()));
  const std::string environment =
      "PLACEWRIGHT_CACHE=" + cache.string() + " PLACEWRIGHT_LIBCUDA=" PLACEWRIGHT_CUDA_EMULATOR;
  for (const std::string& program : programs) ok(program + " --devices cpu,cuda:1", environment);
  std::set<std::string> texts;
  for (const fs::directory_entry& each : fs::directory_iterator(cache))
    if (std::string text = cuda_text_of(key_in(read_file(each.path()))); !text.empty()) texts.insert(std::move(text));
  fs::remove_all(cache);
  const Assembled found = expect_cubins(texts, targets, "small programs");
  EXPECT_GT(found.products, 0u);
  EXPECT_GT(found.kernels, found.products);
  std::printf("%zu kernels assembled, %zu of them sums of products\n", found.kernels, found.products);
}

// --- Steps of the models: training, and its forward part

Graph forward_of(Graph graph) {
  graph.main().updates.clear();
  return run_pass(find_pass("eliminate_dead"), std::move(graph), {});
}

// All of it on the GPU, where a planner might leave small ops to the host.
Graph on_gpu(Graph graph, const std::string& precision) {
  for (Op& op : graph.main().ops) {
    if (op.attributes.has("precision")) op.attributes.set("precision", precision);
    if (!op.is("constant")) op.pin = Pin{{"cuda", 0}, {"test.cc", 1}};
  }
  return graph;
}

// What a step's GPU kernels are compiled from.
std::set<std::string> texts_of(const Graph& graph, const Machine& machine) {
  const GraphPlacement placed = place_graph(graph, machine, {});
  std::set<std::string> texts;
  std::mutex mutex;
  CompileProgramOptions options;
  options.threads = 1;
  options.store.load = [&](const std::string& key) -> std::optional<std::vector<uint8_t>> {
    std::lock_guard lock(mutex);
    if (std::string text = cuda_text_of(key); !text.empty()) texts.insert(std::move(text));
    return std::nullopt;
  };
  for (const DeviceSpec& spec : placed.machine.devices)
    if (!spec.host_memory) options.targets[spec.id] = make_code_target(spec.target, options.target);
  compile_program(placed.compiled, options);
  return texts;
}

std::vector<std::string> models() {
  if (!full_counts()) return {"cnn"};
  return {"cnn", "lenet", "mixture", "mlp", "transformer"};
}

class CudaCubinsOfSteps : public CudaCubins, public ::testing::WithParamInterface<std::string> {};

TEST_P(CudaCubinsOfSteps, AssembleAndDoNotSpill) {
  const std::string file = "tools/machines/h200.machine", &model = GetParam();
  const Machine machine = parse_machine(read_text_file(root + "/" + file), file);
  std::vector<std::string> precisions{"tf32"}, targets{"sm_100"};
  if (full_counts()) precisions = {"f32", "tf32", "bf16"}, targets = architectures;
  for (const std::string& precision : precisions) {
    const Graph step =
        on_gpu(parse_graph(read_text_file(root + "/examples/graphs/" + model + ".pw"), model + ".pw"), precision);
    for (bool training : {true, false}) {
      const std::string name = model + " " + precision + (training ? " training" : " forward");
      const Assembled found = expect_cubins(texts_of(training ? step : forward_of(step), machine), targets, name);
      EXPECT_GT(found.products, 0u) << name;
      EXPECT_GT(found.kernels, found.products) << name;
      std::printf("%s: %zu kernels assembled, %zu of them sums of products\n", name.c_str(), found.kernels,
                  found.products);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, CudaCubinsOfSteps, ::testing::ValuesIn(models()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace placewright::testing
