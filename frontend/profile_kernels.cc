// Measured medians of the kernels of one graph, as a profile keeps them.
#include <algorithm>

#include "load_graph.h"
#include "placewright/calibrate.h"
#include "placewright/codegen/compile_program.h"
#include "placewright/codegen/launch_costs.h"
#include "placewright/codegen/lower.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/pass.h"
#include "placewright/runtime/profiler.h"

namespace placewright {
namespace {

constexpr int runs = 15;

HostTensor made_up(const TensorType& type) {
  HostTensor tensor(type.dtype, type.sizes());  // zeros: labels and indices that are there
  if (is_floating(type.dtype))
    for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_number(i, 0.001 * static_cast<double>(i % 997));
  return tensor;
}

// Seconds of each launch of the step, in their order: the median over the runs.
std::vector<double> measure_launches(CompiledProgram compiled, const Function& function, Session& session) {
  auto states = std::make_shared<StateStore>(session.devices().host());
  std::map<std::string, HostTensor> arguments;
  for (Value input : function.inputs) {
    const std::string& name = input_name(function, input);
    HostTensor tensor = made_up(function.tensor(input));
    if (input_kind(function, input) == InputKind::state)
      states->add(name, tensor);
    else if (input_kind(function, input) == InputKind::constant)
      compiled.constants.insert_or_assign(name, tensor);
    else
      arguments.emplace(name, tensor);
  }
  capture::fill_replicas(compiled.program, *states);
  auto executable = Executable::bind(std::move(compiled), session.devices(), states);
  std::unique_ptr<Context> call = executable->make_context();
  std::vector<DeviceMemory> memory;
  std::vector<BufferView> views;
  for (int index : executable->program().arguments) {
    const ProgramBuffer& buffer = executable->program().buffers[static_cast<size_t>(index)];
    const HostTensor& tensor = arguments.at(std::string(primary_name(buffer.name)));
    memory.emplace_back(session.devices().find(buffer.device), tensor.bytes(), 64, buffer.name);
    copy_now(memory.back().view(), {session.devices().host().get(), const_cast<uint8_t*>(tensor.raw()), tensor.bytes()},
             tensor.bytes(), buffer.name.c_str());
    views.push_back(memory.back().view());
  }
  std::vector<std::vector<double>> seconds;
  for (int run = 0; run < runs; ++run) {
    Profiler profiler;
    call->set_profiler(run == 0 ? nullptr : &profiler);  // the first one meets cold caches
    executable->run(*call, views);
    size_t launch = 0;
    for (const Profiler::Record& record : profiler.records()) {
      if (record.track == "steps") continue;
      if (seconds.size() == launch) seconds.emplace_back();
      seconds[launch++].push_back(record.end - record.begin);
    }
  }
  std::vector<double> medians;
  for (std::vector<double>& each : seconds) {
    std::nth_element(each.begin(), each.begin() + static_cast<std::ptrdiff_t>(each.size() / 2), each.end());
    medians.push_back(std::max(each[each.size() / 2], 1e-9));
  }
  return medians;
}

class KernelProfile {
 public:
  KernelProfile(Profile& profile, const Machine& machine) : profile_(profile), estimates_(profile) {
    estimates_.kernels.clear();
    for (const DeviceSpec& spec : machine.devices) costs_.emplace(spec.id, LaunchCosts(spec, &estimates_, facts_));
  }

  void add(const Graph& graph, const Op& op, double seconds) {
    const DeviceId& device = op.results.at(0).tensor().where.devices.at(0);
    const Function& main = graph.main();
    note(device, facts_->key(graph, main, op), seconds);
    if (!op.is("fused")) return;
    const Function& body = graph.functions[static_cast<size_t>(op.functions[0])];
    std::vector<std::pair<std::string, double>> members;
    double thought = 0;
    for (const Op& member : body.ops) {
      if (!can_lower(*member.entry) || member.entry->traits.view) continue;
      double estimate = 0;
      std::shared_ptr<const OpFacts> facts = facts_->find(graph, body, member);
      for (const StageWork& work : facts->stages) estimate += costs_.at(device).seconds(work);
      members.emplace_back(facts_->key(graph, body, member), estimate);
      thought += estimate;
    }
    for (const auto& [key, estimate] : members)
      if (thought > 0) note(device, key, seconds * estimate / thought);
  }

  // Kernels that are met several times take their mean.
  void finish() {
    for (const auto& [where, found] : found_) {
      double mean = std::max(found.first / found.second, 1e-9);
      auto known = std::find_if(profile_.kernels.begin(), profile_.kernels.end(), [&](const Profile::KernelCost& cost) {
        return cost.device == where.first && cost.key == where.second;
      });
      if (known != profile_.kernels.end())
        known->seconds = mean;
      else
        profile_.kernels.push_back({where.first, where.second, mean});
    }
  }

 private:
  void note(const DeviceId& device, const std::string& key, double seconds) {
    auto& [sum, count] = found_[{device, key}];
    sum += seconds;
    count += 1;
  }

  Profile& profile_;
  Profile estimates_;
  std::shared_ptr<OpFactsTable> facts_ = std::make_shared<OpFactsTable>();
  std::map<DeviceId, LaunchCosts> costs_;
  std::map<std::pair<DeviceId, std::string>, std::pair<double, double>> found_;
};

// The op of each instruction of the step that a profiler records; null for copies.
std::vector<const Op*> ops_of_records(const Graph& placed, const Block& step) {
  std::vector<const Instruction*> recorded;
  for (const Instruction& instruction : step.instructions)
    if (!std::holds_alternative<Wait>(instruction)) recorded.push_back(&instruction);
  std::vector<const Op*> ops;
  for (const Op& op : placed.main().ops) {
    if (!op.is("fused") && !op.is("relayout") && !can_lower(*op.entry)) continue;
    while (ops.size() < recorded.size() && !std::holds_alternative<Launch>(*recorded[ops.size()]))
      ops.push_back(nullptr);
    if (ops.size() == recorded.size()) break;
    const Launch& launch = std::get<Launch>(*recorded[ops.size()]);
    KernelCost cost = count_cost(lower_launch(placed, placed.main(), op));
    bool is_its_own = launch.flops == cost.flops && launch.bytes == cost.bytes;
    if (op.entry->traits.view && !is_its_own) continue;  // the operand's memory under other sizes
    PW_CHECK(is_its_own, launch.origin);
    ops.push_back(&op);
  }
  return ops;
}

}  // namespace

void profile_kernels(Profile& profile, const Graph& graph, const std::map<std::string, int64_t>& symbols) {
  std::shared_ptr<Session> session = Session::current();
  PassContext context = session->pass_context();
  context.options.symbols = symbols;
  const Graph placed = capture::place_captured(graph, context).graph;
  CompileProgramOptions options = session->compile_options();
  CompiledProgram compiled = compile_program(placed, options);
  std::vector<const Op*> ops =
      ops_of_records(placed, compiled.program.blocks[static_cast<size_t>(compiled.program.step)]);
  const Graph bound = run_pass(find_pass("specialise"), graph, context);
  std::vector<double> seconds = measure_launches(std::move(compiled), bound.main(), *session);
  KernelProfile kernels(profile, session->machine());
  for (size_t i = 0; i < ops.size() && i < seconds.size(); ++i)
    if (ops[i]) kernels.add(placed, *ops[i], seconds[i]);
  kernels.finish();
}

}  // namespace placewright
