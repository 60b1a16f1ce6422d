// Lets values that wait for late readers leave a memory that is too small: they are computed again, copied again, or
// wait in the host's memory. The last pass: it changes launches, and nothing joins or moves them afterwards.
#include <map>

#include <fmt/core.h>

#include "placewright/ir/op_table.h"
#include "placewright/passes/launch_order.h"
#include "placewright/passes/relief.h"
#include "relaunch.h"
#include "relief_rounds.h"
#include "rewrite.h"

namespace placewright {
namespace {

class RoundWriter {
 public:
  RoundWriter(Graph& graph, const std::vector<ReliefStep>& steps) : rewriter_(graph, 0), first_(steps.data()) {
    const Function& old = rewriter_.old();
    last_reader_.assign(old.ops.size(), -1);
    for (size_t i = 0; i < old.ops.size(); ++i)
      for (Value operand : old.ops[i].operands) last_reader_[operand.op] = static_cast<int32_t>(i);
    runs_again_.assign(old.ops.size(), false);
    for (const ReliefStep& step : steps) {
      for (const Relaunch& launch : step.launches) runs_again_[launch.op] = true;
      for (Value value : step.values) runs_again_[value.op] = true;
      PW_CHECK(step.before < static_cast<int32_t>(old.ops.size()) && step.after < step.before, "another graph's step");
      back_.emplace(step.before, &step);
      if (step.kind == ReliefKind::offloaded) away_.emplace(step.after, &step);
    }
    made_by_.assign(steps.size(), 0);
  }

  void run() {
    for (int32_t i = 0; i < static_cast<int32_t>(rewriter_.old().ops.size()); ++i) {
      for (auto [at, end] = back_.equal_range(i); at != end; ++at) {
        bring_back(*at->second);
        note(*at->second);
      }
      if (runs_again_[i] || rewriter_.old().ops[i].entry->traits.view)
        rewriter_.copy(i);
      else
        rewriter_.take(i);
      ops_.push_back({i, -1, 0});
      for (auto [at, end] = away_.equal_range(i); at != end; ++at) {
        take_away(*at->second);
        note(*at->second);
      }
    }
    rewriter_.finish();
  }

  std::vector<RoundOp> take_ops() { return std::move(ops_); }

 private:
  using Made = std::map<Value, Value>;  // old values to what was made again of them

  // The ops that were appended last are the step's.
  void note(const ReliefStep& step) {
    const auto number = static_cast<int32_t>(&step - first_);
    while (ops_.size() < rewriter_.builder.function().ops.size()) ops_.push_back({-1, number, made_by_[number]++});
  }

  Value current(Value value, const Made& made) const {
    auto at = made.find(value);
    return at == made.end() ? rewriter_(value) : at->second;
  }

  Value transfer(Value value, const TensorType& from, const DeviceId& to, OriginId origin, const char* why) {
    TensorType type = from;
    type.where = Where{{to}, {}, {}};
    Op op{&find_op("transfer"), {value}, {type}, {}, {}, 0, {}};
    op.origin = rewriter_.builder.graph().origins.with_role(origin, Role::transfer);
    op.attributes.set("at_load", false);
    op.attributes.set("why", std::string(why));
    return rewriter_.builder.append(std::move(op)).front();
  }

  void take_away(const ReliefStep& step) {
    const Function& old = rewriter_.old();
    for (Value value : step.values)
      waiting_[value] = transfer(rewriter_(value), old.tensor(value), step.waits_on, old.op(value).origin,
                                 "waits there for a late reader, to free memory");
  }

  void bring_back(const ReliefStep& step) {
    const Function& old = rewriter_.old();
    Made made;
    if (step.kind == ReliefKind::offloaded)
      for (Value value : step.values)
        made[value] = transfer(waiting_.at(value), old.tensor(value), step.device, old.ops[step.before].origin,
                               "back for a late reader");
    for (const Relaunch& launch : step.launches) run_again(launch, made);
    for (Value value : step.values) {
      set(value, made.at(value));
      renew_views(value, step.before);
    }
  }

  void run_again(const Relaunch& launch, Made& made) {
    MadeRelaunch again = make_relaunch(rewriter_.builder.graph(), rewriter_.old().ops[launch.op], launch);
    for (Value& operand : again.op.operands) operand = current(operand, made);
    if (again.op.is("transfer")) again.op.attributes.set("why", std::string("once more, to free memory meanwhile"));
    std::vector<Value> results = rewriter_.builder.append(std::move(again.op));
    for (size_t i = 0; i < results.size(); ++i)
      made[{launch.op, again.is_whole ? static_cast<int32_t>(i) : launch.results[i]}] = results[i];
  }

  // What reads the value from now on reads `now`.
  void set(Value value, Value now) {
    std::vector<Value> all;
    for (size_t r = 0; r < rewriter_.old().op(value).results.size(); ++r)
      all.push_back(rewriter_({value.op, static_cast<int32_t>(r)}));
    all[value.result] = now;
    rewriter_.replace(value.op, std::move(all));
  }

  void renew_views(Value value, int32_t before) {
    const Function& old = rewriter_.old();
    for (int32_t i = value.op + 1; i < before; ++i) {
      const Op& op = old.ops[i];
      if (!op.entry->traits.view || op.is("transfer") || op.operands[0] != value || last_reader_[i] < before) continue;
      rewriter_.copy(i);
      renew_views({i, 0}, before);
    }
  }

  Rewriter rewriter_;
  const ReliefStep* first_;
  std::vector<RoundOp> ops_;
  std::vector<int32_t> made_by_;      // ops, by each step
  std::vector<int32_t> last_reader_;  // of each op's results
  std::vector<bool> runs_again_;      // or comes back, of each op
  std::multimap<int32_t, const ReliefStep*> back_, away_;
  std::map<Value, Value> waiting_;  // old values to their copies elsewhere
};

Graph reorder(Graph graph, const PassContext& context, const ReliefStep& step) {
  MemoryPlan plan = measure_need(graph, context).plan;
  int cut = 0;
  if (step.cut > 0) {
    graph = cut_launches(std::move(graph), plan, step.device, cut);
    plan = measure_need(graph, context).plan;
  }
  PW_CHECK(cut == step.cut, "another graph's step");
  return order_for_memory(std::move(graph), plan, step.device);
}

}  // namespace

std::string_view name(ReliefKind kind) {
  switch (kind) {
    case ReliefKind::reordered:
      return "reordered";
    case ReliefKind::recomputed:
      return "recomputed";
    case ReliefKind::copied_again:
      return "copied again";
    case ReliefKind::offloaded:
      return "offloaded";
  }
  return "";
}

Graph apply_round(Graph compiled, const std::vector<ReliefStep>& steps, std::vector<RoundOp>* ops) {
  RoundWriter writer(compiled, steps);
  writer.run();
  if (ops) *ops = writer.take_ops();
  return compiled;
}

Graph apply_relief(Graph compiled, const PassContext& context, const std::vector<ReliefStep>& steps) {
  for (size_t begin = 0; begin < steps.size();) {
    if (steps[begin].kind == ReliefKind::reordered) {
      compiled = reorder(std::move(compiled), context, steps[begin++]);
      continue;
    }
    size_t end = begin;
    while (end < steps.size() && steps[end].round == steps[begin].round) ++end;
    compiled = apply_round(std::move(compiled), {steps.begin() + static_cast<std::ptrdiff_t>(begin),
                                                 steps.begin() + static_cast<std::ptrdiff_t>(end)});
    begin = end;
  }
  return compiled;
}

Graph relieve_memory(Graph compiled, const PassContext& context, std::vector<ReliefStep>& steps) {
  Relief relief = find_relief(std::move(compiled), context);
  if (!relief.fits) throw Error(describe_shortage(relief.graph, relief.need) + "; use a smaller batch");
  steps = std::move(relief.steps);
  return std::move(relief.graph);
}

Graph relieve_memory(Graph graph, const PassContext& context) {
  std::vector<ReliefStep> steps;
  return relieve_memory(std::move(graph), context, steps);
}

}  // namespace placewright
