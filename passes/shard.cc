// Runs a graph on a mesh of devices: where an input is split over a mesh, each member computes its part. How a split
// passes through an op is read off the access maps of its kernel: an operand's split dimension is a dimension of the
// iteration domain; results that are indexed by it are split, a sum over it gives partial sums, which an all_reduce
// adds up. What cannot be split is gathered and computed by every member. Afterwards every op is on one device, states
// have a replica on each member (named by replica_name), and no type has a mesh.
#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/core.h>

#include "movement.h"
#include "placewright/base/checked.h"
#include "rewrite.h"

namespace placewright {
namespace {

constexpr int whole = -1;    // every member has all of it
constexpr int partial = -2;  // every member has a summand

// The dimension that an index expression is, without scale or offset; -1: it is more than that.
int plain_dim(const AffineExpr& index) {
  int dim = -1;
  for (size_t d = 0; d < index.coefficients.size(); ++d) {
    if (index.coefficients[d] == 0) continue;
    if (index.coefficients[d] != 1 || dim >= 0) return -1;
    dim = static_cast<int>(d);
  }
  return index.constant == 0 && index.divisor == 1 ? dim : -1;
}

bool is_indirect(const Access& access, size_t dim) {
  return std::any_of(access.indirect.begin(), access.indirect.end(),
                     [&](const Access::Indirect& indirect) { return indirect.dim == static_cast<int>(dim); });
}

// Follows a split through a structured kernel, stage by stage. `dims` holds, for each buffer, the dimension that is
// split, or whole; operands that were whole may have to be split.
class SplitAnalysis {
 public:
  SplitAnalysis(const StructuredKernel& kernel, const std::vector<int>& operand_dims)
      : kernel_(kernel),
        operands_(operand_dims.size()),
        dims_(operand_dims),
        read_whole_(kernel.buffers.size(), false) {
    dims_.resize(kernel.buffers.size(), whole);
  }

  bool run() {
    for (const KernelBuffer& buffer : kernel_.buffers)
      if (buffer.alias_of >= 0) return false;
    return std::all_of(kernel_.stages.begin(), kernel_.stages.end(), [&](const Stage& stage) { return follow(stage); });
  }
  int dim(size_t buffer) const { return dims_[buffer]; }

 private:
  static std::vector<int> loaded(const Stage& stage) {
    std::vector<int> accesses;
    for (const ScalarBody* body : {&stage.body, &stage.epilogue})
      for (const ScalarNode& node : *body)
        if (node.op == ScalarOp::load) accesses.push_back(node.slot);
    return accesses;
  }

  bool follow(const Stage& stage) {
    int split = whole;  // the domain's dimension
    std::vector<int> loads = loaded(stage);
    for (int load : loads) {
      const Access& access = stage.accesses[load];
      int dim = dims_[access.buffer];
      if (dim == whole) continue;
      if (dim == partial || is_indirect(access, dim)) return false;
      int domain = plain_dim(access.index[dim]);
      if (domain < 0 || stage.extents[domain] != kernel_.buffers[access.buffer].sizes[dim]) return false;
      if (split >= 0 && split != domain) return false;
      split = domain;
    }
    for (int load : loads)
      if (!split_operand(stage, stage.accesses[load], split)) return false;
    if (split == whole) return store_whole(stage);
    for (const ScalarBody* body : {&stage.body, &stage.epilogue})
      for (const ScalarNode& node : *body)
        if (node.op == ScalarOp::index && node.slot == split) return false;  // it would need its global position
    return stage.reduced[split] ? store_partial(stage) : store_split(stage, split);
  }

  // Every access of the stage must read its buffer along the split dimension, or not depend on it.
  bool split_operand(const Stage& stage, const Access& access, int split) {
    int& dim = dims_[access.buffer];
    int wanted = whole;
    for (size_t d = 0; split >= 0 && d < access.index.size(); ++d) {
      if (access.index[d].coefficients[split] == 0) continue;
      bool fits = plain_dim(access.index[d]) == split && !is_indirect(access, d) && wanted == whole &&
                  kernel_.buffers[access.buffer].sizes[d] == stage.extents[split];
      if (!fits) return false;
      wanted = static_cast<int>(d);
    }
    if (wanted == whole) {
      read_whole_[access.buffer] = true;
      return dim == whole;
    }
    if (dim == wanted) return true;
    if (dim != whole || read_whole_[access.buffer] || static_cast<size_t>(access.buffer) >= operands_) return false;
    dim = wanted;
    return true;
  }

  bool set_stored(const Access& access, int dim) {
    bool is_new = written_.insert({access.buffer, dim}).second;
    if (!is_new && dims_[access.buffer] != dim) return false;
    for (const auto& [buffer, before] : written_)
      if (buffer == access.buffer && before != dim) return false;
    dims_[access.buffer] = dim;
    return true;
  }

  bool store_whole(const Stage& stage) {
    for (const std::vector<Store>* stores : {&stage.stores, &stage.epilogue_stores})
      for (const Store& store : *stores)
        if (!set_stored(stage.accesses[store.access], whole)) return false;
    return true;
  }

  // A sum whose result is stored as it is, or cast.
  bool store_partial(const Stage& stage) {
    if (stage.reduction.kind != Reduction::Kind::sum || stage.epilogue_stores.size() != 1) return false;
    for (const ScalarNode& node : stage.epilogue)
      if (node.op != ScalarOp::reduced && node.op != ScalarOp::cast) return false;
    const Store& store = stage.epilogue_stores[0];
    return !store.add && set_stored(stage.accesses[store.access], partial);
  }

  bool store_split(const Stage& stage, int split) {
    for (const std::vector<Store>* stores : {&stage.stores, &stage.epilogue_stores})
      for (const Store& store : *stores) {
        const Access& access = stage.accesses[store.access];
        int dim = whole;
        for (size_t d = 0; d < access.index.size(); ++d) {
          if (access.index[d].coefficients[split] == 0) continue;
          if (plain_dim(access.index[d]) != split || is_indirect(access, d) || dim != whole ||
              kernel_.buffers[access.buffer].sizes[d] != stage.extents[split])
            return false;
          dim = static_cast<int>(d);
        }
        if (dim == whole || !set_stored(access, dim)) return false;
      }
    return true;
  }

  const StructuredKernel& kernel_;
  size_t operands_;
  std::vector<int> dims_;
  std::vector<bool> read_whole_;
  std::set<std::pair<int, int>> written_;
};

// A value on the mesh: one new value a member.
struct Parts {
  int dim = whole;
  std::vector<Value> members;
};

class Sharder {
 public:
  Sharder(Graph& graph, std::vector<DeviceId> mesh, DeviceId host)
      : mesh_(std::move(mesh)), host_(std::move(host)), old_(std::move(graph.functions[0])), builder_(graph, 0) {
    graph.functions[0] = Function{old_.name, {}, {}, {}, {}};
    parts_.resize(old_.ops.size());
  }

  void run() {
    for (size_t i = 0; i < old_.ops.size(); ++i) {
      at_ = static_cast<int32_t>(i);
      const Op& op = old_.ops[i];
      if (op.pin) unsupported(op, "is pinned to one device");
      if (op.is("input"))
        parts_[i] = {input(op)};
      else if (op.is("transfer"))
        parts_[i] = {move(op)};
      else if (op.entry->is_structural() && !op.is("constant"))
        unsupported(op, "cannot run on a mesh yet");
      else if (!run_split(op))
        run_whole(op);
    }
    finish();
  }

 private:
  size_t count() const { return mesh_.size(); }
  const Parts& parts(Value value) const { return parts_[value.op][value.result]; }

  [[noreturn]] void unsupported(const Op& op, const std::string& what) {
    throw Error(fmt::format("{} ({}) {}, in a graph whose inputs are split over a mesh", op.name(),
                            builder_.graph().origins[op.origin].site(), what));
  }

  static Where on(const DeviceId& device) { return {{device}, {}, {}}; }

  // Where member `m`'s part of `size` elements begins and ends.
  std::pair<int64_t, int64_t> range(int64_t size, size_t m) const {
    int64_t chunk = ceil_div(size, static_cast<int64_t>(count()));
    int64_t begin = std::min(static_cast<int64_t>(m) * chunk, size);
    return {begin, std::min(begin + chunk, size)};
  }

  Value append(Op op, const DeviceId& device) {
    for (Type& type : op.results) type.set_where(on(device));
    return builder_.append(std::move(op)).front();
  }

  Value make(std::string_view name, std::vector<Value> operands, Attributes attributes, const DeviceId& device) {
    const OpEntry& entry = find_op(name);
    std::vector<Type> types;
    for (Value operand : operands) types.push_back(builder_.type(operand));
    attributes = complete_attributes(entry, std::move(attributes));
    std::vector<Type> results = infer_types({entry, types, {}, attributes, &builder_.graph(), {}});
    OriginId origin = builder_.graph().origins.with_role(old_.ops[at_].origin, Role::transfer);
    return append({&entry, std::move(operands), std::move(results), std::move(attributes), {}, origin, {}}, device);
  }

  Value slice(Value value, int dim, size_t m, const DeviceId& device) {
    Sizes limits = builder_.type(value).tensor().sizes(), starts(limits.size(), 0);
    std::tie(starts[dim], limits[dim]) = range(limits[dim], m);
    return make("slice", {value}, {{"starts", starts}, {"limits", limits}}, device);
  }

  // The split dimension that a type asks for.
  int wanted_dim(const Where& where, const Op& op) {
    if (where.devices.size() <= 1) return whole;
    if (where.devices != mesh_ || where.mesh_sizes.size() > 1) unsupported(op, "is on another mesh");
    if (where.shardings.empty() || where.shardings[0].kind == Sharding::Kind::replicated) return whole;
    if (where.shardings[0].kind != Sharding::Kind::split) unsupported(op, "begins as a partial sum");
    return where.shardings[0].dim;
  }

  Parts input(const Op& op) {
    const Where where = op.results[0].tensor().where;
    Parts made{wanted_dim(where, op), {}};
    if (op.attributes.get<std::string>("kind") == name(InputKind::state)) {
      for (size_t m = 0; m < count(); ++m) {
        Op replica = op;
        if (m > 0) replica.attributes.set("name", replica_name(op.attributes.get<std::string>("name"), mesh_[m]));
        made.members.push_back(append(std::move(replica), mesh_[m]));
        builder_.function().inputs.push_back(made.members.back());
      }
      if (made.dim != whole) unsupported(op, "is a state, which is replicated");
      return made;
    }
    Op single = op;
    single.results[0].set_where(where.is_single() ? where : Where{});
    Value value = builder_.append(std::move(single)).front();
    builder_.function().inputs.push_back(value);
    for (size_t m = 0; m < count(); ++m)
      made.members.push_back(made.dim == whole ? value : slice(value, made.dim, m, host_));
    return made;
  }

  // A transfer that the user wrote: to the mesh. To one device it stays on its way to every member.
  Parts move(const Op& op) {
    int dim = wanted_dim(op.results[0].tensor().where, op);
    return dim == whole ? parts(op.operands[0]) : with_dim(op.operands[0], dim);
  }

  // The value's parts with another split: whole ones are sliced, split ones gathered first.
  Parts with_dim(Value value, int dim) {
    const Parts& present = parts(value);
    if (present.dim == dim) return present;
    auto [at, is_new] = resharded_.try_emplace({value, dim});
    if (!is_new) return at->second;
    Parts made{dim, {}};
    for (size_t m = 0; m < count(); ++m)
      made.members.push_back(
          dim == whole ? make("concat", present.members, {{"dim", static_cast<int64_t>(present.dim)}}, mesh_[m])
                       : slice(with_dim(value, whole).members[m], dim, m, mesh_[m]));
    return resharded_[{value, dim}] = made;
  }

  void run_whole(const Op& op) {
    std::vector<Parts> made(op.results.size());
    for (size_t m = 0; m < count(); ++m) {
      Op copy = op;
      for (Value& operand : copy.operands) operand = with_dim(operand, whole).members[m];
      for (Type& type : copy.results) type.set_where(on(mesh_[m]));
      std::vector<Value> values = builder_.append(std::move(copy));
      for (size_t r = 0; r < values.size(); ++r) made[r].members.push_back(values[r]);
    }
    parts_[at_] = std::move(made);
  }

  // Whether the op could be run in parts.
  bool run_split(const Op& op) {
    std::vector<int> dims;
    for (Value operand : op.operands) dims.push_back(parts(operand).dim);
    if (std::all_of(dims.begin(), dims.end(), [](int dim) { return dim == whole; })) return false;
    std::vector<int> results(op.results.size());
    if (op.entry->traits.view ? !split_view(op, dims, results) : !split_kernel(op, dims, results)) return false;
    std::vector<Op> ops;
    for (size_t m = 0; m < count(); ++m) {
      std::optional<Op> local = local_op(op, dims, results, m);
      if (!local) return false;
      ops.push_back(std::move(*local));
    }
    std::vector<Parts> made(op.results.size());
    for (size_t r = 0; r < results.size(); ++r) made[r].dim = results[r];
    for (Op& local : ops) {
      std::vector<Value> values = builder_.append(std::move(local));
      for (size_t r = 0; r < values.size(); ++r) made[r].members.push_back(values[r]);
    }
    for (Parts& result : made)
      if (result.dim == partial) result = all_reduce(result);
    parts_[at_] = std::move(made);
    return true;
  }

  // The elements stay in row-major order: a dimension of the same size behind as many elements is the same one.
  bool split_view(const Op& op, const std::vector<int>& dims, std::vector<int>& results) const {
    Sizes from = old_.tensor(op.operands[0]).sizes(), to = op.results[0].tensor().sizes();
    int64_t before = 1, passed = 1;
    for (int d = 0; d < dims[0]; ++d) before *= from[d];
    for (size_t d = 0; d < to.size(); ++d) {
      if (passed == before && to[d] == from[dims[0]]) {
        results[0] = static_cast<int>(d);
        return true;
      }
      passed *= to[d];
    }
    return false;
  }

  bool split_kernel(const Op& op, std::vector<int>& dims, std::vector<int>& results) {
    if (!can_lower(*op.entry)) return false;
    std::vector<Type> types;
    StructuredKernel kernel = lower_op(view_of(builder_.graph(), old_, op, types));
    SplitAnalysis analysis(kernel, dims);
    if (!analysis.run()) return false;
    for (size_t i = 0; i < dims.size(); ++i) dims[i] = analysis.dim(i);
    for (size_t r = 0; r < results.size(); ++r) results[r] = analysis.dim(dims.size() + r);
    return true;
  }

  Shape local_shape(Shape shape, int dim, size_t m) const {
    if (dim < 0) return shape;
    auto [begin, end] = range(shape[dim].number(), m);
    shape[dim] = end - begin;
    return shape;
  }

  // The op on member m's parts; nothing if its attributes speak of sizes that only the whole has.
  std::optional<Op> local_op(const Op& op, const std::vector<int>& dims, const std::vector<int>& results, size_t m) {
    Op local = op;
    std::vector<Type> types;
    for (size_t i = 0; i < op.operands.size(); ++i) {
      local.operands[i] = with_dim(op.operands[i], dims[i]).members[m];
      types.push_back(builder_.type(local.operands[i]));
    }
    for (const auto& [name, value] : op.attributes)
      if (const Shape* shape = std::get_if<Shape>(&value); shape && *shape == op.results[0].tensor().shape)
        local.attributes.set(name, local_shape(*shape, results[0], m));
    try {
      local.results = infer_types({*op.entry, types, {}, local.attributes, &builder_.graph(), {}});
    } catch (const Error&) {
      return {};
    }
    for (size_t r = 0; r < results.size(); ++r) {
      if (local.results[r].tensor().shape != local_shape(op.results[r].tensor().shape, results[r], m)) return {};
      local.results[r].set_where(on(mesh_[m]));
    }
    return local;
  }

  Parts all_reduce(const Parts& summands) {
    Op op{&find_op("all_reduce"), summands.members, {}, {}, {}, 0, {}};
    for (Value member : summands.members) op.results.push_back(builder_.type(member));
    op.origin = builder_.graph().origins.with_role(old_.ops[at_].origin, Role::transfer);
    return {whole, builder_.append(std::move(op))};
  }

  void finish() {
    at_ = 0;
    Function& made = builder_.function();
    for (const Update& update : old_.updates)
      for (size_t m = 0; m < count(); ++m)
        made.updates.push_back({parts(update.state).members[m], with_dim(update.value, whole).members[m]});
    for (Value result : old_.results) {
      const Parts& present = parts(result);
      made.results.push_back(
          present.dim == whole ? present.members[0]
                               : make("concat", present.members, {{"dim", static_cast<int64_t>(present.dim)}}, host_));
    }
  }

  std::vector<DeviceId> mesh_;
  DeviceId host_;
  Function old_;
  FunctionBuilder builder_;
  int32_t at_ = 0;
  std::vector<std::vector<Parts>> parts_;  // of the old ops' results
  std::map<std::pair<Value, int>, Parts> resharded_;
};

}  // namespace

Graph shard(Graph graph, const PassContext& context) {
  std::vector<DeviceId> mesh;
  for (const Op& op : graph.main().ops)
    for (const Type& type : op.results)
      if (type.tensor().where.devices.size() > mesh.size()) mesh = type.tensor().where.devices;
  if (mesh.size() <= 1) return graph;
  // A composite's formula may speak of sizes (a mean): it must see those of the whole. Formulas may
  // share parts, which are to be summed over the devices once.
  graph = eliminate_common(simplify(decompose(std::move(graph), {}), context), context);
  Sharder(graph, mesh, host_device(context)).run();
  return eliminate_dead(std::move(graph), context);
}

}  // namespace placewright
