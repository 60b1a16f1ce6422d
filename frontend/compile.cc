// The one function that chains the stages: capture -> passes -> placement -> cache or code generation -> runtime.
#include <chrono>

#include <fmt/format.h>

#include "load_graph.h"
#include "placewright/codegen/compile_program.h"
#include "placewright/ir/machine.h"
#include "placewright/passes/pass.h"
#include "placewright/runtime/byte_cache.h"
#include "program_bytes.h"

namespace placewright::capture {
namespace {

constexpr std::string_view compiler_version = "placewright 0.1.0 program 1";

// All that the compiled bytes depend on.
std::string cache_key(const Graph& placed, const CompileProgramOptions& options) {
  const CpuTarget& target = options.target;
  return fmt::format("{}\n{} {} {} {} {} {} {}\n{} check_bounds={}\n{}", compiler_version, target.triple,
                     target.features, target.vector_bits, target.vector_registers, target.l1_bytes, target.l2_bytes,
                     target.l3_bytes, options.host.to_string(), options.emit.check_bounds, print_graph(placed));
}

CompiledProgram compile_or_find(const Graph& placed, Session& session, bool& from_cache) {
  CompileProgramOptions options;
  options.target = host_cpu_target();
  options.emit.check_bounds = session.options().check_bounds;
  const ByteCache* cache = session.cache();
  std::string key = cache ? cache_key(placed, options) : "";
  if (cache)
    if (std::optional<std::vector<uint8_t>> bytes = cache->load(key))
      if (std::optional<CompiledProgram> found = try_from_bytes(*bytes)) {
        from_cache = true;
        return std::move(*found);
      }
  CompiledProgram compiled = compile_program(placed, options);
  if (cache) cache->store(key, to_bytes(compiled));
  return compiled;
}

}  // namespace

void fill_replicas(const Function& function, StateStore& states) {
  for (Value input : function.inputs) {
    const std::string& name = input_name(function, input);
    std::string primary(primary_name(name));
    if (input_kind(function, input) != InputKind::state || name == primary) continue;
    if (states.has(name))
      states.write(name, states.read(primary));
    else
      states.add(name, states.read(primary));
  }
}

Planned plan_captured(const Graph& captured, const PassContext& context) {
  Graph graph = run_passes(captured, context, {}, {}, "shard");
  PlacementPlan plan = plan_placement(graph, context);
  return {std::move(graph), std::move(plan)};
}

PlacedProgram compile_planned(Planned planned, const PassContext& context, Session& session) {
  PlacedProgram program;
  program.placed = run_passes(apply_placement(std::move(planned.graph), planned.plan), context, {}, "insert_transfers");
  program.compiled = compile_or_find(program.placed, session, program.from_cache);
  return program;
}

std::shared_ptr<LoadedGraph> LoadedGraph::load(Captured captured, std::shared_ptr<Session> session) {
  auto begin = std::chrono::steady_clock::now();
  std::shared_ptr<LoadedGraph> loaded(new LoadedGraph);
  loaded->session_ = session;
  loaded->host_ = session->devices().host().get();
  loaded->captured_ = std::move(captured.graph);
  for (const NodePtr& input : captured.inputs) {
    if (input->kind == Node::Kind::value) loaded->own_values_.emplace_back(input);
    if (input->kind != Node::Kind::state) continue;
    input->state->enter(session->states());
    loaded->states_.push_back(input->state);
  }

  PassContext context = session->pass_context();
  PassHooks hooks;
  hooks.verify = session->options().check_bounds;  // between passes; what they made together is verified below
  Planned planned = plan_captured(loaded->captured_, context);  // in strict mode an unasked-for transfer ends here
  loaded->plan_ = planned.plan;
  for (const PinConflict& conflict : loaded->plan_.conflicts) {
    loaded->notices_.push_back(conflict.message);
    session->notice(conflict.message);
  }
  PlacedProgram program = compile_planned(std::move(planned), context, *session);
  loaded->placed_ = std::move(program.placed);
  loaded->from_cache_ = program.from_cache;
  verify_graph(loaded->placed_);
  fill_replicas(loaded->placed_.main(), *session->states());
  placewright::Executable::Options options;
  options.check_memory = session->options().check_memory;
  loaded->executable_ =
      placewright::Executable::bind(std::move(program.compiled), session->devices(), session->states(), options);
  for (const std::string& note : loaded->executable_->notes()) session->notice(note);
  loaded->context_ = loaded->executable_->make_context();
  loaded->views_.resize(loaded->program().arguments.size());
  loaded->compile_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return loaded;
}

}  // namespace placewright::capture
