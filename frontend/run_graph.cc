#include "placewright/run_graph.h"

#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/core.h>

#include "changed_figures.h"
#include "load_graph.h"
#include "placewright/codegen/machine_target_model.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/profile.h"
#include "placewright/passes/pass.h"
#include "placewright/passes/placement_probe.h"
#include "placewright/passes/plan_file.h"

namespace placewright {
namespace {

// Binds the symbols of the input's type to the tensor's sizes.
void bind_symbols(const std::string& name, const TensorType& type, const HostTensor& tensor,
                  std::map<std::string, int64_t>& symbols) {
  auto refuse = [&](const std::string& what) {
    throw Error(fmt::format("input '{}': found {}{}, expected {}{}", name, placewright::name(tensor.dtype()),
                            to_string(tensor.sizes()), Type(type.dtype, type.shape).to_string(), what));
  };
  if (tensor.dtype() != type.dtype || tensor.sizes().size() != type.shape.size()) refuse("");
  for (size_t d = 0; d < type.shape.size(); ++d) {
    const Dim& dim = type.shape[d];
    const int64_t size = tensor.sizes()[d];
    if (dim.is_number() ? dim.number() != size : size > dim.bound()) refuse("");
    if (dim.is_number()) continue;
    auto [at, is_new] = symbols.emplace(dim.symbol_name(), size);
    if (!is_new && at->second != size)
      refuse(fmt::format(", and another input has {}={}", dim.symbol_name(), at->second));
  }
}

// Host values where the program reads them: pinned arguments are uploaded first.
struct Arguments {
  Arguments(const Executable& executable, const DeviceSet& devices, std::span<const HostTensor> values) {
    const Program& program = executable.program();
    for (size_t i = 0; i < values.size(); ++i) {
      const ProgramBuffer& buffer = program.buffers[program.arguments[i]];
      const std::shared_ptr<Device>& device = devices.find(buffer.device);
      int64_t bytes = values[i].bytes();
      BufferView host{devices.host().get(), const_cast<uint8_t*>(values[i].raw()), bytes};
      if (device->is_host_memory()) {
        views.push_back({device.get(), host.address, bytes});
        continue;
      }
      memory.emplace_back(device, bytes, 64, buffer.name);
      copy_now(memory.back().view(), host, bytes, buffer.name.c_str());
      views.push_back(memory.back().view());
    }
  }
  std::vector<DeviceMemory> memory;
  std::vector<BufferView> views;
};

PassContext context_of(Session& session, std::map<std::string, int64_t> symbols) {
  PassContext context = session.pass_context();
  context.options.symbols = std::move(symbols);
  return context;
}

// A machine that may be another one, with what passes must know of its devices.
struct ForeignDevices {
  ForeignDevices(const Machine& given, const Profile* measured) : machine(given) {
    if (measured) context.profile = &profile.emplace(*measured);
    auto facts = std::make_shared<OpFactsTable>();
    for (const DeviceSpec& spec : machine.devices) {
      models.push_back(make_machine_target_model(spec, context.profile, facts));
      context.targets[spec.id] = models.back().get();
    }
    context.machine = &machine;
  }
  ForeignDevices(const ForeignDevices&) = delete;
  Machine machine;
  std::optional<Profile> profile;
  std::vector<std::unique_ptr<TargetModel>> models;
  PassContext context;
};

// `owner` keeps what the context points to.
GraphPlacement place_in(const Graph& graph, const PassContext& context, const std::shared_ptr<const void>& owner) {
  capture::Planned planned;
  capture::Placed placed = capture::place_captured(graph, context, &planned);
  PassContext lenient = context;
  lenient.plan = nullptr;
  lenient.options.strict = false;
  lenient.options.max_bytes_per_step = -1;
  GraphPlacement made{std::move(planned.graph),
                      std::move(planned.transfers),
                      std::move(placed.graph),
                      std::move(placed.plan),
                      *context.machine,
                      {},
                      {},
                      {},
                      {},
                      {},
                      {},
                      profile_hash(context.profile)};
  made.measure = [lenient, owner](const Graph& compiled) { return measure_need(compiled, lenient); };
  made.simulate = [lenient, owner](const Graph& compiled) { return simulate_step(compiled, lenient); };
  made.replan = [lenient, owner](const Graph& changed) { return plan_placement(changed, lenient); };
  made.replan_with = [lenient, owner](const Graph& changed, const MachineFigures& figures) {
    return plan_placement(changed, ChangedFigures(lenient, figures).context());
  };
  made.probe = [lenient, owner, probe = std::make_shared<PlacementProbe>()](const Graph& graph,
                                                                            const MachineFigures& figures) {
    return probe->places(graph, ChangedFigures(lenient, figures).context(), figures.durations);
  };
  made.forecast = [lenient, owner](const Graph& given, const std::map<std::string, int64_t>& symbols) {
    PassContext context = lenient;
    context.options.symbols = symbols;
    Graph graph = run_passes(given, context, {}, {}, "shard");
    PlacementPlan plan = plan_placement(graph, context);
    return PlacementForecast{std::move(graph), std::move(plan)};
  };
  return made;
}

// Kernels that were measured move ops only where that saves more than this part of a step: what was thought of the
// others is no better than that, and a plan that flips with every run is worth less.
constexpr double least_gain = 0.03;

// Of two placements of a graph, one by measured kernels and one by curves alone: the former only if it gains enough.
GraphPlacement settled(GraphPlacement measured, GraphPlacement thought) {
  auto is_simulated = [](const PlacementPlan& plan) { return plan.solved && plan.solved->is_simulated; };
  const bool by_done = is_simulated(measured.plan) || is_simulated(thought.plan);
  auto step = [&](const PlacementPlan& plan) { return by_done ? static_cast<double>(plan.done) * 1e-9 : plan.seconds; };
  const double before = step(measured.replan(apply_placement(thought.planned, thought.plan)));
  const double after = step(measured.plan);
  if (after < (1 - least_gain) * before || after >= before) return measured;
  thought.plan.hints.push_back(fmt::format(
      "measured kernels would move ops for a gain of {:.1f} % of a step: less than {:.0f} %, so that they stay",
      100 * (before - after) / before, 100 * least_gain));
  return thought;
}

}  // namespace

PlacementPlan plan_graph(const Graph& graph, const std::map<std::string, int64_t>& symbols) {
  return place_graph(graph, symbols).plan;
}

PlacementPlan plan_graph(const Graph& graph, const Machine& machine, const std::map<std::string, int64_t>& symbols,
                         bool strict, const Profile* profile) {
  return place_graph(graph, machine, symbols, strict, profile).plan;
}

GraphPlacement place_graph(const Graph& graph, const std::map<std::string, int64_t>& symbols, const PlanFile* plan) {
  std::shared_ptr<Session> session = Session::current();
  PassContext context = context_of(*session, symbols);
  context.plan = plan;
  return place_in(graph, context, session);
}

GraphPlacement place_graph(const Graph& graph, const Machine& machine, const std::map<std::string, int64_t>& symbols,
                           bool strict, const Profile* profile, const PlanFile* plan) {
  verify_machine(machine, "the machine");
  if (profile) verify_profile(*profile, machine);
  auto place = [&](const Profile* measured) {
    auto devices = std::make_shared<ForeignDevices>(machine, measured);
    devices->context.plan = plan;
    devices->context.options.symbols = symbols;
    devices->context.options.strict = strict;
    return place_in(graph, devices->context, devices);
  };
  GraphPlacement placed = place(profile);
  if (!profile || profile->kernels.empty() || (plan && !plan->has_only_pins()) || machine.devices.size() < 2)
    return placed;
  Profile curves = *profile;
  curves.kernels.clear();
  placed = settled(std::move(placed), place(&curves));
  placed.profile_hash = profile_hash(profile);
  return placed;
}

GraphRun run_graph(const Graph& graph, const std::map<std::string, HostTensor>& inputs, const PlanFile* plan) {
  if (graph.functions.empty()) throw Error("the graph has no function, expected main");
  const Function& function = graph.main();
  std::map<std::string, int64_t> symbols;
  std::vector<HostTensor> arguments;
  std::map<std::string, HostTensor> states, constants;
  for (Value input : function.inputs) {
    const std::string& name = input_name(function, input);
    auto given = inputs.find(name);
    const TensorType& type = function.tensor(input);
    if (given == inputs.end())
      throw Error(fmt::format("input '{}' is missing: it is {} {}", name,
                              placewright::name(input_kind(function, input)),
                              Type(type.dtype, type.shape).to_string()));
    bind_symbols(name, type, given->second, symbols);
    switch (input_kind(function, input)) {
      case InputKind::argument:
        arguments.push_back(given->second);
        break;
      case InputKind::state:
        states.emplace(name, given->second);
        break;
      case InputKind::constant:
        constants.emplace(name, given->second);
        break;
    }
  }
  for (const auto& [name, tensor] : inputs) {
    bool known = false;
    for (Value input : function.inputs) known = known || input_name(function, input) == name;
    if (!known) throw Error(fmt::format("the graph has no input '{}'", name));
  }

  std::shared_ptr<Session> session = Session::current();
  PassContext context = context_of(*session, std::move(symbols));
  context.plan = plan;
  GraphRun run;
  capture::FoundProgram found = capture::find_or_compile(graph, context, *session);
  run.plan = found.plan ? *found.plan : capture::place_captured(graph, context).plan;
  for (const std::string& conflict : found.kept.conflicts) session->notice(conflict);
  CompiledProgram& compiled = found.kept.compiled;
  for (auto& [name, tensor] : constants) compiled.constants.insert_or_assign(name, tensor);

  auto store = std::make_shared<StateStore>(session->devices().host());
  for (const auto& [name, tensor] : states) store->add(name, tensor);
  capture::fill_replicas(compiled.program, *store);
  Executable::Options options;
  options.check_memory = session->options().check_memory;
  std::shared_ptr<const Executable> executable =
      Executable::bind(std::move(compiled), session->devices(), store, options);
  std::unique_ptr<Context> call = executable->make_context();
  Arguments given(*executable, session->devices(), arguments);
  executable->run(*call, given.views);
  run.step_transfer_bytes = call->transfers().bytes;
  run.load_transfer_bytes = executable->load_transfers().bytes;
  PW_CHECK(
      run.step_transfer_bytes == run.plan.bytes_per_step && run.load_transfer_bytes == run.plan.bytes_at_load,
      fmt::format("the ledger has {} bytes in a step and {} at load, the runtime counted {} and {}",
                  run.plan.bytes_per_step, run.plan.bytes_at_load, run.step_transfer_bytes, run.load_transfer_bytes));
  for (size_t i = 0; i < function.results.size(); ++i) run.results.push_back(call->read_result(static_cast<int>(i)));
  for (const Update& update : function.updates) {
    const std::string& name = input_name(function, update.state);
    run.states.insert_or_assign(name, store->read(name));
  }
  return run;
}

}  // namespace placewright
