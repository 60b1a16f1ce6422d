// What Tensor handles point to: a captured op, a value, a state or a place for an argument. Nodes are immutable but for
// values that were computed meanwhile. They form a DAG; a node's serial number is above those of its operands.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "placewright/ir/graph.h"
#include "placewright/ir/op_table.h"
#include "placewright/tensor.h"

namespace placewright {
class ResultMemory;
class Session;
class StateStore;
}  // namespace placewright

namespace placewright::capture {

struct Resident;  // load_graph.cc

// Held while a graph of nodes is walked, and while a node that was read becomes a value: its kind, operands and roots.
std::unique_lock<std::recursive_mutex> lock_graphs();

// Numbers nodes in the order in which they are made.
int64_t next_serial();

// A line of somebody's code; the text is the compiler's and lives for ever.
struct Site {
  const char* file = nullptr;
  int line = 0;
  explicit operator bool() const { return file != nullptr; }
};
// A default-made location (line 0) is none: the op then takes the line that called into the library.
inline Site site_of(std::source_location where) {
  return where.line() == 0 ? Site{} : Site{where.file_name(), static_cast<int>(where.line())};
}
SourceSite to_source_site(Site site);

// A value that is kept between steps. Until an executable needs it, the value stands here; then in the session's store.
// Its functions may be called from several threads.
class State {
 public:
  // Writes the first value, row-major, to memory that may hold anything. Called when the value is wanted, perhaps more
  // than once: always with the same outcome.
  using Fill = std::function<void(uint8_t* elements)>;

  State(const HostTensor& initial, Site made);
  State(DType dtype, Sizes sizes, Fill fill, Site made);
  ~State();

  HostTensor read() const;
  void write(const HostTensor& value);
  void convert(DType dtype);  // Error once a graph was captured with it. Not beside other threads
  // The process-wide name, in graphs and in the store: claimed at first use, from `name`.
  const std::string& key();
  // Hands the value to the store, unless it has it.
  void enter(const std::shared_ptr<StateStore>& store);

  std::string name;        // dotted path: as the module or optimizer that was asked for its state spells it
  std::optional<Pin> pin;  // where module.to() put it
  bool requires_grad = true;
  bool counts_steps = false;  // (seed, counter) of random ops: each training step adds 1 to the counter
  Site made() const { return made_; }

 private:
  const std::string& key_locked();

  mutable std::mutex mutex_;  // of all below
  DType dtype_;
  Sizes sizes_;
  Fill fill_;  // until the value is in the store
  Site made_;
  std::shared_ptr<Session> session_;  // that gave the key
  std::string key_;
  std::shared_ptr<StateStore> store_;
};

struct Node {
  Node() = default;
  ~Node();
  Node(const Node&) = delete;

  enum class Kind : uint8_t {
    op,        // an op of the table
    gradient,  // results of `roots`, then the gradients of roots[0] with respect to `with_respect_to`
    value,     // `host`
    argument,  // of the function that is being captured
    state,
  };
  Kind kind = Kind::op;
  int64_t serial = 0;
  std::vector<Type> results;
  // op and gradient. The operands of a gradient are what its roots are computed from: leaves, and what it is with
  // respect to.
  const OpEntry* entry = nullptr;
  std::vector<Tensor> operands;
  Attributes attributes;
  std::vector<Tensor> roots;
  std::vector<int> with_respect_to;  // positions in `operands`
  // where it comes from
  std::vector<Site> frames;
  std::string module_path;
  Role role = Role::forward;
  std::optional<Pin> pin;
  DeviceId device;
  std::string device_reason;
  // argument and state
  std::string name;
  std::shared_ptr<State> state;
  // value: its elements. An op that is read becomes a value and lets go of its operands
  std::vector<HostTensor> host;
  std::atomic<bool> has_host{false};  // other threads may read `host`
  bool depends_on_argument = false;
  std::shared_ptr<ResultMemory> computed;  // a value that an executable made: where it stands until somebody reads it
  std::shared_ptr<Resident> resident;      // its bytes on the device that the user moved it to
  std::recursive_mutex mutex;              // held while it is being read; of host and resident
  // Whether somebody has put a copy beside `computed`: in `host` or `resident`.
  std::atomic<bool> is_read{false};
};

using NodePtr = std::shared_ptr<Node>;

// Error, with the line, unless the session has the device: says which it has, and why this one is absent.
void require_device(const DeviceId& device, Site site);

// The elements in host memory; runs what is needed. `where` is the line that asks, for errors.
HostTensor value_of(const Tensor& tensor, Site where);

// Makes nodes at a line of the user's code; the library's own functions are written with it.
class At {
 public:
  explicit At(std::source_location where) : site_(site_of(where)) {}
  explicit At(Site site) : site_(site) {}

  Tensor operator()(std::string_view op, std::vector<Tensor> operands, Attributes attributes = {}) const;
  std::vector<Tensor> all(std::string_view op, std::vector<Tensor> operands, Attributes attributes = {}) const;

  Tensor value(HostTensor host) const;
  Tensor number(DType dtype, double value) const;  // a `constant` op: stays in the graph
  Tensor argument(std::string name, Type type, const DeviceId& device, std::optional<Pin> pin) const;
  Tensor state(std::shared_ptr<State> state, Type type) const;
  Tensor transfer(const Tensor& x, const DeviceId& device) const;
  std::vector<Tensor> gradients(std::vector<Tensor> roots, const std::vector<Tensor>& with_respect_to) const;

  Tensor broadcast(const Tensor& x, const Shape& shape) const;
  Tensor cast(const Tensor& x, DType dtype) const;
  // The operand as a tensor; a number takes the dtype.
  Tensor convert(const Operand& x, DType dtype) const;
  // All operands in their common dtype and shape.
  std::vector<Tensor> meet(std::vector<Operand> operands, bool fractions = false) const;

 private:
  NodePtr make(Node::Kind kind) const;
  void place(Node& node) const;
  Site site_;
};

// The dtype in which operands meet: PyTorch's promotion; numbers give way to tensors.
DType common_dtype(std::span<const Operand> operands);
Shape common_shape(const Shape& a, const Shape& b);
int resolve_dim(int64_t dim, int rank, std::string_view op);  // negative from the end; Error if outside

// Notes, for as long as it lives, that the library was called from `site`, for the module named.
class Scope {
 public:
  Scope(Site site, std::string name);
  ~Scope();
  Scope(const Scope&) = delete;
};
// What ops, tensors and parameters that this thread makes are pinned to; nothing outside DeviceScopes.
const std::optional<Pin>& scope_pin();
std::optional<Pin> replace_scope_pin(std::optional<Pin> pin);  // gives the one before

class RoleScope {
 public:
  explicit RoleScope(Role role);
  ~RoleScope();
  RoleScope(const RoleScope&) = delete;

 private:
  Role before_;
};

// The nodes that `roots` are computed from, themselves included, by serial number. What `stops` are computed from is
// left out.
std::vector<NodePtr> reachable(std::span<const Tensor> roots, std::span<const Tensor> stops = {});

// A Graph made of nodes, and which node or state stands behind each input.
struct Captured {
  Graph graph;
  std::vector<NodePtr> inputs;  // arguments, states and values; of each input of main, in its order
};
struct CapturedUpdate {
  Tensor state, value;
};
// `arguments` come first, used or not. Values become constants up to `constant_limit` bytes, and arguments otherwise
// if the limit is negative; Error above it.
Captured make_graph(std::string name, std::span<const Tensor> arguments, std::span<const Tensor> results,
                    std::span<const CapturedUpdate> updates, int64_t constant_limit);

}  // namespace placewright::capture
