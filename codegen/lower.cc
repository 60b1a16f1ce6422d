#include "placewright/codegen/lower.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/core.h>

#include "placewright/base/error.h"
#include "placewright/ir/op_table.h"
#include "placewright/ir/work.h"
#include "prune_kernel.h"
#include "stage_writer.h"

namespace placewright {
namespace {

bool has_reduction(const StructuredKernel& kernel) {
  return std::any_of(kernel.stages.begin(), kernel.stages.end(),
                     [](const Stage& stage) { return stage.has_reduction(); });
}

Type row_major(Type type) {
  type.tensor().layout = {};
  return type;
}

// A relayout's kernel: one copy, element by element.
StructuredKernel lower_relayout(const TensorType& from, const TensorType& to) {
  StructuredKernel kernel;
  kernel.buffers = {{"in0", from.dtype, from.sizes(), from.layout, KernelBuffer::Role::input, -1},
                    {"out0", to.dtype, to.sizes(), to.layout, KernelBuffer::Role::output, -1}};
  Stage copy;
  copy.name = "relayout";
  copy.extents = from.sizes();
  copy.reduced.assign(copy.extents.size(), false);
  for (int buffer : {0, 1}) {
    Access access{buffer, {}, false, 0, {}};
    for (int d = 0; d < copy.rank(); ++d) access.index.push_back(AffineExpr::dim(d, copy.rank()));
    copy.accesses.push_back(std::move(access));
  }
  copy.body = {{.op = ScalarOp::load, .dtype = from.dtype, .slot = 0}};
  copy.stores = {{1, 0, false}};
  kernel.stages = {std::move(copy)};
  return kernel;
}

// An op's own kernel. Layouts do not change how its reductions are split.
StructuredKernel lower_own(const Graph& graph, const Function& function, const Op& op, const SplitReductions& split) {
  if (op.is("relayout")) return lower_relayout(function.tensor(op.operands[0]), op.results[0].tensor());
  if (!can_lower(*op.entry))
    throw Error(fmt::format("{} has no kernel: decompose it first ({})", op.name(), graph.origins[op.origin].site()));
  std::vector<Type> operands, plain, results;
  for (Value operand : op.operands) operands.push_back(function.type(operand));
  StructuredKernel kernel = lower_op({*op.entry, operands, op.results, op.attributes, &graph, op.functions});
  if (!split || !has_reduction(kernel)) return kernel;
  for (const Type& type : operands) plain.push_back(row_major(type));
  for (const Type& type : op.results) results.push_back(row_major(type));
  StructuredKernel logical = plain == operands && results == op.results
                                 ? kernel
                                 : lower_op({*op.entry, plain, results, op.attributes, &graph, op.functions});
  split(logical);
  for (size_t s = 0; s < kernel.stages.size(); ++s)
    kernel.stages[s].reduction.split = logical.stages[s].reduction.split;
  return kernel;
}

// A node this cheap is computed again by each reader rather than stored and loaded.
constexpr double cheap = 2;

// A value that is not in memory: what one elementwise stage would store, for any reader to compute in place.
struct Definition {
  Stage stage;            // its accesses speak of the kernel's buffers
  std::vector<int> dims;  // stage dimension of each dimension of the value
  int node = -1;
  double weight = 0;
  int latest = -1;  // the last of the kernel's stages that writes what it reads; -1: inputs only
};

// A value in a buffer.
struct Stored {
  int buffer = -1;
  int stage = -1;  // that wrote it; -1: an input
};

class Joiner {
 public:
  Joiner(const Graph& graph, const Function& function, const SplitReductions& split)
      : graph_(graph), function_(function), split_(split) {}

  StructuredKernel run() {
    kernel_.name = function_.name;
    count_uses();
    add_interface();
    for (int32_t i = 0; i < static_cast<int32_t>(function_.ops.size()); ++i) add_op(i);
    for (size_t r = 0; r < function_.results.size(); ++r) settle_result(r);
    prune_kernel(kernel_);
    return std::move(kernel_);
  }

 private:
  const TensorType& type(Value value) const { return function_.tensor(value); }

  void count_uses() {
    for (const Op& op : function_.ops)
      for (Value operand : op.operands) ++uses_[operand];
    for (Value result : function_.results) ++uses_[result];
  }

  int add_buffer(std::string name, const TensorType& type, KernelBuffer::Role role, int alias_of = -1) {
    kernel_.buffers.push_back({std::move(name), type.dtype, type.sizes(), type.layout, role, alias_of});
    return static_cast<int>(kernel_.buffers.size()) - 1;
  }

  void add_interface() {
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

  int buffer_for(Value value) {
    auto home = home_.find(value);
    std::string name = fmt::format("v{}", value.op);
    if (home == home_.end()) return add_buffer(name, type(value), KernelBuffer::Role::local);
    const KernelBuffer& output = kernel_.buffers[home->second];
    if (output.sizes == type(value).sizes()) return home->second;
    return add_buffer(name, type(value), KernelBuffer::Role::local, home->second);
  }

  // --- Ops -----------------------------------------------------------------------------------------------------------

  void add_op(int32_t number) {
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

  void define_constant(int32_t number) {
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
  void add_view(int32_t number) {
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

  bool is_at_home(Value value, Value operand) const {
    auto home = home_.find(value);
    auto stored = stored_.find(operand);
    return home != home_.end() && stored != stored_.end() && root_of(stored->second.buffer) == home->second;
  }

  std::optional<Definition> drop_ones(Value value, Value operand) {
    Sizes to = type(value).sizes(), from = type(operand).sizes();
    std::vector<int> kept_to, kept_from;
    for (size_t d = 0; d < to.size(); ++d)
      if (to[d] != 1) kept_to.push_back(static_cast<int>(d));
    for (size_t d = 0; d < from.size(); ++d)
      if (from[d] != 1) kept_from.push_back(static_cast<int>(d));
    if (kept_to.size() != kept_from.size()) return std::nullopt;
    for (size_t i = 0; i < kept_to.size(); ++i)
      if (to[kept_to[i]] != from[kept_from[i]]) return std::nullopt;
    int rank = static_cast<int>(to.size());
    Definition definition;
    definition.stage.name = "reshape";
    definition.stage.extents = to;
    definition.stage.reduced.assign(to.size(), false);
    for (int d = 0; d < rank; ++d) definition.dims.push_back(d);
    Access access;
    access.index.assign(from.size(), AffineExpr::number(0, rank));
    for (size_t i = 0; i < kept_to.size(); ++i) access.index[kept_from[i]] = AffineExpr::dim(kept_to[i], rank);
    StageWriter writer(definition.stage, definition.stage.body);
    definition.node = read(writer, operand, access, definition.latest);
    definition.weight = body_weight(definition.stage.body);
    return definition;
  }

  static double body_weight(const ScalarBody& body) {
    double weight = 0;
    for (const ScalarNode& node : body) weight += node_weight(node.op);
    return weight;
  }

  // The value of an elementwise op (one plain stage, one store that permutes its dimensions) as a definition.
  std::optional<Definition> try_define(const Op& op, const StructuredKernel& own) {
    if (op.results.size() != 1 || own.stages.size() != 1 || own.buffers.size() != op.operands.size() + 1)
      return std::nullopt;
    const Stage& stage = own.stages[0];
    if (stage.has_reduction() || stage.stores.size() != 1 || stage.stores[0].add || !stage.sequential.empty())
      return std::nullopt;
    const Access& out = stage.accesses[stage.stores[0].access];
    if (out.guarded || !out.indirect.empty()) return std::nullopt;
    Definition definition;
    std::vector<bool> seen(stage.extents.size());
    for (const AffineExpr& expr : out.index) {
      int dim = -1;
      for (int d = 0; d < stage.rank(); ++d)
        if (expr == AffineExpr::dim(d, stage.rank())) dim = d;
      if (dim < 0 || seen[dim]) return std::nullopt;
      seen[dim] = true;
      definition.dims.push_back(dim);
    }
    if (std::find(seen.begin(), seen.end(), false) != seen.end()) return std::nullopt;
    definition.stage.name = stage.name;
    definition.stage.extents = stage.extents;
    definition.stage.reduced = stage.reduced;
    std::vector<int> nodes =
        copy_body(definition.stage, definition.stage.body, stage, stage.body, op, definition.latest);
    definition.node = nodes[stage.stores[0].node];
    definition.weight = body_weight(definition.stage.body);
    return definition;
  }

  // Copies a body of an op's own kernel into `target`, whose dimensions are the same; reads of operands are resolved.
  std::vector<int> copy_body(Stage& target, ScalarBody& body, const Stage& from, const ScalarBody& from_body,
                             const Op& op, int& latest) {
    StageWriter writer(target, body);
    std::vector<int> nodes;
    for (ScalarNode node : from_body) {
      for (int& operand : node.operands)
        if (operand >= 0) operand = nodes[operand];
      if (node.op != ScalarOp::load) {
        nodes.push_back(writer.add(node));
        continue;
      }
      Access access = from.accesses[node.slot];
      for (Access::Indirect& part : access.indirect) part.node = nodes[part.node];
      PW_CHECK(access.buffer < static_cast<int>(op.operands.size()), "a body that loads what its own op stores");
      nodes.push_back(read(writer, op.operands[access.buffer], access, latest));
    }
    return nodes;
  }

  // An op that is no definition: its stages join the kernel, with buffers of their own.
  void append(int32_t number, const StructuredKernel& own) {
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

  void append_stage(const Op& op, const Stage& stage, const std::vector<int>& buffers) {
    Stage made;
    made.name = stage.name;
    made.extents = stage.extents;
    made.reduced = stage.reduced;
    made.sequential = stage.sequential;
    made.reduction = stage.reduction;
    auto copy = [&](const ScalarBody& from, ScalarBody& to) {
      StageWriter writer(made, to);
      std::vector<int> nodes;
      for (ScalarNode node : from) {
        for (int& operand : node.operands)
          if (operand >= 0) operand = nodes[operand];
        if (node.op == ScalarOp::load) {
          Access access = stage.accesses[node.slot];
          for (Access::Indirect& part : access.indirect) part.node = nodes[part.node];
          int latest = -1;
          if (access.buffer < static_cast<int>(op.operands.size()) && buffers[access.buffer] < 0) {
            nodes.push_back(read(writer, op.operands[access.buffer], access, latest));
            continue;
          }
          access.buffer = buffers[access.buffer];
          nodes.push_back(writer.load(node.dtype, access));
          continue;
        }
        nodes.push_back(writer.add(node));
      }
      return nodes;
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

  // A sum may join its own product in one rounding; a product of another op has been rounded, and stays so.
  static int rounded(Stage& made, const ScalarNode& own, int node) {
    const ScalarNode& fed = made.body[node];
    if (own.op == ScalarOp::mul || fed.op != ScalarOp::mul || !is_floating(fed.dtype)) return node;
    return StageWriter(made, made.body).add({.op = ScalarOp::cast, .dtype = fed.dtype, .operands = {node, -1, -1}});
  }

  // --- Reading -------------------------------------------------------------------------------------------------------

  // The node that gives `value` at `access`'s index (its buffer is ignored); raises `latest` to what it depends on.
  int read(StageWriter& writer, Value value, Access access, int& latest) {
    auto found = definitions_.find(value);
    if (found != definitions_.end()) {
      const Definition& definition = found->second;
      bool plain = access.indirect.empty() &&
                   (!access.guarded || stays_inside(access, type(value).sizes(), writer.stage().extents));
      if (plain && !computes_too_often(writer, definition))
        if (std::optional<int> node = inline_definition(writer, definition, access)) {
          latest = std::max(latest, definition.latest);
          return *node;
        }
      materialise(value);
    }
    Stored stored = stored_.at(value);
    latest = std::max(latest, stored.stage);
    access.buffer = stored.buffer;
    if (access.guarded && stays_inside(access, type(value).sizes(), writer.stage().extents)) access.guarded = false;
    return writer.load(type(value).dtype, access);
  }

  // Whether a reader would compute the elements of a definition so often that they are better stored.
  static bool computes_too_often(StageWriter& writer, const Definition& definition) {
    if (definition.weight == 0) return false;
    const Stage& reader = writer.stage();
    bool in_epilogue = &writer.body() == &reader.epilogue;
    double points = 1, elements = 1;
    for (int d = 0; d < reader.rank(); ++d)
      if (!in_epilogue || !reader.reduced[d]) points *= static_cast<double>(reader.extents[d]);
    for (int64_t size : definition.stage.extents) elements *= static_cast<double>(size);
    if (points <= 1.5 * elements) return false;
    return definition.weight > cheap || (reader.has_reduction() && points > 4 * elements);
  }

  std::optional<int> inline_definition(StageWriter& writer, const Definition& definition, const Access& at) {
    int rank = writer.stage().rank();
    std::vector<AffineExpr> dims(definition.stage.extents.size(), AffineExpr::number(0, rank));
    for (size_t i = 0; i < definition.dims.size(); ++i) {
      if (at.index[i].divisor != 1) return std::nullopt;
      dims[definition.dims[i]] = at.index[i];
    }
    return import(writer, definition.stage, definition.stage.body, definition.node, dims);
  }

  // Copies what `node` needs of a body; the domain's dimensions are `dims` of the writer's stage.
  static std::optional<int> import(StageWriter& writer, const Stage& from, const ScalarBody& body, int wanted,
                                   const std::vector<AffineExpr>& dims) {
    int rank = writer.stage().rank();
    std::vector<int> nodes;
    for (int n = 0; n <= wanted; ++n) {
      ScalarNode node = body[n];
      for (int& operand : node.operands)
        if (operand >= 0) operand = nodes[operand];
      if (node.op == ScalarOp::index) {
        nodes.push_back(writer.index(dims[node.slot]));
        continue;
      }
      if (node.op == ScalarOp::load) {
        Access access = from.accesses[node.slot];
        for (AffineExpr& expr : access.index) {
          std::optional<AffineExpr> composed = compose(expr, dims);
          if (!composed) return std::nullopt;
          composed->coefficients.resize(static_cast<size_t>(rank), 0);
          expr = *composed;
        }
        for (Access::Indirect& part : access.indirect) part.node = nodes[part.node];
        nodes.push_back(writer.load(node.dtype, access));
        continue;
      }
      nodes.push_back(writer.add(node));
    }
    return nodes[wanted];
  }

  // --- Storing -------------------------------------------------------------------------------------------------------

  Stored store(Value value) {
    if (definitions_.contains(value)) materialise(value);
    return stored_.at(value);
  }

  void materialise(Value value) {
    Definition definition = std::move(definitions_.at(value));
    definitions_.erase(value);
    int buffer = buffer_for(value);
    for (int t = static_cast<int>(kernel_.stages.size()) - 1; t >= std::max(definition.latest, 0); --t)
      if (attach(definition, buffer, t)) {
        stored_[value] = {buffer, t};
        return;
      }
    Stage stage = std::move(definition.stage);
    Access out{buffer, {}, false, 0, {}};
    for (int dim : definition.dims) out.index.push_back(AffineExpr::dim(dim, stage.rank()));
    stage.accesses.push_back(std::move(out));
    stage.stores = {{static_cast<int>(stage.accesses.size()) - 1, definition.node, false}};
    kernel_.stages.push_back(std::move(stage));
    stored_[value] = {buffer, static_cast<int>(kernel_.stages.size()) - 1};
  }

  // Makes a definition part of stage `t`: of its body, or of its reduction's epilogue. The domains must be the same,
  // and what the stage itself writes must be read at the very point that writes it.
  bool attach(const Definition& definition, int buffer, int t) {
    Stage& stage = kernel_.stages[t];
    if (std::find(stage.sequential.begin(), stage.sequential.end(), true) != stage.sequential.end()) return false;
    std::vector<AffineExpr> dims;
    Sizes parallel;
    for (int d = 0; d < stage.rank(); ++d)
      if (!stage.reduced[d]) {
        parallel.push_back(stage.extents[d]);
        dims.push_back(AffineExpr::dim(d, stage.rank()));
      }
    if (parallel != definition.stage.extents) return false;
    bool reduces = stage.has_reduction();
    std::vector<Store>& stores = reduces ? stage.epilogue_stores : stage.stores;
    for (const Store& one : stores)
      if (one.add || !stage.accesses[one.access].indirect.empty() || stage.accesses[one.access].guarded) return false;
    // Reads of what this stage writes become the stored nodes themselves.
    bool shares = false;
    std::vector<int> own_node(definition.stage.accesses.size(), -1);
    for (size_t slot = 0; slot < definition.stage.accesses.size(); ++slot) {
      Access access = definition.stage.accesses[slot];
      for (AffineExpr& expr : access.index) {
        std::optional<AffineExpr> composed = compose(expr, dims);
        if (!composed) return false;
        composed->coefficients.resize(static_cast<size_t>(stage.rank()), 0);
        expr = *composed;
      }
      for (const Store& one : stores) {
        const Access& written = stage.accesses[one.access];
        if (root_of(written.buffer) != root_of(access.buffer)) continue;
        bool same_point = written.buffer == access.buffer && written.index == access.index && access.indirect.empty();
        if (!same_point) return false;
        own_node[slot] = one.node;
        shares = true;
      }
      for (const Access& other : stage.accesses) shares = shares || other.buffer == access.buffer;
    }
    if (!shares) return false;
    ScalarBody& body = reduces ? stage.epilogue : stage.body;
    StageWriter writer(stage, body);
    std::vector<int> nodes;
    for (int n = 0; n <= definition.node; ++n) {
      ScalarNode node = definition.stage.body[n];
      for (int& operand : node.operands)
        if (operand >= 0) operand = nodes[operand];
      if (node.op == ScalarOp::index) {
        nodes.push_back(writer.index(dims[node.slot]));
      } else if (node.op == ScalarOp::load && own_node[node.slot] >= 0) {
        nodes.push_back(own_node[node.slot]);
      } else if (node.op == ScalarOp::load) {
        Access access = definition.stage.accesses[node.slot];
        for (AffineExpr& expr : access.index) {
          expr = *compose(expr, dims);
          expr.coefficients.resize(static_cast<size_t>(stage.rank()), 0);
        }
        for (Access::Indirect& part : access.indirect) part.node = nodes[part.node];
        nodes.push_back(writer.load(node.dtype, access));
      } else {
        nodes.push_back(writer.add(node));
      }
    }
    Access out{buffer, {}, false, 0, {}};
    for (int dim : definition.dims) out.index.push_back(dims[dim]);
    stage.accesses.push_back(std::move(out));
    (reduces ? stage.epilogue_stores : stage.stores)
        .push_back({static_cast<int>(stage.accesses.size()) - 1, nodes[definition.node], false});
    return true;
  }

  int root_of(int buffer) const {
    while (kernel_.buffers[buffer].alias_of >= 0) buffer = kernel_.buffers[buffer].alias_of;
    return buffer;
  }

  // A result that is an input, or stands twice among the results, is copied.
  void settle_result(size_t r) {
    Value value = function_.results[r];
    Stored stored = store(value);
    if (stored.buffer == outputs_[r]) return;
    Stage copy;
    copy.name = "copy";
    copy.extents = type(value).sizes();
    copy.reduced.assign(copy.extents.size(), false);
    for (int buffer : {stored.buffer, outputs_[r]}) {
      Access access{buffer, {}, false, 0, {}};
      for (int d = 0; d < copy.rank(); ++d) access.index.push_back(AffineExpr::dim(d, copy.rank()));
      copy.accesses.push_back(std::move(access));
    }
    copy.body = {{.op = ScalarOp::load, .dtype = type(value).dtype, .slot = 0}};
    copy.stores = {{1, 0, false}};
    kernel_.stages.push_back(std::move(copy));
  }

  const Graph& graph_;
  const Function& function_;
  const SplitReductions& split_;
  StructuredKernel kernel_;
  std::map<Value, int> uses_;
  std::map<Value, int> home_;  // the output buffer in whose memory a value belongs
  std::vector<int> outputs_;
  std::map<Value, Definition> definitions_;
  std::map<Value, Stored> stored_;
};

}  // namespace

StructuredKernel lower_function(const Graph& graph, FunctionId function, const SplitReductions& split) {
  return Joiner(graph, graph.functions.at(function), split).run();
}

StructuredKernel lower_launch(const Graph& graph, const Function& function, const Op& op,
                              const SplitReductions& split) {
  if (op.is("fused")) return lower_function(graph, op.functions[0], split);
  return lower_own(graph, function, op, split);
}

}  // namespace placewright
