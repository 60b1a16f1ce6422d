#include "capture/node.h"

#include <algorithm>
#include <atomic>
#include <set>

#include <fmt/core.h>

#include "placewright/ir/machine.h"
#include "placewright/session.h"

namespace placewright::capture {
namespace {

struct Trace {
  struct Frame {
    Site site;
    std::string name;
  };
  std::vector<Frame> frames;
  Role role = Role::forward;
  std::optional<Pin> pin;
};

// What the thread is inside of. Balanced by Scope and RoleScope, so that it is empty outside calls of the library.
Trace& trace() {
  static thread_local Trace trace;
  return trace;
}

std::string describe(const Operand& operand) {
  return operand.is_tensor() ? Type(operand.tensor().dtype(), operand.tensor().shape()).to_string() : "a number";
}

// Products of f32 that were not told a precision take the session's.
void take_session_precision(const OpEntry& entry, std::span<const Type> operands, Attributes& attributes) {
  const std::vector<AttributeSpec>& known = entry.signature.attributes;
  const bool has_precision = std::any_of(known.begin(), known.end(), [](const AttributeSpec& attribute) {
    return attribute.name == "precision" && attribute.kind == AttributeKind::string;
  });
  if (has_precision && !attributes.has("precision") && operands[0].tensor().dtype == DType::f32)
    attributes.set("precision", session_options().product_precision);
}

}  // namespace

std::unique_lock<std::recursive_mutex> lock_graphs() {
  static std::recursive_mutex mutex;
  return std::unique_lock(mutex);
}

int64_t next_serial() {
  static std::atomic<int64_t> serial{0};
  return ++serial;
}

// Compilers that are given relative paths from a build folder write "../train.cc": that is no part of the source's
// name.
SourceSite to_source_site(Site site) {
  if (!site) return {};
  std::string_view file = site.file;
  while (file.starts_with("../") || file.starts_with("./")) file.remove_prefix(file.find('/') + 1);
  return {std::string(file), site.line};
}

// What only this node holds goes one after the other: a sum over a million steps is a chain of a million nodes, deeper
// than any stack.
Node::~Node() {
  std::vector<Tensor> pending;
  auto take = [&](Node& node) {
    std::move(node.operands.begin(), node.operands.end(), std::back_inserter(pending));
    std::move(node.roots.begin(), node.roots.end(), std::back_inserter(pending));
    node.operands.clear();
    node.roots.clear();
  };
  take(*this);
  while (!pending.empty()) {
    Tensor last = std::move(pending.back());
    pending.pop_back();
    if (last.node().use_count() == 1) take(*last.node());
  }
}

Scope::Scope(Site site, std::string name) { trace().frames.push_back({site, std::move(name)}); }
Scope::~Scope() { trace().frames.pop_back(); }
RoleScope::RoleScope(Role role) : before_(std::exchange(trace().role, role)) {}
RoleScope::~RoleScope() { trace().role = before_; }

const std::optional<Pin>& scope_pin() { return trace().pin; }
std::optional<Pin> replace_scope_pin(std::optional<Pin> pin) { return std::exchange(trace().pin, std::move(pin)); }

void require_device(const DeviceId& device, Site site) {
  try {
    machine().find(device);
  } catch (const Error& error) {
    if (!site) throw;
    throw Error(fmt::format("{} ({})", error.what(), to_source_site(site).to_string()));
  }
}

NodePtr At::make(Node::Kind kind) const {
  auto node = std::make_shared<Node>();
  node->kind = kind;
  node->serial = next_serial();
  node->role = trace().role;
  if (site_) node->frames.push_back(site_);
  const std::vector<Trace::Frame>& frames = trace().frames;
  for (size_t i = frames.size(); i-- > 0;)
    if (frames[i].site) node->frames.push_back(frames[i].site);
  for (const Trace::Frame& frame : frames)
    if (!frame.name.empty()) node->module_path += (node->module_path.empty() ? "" : ".") + frame.name;
  return node;
}

// Where the result will be: by a pin, else where the first operand is that somebody placed, else in host memory. The
// rule that placement follows for pins; what no pin decides, the plan may decide otherwise when compiled.
void At::place(Node& node) const {
  for (const Tensor& operand : node.operands)
    node.depends_on_argument = node.depends_on_argument || operand.node()->depends_on_argument;
  if (node.pin) {
    node.device = node.pin->device;
    node.device_reason =
        (node.entry && node.entry->name == "transfer" ? "moved at " : "placed at ") + node.pin->site.to_string();
    return;
  }
  for (const Tensor& operand : node.operands)
    if (!operand.node()->device_reason.empty() && operand.rank() > 0) {
      node.device = operand.node()->device;
      node.device_reason = operand.node()->device_reason;
      return;
    }
  node.device = {"cpu", 0};
}

std::vector<Tensor> At::all(std::string_view op, std::vector<Tensor> operands, Attributes attributes) const {
  NodePtr node = make(Node::Kind::op);
  node->entry = &find_op(op);
  std::vector<Type> types;
  for (const Tensor& operand : operands) {
    if (!operand.is_defined())
      throw Error(fmt::format("{}: an operand is an undefined tensor ({})", op,
                              node->frames.empty() ? "unknown" : to_source_site(node->frames[0]).to_string()));
    types.push_back(operand.node()->results[operand.result()]);
  }
  try {
    take_session_precision(*node->entry, types, attributes);
    node->attributes = complete_attributes(*node->entry, std::move(attributes));
    node->results = infer_types({*node->entry, types, {}, node->attributes, nullptr, {}});
  } catch (const Error& error) {
    std::string message = error.what();
    if (!node->module_path.empty()) message += fmt::format(", in module {}", node->module_path);
    for (size_t i = 0; i < node->frames.size(); ++i)
      message += fmt::format("{}{}", i ? ", called from " : " (", to_source_site(node->frames[i]).to_string());
    throw Error(node->frames.empty() ? message : message + ")");
  }
  node->operands = std::move(operands);
  if (node->role == Role::forward && op != "constant") node->pin = scope_pin();
  place(*node);
  std::vector<Tensor> results;
  for (size_t i = 0; i < node->results.size(); ++i) results.emplace_back(node, static_cast<int>(i));
  return results;
}

Tensor At::operator()(std::string_view op, std::vector<Tensor> operands, Attributes attributes) const {
  std::vector<Tensor> results = all(op, std::move(operands), std::move(attributes));
  PW_CHECK(results.size() == 1, std::string(op) + " has not one result");
  return results.front();
}

Tensor At::value(HostTensor host) const {
  NodePtr node = make(Node::Kind::value);
  node->results = {Type(host.dtype(), Shape(host.sizes().begin(), host.sizes().end()))};
  node->host = {std::move(host)};
  node->has_host = true;
  node->pin = scope_pin();
  place(*node);
  return Tensor(node);
}

Tensor At::number(DType dtype, double value) const {
  HostTensor scalar(dtype, {});
  scalar.set_number(0, value);
  return (*this)("constant", {}, {{"value", std::move(scalar)}});
}

Tensor At::argument(std::string name, Type type, const DeviceId& device, std::optional<Pin> pin) const {
  NodePtr node = make(Node::Kind::argument);
  node->results = {std::move(type)};
  node->name = std::move(name);
  node->device = device;
  node->pin = std::move(pin);
  if (node->pin) node->device_reason = "moved at " + node->pin->site.to_string();
  node->depends_on_argument = true;
  return Tensor(node);
}

Tensor At::state(std::shared_ptr<State> state, Type type) const {
  NodePtr node = make(Node::Kind::state);
  node->results = {std::move(type)};
  node->state = std::move(state);
  node->device = {"cpu", 0};
  return Tensor(node);
}

Tensor At::transfer(const Tensor& x, const DeviceId& device) const {
  NodePtr node = make(Node::Kind::op);
  require_device(device, site_);
  node->entry = &find_op("transfer");
  node->attributes = complete_attributes(*node->entry, {});
  node->results = {Type(x.dtype(), x.shape())};
  node->operands = {x};
  node->pin = Pin{device, node->frames.empty() ? SourceSite{} : to_source_site(node->frames.front())};
  place(*node);
  return Tensor(node);
}

std::vector<Tensor> At::gradients(std::vector<Tensor> roots, const std::vector<Tensor>& with_respect_to) const {
  NodePtr node = make(Node::Kind::gradient);
  for (const std::vector<Tensor>* tensors : {&std::as_const(roots), &with_respect_to})
    for (const Tensor& tensor : *tensors)
      if (!tensor.is_defined())
        throw Error(fmt::format("gradient: {} is an undefined tensor ({})",
                                tensors == &roots ? "the loss" : "what it is taken with respect to",
                                node->frames.empty() ? "unknown line" : to_source_site(node->frames[0]).to_string()));
  node->entry = &find_op("gradient");
  auto lock = lock_graphs();
  auto is_wanted = [&](const NodePtr& leaf) {
    return std::any_of(with_respect_to.begin(), with_respect_to.end(),
                       [&](const Tensor& wanted) { return wanted.node() == leaf; });
  };
  for (const NodePtr& leaf : reachable(roots, with_respect_to))
    if ((leaf->kind != Node::Kind::op && leaf->kind != Node::Kind::gradient) || is_wanted(leaf))
      node->operands.emplace_back(leaf);
  for (const Tensor& root : roots) node->results.emplace_back(root.dtype(), root.shape());
  for (const Tensor& wanted : with_respect_to) {
    auto at = std::find_if(node->operands.begin(), node->operands.end(),
                           [&](const Tensor& leaf) { return leaf.node() == wanted.node(); });
    if (at == node->operands.end())
      throw Error(
          fmt::format("gradient: the loss does not depend on a {}{}: expected tensors that it is computed from",
                      wanted.node()->state ? "parameter " + wanted.node()->state->name + " of type " : "tensor ",
                      Type(wanted.dtype(), wanted.shape()).to_string()));
    node->with_respect_to.push_back(static_cast<int>(at - node->operands.begin()));
    node->results.emplace_back(wanted.dtype(), wanted.shape());
  }
  if (roots[0].rank() != 0 || !is_floating(roots[0].dtype()))
    throw Error(fmt::format("gradient: the loss is {}, expected a floating scalar (take its mean() or sum())",
                            Type(roots[0].dtype(), roots[0].shape()).to_string()));
  node->roots = std::move(roots);
  place(*node);
  std::vector<Tensor> results;
  for (size_t i = 0; i < node->results.size(); ++i) results.emplace_back(node, static_cast<int>(i));
  return results;
}

Tensor At::broadcast(const Tensor& x, const Shape& target) const {
  const Shape& from = x.shape();
  if (from == target) return x;
  size_t offset = target.size() - from.size();
  Shape kept;
  Sizes dims;
  for (size_t i = 0; i < from.size(); ++i)
    if (from[i] == target[offset + i]) {
      kept.push_back(from[i]);
      dims.push_back(static_cast<int64_t>(offset + i));
    }
  Tensor source = kept.size() == from.size() ? x : (*this)("reshape", {x}, {{"shape", kept}});
  return (*this)("broadcast", {source}, {{"shape", target}, {"dims", dims}});
}

Tensor At::cast(const Tensor& x, DType dtype) const {
  return x.dtype() == dtype ? x : (*this)("cast", {x}, {{"dtype", dtype}});
}

Tensor At::convert(const Operand& x, DType dtype) const {
  if (x.is_tensor()) return cast(x.tensor(), dtype);
  return std::visit(
      [&](const auto& value) -> Tensor {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, Tensor>)
          return value;
        else
          return number(dtype, static_cast<double>(value));
      },
      x.value());
}

std::vector<Tensor> At::meet(std::vector<Operand> operands, bool fractions) const {
  DType dtype = common_dtype(operands);
  if (fractions && !is_floating(dtype)) dtype = DType::f32;
  std::vector<Tensor> tensors;
  Shape shape;
  for (const Operand& operand : operands) {
    tensors.push_back(convert(operand, dtype));
    try {
      shape = common_shape(shape, tensors.back().shape());
    } catch (const Error& error) {
      std::string all;
      for (const Operand& each : operands) all += (all.empty() ? "" : " and ") + describe(each);
      NodePtr here = make(Node::Kind::op);
      throw Error(fmt::format("shapes {} do not broadcast: {}{} ({})", all, error.what(),
                              here->module_path.empty() ? "" : ", in module " + here->module_path,
                              here->frames.empty() ? "unknown" : to_source_site(here->frames[0]).to_string()));
    }
  }
  for (Tensor& tensor : tensors) tensor = broadcast(tensor, shape);
  return tensors;
}

DType common_dtype(std::span<const Operand> operands) {
  // Kinds outrank widths: bool < integers < floating. Of u8 and a signed integer the signed one is wider.
  auto rank = [](DType dtype) {
    const DTypeInfo& of = info(dtype);
    int kind = of.kind == DTypeKind::boolean ? 0 : of.kind == DTypeKind::floating ? 2 : 1;
    return kind * 1000 + of.bits * 2 + (of.kind == DTypeKind::signed_integer);
  };
  std::optional<DType> common;
  for (const Operand& operand : operands)
    if (operand.is_tensor() && !operand.tensor().is_defined()) {
      Site site = site_of(operand.where());
      throw Error(fmt::format("an operand is an undefined tensor: expected one to be assigned first{}",
                              site ? fmt::format(" ({})", to_source_site(site).to_string()) : ""));
    }
  for (const Operand& operand : operands)
    if (operand.is_tensor() && (!common || rank(operand.tensor().dtype()) > rank(*common)))
      common = operand.tensor().dtype();
  for (const Operand& operand : operands) {
    if (operand.is_tensor()) continue;
    bool fraction = std::holds_alternative<double>(operand.value());
    bool truth = std::holds_alternative<bool>(operand.value());
    if (fraction && (!common || !is_floating(*common))) common = DType::f32;
    if (!fraction && (!common || (!truth && *common == DType::boolean))) common = truth ? DType::boolean : DType::i64;
  }
  return common.value_or(DType::f32);
}

Shape common_shape(const Shape& a, const Shape& b) {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape common = longer;
  size_t offset = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    Dim& dim = common[offset + i];
    if (dim == Dim(1))
      dim = shorter[i];
    else if (shorter[i] != dim && shorter[i] != Dim(1))
      throw Error(fmt::format("dimension {} has sizes {} and {}, expected equal ones or 1",
                              static_cast<int64_t>(offset + i) - static_cast<int64_t>(longer.size()), dim.to_string(),
                              shorter[i].to_string()));
  }
  return common;
}

int resolve_dim(int64_t dim, int rank, std::string_view op) {
  if (rank == 0) throw Error(fmt::format("{}: dim {} of a scalar, expected a tensor with dimensions", op, dim));
  int64_t resolved = dim < 0 ? dim + rank : dim;
  if (resolved < 0 || resolved >= rank)
    throw Error(
        fmt::format("{}: dim {} of a tensor with {} dimensions, expected {} to {}", op, dim, rank, -rank, rank - 1));
  return static_cast<int>(resolved);
}

std::vector<NodePtr> reachable(std::span<const Tensor> roots, std::span<const Tensor> stops) {
  auto lock = lock_graphs();
  std::vector<NodePtr> found, pending;
  std::set<const Node*> seen;
  auto visit = [&](const Tensor& tensor) {
    if (seen.insert(tensor.node().get()).second) pending.push_back(tensor.node());
  };
  for (const Tensor& root : roots) visit(root);
  while (!pending.empty()) {
    NodePtr node = std::move(pending.back());
    pending.pop_back();
    bool is_stop = std::any_of(stops.begin(), stops.end(), [&](const Tensor& stop) { return stop.node() == node; });
    if (!is_stop)
      for (const Tensor& operand : node->operands) visit(operand);
    found.push_back(std::move(node));
  }
  std::sort(found.begin(), found.end(), [](const NodePtr& a, const NodePtr& b) { return a->serial < b->serial; });
  return found;
}

}  // namespace placewright::capture
