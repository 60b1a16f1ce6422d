// The one function that chains the stages: capture -> passes -> placement -> cache or code generation -> runtime.
#include <chrono>

#include <fmt/core.h>

#include "load_graph.h"
#include "placewright/base/join.h"
#include "placewright/codegen/compile_program.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/profile.h"
#include "placewright/passes/pass.h"
#include "placewright/passes/plan_file.h"
#include "placewright/runtime/byte_cache.h"
#include "program_bytes.h"

namespace placewright::capture {
namespace {

constexpr std::string_view compiler_version = "placewright 0.1.0 program 4";

// All that passes and code generation depend on.
std::string cache_key(const Graph& captured, const PassContext& context, const CompileProgramOptions& options) {
  const PassOptions& wanted = context.options;
  std::vector<std::string> symbols;
  for (const auto& [symbol, size] : wanted.symbols) symbols.push_back(fmt::format("{}={}", symbol, size));
  for (const auto& [state, layout] : wanted.state_layouts) {
    TensorType settled;
    settled.layout = layout;
    symbols.push_back(fmt::format("{} {}", state, Type(settled).to_string()));
  }
  std::vector<std::string> targets;
  for (const auto& [device, target] : options.targets)
    targets.push_back(fmt::format("{} {}", device.to_string(), target->key()));
  return fmt::format("{}\n{}\n{} strict={} max_bytes={} fold={} [{}]\n{}\n{}\n{}", compiler_version,
                     join(targets, "\n"), options.host.to_string(), wanted.strict, wanted.max_bytes_per_step,
                     wanted.fold_limit_bytes, join(symbols, ","),
                     print_machine(*context.machine) + (context.profile ? print_profile(*context.profile) : ""),
                     print_graph(captured), context.plan ? print_plan_file(*context.plan, false) : "");
}

}  // namespace

void fill_replicas(const Program& program, StateStore& states) {
  for (const ProgramBuffer& buffer : program.buffers) {
    std::string primary(primary_name(buffer.name));
    if (buffer.kind != BufferKind::state || buffer.name == primary) continue;
    states.copy(buffer.name, primary);
  }
}

Placed place_captured(const Graph& captured, const PassContext& context, Planned* planned) {
  Graph graph = run_passes(captured, context, {}, {}, "shard");
  PlacementPlan plan = plan_placement(graph, context);
  if (planned) *planned = {graph, plan.transfers};
  graph = run_passes(apply_placement(std::move(graph), plan), context, {}, "insert_transfers", "overlap");
  graph = relieve_memory(std::move(graph), context, plan.relief);
  settle_ledger(plan, graph, context);
  return {std::move(graph), std::move(plan)};
}

FoundProgram find_or_compile(const Graph& captured, const PassContext& context, Session& session) {
  CompileProgramOptions options = session.compile_options();
  const ByteCache* cache = session.cache();
  const std::string key = cache ? cache_key(captured, context, options) : "";
  if (cache)
    if (std::optional<std::vector<uint8_t>> bytes = cache->load(key))
      if (std::optional<KeptProgram> kept = try_from_bytes(*bytes)) return {std::move(*kept), true, {}, {}};

  FoundProgram made;
  Placed placed = place_captured(captured, context);
  for (const PinConflict& conflict : placed.plan.conflicts) made.kept.conflicts.push_back(conflict.message);
  made.kept.planned_step_bytes = placed.plan.bytes_per_step;
  made.plan = std::move(placed.plan);
  made.placed = std::move(placed.graph);
  made.kept.compiled = compile_program(*made.placed, options);
  if (cache) cache->store(key, to_bytes(made.kept));
  return made;
}

PassContext LoadedGraph::pass_context() const {
  PassContext context = session_->pass_context();
  context.options.max_bytes_per_step = max_bytes_per_step_;
  context.options.state_layouts = state_layouts_;
  context.plan = followed_.get();
  return context;
}

// What was decided is not kept with the program: whoever asks has it decided again.
void LoadedGraph::decide() const {
  std::lock_guard lock(decided_mutex_);
  if (placed_) return;
  Placed placed = place_captured(captured_, pass_context());
  plan_ = std::move(placed.plan);
  placed_ = std::move(placed.graph);
}

const Graph& LoadedGraph::placed() const {
  decide();
  return *placed_;
}

const PlacementPlan& LoadedGraph::placement() const {
  decide();
  return *plan_;
}

std::vector<DeviceNeed> LoadedGraph::memory() const { return measure_need(placed(), pass_context()).devices; }

std::vector<PerformedLaunch> LoadedGraph::libraries() const {
  std::vector<PerformedLaunch> all;
  for (placewright::Executable::Performed& each : executable_->performed())
    all.push_back({std::move(each.origin), std::move(each.performer)});
  return all;
}

void LoadedGraph::take_state(const std::shared_ptr<State>& state) {
  const std::shared_ptr<StateStore>& store = session_->states();
  try {
    state->enter(store);
  } catch (const OutOfDeviceMemory&) {
    // What a step needs in all, and its largest holders with their lines, planning says, if that is too much.
    place_captured(captured_, pass_context());
    throw;
  }
  states_.push_back(state);
  if (std::optional<Layout> layout = store->settled_layout(state->key())) state_layouts_[state->key()] = *layout;
}

std::shared_ptr<LoadedGraph> LoadedGraph::load(Captured captured, const std::shared_ptr<Session>& session,
                                               std::shared_ptr<const PlanFile> plan, int64_t max_bytes_per_step) {
  auto begin = std::chrono::steady_clock::now();
  std::shared_ptr<LoadedGraph> loaded(new LoadedGraph);
  loaded->session_ = session;
  loaded->followed_ = std::move(plan);
  loaded->max_bytes_per_step_ = max_bytes_per_step;
  loaded->host_ = session->devices().host().get();
  loaded->captured_ = std::move(captured.graph);
  for (const NodePtr& input : captured.inputs) {
    if (input->kind == Node::Kind::value) loaded->own_values_.emplace_back(input);
    if (input->kind == Node::Kind::state) loaded->take_state(input->state);
  }

  FoundProgram found = find_or_compile(loaded->captured_, loaded->pass_context(), *session);
  loaded->plan_ = std::move(found.plan);
  loaded->placed_ = std::move(found.placed);
  loaded->from_cache_ = found.from_cache;
  loaded->planned_step_bytes_ = found.kept.planned_step_bytes;
  for (const std::string& conflict : found.kept.conflicts) {
    loaded->notices_.push_back(conflict);
    session->notice(conflict);
  }
  const CompiledProgram& compiled = found.kept.compiled;
  for (size_t i = 0; i < compiled.images.size(); ++i)
    for (KernelReport& report : report_kernels(compiled.program, compiled.images[i], static_cast<int32_t>(i)))
      loaded->kernels_.push_back(std::move(report));
  fill_replicas(found.kept.compiled.program, *session->states());
  placewright::Executable::Options options;
  options.check_memory = session->options().check_memory;
  loaded->executable_ =
      placewright::Executable::bind(std::move(found.kept.compiled), session->devices(), session->states(), options);
  for (const std::string& note : loaded->executable_->notes()) session->notice(note);
  for (const std::shared_ptr<State>& state : loaded->states_) session->states()->settle(state->key());
  loaded->context_ = loaded->executable_->make_context();
  loaded->prepare();
  loaded->compile_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return loaded;
}

}  // namespace placewright::capture
