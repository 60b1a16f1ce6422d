// Keeps weights in the layouts that their readers would otherwise pack them into in every run: a state or constant that
// nothing updates and whose every reader gains by the same layout. A state that an earlier executable has settled keeps
// the layout found; what wants it row-major then reads it through an explicit relayout. What a step updates is
// row-major.
#include <map>
#include <set>

#include "placewright/ir/op_table.h"
#include "rewrite.h"

namespace placewright {
namespace {

class LayoutAssigner {
 public:
  LayoutAssigner(const Function& function, const Graph& graph, const PassContext& context)
      : function_(function), graph_(graph), context_(context) {
    for (Value input : function.inputs)
      if (input_kind(function, input) != InputKind::argument) readers_[input];
    for (size_t i = 0; i < function.ops.size(); ++i)
      for (size_t o = 0; o < function.ops[i].operands.size(); ++o)
        if (auto at = readers_.find(function.ops[i].operands[o]); at != readers_.end())
          at->second.push_back({static_cast<int32_t>(i), static_cast<int>(o)});
    returned_.insert(function.results.begin(), function.results.end());
    for (const Update& update : function.updates) {
      updated_.insert(update.state);
      returned_.insert(update.value);
    }
  }

  // Row-major for all but states and constants.
  Layout choose(Value input) {
    const Op& op = function_.op(input);
    if (input_kind(function_, input) == InputKind::argument) return {};
    if (updated_.contains(input)) return {};
    auto settled = context_.options.state_layouts.find(op.attributes.get<std::string>("name"));
    if (settled != context_.options.state_layouts.end()) return settled->second;
    if (returned_.contains(input) || readers_[input].empty()) return {};
    Layout common;
    for (const Reader& reader : readers_[input]) {
      const OperandLayout* wish = wish_of(reader);
      if (!wish || (!common.is_row_major() && !(wish->layout == common))) return {};
      common = wish->layout;
    }
    return common;
  }

  bool wants(int32_t op, int operand, const Layout& layout) {
    const OperandLayout* wish = wish_of({op, operand});
    return wish && wish->layout == layout;
  }

 private:
  struct Reader {
    int32_t op;
    int operand;
  };

  const OperandLayout* wish_of(const Reader& reader) {
    const Op& op = function_.ops[reader.op];
    auto [known, is_new] = wishes_.try_emplace(reader.op);
    if (is_new && !op.results.empty()) {
      const Where& where = op.results[0].tensor().where;
      auto model = where.is_single() ? context_.targets.find(where.devices[0]) : context_.targets.end();
      if (model != context_.targets.end()) known->second = model->second->layouts(graph_, function_, op);
    }
    for (const OperandLayout& wish : known->second)
      if (wish.operand == reader.operand) return &wish;
    return nullptr;
  }

  const Function& function_;
  const Graph& graph_;
  const PassContext& context_;
  std::map<Value, std::vector<Reader>> readers_;  // of states and constants
  std::set<Value> returned_, updated_;
  std::map<int32_t, std::vector<OperandLayout>> wishes_;
};

Value relayout(FunctionBuilder& builder, Value value, const Layout& layout) {
  TensorType type = builder.function().tensor(value);
  type.layout = layout;
  return builder.append({&find_op("relayout"), {value}, {Type(type)}, {}, {}, builder.origin, {}}).front();
}

}  // namespace

Graph assign_layouts(Graph graph, const PassContext& context) {
  std::map<Value, Layout> chosen;
  {
    LayoutAssigner assigner(graph.main(), graph, context);
    for (Value input : graph.main().inputs)
      if (Layout layout = assigner.choose(input); !layout.is_row_major()) chosen[input] = std::move(layout);
  }
  if (chosen.empty()) return graph;
  const Graph before = graph;
  LayoutAssigner assigner(before.main(), before, context);
  std::map<Value, Value> row_major;  // of chosen inputs, old to new
  Rewriter rewriter(graph, 0);
  auto read_row_major = [&](Value old) {
    auto [plain, is_new] = row_major.try_emplace(old);
    if (is_new) plain->second = relayout(rewriter.builder, rewriter(old), {});
    return plain->second;
  };
  for (int32_t i = 0; i < static_cast<int32_t>(rewriter.old().ops.size()); ++i) {
    const Op& old = rewriter.old().ops[i];
    Op op = old;
    op.operands = rewriter.operands(old);
    rewriter.builder.origin = old.origin;
    for (size_t o = 0; o < op.operands.size(); ++o) {
      auto at = chosen.find(old.operands[o]);
      if (at == chosen.end() || assigner.wants(i, static_cast<int>(o), at->second)) continue;
      op.operands[o] = read_row_major(old.operands[o]);
    }
    if (auto at = chosen.find({i, 0}); at != chosen.end()) op.results[0].set_layout(at->second);
    rewriter.put(i, std::move(op));
  }
  // Old inputs that are results, or new values of other states, are given row-major too.
  std::vector<Value> given = rewriter.old().results;
  for (const Update& update : rewriter.old().updates) given.push_back(update.value);
  for (Value value : given)
    if (chosen.contains(value)) read_row_major(value);
  const Function old = rewriter.old();
  rewriter.finish();
  for (size_t r = 0; r < old.results.size(); ++r)
    if (auto at = row_major.find(old.results[r]); at != row_major.end()) graph.main().results[r] = at->second;
  for (size_t u = 0; u < old.updates.size(); ++u)
    if (auto at = row_major.find(old.updates[u].value); at != row_major.end())
      graph.main().updates[u].value = at->second;
  return graph;
}

}  // namespace placewright
