#include "placewright/codegen/compile_program.h"

#include <map>

#include <fmt/core.h>

#include "block_writer.h"
#include "launch_kernels.h"
#include "placed_ops.h"
#include "placewright/base/checked.h"
#include "placewright/ir/plan_memory.h"
#include "program_buffers.h"

namespace placewright {
namespace {

// Streams of a device.
constexpr const char* compute = "compute";
constexpr const char* copies_in = "copies in";
constexpr const char* copies_out = "copies out";

class ProgramMaker {
 public:
  ProgramMaker(const Graph& graph, const CompileProgramOptions& options)
      : graph_(graph),
        function_(graph.main()),
        options_(options),
        kernels_(graph, function_, options),
        plan_(plan()),
        buffers_(function_, plan_, compiled_) {}

  CompiledProgram make() {
    program().name = function_.name;
    make_streams();
    program().blocks = {Block{"step", {}}, Block{"load", {}}};
    write_load();
    write_step();
    if (program().blocks[1].instructions.empty()) program().blocks.pop_back();
    program().load = program().blocks.size() > 1 ? 1 : -1;
    kernels_.emit(compiled_);
    verify_program(program());
    return std::move(compiled_);
  }

 private:
  Program& program() { return compiled_.program; }

  MemoryPlan plan() const {
    MemoryOptions memory;
    memory.in_place = [this](const Op& op, int operand, int result) { return kernels_.in_place(op, operand, result); };
    return plan_memory(graph_, 0, memory);
  }

  std::string where_from(const Op& op) const {
    const Origin& origin = graph_.origins[op.origin];
    return fmt::format("{} ({})", origin.name(), origin.site());
  }

  const DeviceId& device(const Op& op) const {
    const Where& where = op.results.at(0).tensor().where;
    if (!where.is_single())
      throw Error(fmt::format("{} is not on one device ({})", op.name(), graph_.origins[op.origin].site()));
    return where.devices[0];
  }

  void make_streams() {
    auto add = [&](const DeviceId& id, const char* what) {
      if (stream_of_.try_emplace({id, what}, static_cast<int>(program().streams.size())).second)
        program().streams.push_back({id, what});
    };
    add(options_.host, compute);
    for (const Op& op : function_.ops)
      for (const Type& type : op.results) add(type.tensor().where.devices.at(0), compute);
    for (const Op& op : function_.ops) {
      if (!is_copy(op) || op.attributes.get<bool>("at_load")) continue;
      const DeviceId &from = function_.tensor(op.operands[0]).where.devices.at(0), &to = device(op);
      if (from != to) add(to == options_.host ? from : to, to == options_.host ? copies_out : copies_in);
    }
  }

  int stream(const DeviceId& id) const { return stream_of_.at({id, compute}); }

  // Copies at load run among the launches of the device that is not the host's, if there is one.
  int load_stream(const DeviceId& from, const DeviceId& to) const { return stream(to == options_.host ? from : to); }
  // Those of a step beside them, those to the device and those from it at once.
  int copy_stream(const DeviceId& from, const DeviceId& to) const {
    if (from == to) return stream(to);
    return to == options_.host ? stream_of_.at({from, copies_out}) : stream_of_.at({to, copies_in});
  }

  // --- blocks

  void write_load() {
    BlockWriter load(program().blocks[1], program());
    for (size_t b = 0; b < program().buffers.size(); ++b) {
      const ProgramBuffer& buffer = program().buffers[b];
      bool is_constant = buffer.kind == BufferKind::constant;
      if (!is_constant && buffer.kind != BufferKind::state) continue;
      if (auto at = buffers_.loaded_from().find(static_cast<int>(b)); at != buffers_.loaded_from().end()) {
        write_load_copy(load, at->second, at->first);
        continue;
      }
      Copy copy;
      copy.stream = stream(buffer.device);
      copy.destination = static_cast<int>(b);
      bool moves = buffer.device != options_.host;
      copy.facts = {options_.host,
                    buffer.device,
                    moves ? buffer.bytes : 0,
                    buffer.name,
                    {},
                    is_constant ? "a constant, loaded once" : "a state, loaded once"};
      const int written[] = {copy.destination};
      load.add(copy, copy.stream, {}, written);
    }
  }

  void write_load_copy(BlockWriter& load, int source, int destination) {
    const DeviceId &from = program().buffers[source].device, &to = program().buffers[destination].device;
    TransferFacts facts{from,
                        to,
                        from == to ? 0 : program().buffers[destination].bytes,
                        program().buffers[source].name,
                        {},
                        "a constant, loaded once"};
    int on = load_stream(from, to);
    const int reads[] = {source}, writes[] = {destination};
    load.add(Copy{on, source, destination, std::move(facts)}, on, reads, writes);
  }

  void write_step() {
    BlockWriter step(program().blocks[0], program());
    for (size_t i = 0; i < function_.ops.size(); ++i) {
      const Op& op = function_.ops[i];
      auto index = static_cast<int32_t>(i);
      if (is_input(op) || buffers_.is_alias(index)) continue;
      if (is_copy(op))
        write_copy(step, op, index);
      else if (is_collective(op))
        write_collective(step, op, index);
      else
        write_launch(step, op, index);
    }
    for (auto [source, destination] : buffers_.copied_results()) {
      const DeviceId& on = program().buffers[source].device;
      const int reads[] = {source}, writes[] = {destination};
      step.add(Copy{stream(on), source, destination, {on, on, 0, program().buffers[source].name, {}, "a result"}},
               stream(on), reads, writes);
    }
    for (int32_t number : plan_.update_order) {
      const Update& update = function_.updates[number];
      program().updates.push_back({buffers_.of(update.state), buffers_.of(update.value)});
    }
  }

  void write_copy(BlockWriter& step, const Op& op, int32_t index) {
    int source = buffers_.of(op.operands[0]), destination = buffers_.of({index, 0});
    if (memory_of(program(), source) == memory_of(program(), destination) ||
        program().buffers[memory_of(program(), destination)].kind == BufferKind::constant)
      return;
    const DeviceId &from = program().buffers[source].device, &to = program().buffers[destination].device;
    TransferFacts facts{from,
                        to,
                        from == to ? 0 : program().buffers[destination].bytes,
                        value_name(graph_, function_, op.operands[0]),
                        where_from(op),
                        op.attributes.get<std::string>("why")};
    int on = copy_stream(from, to);
    const int reads[] = {source}, writes[] = {destination};
    step.add(Copy{on, source, destination, std::move(facts)}, on, reads, writes);
  }

  void write_collective(BlockWriter& step, const Op& op, int32_t index) {
    Collective made;
    for (size_t m = 0; m < op.operands.size(); ++m) {
      made.sources.push_back(buffers_.of(op.operands[m]));
      made.destinations.push_back(buffers_.of({index, static_cast<int32_t>(m)}));
      made.streams.push_back(stream(program().buffers[made.sources[m]].device));
    }
    made.scratch = buffers_.add_like(made.sources[0], fmt::format("sum{}", index), BufferKind::temporary);
    step.add(Allocate{made.streams[0], made.scratch}, made.streams[0], {}, {});
    int64_t copies = 2 * (static_cast<int64_t>(op.operands.size()) - 1);
    made.facts = {program().buffers[made.sources.front()].device,
                  program().buffers[made.sources.back()].device,
                  checked_mul(copies, program().buffers[made.scratch].bytes),
                  value_name(graph_, function_, op.operands[0]),
                  where_from(op),
                  fmt::format("sum over {} devices", op.operands.size())};
    step.add_collective(std::move(made));
  }

  void write_launch(BlockWriter& step, const Op& op, int32_t index) {
    Launch launch;
    launch.stream = stream(device(op));
    kernels_.fill(launch, index);
    std::vector<int> reads, writes;
    for (Value operand : op.operands) reads.push_back(buffers_.of(operand));
    for (size_t r = 0; r < op.results.size(); ++r) writes.push_back(buffers_.of({index, static_cast<int32_t>(r)}));
    launch.buffers = reads;
    launch.buffers.insert(launch.buffers.end(), writes.begin(), writes.end());
    launch.written = static_cast<int>(writes.size());
    launch.origin = where_from(op);
    int on = launch.stream;
    step.add(std::move(launch), on, reads, writes);
  }

  const Graph& graph_;
  const Function& function_;
  const CompileProgramOptions& options_;
  CompiledProgram compiled_;
  LaunchKernels kernels_;
  const MemoryPlan plan_;
  ProgramBuffers buffers_;
  std::map<std::pair<DeviceId, std::string_view>, int> stream_of_;
};

}  // namespace

CompiledProgram compile_program(const Graph& graph, const CompileProgramOptions& options) {
  return ProgramMaker(graph, options).make();
}

}  // namespace placewright
