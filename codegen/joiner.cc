#include "joiner.h"

#include <algorithm>

#include <fmt/core.h>

#include "lower_own.h"
#include "placewright/base/error.h"
#include "placewright/ir/op_table.h"
#include "prune_kernel.h"

namespace placewright {
namespace {

// A sum may join its own product in one rounding; a product of another op has been rounded, and stays so.
int rounded(Stage& made, const ScalarNode& own, int node) {
  const ScalarNode& fed = made.body[node];
  if (own.op == ScalarOp::mul || fed.op != ScalarOp::mul || !is_floating(fed.dtype)) return node;
  return StageWriter(made, made.body).add({.op = ScalarOp::cast, .dtype = fed.dtype, .operands = {node, -1, -1}});
}

}  // namespace

StructuredKernel Joiner::run() {
  kernel_.name = function_.name;
  count_uses();
  add_interface();
  for (int32_t i = 0; i < static_cast<int32_t>(function_.ops.size()); ++i) add_op(i);
  for (size_t r = 0; r < function_.results.size(); ++r) settle_result(r);
  prune_kernel(kernel_);
  return std::move(kernel_);
}

void Joiner::count_uses() {
  for (const Op& op : function_.ops)
    for (Value operand : op.operands) ++uses_[operand];
  for (Value result : function_.results) ++uses_[result];
}

void Joiner::add_interface() {
  for (size_t i = 0; i < function_.inputs.size(); ++i)
    stored_[function_.inputs[i]] = {
        add_buffer(fmt::format("in{}", i), type(function_.inputs[i]), KernelBuffer::Role::input), -1};
  for (size_t r = 0; r < function_.results.size(); ++r) {
    Value value = function_.results[r];
    outputs_.push_back(add_buffer(fmt::format("out{}", r), type(value), KernelBuffer::Role::output));
    // The value, and what it is a view of, are written to the result's own memory.
    for (bool is_view = true; is_view; value = function_.op(value).operands[0]) {
      home_.try_emplace(value, outputs_.back());
      is_view = function_.op(value).entry->traits.view;
      if (!is_view) break;
    }
  }
}

void Joiner::add_op(int32_t number) {
  const Op& op = function_.ops[number];
  if (op.is("input")) return;
  if (op.is("constant")) {
    define_constant(number);
    return;
  }
  if (op.entry->traits.view) {
    add_view(number);
    return;
  }
  StructuredKernel own = lower_own(graph_, function_, op, split_);
  if (std::optional<Definition> definition = try_define(op, own)) {
    Value value{number, 0};
    definitions_[value] = std::move(*definition);
    const Definition& made = definitions_[value];
    // Dear values with several readers are stored once, in the stage that made their operands if that can be.
    if (uses_[value] > 1 && made.weight > cheap) materialise(value);
    return;
  }
  append(number, own);
}

void Joiner::define_constant(int32_t number) {
  const HostTensor& tensor = function_.ops[number].attributes.get<HostTensor>("value");
  Definition definition;
  definition.stage.name = "constant";
  definition.stage.extents = tensor.sizes();
  definition.stage.reduced.assign(tensor.sizes().size(), false);
  for (size_t d = 0; d < tensor.sizes().size(); ++d) definition.dims.push_back(static_cast<int>(d));
  int64_t size = tensor.elements() ? tensor.bytes() / tensor.elements() : 1;
  for (int64_t i = 1; i < tensor.elements(); ++i)
    PW_CHECK(std::equal(tensor.raw(), tensor.raw() + size, tensor.raw() + i * size),
             "a constant of several values inside a fused op");
  ScalarNode node{.op = ScalarOp::constant, .dtype = tensor.dtype()};
  if (tensor.elements() > 0 && is_floating(tensor.dtype())) node.number = tensor.number(0);
  if (tensor.elements() > 0 && !is_floating(tensor.dtype())) node.integer = tensor.integer(0);
  definition.stage.body = {node};
  definition.node = 0;
  definitions_[{number, 0}] = std::move(definition);
}

// A reshape is the operand's memory under other sizes; one that only adds or drops dimensions of size 1 composes,
// unless the operand has been stored in the very memory that the reshape belongs in.
void Joiner::add_view(int32_t number) {
  const Op& op = function_.ops[number];
  Value value{number, 0}, operand = op.operands[0];
  if (!is_at_home(value, operand))
    if (std::optional<Definition> definition = drop_ones(value, operand)) {
      if (!is_at_home(value, operand)) {  // not even by now
        definitions_[value] = std::move(*definition);
        return;
      }
    }
  Stored from = store(operand);
  int root = root_of(from.buffer);
  auto home = home_.find(value);
  if (home != home_.end() && root == home->second && kernel_.buffers[home->second].sizes == type(value).sizes()) {
    stored_[value] = {home->second, from.stage};
    return;
  }
  stored_[value] = {add_buffer(fmt::format("v{}", number), type(value), KernelBuffer::Role::local, root), from.stage};
}

bool Joiner::is_at_home(Value value, Value operand) const {
  auto home = home_.find(value);
  auto stored = stored_.find(operand);
  return home != home_.end() && stored != stored_.end() && root_of(stored->second.buffer) == home->second;
}

// An op that is no definition: its stages join the kernel, with buffers of their own.
void Joiner::append(int32_t number, const StructuredKernel& own) {
  const Op& op = function_.ops[number];
  size_t operands = op.operands.size(), results = op.results.size();
  // Kernels of several stages read operands at several places: these are stored first.
  std::vector<int> buffers(own.buffers.size(), -1);
  for (size_t r = 0; r < results; ++r) buffers[operands + r] = buffer_for({number, static_cast<int32_t>(r)});
  for (size_t b = operands + results; b < own.buffers.size(); ++b) {
    KernelBuffer local = own.buffers[b];
    local.name = fmt::format("v{}_{}", number, local.name);
    if (local.alias_of >= 0) {
      if (local.alias_of < static_cast<int>(operands))
        buffers[local.alias_of] = store(op.operands[local.alias_of]).buffer;
      local.alias_of = buffers[local.alias_of];
    }
    kernel_.buffers.push_back(std::move(local));
    buffers[b] = static_cast<int>(kernel_.buffers.size()) - 1;
  }
  for (const Stage& stage : own.stages) append_stage(op, stage, buffers);
  for (size_t r = 0; r < results; ++r)
    stored_[{number, static_cast<int32_t>(r)}] = {buffers[operands + r], static_cast<int>(kernel_.stages.size()) - 1};
}

void Joiner::append_stage(const Op& op, const Stage& stage, const std::vector<int>& buffers) {
  Stage made;
  made.name = stage.name;
  made.extents = stage.extents;
  made.reduced = stage.reduced;
  made.sequential = stage.sequential;
  made.reduction = stage.reduction;
  auto copy = [&](const ScalarBody& from, ScalarBody& to) {
    StageWriter writer(made, to);
    return writer.copy(stage, from, nullptr, [&](const ScalarNode& node, Access access) {
      int latest = -1;
      if (access.buffer < static_cast<int>(op.operands.size()) && buffers[access.buffer] < 0)
        return read(writer, op.operands[access.buffer], access, latest);
      access.buffer = buffers[access.buffer];
      return writer.load(node.dtype, access);
    });
  };
  auto put = [&](const std::vector<Store>& from, std::vector<Store>& to, const std::vector<int>& nodes) {
    for (const Store& one : from) {
      Access access = stage.accesses[one.access];
      access.buffer = buffers[access.buffer];
      for (Access::Indirect& part : access.indirect) part.node = nodes[part.node];
      made.accesses.push_back(access);
      to.push_back({static_cast<int>(made.accesses.size()) - 1, nodes[one.node], one.add});
    }
  };
  std::vector<int> body = copy(stage.body, made.body);
  for (int& value : made.reduction.values) value = rounded(made, stage.body[value], body[value]);
  put(stage.stores, made.stores, body);
  std::vector<int> epilogue = copy(stage.epilogue, made.epilogue);
  put(stage.epilogue_stores, made.epilogue_stores, epilogue);
  kernel_.stages.push_back(std::move(made));
}

// A result that is an input, or stands twice among the results, is copied.
void Joiner::settle_result(size_t r) {
  Value value = function_.results[r];
  Stored stored = store(value);
  if (stored.buffer == outputs_[r]) return;
  kernel_.stages.push_back(copy_stage("copy", stored.buffer, outputs_[r], type(value).dtype, type(value).sizes()));
}

}  // namespace placewright
