#include "judged_plans.h"

#include <algorithm>

#include <fmt/core.h>

#include "placewright/codegen/compile_program.h"
#include "placewright/passes/placement_makespan.h"
#include "placewright/runtime/sim/sim_host.h"

namespace placewright::testing {
namespace {

// Accelerators in their order, then the host.
std::vector<int> by_priority(const SolvedPlacement& solved) {
  std::vector<int> order;
  for (size_t label = 1; label < solved.devices.size(); ++label) order.push_back(static_cast<int>(label));
  order.push_back(0);
  return order;
}

Labels first_of(const SolvedPlacement& solved, const std::vector<int>& order) {
  Labels labels;
  for (const std::vector<int64_t>& costs : solved.problem.costs)
    labels.push_back(*std::find_if(order.begin(), order.end(), [&](int label) {
      return costs[static_cast<size_t>(label)] < PlacementProblem::unrunnable;
    }));
  return labels;
}

HostTensor small_numbers(const TensorType& type) {
  HostTensor tensor(type.dtype, type.sizes());
  for (int64_t i = 0; i < tensor.elements(); ++i)
    if (info(type.dtype).kind == DTypeKind::floating)
      tensor.set_number(i, 0.001 * static_cast<double>(1 + i % 37));
    else
      tensor.set_integer(i, i % 10);
  return tensor;
}

}  // namespace

std::vector<Rival> rivals(const SolvedPlacement& solved) {
  std::vector<Rival> all;
  const std::vector<int> priority = by_priority(solved);
  for (size_t label = 0; label < solved.devices.size(); ++label) {
    std::vector<int> order = priority;
    auto preferred = std::find(order.begin(), order.end(), static_cast<int>(label));
    std::rotate(order.begin(), preferred, preferred + 1);
    all.push_back({"all on " + solved.devices[label].to_string(), first_of(solved, order)});
  }
  all.push_back({"by priority", first_of(solved, priority)});
  all.push_back({"HEFT", heft(solved.problem, program_order(solved.group_of, solved.problem.groups()))});
  return all;
}

PlanFile plan_with(const GraphPlacement& placed, const Graph& graph, const Labels& labels) {
  const SolvedPlacement& solved = *placed.plan.solved;
  PlanFile file = make_plan_file(placed.plan, placed.compiled, make_plan_header(graph, placed.machine, "none", {}));
  for (size_t op = 0; op < solved.group_of.size(); ++op) {
    auto label = static_cast<size_t>(labels[static_cast<size_t>(solved.group_of[op])]);
    file.rows[op].devices = {solved.devices[label]};
  }
  return file;
}

CompiledStep::CompiledStep(const Graph& graph, const GraphPlacement& placed, const DeviceSet& devices, bool names_only)
    : planned_bytes_(placed.plan.bytes_per_step) {
  auto states = std::make_shared<StateStore>(devices.host());
  CompileProgramOptions options;
  options.target = host_cpu_target();
  options.emit.names_only = names_only;
  CompiledProgram compiled = compile_program(placed.compiled, options);
  const Function& function = graph.main();
  for (Value input : function.inputs) {
    const TensorType& type = function.tensor(input);
    const std::string& name = input_name(function, input);
    const HostTensor value = names_only ? HostTensor(type.dtype, type.sizes()) : small_numbers(type);
    switch (input_kind(function, input)) {
      case InputKind::argument:
        arguments_.push_back(value);
        break;
      case InputKind::state:
        states->add(name, value);
        break;
      case InputKind::constant:
        compiled.constants.insert_or_assign(name, value);
        break;
    }
  }
  executable_ = Executable::bind(std::move(compiled), devices, states);
  context_ = executable_->make_context();
}

void CompiledStep::run() const {
  executable_->run(*context_, arguments_);
  const int64_t counted = context_->transfers().bytes;
  PW_CHECK(counted == planned_bytes_, fmt::format("the ledger has {} bytes, {} were copied", planned_bytes_, counted));
}

struct Judge::Runner {
  Runner(const JudgedCase& judged, const GraphPlacement& placed)
      : machine(std::make_shared<SimMachine>(judged.machine.links, false)),
        compiled(judged.graph, placed, devices_of(judged.machine, machine), true) {}

  static DeviceSet devices_of(const Machine& judged, const std::shared_ptr<SimMachine>& machine) {
    std::vector<std::shared_ptr<Device>> devices;
    auto pool = std::make_shared<ThreadPool>(1);
    for (const DeviceSpec& spec : judged.devices)
      if (spec.host_memory)
        devices.push_back(std::make_shared<SimHost>(spec, machine));
      else
        devices.push_back(std::make_shared<SimDevice>(spec, machine, pool));
    return DeviceSet(devices, {});
  }

  double step() const {
    double begin = machine->host_seconds();
    compiled.run();
    return machine->host_seconds() - begin;
  }

  std::shared_ptr<SimMachine> machine;
  CompiledStep compiled;
};

Judge::Judge(const JudgedCase& judged) {
  GraphPlacement placed = place_graph(judged.graph, judged.machine, {});
  auto add = [&](const std::string& name, const GraphPlacement& one) {
    names_.push_back(name);
    predicted_.push_back(one.plan.seconds);
    simulated_.push_back(static_cast<double>(one.plan.done) * 1e-9);
    runners_.push_back(std::make_unique<Runner>(judged, one));
  };
  add("plan", placed);
  for (const Rival& rival : rivals(*placed.plan.solved)) {
    const PlanFile file = plan_with(placed, judged.graph, rival.labels);
    add(rival.name, place_graph(judged.graph, judged.machine, {}, false, nullptr, &file));
  }
}

Judge::~Judge() = default;

std::vector<double> Judge::seconds(uint64_t seed) const {
  std::vector<double> all;
  for (const std::unique_ptr<Runner>& runner : runners_) {
    SimTruth truth;
    truth.seed = seed;
    runner->machine->set_truth(truth);
    runner->step();
    all.push_back(runner->step());
  }
  return all;
}

}  // namespace placewright::testing
