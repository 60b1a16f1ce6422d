#include "relaunch.h"

#include <algorithm>
#include <map>
#include <numeric>

#include <fmt/core.h>

#include "placewright/ir/builder.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/placement.h"

namespace placewright {
namespace {

bool may_run_again(const Op& op) {
  if (op.entry->traits.keep || op.results.empty() || !op.results[0].tensor().where.is_single()) return false;
  if (op.is("relayout")) return true;
  if (op.is("transfer")) return !op.attributes.get<bool>("at_load");
  return op.is("fused") || (can_lower(*op.entry) && !op.entry->traits.view);
}

// What of a fused op's body the wanted results depend on.
struct Slice {
  std::vector<bool> needed;  // ops of the body
  std::vector<Value> read;   // results of the fused op that are read instead, as values of the body
};

Slice slice_of(const Function& body, const Relaunch& launch) {
  Slice slice{std::vector<bool>(body.ops.size(), false), {}};
  for (int32_t result : launch.read) slice.read.push_back(body.results[result]);
  auto need = [&](Value value) {
    if (std::find(slice.read.begin(), slice.read.end(), value) == slice.read.end()) slice.needed[value.op] = true;
  };
  for (int32_t result : launch.results) slice.needed[body.results[result].op] = true;
  for (size_t i = body.ops.size(); i-- > 0;)
    if (slice.needed[i])
      for (Value operand : body.ops[i].operands) need(operand);
  return slice;
}

bool is_whole(const Op& op, const Relaunch& launch) {
  return !op.is("fused") || (launch.read.empty() && launch.results.size() == op.results.size());
}

}  // namespace

RelaunchReads reads_of(const Graph& graph, const Op& op, const Relaunch& launch) {
  if (!may_run_again(op)) return {};
  if (is_whole(op, launch)) return {true, op.operands};
  const Function& body = graph.functions[op.functions[0]];
  Slice slice = slice_of(body, launch);
  RelaunchReads reads{true, {}};
  for (size_t i = 0; i < body.inputs.size(); ++i)
    if (slice.needed[body.inputs[i].op]) reads.values.push_back(op.operands[i]);
  for (int32_t result : launch.read) reads.values.push_back({launch.op, result});
  return reads;
}

MadeRelaunch make_relaunch(Graph& graph, Op op, const Relaunch& launch) {
  if (is_whole(op, launch)) return {std::move(op), true};
  const Function body = graph.functions[op.functions[0]];  // a copy: the functions move
  Slice slice = slice_of(body, launch);
  RelaunchReads reads = reads_of(graph, op, launch);
  FunctionId part = add_function(graph, fmt::format("{}_again_{}", body.name, graph.functions.size()));
  FunctionBuilder builder(graph, part);
  std::map<Value, Value> inside;
  auto enter = [&](Value value) {
    inside[value] =
        builder.input(fmt::format("in{}", builder.function().inputs.size()), InputKind::argument, body.type(value));
  };
  for (Value input : body.inputs)
    if (slice.needed[input.op]) enter(input);
  for (Value value : slice.read) enter(value);
  for (size_t i = 0; i < body.ops.size(); ++i) {
    if (!slice.needed[i] || body.ops[i].is("input")) continue;
    Op copy = body.ops[i];
    for (Value& operand : copy.operands) operand = inside.at(operand);
    std::vector<Value> values = builder.append(std::move(copy));
    for (size_t r = 0; r < values.size(); ++r)  // what is read instead stays what it is
      inside.try_emplace({static_cast<int32_t>(i), static_cast<int32_t>(r)}, values[r]);
  }
  Op made{op.entry, std::move(reads.values), {}, op.attributes, {part}, op.origin, {}};
  for (int32_t result : launch.results) {
    builder.function().results.push_back(inside.at(body.results[result]));
    made.results.push_back(op.results[result]);
  }
  return {std::move(made), false};
}

double relaunch_seconds(const Graph& graph, const PassContext& context, const Relaunch& launch) {
  const Op& op = graph.main().ops[launch.op];
  const DeviceId& device = op.results[0].tensor().where.devices[0];
  if (op.is("transfer")) {
    const TensorType& from = graph.main().tensor(op.operands[0]);
    return transfer_seconds(context, from.where.devices.at(0), device, from.bytes());
  }
  auto model = context.targets.find(device);
  if (model == context.targets.end()) return 0;
  if (is_whole(op, launch)) return model->second->cost(graph, graph.main(), {launch.op});
  Graph scratch;
  scratch.functions = {Function{"scratch", {}, {}, {}, {}}, graph.functions[op.functions[0]]};
  Op copy = op;
  copy.functions = {1};
  Op made = make_relaunch(scratch, std::move(copy), launch).op;
  FunctionBuilder builder(scratch, 0);
  for (Value& read : made.operands)
    read = builder.input(fmt::format("in{}", builder.function().inputs.size()), InputKind::argument,
                         graph.main().type(read));
  made.origin = 0;
  for (Function& function : scratch.functions)
    for (Op& inner : function.ops) inner.origin = 0;
  int32_t number = builder.append(std::move(made)).front().op;
  return model->second->cost(scratch, scratch.main(), {number});
}

}  // namespace placewright
