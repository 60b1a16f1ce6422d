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

TEST_F(CheckProgram, TrainingStepOfFashionMnist) {
  nn::Sequential model = testing::make_model("e");
  optim::Adam optimizer(model.named_parameters());
  TrainingStep step = compile_training_step(model, nn::CrossEntropyLoss(), optimizer);
  Graph graph = step.capture(testing::make_images(0, {8, 1, 28, 28}, DType::f32), testing::make_labels(0, 8));
  CompiledProgram compiled = compile_for_session(graph);
  check_program(compiled.program);
  EXPECT_EQ(compiled.program.arguments.size(), graph.main().inputs.size() - compiled.program.updates.size());
}

}  // namespace
}  // namespace placewright
