// The independent judge of memory plans and waits accepts what the compiler makes of random graphs and of (e): on the
// CPU alone and spread over two simulated devices.
#include "placewright/ir/check_program.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "frontend/reference_programs.h"
#include "placewright/base/error.h"
#include "placewright/codegen/compile_program.h"
#include "placewright/codegen/cpu_target_model.h"
#include "placewright/passes/placement.h"
#include "random_graph.h"

namespace placewright {
namespace {

// Compiles a graph for the session's devices as the frontend does, without running it.
CompiledProgram compile_for_session(const Graph& graph) {
  const Machine machine = placewright::machine();
  PassContext context;
  context.machine = &machine;
  std::vector<std::unique_ptr<TargetModel>> models;
  for (const DeviceSpec& spec : machine.devices) {
    models.push_back(make_cpu_target_model(host_cpu_target(), spec));
    context.targets[spec.id] = models.back().get();
  }
  CompileProgramOptions options;
  options.target = host_cpu_target();
  return compile_program(run_passes(graph, context), options);
}

class CheckProgram : public ::testing::Test {
 protected:
  CheckProgram() {
    SessionOptions options;
    options.devices = "cpu,sim:2";
    options.threads = 1;
    options.use_cache = false;
    options.notice = [](std::string_view) {};
    configure(options);
  }
  ~CheckProgram() override { configure({}); }
};

TEST_F(CheckProgram, RandomGraphsOnTheCpuAndOverTwoDevices) {
  const uint64_t seeds = std::getenv("PLACEWRIGHT_FULL_COUNTS") ? 500 : 25;
  int spread = 0;
  for (uint64_t seed = 0; seed < seeds && !HasFailure(); ++seed) {
    testing::RandomGraph made = testing::make_random_graph(seed);
    SCOPED_TRACE(seed);
    check_program(compile_for_session(made.graph).program);
    std::vector<Op>& ops = made.graph.main().ops;
    for (size_t i = seed % 3; i < ops.size(); i += 4)
      if (!ops[i].is("constant")) ops[i].pin = Pin{{"sim", static_cast<int>((seed + i) % 2)}, {"test.cc", 1}};
    try {
      check_program(compile_for_session(made.graph).program);
    } catch (const Error& error) {  // a state and its new value may have got different pins
      ASSERT_NE(std::string(error.what()).find("must stay with"), std::string::npos) << error.what();
      continue;
    }
    ++spread;
  }
  EXPECT_GT(spread, static_cast<int>(seeds) / 3);
}

// The programs that are measured: (a) to (e) of the design.
struct Measured {
  std::string_view name;
  Sizes input;
  bool regression;  // mean squared error and SGD; else cross entropy and Adam
};
const Measured measured[] = {{"a", {100, 10}, true},
                             {"b", {32, 10}, true},
                             {"c", {16, 3, 14, 14}, false},
                             {"d", {128, 784}, false},
                             {"e", {8, 1, 28, 28}, false}};

nn::Sequential make_measured(std::string_view name) {
  using namespace nn;
  if (name == "a") return Sequential(Linear(10, 2));
  if (name == "b") return Sequential(Linear(10, 1));
  if (name == "d") return Sequential(Linear(784, 512), ReLU(), Linear(512, 512), ReLU(), Linear(512, 10));
  return testing::make_model(std::string(name));
}

// The captured training step.
Graph capture_step(const Measured& program, bool split_by_pins, std::vector<DeviceId> data_parallel) {
  nn::Sequential model = make_measured(program.name);
  if (split_by_pins) {
    model.children().front().module->to("sim:0");
    if (model.children().size() > 1) model.children().back().module->to("sim:1");
  }
  const int64_t batch = program.input[0], outputs = program.name == "a" ? 2 : 1;
  Tensor x = testing::make_images(0, program.input, DType::f32);
  CompileOptions options{.name = "step", .data_parallel = std::move(data_parallel)};
  if (program.regression) {
    optim::SGD optimizer(model.named_parameters(), {.lr = 0.01});
    return compile_training_step(model, nn::MSELoss(), optimizer, options)
        .capture(x, testing::make_images(1, {batch, outputs}, DType::f32));
  }
  optim::Adam optimizer(model.named_parameters());
  return compile_training_step(model, nn::CrossEntropyLoss(), optimizer, options)
      .capture(x, testing::make_labels(0, batch));
}

int64_t collectives(const Program& program) {
  int64_t count = 0;
  for (const Instruction& instruction : program.blocks[static_cast<size_t>(program.step)].instructions)
    count += std::holds_alternative<Collective>(instruction);
  return count;
}

int64_t step_bytes(const Program& program) {
  int64_t bytes = 0;
  for (const LedgerLine& line : transfer_ledger(program)) bytes += line.once ? 0 : line.facts.bytes;
  return bytes;
}

TEST_F(CheckProgram, MeasuredProgramsWhole) {
  for (const Measured& program : measured) {
    SCOPED_TRACE(program.name);
    Graph graph = capture_step(program, false, {});
    CompiledProgram compiled = compile_for_session(graph);
    check_program(compiled.program);
    EXPECT_EQ(compiled.program.arguments.size(), graph.main().inputs.size() - compiled.program.updates.size());
  }
}

TEST_F(CheckProgram, MeasuredProgramsSplitByPins) {
  for (const Measured& program : measured) {
    SCOPED_TRACE(program.name);
    CompiledProgram compiled = compile_for_session(capture_step(program, true, {}));
    check_program(compiled.program);
    EXPECT_GE(step_bytes(compiled.program), 4 * element_count(program.input)) << "the batch goes to the first layer";
  }
}

TEST_F(CheckProgram, MeasuredProgramsDataParallel) {
  for (const Measured& program : measured) {
    SCOPED_TRACE(program.name);
    CompiledProgram compiled = compile_for_session(capture_step(program, false, {{"sim", 0}, {"sim", 1}}));
    check_program(compiled.program);
    EXPECT_GE(collectives(compiled.program), 2) << "gradients are summed over the devices";
  }
}

}  // namespace
}  // namespace placewright
