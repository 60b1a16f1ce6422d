// Data parallelism end to end: a batch that is split over two simulated devices trains as on the CPU alone, and what
// the plan says is copied is what the runtime counts.
#include <gtest/gtest.h>

#include "derived_cases.h"
#include "placewright/codegen/compile_program.h"
#include "placewright/codegen/cpu_target_model.h"
#include "placewright/ir/builder.h"
#include "placewright/passes/placement.h"
#include "placewright/runtime/cpu/cpu_device.h"
#include "placewright/runtime/executable.h"
#include "placewright/runtime/sim/sim_device.h"
#include "placewright/runtime/thread_pool.h"

namespace placewright {
namespace {

constexpr int64_t batch = 10;

// A linear layer with a rectifier, squared error and gradient descent, in f64.
Graph training_step(const Where& where) {
  Graph graph;
  FunctionBuilder step(graph, add_function(graph, "main")), loss(graph, add_function(graph, "loss"));
  TensorType x{DType::f64, {batch, 6}, {}, {}}, y{DType::f64, {batch, 3}, {}, {}};
  TensorType w{DType::f64, {3, 6}, {}, {}}, b{DType::f64, {3}, {}, {}};
  std::vector<Value> in;
  for (auto [name, type] : {std::pair("x", x), std::pair("y", y), std::pair("w", w), std::pair("b", b)})
    in.push_back(loss.input(name, InputKind::argument, type));
  Value product = loss("dot_general", {in[0], in[2]}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{1}}});
  Value output = loss("relu", {loss("add", {product, loss.broadcast_to(in[3], y.shape)})});
  loss.function().results = {loss("mse", {output, in[1]})};

  x.where = y.where = where;
  Value sx = step.input("x", InputKind::argument, x), sy = step.input("y", InputKind::argument, y);
  Value sw = step.input("w", InputKind::state, w), sb = step.input("b", InputKind::state, b);
  std::vector<Value> made = step.add("gradient", {sx, sy, sw, sb}, {{"with_respect_to", Sizes{2, 3}}}, {loss.id()});
  for (auto [state, gradient] : {std::pair(sw, made[1]), std::pair(sb, made[2])}) {
    Value rate = step.full(DType::f64, step.shape(state), 0.1);
    Value scaled = step("mul", {rate, gradient});
    step.function().updates.push_back({state, step("sub", {state, scaled})});
  }
  step.function().results = {made[0]};
  return graph;
}

struct Outcome {
  std::vector<double> losses;
  HostTensor w;
  int64_t planned_bytes = 0, counted_bytes = 0;
};

Outcome train(const Where& where) {
  auto cpu = std::make_shared<CpuDevice>(CpuDevice::probe());
  std::vector<Link> links = SimDevice::default_links(cpu->spec().id, 2);
  auto sims = std::make_shared<SimMachine>(links);
  auto pool = std::make_shared<ThreadPool>(1);
  std::vector<std::shared_ptr<Device>> all{cpu};
  for (int i = 0; i < 2; ++i)
    all.push_back(std::make_shared<SimDevice>(SimDevice::default_spec(i, 1 << 24), sims, pool));
  DeviceSet devices(all, {});
  Machine machine = devices.machine(links);
  PassContext context;
  context.machine = &machine;
  std::vector<std::unique_ptr<TargetModel>> models;
  for (const DeviceSpec& spec : machine.devices) {
    models.push_back(make_cpu_target_model(host_cpu_target(), spec));
    if (spec.id == cpu->spec().id || !where.devices.empty()) context.targets[spec.id] = models.back().get();
  }

  Graph graph = run_passes(training_step(where), context, {}, "", "shard");
  Outcome outcome;
  PlacementPlan plan = plan_placement(graph, context);
  outcome.planned_bytes = plan.bytes_per_step;
  EXPECT_TRUE(plan.conflicts.empty()) << plan.conflicts[0].message;
  graph = run_passes(apply_placement(graph, plan), context, {}, "insert_transfers");
  CompileProgramOptions options;
  options.target = host_cpu_target();
  options.emit.check_bounds = true;
  auto states = std::make_shared<StateStore>(devices.host());
  for (Value input : graph.main().inputs)
    if (input_kind(graph.main(), input) == InputKind::state) {
      bool is_weight = primary_name(input_name(graph.main(), input)) == "w";
      states->add(input_name(graph.main(), input),
                  testing::random_tensor(DType::f64, graph.main().tensor(input).sizes(), is_weight ? 3 : 4, -0.5, 0.5));
    }
  Executable::Options checks;
  checks.check_memory = true;
  auto executable = Executable::bind(compile_program(graph, options), devices, states, checks);
  auto run = executable->make_context();
  std::vector<HostTensor> arguments{testing::random_tensor(DType::f64, {batch, 6}, 1, -1, 1),
                                    testing::random_tensor(DType::f64, {batch, 3}, 2, -1, 1)};
  for (int i = 0; i < 50; ++i) {
    executable->run(*run, arguments);
    outcome.losses.push_back(run->read_result(0).number(0));
  }
  outcome.counted_bytes = run->transfers().bytes;
  outcome.w = states->read("w");
  for (const std::string& name : states->names())  // replicas never drift apart
    EXPECT_TRUE(states->read(name).same_bytes(states->read(std::string(primary_name(name))))) << name;
  return outcome;
}

TEST(DataParallel, TrainsAsOnOneDevice) {
  Outcome single = train({});
  Outcome split = train({{{"sim", 0}, {"sim", 1}}, {}, {{Sharding::Kind::split, 0}}});
  EXPECT_LT(single.losses.back(), single.losses.front());
  for (size_t i = 0; i < single.losses.size(); ++i) EXPECT_NEAR(split.losses[i], single.losses[i], 1e-9);
  EXPECT_EQ(testing::mismatch(split.w, single.w, 1e-9), "");
  EXPECT_EQ(single.counted_bytes, 0);
  EXPECT_EQ(split.counted_bytes, split.planned_bytes);
  EXPECT_EQ(split.planned_bytes, 8 * (batch * 9) + 2 * 8 * (18 + 3 + 1)) << "the batch's parts, and three sums";
}

}  // namespace
}  // namespace placewright
