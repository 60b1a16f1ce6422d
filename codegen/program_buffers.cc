#include "program_buffers.h"

#include <algorithm>

#include <fmt/core.h>

#include "placed_ops.h"
#include "placewright/base/error.h"
#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

BufferKind kind_of(InputKind kind) {
  switch (kind) {
    case InputKind::argument:
      return BufferKind::argument;
    case InputKind::state:
      return BufferKind::state;
    case InputKind::constant:
      return BufferKind::constant;
  }
  return BufferKind::argument;
}

}  // namespace

ProgramBuffers::ProgramBuffers(const Function& function, const MemoryPlan& plan, CompiledProgram& compiled)
    : function_(function), plan_(plan), compiled_(compiled), buffer_of_(plan.storages.size(), -1) {
  add_arenas();
  for (Value input : function.inputs)
    add_buffer(plan.storage(input), input, input_name(function, input), kind_of(input_kind(function, input)));
  for (size_t i = 0; i < function.ops.size(); ++i)
    for (size_t r = 0; r < function.ops[i].results.size(); ++r)
      add_storage({static_cast<int32_t>(i), static_cast<int32_t>(r)});
  for (Value input : function.inputs)
    if (input_kind(function, input) == InputKind::argument) program().arguments.push_back(of(input));
  add_views();
  add_results();
}

int ProgramBuffers::of(Value value) const {
  int found = find(value);
  PW_CHECK(found >= 0, "a value without a buffer");
  return found;
}

bool ProgramBuffers::is_alias(int32_t op) const {
  const Op& made = function_.ops[op];
  return made.entry->traits.view && !is_copy(made) && plan_.storage_of[op][0] == plan_.storage(made.operands[0]);
}

int ProgramBuffers::add_like(int source, std::string name, BufferKind kind) {
  ProgramBuffer copy = program().buffers[source];
  copy.name = std::move(name);
  copy.kind = kind;
  copy.arena = -1;
  copy.offset = 0;
  copy.view_of = -1;
  program().buffers.push_back(std::move(copy));
  return static_cast<int>(program().buffers.size()) - 1;
}

void ProgramBuffers::add_arenas() {
  for (const DeviceMemoryPlan& memory : plan_.devices) {
    if (memory.arena_bytes == 0) continue;
    arena_of_[memory.device] = static_cast<int>(program().arenas.size());
    program().arenas.push_back({memory.device, memory.arena_bytes});
  }
}

void ProgramBuffers::add_storage(Value value) {
  int32_t storage = plan_.storage(value);
  if (buffer_of_[storage] >= 0) return;
  StorageKind kind = plan_.storages[storage].kind;
  if (kind == StorageKind::constant)
    add_constant(storage, value);
  else if (kind == StorageKind::temporary)
    add_temporary(storage, value);
  else
    add_buffer(storage, first_result(storage), fmt::format("result{}", result_count_++), BufferKind::result);
}

int ProgramBuffers::add_buffer(int32_t storage, Value value, std::string name, BufferKind kind) {
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

void ProgramBuffers::add_temporary(int32_t storage, Value value) {
  const Storage& planned = plan_.storages[storage];
  int buffer = add_buffer(storage, value, fmt::format("t{}", storage), BufferKind::temporary);
  auto [arena, is_new] = arena_of_.try_emplace(planned.device, static_cast<int>(program().arenas.size()));
  if (is_new) program().arenas.push_back({planned.device, 64});  // all its temporaries are empty
  program().buffers[buffer].arena = arena->second;
  program().buffers[buffer].offset = planned.offset;
}

// A `constant` op, or its copy on another device, is filled from the tensor. The copy of an input whose value is
// known only when the program is bound is made from that input's buffer, at load.
void ProgramBuffers::add_constant(int32_t storage, Value value) {
  const Op* op = &function_.op(value);
  while (op->entry->traits.view) op = &function_.op(op->operands[0]);
  if (op->is("input")) {
    PW_CHECK(input_kind(function_, {static_cast<int32_t>(op - function_.ops.data()), 0}) == InputKind::constant,
             "loaded once, but given in each step");
    int made = add_buffer(storage, value, "", BufferKind::constant);
    program().buffers[made].name =
        replica_name(op->attributes.get<std::string>("name"), program().buffers[made].device);
    add_view(function_.op(value).operands[0]);
    loaded_from_[made] = of(function_.op(value).operands[0]);
    return;
  }
  PW_CHECK(op->is("constant"), "loaded once, but computed in each step");
  std::string name = constant_name();
  add_buffer(storage, value, name, BufferKind::constant);
  compiled_.constants.emplace(name, op->attributes.get<HostTensor>("value").reshaped(function_.tensor(value).sizes()));
}

// What ops read and write of a storage that was made for a value of another type: views of it, and what runs in
// place of it.
void ProgramBuffers::add_views() {
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

void ProgramBuffers::add_view(Value value) {
  if (find(value) >= 0) return;
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

// A result that is an input, a constant or another result gets memory of its own, filled at the end of the step.
void ProgramBuffers::add_results() {
  for (Value result : function_.results) {
    std::vector<int>& results = program().results;
    int source = of(result);
    bool taken = std::find(results.begin(), results.end(), source) != results.end();
    if (program().buffers[source].kind == BufferKind::result && !taken) {
      results.push_back(source);
      continue;
    }
    results.push_back(add_like(source, fmt::format("result{}", result_count_++), BufferKind::result));
    copied_results_.emplace_back(source, results.back());
  }
}

// The function's result that the caller gets in this storage.
Value ProgramBuffers::first_result(int32_t storage) const {
  auto found = std::find_if(function_.results.begin(), function_.results.end(),
                            [&](Value result) { return plan_.storage(result) == storage; });
  PW_CHECK(found != function_.results.end(), "a result's storage without a result");
  return *found;
}

// Of no input: tensors are given by name.
std::string ProgramBuffers::constant_name() {
  auto is_taken = [&](const std::string& name) {
    return std::any_of(program().buffers.begin(), program().buffers.end(),
                       [&](const ProgramBuffer& buffer) { return buffer.name == name; });
  };
  std::string name;
  do name = fmt::format("constant{}", constant_count_++);
  while (is_taken(name));
  return name;
}

// -1: there is none of the value's type yet.
int ProgramBuffers::find(Value value) const {
  const TensorType& type = function_.tensor(value);
  auto fits = [&](int index) {
    const ProgramBuffer& buffer = program().buffers[index];
    return buffer.dtype == type.dtype && buffer.sizes == type.sizes() && buffer.layout == type.layout;
  };
  int memory = buffer_of_[plan_.storage(value)];
  if (fits(memory)) return memory;
  if (auto at = views_of_.find(memory); at != views_of_.end())
    for (int view : at->second)
      if (fits(view)) return view;
  return -1;
}

}  // namespace placewright
