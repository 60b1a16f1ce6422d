#include "placewright/codegen/compile_program.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/core.h>

#include "emit_images.h"
#include "placewright/base/checked.h"
#include "placewright/codegen/lower.h"
#include "placewright/codegen/strategy.h"
#include "placewright/ir/op_table.h"
#include "placewright/ir/plan_memory.h"

namespace placewright {
namespace {

// Which instructions touched which bytes last: what later ones on other streams have to wait for.
class Hazards {
 public:
  struct Range {
    int space = 0;  // an arena, or a buffer with memory of its own
    int64_t begin = 0, end = 0;
  };

  // Instruction numbers that `stream` must wait for before it touches the range, by stream.
  void collect(const Range& range, bool writes, int stream, std::map<int, int>& waits) const {
    for (const Touch& touch : touches_)
      if (touch.stream != stream && (writes || touch.writes) && touch.range.space == range.space &&
          touch.range.begin < range.end && range.begin < touch.range.end)
        waits[touch.stream] = std::max(waits.contains(touch.stream) ? waits[touch.stream] : -1, touch.instruction);
  }
  void add(const Range& range, bool writes, int stream, int instruction) {
    touches_.push_back({range, writes, stream, instruction});
  }

 private:
  struct Touch {
    Range range;
    bool writes;
    int stream, instruction;
  };
  std::vector<Touch> touches_;
};

// The instructions of one block, with waits between its streams.
class BlockWriter {
 public:
  BlockWriter(Block& block, const Program& program) : block_(block), program_(program) {}

  template <typename Made>
  void add(Made instruction, int stream, std::span<const int> reads, std::span<const int> writes) {
    wait(stream, reads, writes);
    int number = static_cast<int>(block_.instructions.size());
    block_.instructions.emplace_back(std::move(instruction));
    note(number, stream, reads, writes);
  }

  void add_collective(Collective instruction) {
    const Collective made = instruction;
    auto one = [](const int& buffer) { return std::span<const int>(&buffer, 1); };
    for (size_t m = 0; m < made.streams.size(); ++m)
      wait(made.streams[m], one(made.sources[m]), one(made.destinations[m]));
    int number = static_cast<int>(block_.instructions.size());
    block_.instructions.emplace_back(std::move(instruction));
    for (size_t m = 0; m < made.streams.size(); ++m)
      note(number, made.streams[m], one(made.sources[m]), one(made.destinations[m]));
  }

 private:
  void wait(int stream, std::span<const int> reads, std::span<const int> writes) {
    std::map<int, int> waits;
    for (int buffer : reads) hazards_.collect(range(buffer), false, stream, waits);
    for (int buffer : writes) hazards_.collect(range(buffer), true, stream, waits);
    for (auto [other, number] : waits) {
      int& seen = seen_[{stream, other}];  // numbers are kept one higher: 0 is none
      if (seen > number) continue;
      seen = number + 1;
      block_.instructions.emplace_back(Wait{stream, number});
    }
  }

  void note(int number, int stream, std::span<const int> reads, std::span<const int> writes) {
    if (program_.streams.size() == 1) return;
    for (int buffer : reads) hazards_.add(range(buffer), false, stream, number);
    for (int buffer : writes) hazards_.add(range(buffer), true, stream, number);
  }

  Hazards::Range range(int index) const {
    index = memory_of(program_, index);
    const ProgramBuffer& buffer = program_.buffers[index];
    int64_t bytes = std::max<int64_t>(buffer.bytes, 1);
    if (buffer.kind == BufferKind::temporary && buffer.arena >= 0)
      return {-1 - buffer.arena, buffer.offset, buffer.offset + bytes};
    return {index, 0, bytes};
  }

  Block& block_;
  const Program& program_;
  Hazards hazards_;
  std::map<std::pair<int, int>, int> seen_;
};

class ProgramMaker {
 public:
  ProgramMaker(const Graph& graph, const CompileProgramOptions& options)
      : graph_(graph), function_(graph.main()), options_(options) {}

  CompiledProgram make() {
    program().name = function_.name;
    lower_launches();
    MemoryOptions memory;
    memory.in_place = [this](const Op& op, int operand, int result) { return in_place(op, operand, result); };
    plan_ = plan_memory(graph_, 0, memory);
    make_streams();
    make_buffers();
    program().blocks = {Block{"step", {}}, Block{"load", {}}};
    write_load();
    write_step();
    if (program().blocks[1].instructions.empty()) program().blocks.pop_back();
    program().load = program().blocks.size() > 1 ? 1 : -1;
    emit();
    verify_program(program());
    return std::move(compiled_);
  }

 private:
  struct Lowered {
    StructuredKernel kernel;
    KernelCost cost;
    size_t number = 0;  // in kernels_
  };

  Program& program() { return compiled_.program; }

  static bool is_input(const Op& op) { return op.is("input") || op.is("constant"); }
  static bool is_copy(const Op& op) { return op.is("transfer"); }
  static bool is_collective(const Op& op) { return op.is("all_reduce"); }
  bool is_alias(int32_t op) const {
    const Op& made = function_.ops[op];
    return made.entry->traits.view && !is_copy(made) && plan_.storage_of[op][0] == plan_.storage(made.operands[0]);
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

  // --- kernels

  void lower_launches() {
    lowered_.resize(function_.ops.size());
    for (size_t i = 0; i < function_.ops.size(); ++i) {
      const Op& op = function_.ops[i];
      if (is_input(op) || is_copy(op) || is_collective(op)) continue;
      StructuredKernel kernel = lower_launch(graph_, function_, op, [this](StructuredKernel& own) { split(own); });
      KernelCost cost = count_cost(kernel);
      kernel.name.clear();
      for (Stage& stage : kernel.stages) stage.name.clear();  // equal kernels are emitted once
      size_t number = static_cast<size_t>(std::find(kernels_.begin(), kernels_.end(), kernel) - kernels_.begin());
      if (number == kernels_.size()) kernels_.push_back(kernel);
      lowered_[i] = Lowered{std::move(kernel), cost, number};
    }
  }

  // Layers repeat: each kernel's splits are decided once.
  void split(StructuredKernel& own) {
    auto known = std::find_if(splits_.begin(), splits_.end(), [&](const auto& one) { return one.first == own; });
    if (known != splits_.end()) {
      own = known->second;
      return;
    }
    splits_.emplace_back(own, own);
    split_reductions(splits_.back().second, options_.target);
    own = splits_.back().second;
  }

  static std::string entry_name(size_t number) { return fmt::format("k{}", number); }

  bool in_place(const Op& op, int operand, int result) const {
    size_t index = static_cast<size_t>(&op - function_.ops.data());
    if (is_input(op) || is_copy(op)) return false;
    if (is_collective(op)) return operand == result;
    const StructuredKernel& kernel = lowered_.at(index).kernel;
    return may_run_in_place(kernel, operand, static_cast<int>(op.operands.size()) + result);
  }

  void emit() {
    std::vector<StructuredKernel> kernels;
    for (size_t number : used_) {
      kernels.push_back(kernels_[number]);
      kernels.back().name = entry_name(number);
    }
    EmittedKernels emitted = emit_images(std::move(kernels), options_.target, options_.emit, options_.threads);
    compiled_.images = std::move(emitted.images);
    std::map<std::string, int> image_of;
    size_t at = 0;
    for (size_t number : used_) image_of[entry_name(number)] = emitted.image_of[at++];
    for (Block& block : program().blocks)
      for (Instruction& instruction : block.instructions)
        if (Launch* launch = std::get_if<Launch>(&instruction)) launch->image = image_of.at(launch->entry);
  }

  // --- streams and buffers

  void make_streams() {
    auto add = [&](const DeviceId& id) {
      if (stream_of_.try_emplace(id, static_cast<int>(program().streams.size())).second)
        program().streams.push_back({id, "compute"});
    };
    add(options_.host);
    for (const Op& op : function_.ops)
      for (const Type& type : op.results) add(type.tensor().where.devices.at(0));
  }

  void make_buffers() {
    std::map<DeviceId, int> arena_of;
    for (const DeviceMemoryPlan& memory : plan_.devices) {
      if (memory.arena_bytes == 0) continue;
      arena_of[memory.device] = static_cast<int>(program().arenas.size());
      program().arenas.push_back({memory.device, memory.arena_bytes});
    }
    buffer_of_.assign(plan_.storages.size(), -1);
    for (Value input : function_.inputs)
      add_buffer(plan_.storage(input), input, input_name(function_, input), kind_of(input));
    for (size_t i = 0; i < function_.ops.size(); ++i) {
      const Op& op = function_.ops[i];
      for (size_t r = 0; r < op.results.size(); ++r) {
        Value value{static_cast<int32_t>(i), static_cast<int32_t>(r)};
        int32_t storage = plan_.storage(value);
        if (buffer_of_[storage] >= 0) continue;
        const Storage& planned = plan_.storages[storage];
        if (planned.kind == StorageKind::constant) {
          add_constant(storage, value);
        } else if (planned.kind == StorageKind::temporary) {
          int buffer = add_buffer(storage, value, fmt::format("t{}", storage), BufferKind::temporary);
          auto [arena, is_new] = arena_of.try_emplace(planned.device, static_cast<int>(program().arenas.size()));
          if (is_new) program().arenas.push_back({planned.device, 64});  // all its temporaries are empty
          program().buffers[buffer].arena = arena->second;
          program().buffers[buffer].offset = planned.offset;
        } else {
          add_buffer(storage, first_result(storage), fmt::format("result{}", result_count_++), BufferKind::result);
        }
      }
    }
    for (Value input : function_.inputs)
      if (input_kind(function_, input) == InputKind::argument) program().arguments.push_back(buffer(input));
    add_views();
    make_results();
  }

  // The function's result that the caller gets in this storage.
  Value first_result(int32_t storage) const {
    auto found = std::find_if(function_.results.begin(), function_.results.end(),
                              [&](Value result) { return plan_.storage(result) == storage; });
    PW_CHECK(found != function_.results.end(), "a result's storage without a result");
    return *found;
  }

  // A result that is an input, a constant or another result gets memory of its own, filled at the end of the step.
  void make_results() {
    for (Value result : function_.results) {
      int source = buffer(result);
      bool taken = std::find(program().results.begin(), program().results.end(), source) != program().results.end();
      if (program().buffers[source].kind == BufferKind::result && !taken) {
        program().results.push_back(source);
        continue;
      }
      ProgramBuffer copy = program().buffers[source];
      copy.name = fmt::format("result{}", result_count_++);
      copy.kind = BufferKind::result;
      copy.arena = -1;
      copy.offset = 0;
      copy.view_of = -1;
      program().results.push_back(static_cast<int>(program().buffers.size()));
      copied_results_.emplace_back(source, program().results.back());
      program().buffers.push_back(std::move(copy));
    }
  }

  BufferKind kind_of(Value input) const {
    switch (input_kind(function_, input)) {
      case InputKind::argument:
        return BufferKind::argument;
      case InputKind::state:
        return BufferKind::state;
      case InputKind::constant:
        return BufferKind::constant;
    }
    return BufferKind::argument;
  }

  int add_buffer(int32_t storage, Value value, std::string name, BufferKind kind) {
    const TensorType& type = function_.tensor(value);
    ProgramBuffer made;
    made.name = std::move(name);
    made.kind = kind;
    made.device = plan_.storages[storage].device;
    made.dtype = type.dtype;
    made.sizes = type.sizes();
    made.layout = type.layout;
    made.bytes = type.bytes();
    buffer_of_[storage] = static_cast<int>(program().buffers.size());
    program().buffers.push_back(std::move(made));
    return buffer_of_[storage];
  }

  // A `constant` op, or its copy on another device, is filled from the tensor. The copy of an input whose value is
  // known only when the program is bound is made from that input's buffer, at load.
  void add_constant(int32_t storage, Value value) {
    const Op* op = &function_.op(value);
    while (op->entry->traits.view) op = &function_.op(op->operands[0]);
    if (op->is("input")) {
      PW_CHECK(input_kind(function_, {static_cast<int32_t>(op - function_.ops.data()), 0}) == InputKind::constant,
               "loaded once, but given in each step");
      int made = add_buffer(storage, value, "", BufferKind::constant);
      program().buffers[made].name =
          replica_name(op->attributes.get<std::string>("name"), program().buffers[made].device);
      add_view(function_.op(value).operands[0]);
      loaded_from_[made] = buffer(function_.op(value).operands[0]);
      return;
    }
    PW_CHECK(op->is("constant"), "loaded once, but computed in each step");
    std::string name = constant_name();
    add_buffer(storage, value, name, BufferKind::constant);
    compiled_.constants.emplace(name,
                                op->attributes.get<HostTensor>("value").reshaped(function_.tensor(value).sizes()));
  }

  // Of no input: tensors are given by name.
  std::string constant_name() {
    auto is_taken = [&](const std::string& name) {
      return std::any_of(program().buffers.begin(), program().buffers.end(),
                         [&](const ProgramBuffer& buffer) { return buffer.name == name; });
    };
    std::string name;
    do name = fmt::format("constant{}", constant_count_++);
    while (is_taken(name));
    return name;
  }

  // What ops read and write of a storage that was made for a value of another type: views of it, and what runs in
  // place of it.
  void add_views() {
    for (size_t i = 0; i < function_.ops.size(); ++i) {
      const Op& op = function_.ops[i];
      auto index = static_cast<int32_t>(i);
      if (is_input(op) || is_alias(index)) continue;
      for (Value operand : op.operands) add_view(operand);
      for (size_t r = 0; r < op.results.size(); ++r) add_view({index, static_cast<int32_t>(r)});
    }
    for (Value result : function_.results) add_view(result);
    for (const Update& update : function_.updates) add_view(update.value);
  }

  void add_view(Value value) {
    if (find_buffer(value) >= 0) return;
    const TensorType& type = function_.tensor(value);
    int memory = buffer_of_[plan_.storage(value)];
    ProgramBuffer view = program().buffers[memory];
    view.kind = BufferKind::view;
    view.arena = -1;
    view.offset = 0;
    view.view_of = memory;
    view.dtype = type.dtype;
    view.sizes = type.sizes();
    view.layout = type.layout;
    view.bytes = type.bytes();
    views_of_[memory].push_back(static_cast<int>(program().buffers.size()));
    program().buffers.push_back(std::move(view));
  }

  // -1: there is none of the value's type yet.
  int find_buffer(Value value) const {
    const TensorType& type = function_.tensor(value);
    auto fits = [&](int index) {
      const ProgramBuffer& buffer = compiled_.program.buffers[index];
      return buffer.dtype == type.dtype && buffer.sizes == type.sizes() && buffer.layout == type.layout;
    };
    int memory = buffer_of_[plan_.storage(value)];
    if (fits(memory)) return memory;
    if (auto at = views_of_.find(memory); at != views_of_.end())
      for (int view : at->second)
        if (fits(view)) return view;
    return -1;
  }

  int buffer(Value value) const {
    int found = find_buffer(value);
    PW_CHECK(found >= 0, "a value without a buffer");
    return found;
  }
  int stream(const DeviceId& id) const { return stream_of_.at(id); }

  // Copies run on the stream of the device that is not the host's.
  int copy_stream(const DeviceId& from, const DeviceId& to) const { return stream(to == options_.host ? from : to); }

  // --- blocks

  void write_load() {
    BlockWriter load(program().blocks[1], program());
    for (size_t b = 0; b < program().buffers.size(); ++b) {
      const ProgramBuffer& buffer = program().buffers[b];
      bool is_constant = buffer.kind == BufferKind::constant;
      if (!is_constant && buffer.kind != BufferKind::state) continue;
      if (auto at = loaded_from_.find(static_cast<int>(b)); at != loaded_from_.end()) {
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
    int on = copy_stream(from, to);
    const int reads[] = {source}, writes[] = {destination};
    load.add(Copy{on, source, destination, std::move(facts)}, on, reads, writes);
  }

  void write_step() {
    BlockWriter step(program().blocks[0], program());
    for (size_t i = 0; i < function_.ops.size(); ++i) {
      const Op& op = function_.ops[i];
      auto index = static_cast<int32_t>(i);
      if (is_input(op) || is_alias(index)) continue;
      if (is_copy(op))
        write_copy(step, op, index);
      else if (is_collective(op))
        write_collective(step, op, index);
      else
        write_launch(step, op, index);
    }
    for (auto [source, destination] : copied_results_) {
      const DeviceId& on = program().buffers[source].device;
      const int reads[] = {source}, writes[] = {destination};
      step.add(Copy{stream(on), source, destination, {on, on, 0, program().buffers[source].name, {}, "a result"}},
               stream(on), reads, writes);
    }
    for (int32_t number : plan_.update_order) {
      const Update& update = function_.updates[number];
      program().updates.push_back({buffer(update.state), buffer(update.value)});
    }
  }

  void write_copy(BlockWriter& step, const Op& op, int32_t index) {
    int source = buffer(op.operands[0]), destination = buffer({index, 0});
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

  // The executor orders the members' streams before and after it, so each member answers for its own buffers.
  void write_collective(BlockWriter& step, const Op& op, int32_t index) {
    Collective made;
    for (size_t m = 0; m < op.operands.size(); ++m) {
      made.sources.push_back(buffer(op.operands[m]));
      made.destinations.push_back(buffer({index, static_cast<int32_t>(m)}));
      made.streams.push_back(stream(program().buffers[made.sources[m]].device));
    }
    ProgramBuffer scratch = program().buffers[made.sources[0]];
    scratch.name = fmt::format("sum{}", index);
    scratch.kind = BufferKind::temporary;
    scratch.arena = -1;
    scratch.offset = 0;
    scratch.view_of = -1;
    made.scratch = static_cast<int>(program().buffers.size());
    program().buffers.push_back(scratch);
    step.add(Allocate{made.streams[0], made.scratch}, made.streams[0], {}, {});
    int64_t copies = 2 * (static_cast<int64_t>(op.operands.size()) - 1);
    made.facts = {program().buffers[made.sources.front()].device,
                  program().buffers[made.sources.back()].device,
                  checked_mul(copies, scratch.bytes),
                  value_name(graph_, function_, op.operands[0]),
                  where_from(op),
                  fmt::format("sum over {} devices", op.operands.size())};
    step.add_collective(std::move(made));
  }

  void write_launch(BlockWriter& step, const Op& op, int32_t index) {
    const Lowered& lowered = lowered_[index];
    used_.insert(lowered.number);
    Launch launch;
    launch.stream = stream(device(op));
    launch.entry = entry_name(lowered.number);
    std::vector<int> reads, writes;
    for (Value operand : op.operands) reads.push_back(buffer(operand));
    for (size_t r = 0; r < op.results.size(); ++r) writes.push_back(buffer({index, static_cast<int32_t>(r)}));
    launch.buffers = reads;
    launch.buffers.insert(launch.buffers.end(), writes.begin(), writes.end());
    launch.written = static_cast<int>(writes.size());
    launch.flops = lowered.cost.flops;
    launch.bytes = lowered.cost.bytes;
    launch.origin = where_from(op);
    int on = launch.stream;
    step.add(std::move(launch), on, reads, writes);
  }

  const Graph& graph_;
  const Function& function_;
  const CompileProgramOptions& options_;
  CompiledProgram compiled_;
  MemoryPlan plan_;
  std::vector<Lowered> lowered_;  // by op
  std::vector<StructuredKernel> kernels_;
  std::vector<std::pair<StructuredKernel, StructuredKernel>> splits_;  // without and with their splits
  std::set<size_t> used_;                                              // kernels that something launches
  std::map<DeviceId, int> stream_of_;
  std::vector<int> buffer_of_;  // by storage
  std::vector<std::pair<int, int>> copied_results_;
  std::map<int, std::vector<int>> views_of_;
  std::map<int, int> loaded_from_;  // buffers that are copied from others at load
  int result_count_ = 0, constant_count_ = 0;
};

}  // namespace

CompiledProgram compile_program(const Graph& graph, const CompileProgramOptions& options) {
  return ProgramMaker(graph, options).make();
}

}  // namespace placewright
