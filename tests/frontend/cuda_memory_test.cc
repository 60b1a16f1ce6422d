// What is said that a step needs of an NVIDIA GPU's memory is what is allocated there: arenas, constants, results, and
// what kernels work in. With a byte less a step runs another way or is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "error_of.h"
#include "frontend/emulated_gpu.h"
#include "placewright/base/file.h"
#include "placewright/codegen/code_target.h"
#include "placewright/codegen/compile_program.h"
#include "placewright/ir/builder.h"
#include "placewright/passes/memory_need.h"
#include "placewright/placewright.h"
#include "placewright/run_graph.h"
#include "placewright/runtime/device_kinds.h"
#include "placewright/runtime/executable.h"

namespace placewright {
namespace {

using ::testing::HasSubstr;
using CudaMemory = testing::EmulatedGpu;

const DeviceId gpu{"cuda", 0};

const DeviceNeed& need_of(const MemoryNeed& need) {
  return *std::find_if(need.devices.begin(), need.devices.end(),
                       [](const DeviceNeed& each) { return each.device == gpu; });
}

// All of it on the GPU; what a session would run there, with nothing else in its memory.
class BoundGraph {
 public:
  explicit BoundGraph(Graph graph) {
    graph.rules = {rules::pin("*:*", gpu.to_string())};
    const GraphPlacement placed = place_graph(graph);
    need_ = need_of(placed.measure(placed.compiled));
    std::vector<std::shared_ptr<Device>> devices;
    for (const DeviceKind& kind : device_kinds())
      if (kind.is_host || kind.name == gpu.kind)
        devices.push_back(kind.open({1, 1, devices.empty() ? nullptr : &devices.front()->spec()}).devices.at(0));
    const DeviceSet set(devices, {});
    CompileProgramOptions options;
    options.target = host_cpu_target();
    for (const std::shared_ptr<Device>& device : devices)
      options.targets[device->id()] = make_code_target(device->spec().target, options.target);
    const std::shared_ptr<Device> device = devices.back();
    const int64_t before = device->used_bytes();
    const CompiledProgram compiled = compile_program(placed.compiled, options);
    const auto states = std::make_shared<StateStore>(set.host());
    for (const ProgramBuffer& buffer : compiled.program.buffers)
      if (buffer.kind == BufferKind::state && !states->has(buffer.name))
        states->add(buffer.name, HostTensor(buffer.dtype, buffer.sizes));
    const auto executable = Executable::bind(compiled, set, states);
    const auto context = executable->make_context();
    allocated_ = device->used_bytes() - before;
    // Arguments come from outside; of each result two more will be.
    for (const ProgramBuffer& buffer : executable->program().buffers) {
      if (buffer.device != gpu) continue;
      if (buffer.kind == BufferKind::argument) given_ += buffer.bytes;
      if (buffer.kind == BufferKind::result) more_results_ += 2 * std::max<int64_t>(buffer.bytes, 1);
    }
  }

  void expect_exact() const { EXPECT_EQ(need_.bytes, given_ + more_results_ + allocated_); }
  int64_t workspaces() const { return need_.workspaces; }

 private:
  DeviceNeed need_;
  int64_t allocated_ = 0, given_ = 0, more_results_ = 0;
};

// The sum over `depth` is in 8 pieces, if it is 4096.
Graph product_graph(int64_t depth) {
  Graph graph;
  FunctionBuilder b(graph, add_function(graph, "main"));
  const Value left = b.input("x", InputKind::argument, Type(DType::f32, {32, depth})),
              right = b.input("w", InputKind::argument, Type(DType::f32, {depth, 32})),
              product = b("dot_general", {left, right}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}});
  b.function().results = {b("relu", {product})};
  return graph;
}

TEST_F(CudaMemory, WhatAStepNeedsIsWhatIsAllocated) {
  for (const char* name : {"cnn", "lenet", "mixture", "mlp", "transformer"}) {
    SCOPED_TRACE(name);
    BoundGraph(parse_graph(read_text_file(PLACEWRIGHT_TEST_DATA "/../../examples/graphs/" + std::string(name) + ".pw")))
        .expect_exact();
  }
}

TEST_F(CudaMemory, PiecesOfALongDepthAreCounted) {
  const BoundGraph whole(product_graph(1000)), pieces(product_graph(4096));
  whole.expect_exact();
  pieces.expect_exact();
  EXPECT_EQ(whole.workspaces(), 0);
  EXPECT_EQ(pieces.workspaces(), 8 * 32 * 32 * 4);
}

// The same product on the processor needs no pieces: what is known of one target says nothing of another.
TEST_F(CudaMemory, EachTargetHasItsOwn) {
  Graph graph = product_graph(4096);
  auto workspaces_on = [&](const std::string& device) {
    graph.rules = {rules::pin("*:*", device)};
    const GraphPlacement placed = place_graph(graph);
    for (const DeviceNeed& need : placed.measure(placed.compiled).devices)
      if (need.device.to_string() == device) return need.workspaces;
    return int64_t{-1};
  };
  const int64_t here = workspaces_on("cpu:0");
  EXPECT_EQ(workspaces_on("cuda:0"), 8 * 32 * 32 * 4);
  EXPECT_EQ(workspaces_on("cpu:0"), here);
  EXPECT_NE(here, 8 * 32 * 32 * 4);
}

struct Outcome {
  std::vector<HostTensor> tensors;
  int64_t needed = 0;
  bool is_relieved = false;
};

void configure_with(int64_t limit) {
  std::map<std::string, int64_t> memory;
  if (limit > 0) memory[gpu.to_string()] = limit;
  configure({.devices = "cpu,cuda:1", .memory = memory, .use_cache = false, .notice = [](std::string_view) {}});
  manual_seed(5);
}

int64_t needed_by(const std::vector<DeviceNeed>& needs) {
  for (const DeviceNeed& need : needs)
    if (need.device == gpu) return need.bytes;
  return 0;
}

Outcome run_product(int64_t limit) {
  configure_with(limit);
  Outcome outcome;
  const Tensor x = randn({32, 4096}), w = randn({4096, 32});
  CompiledFunction product =
      compile([](const Tensor& a, const Tensor& b) { return relu(matmul(a.to("cuda:0"), b.to("cuda:0"))); });
  const Tensor held = product(x, w), next = product(x, w), last = product(x, w);
  for (const Tensor& each : {held, next, last}) outcome.tensors.push_back(each.value());
  outcome.needed = needed_by(product.last().memory());
  outcome.is_relieved = !product.last().placement().relief.empty();
  return outcome;
}

// The gradients of the weights are sums over the batch.
Outcome run_training(int64_t limit) {
  configure_with(limit);
  Outcome outcome;
  nn::Sequential model(nn::Linear(24, 40), nn::GELU(), nn::Linear(40, 40), nn::GELU(), nn::Linear(40, 10));
  model.to("cuda:0");
  optim::Adam optimizer(model.named_parameters());
  TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
  for (int i = 0; i < 2; ++i) outcome.tensors.push_back(step(randn({1024, 24}), randn({1024, 10})).value());
  for (const Tensor& parameter : model.parameters()) outcome.tensors.push_back(parameter.value());
  outcome.needed = needed_by(step.last().memory());
  outcome.is_relieved = !step.last().placement().relief.empty();
  return outcome;
}

void expect_same_bits(const Outcome& found, const Outcome& expected) {
  ASSERT_EQ(found.tensors.size(), expected.tensors.size());
  for (size_t i = 0; i < found.tensors.size(); ++i)
    EXPECT_TRUE(found.tensors[i].same_bytes(expected.tensors[i])) << "tensor " << i;
}

// The GPU gives out no more than the limit.
void expect_limit_is_kept(Outcome (*run)(int64_t limit), bool can_relieve) {
  const Outcome free = run(0), exact = run(free.needed);
  EXPECT_FALSE(free.is_relieved || exact.is_relieved);
  EXPECT_EQ(exact.needed, free.needed);
  expect_same_bits(exact, free);
  const int64_t limit = free.needed - 1;
  if (can_relieve) {
    const Outcome less = run(limit);
    EXPECT_TRUE(less.is_relieved);
    EXPECT_LE(less.needed, limit);
    expect_same_bits(less, free);
  } else {
    const std::string error = error_of([&] { run(limit); });
    EXPECT_THAT(error, HasSubstr("a step needs " + std::to_string(free.needed) +
                                 " bytes of memory on cuda:0, which has " + std::to_string(limit) + "; it holds "));
    EXPECT_THAT(error, HasSubstr("workspaces of 32768 bytes"));
  }
}

TEST_F(CudaMemory, AProductOfALongDepthRunsWithWhatItNeedsAndIsRefusedBelow) {
  expect_limit_is_kept(run_product, false);
}
TEST_F(CudaMemory, TrainingRunsWithWhatItNeedsAndRelievedBelow) { expect_limit_is_kept(run_training, true); }

}  // namespace
}  // namespace placewright
