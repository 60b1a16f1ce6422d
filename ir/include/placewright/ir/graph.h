// The Graph level: SSA tensor operations on logical shapes. Values never alias; views and in-place reuse are the memory
// plan's business. A Graph owns Functions; a Function's ops stand in topological order; a value is (op, result).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "placewright/ir/attribute.h"
#include "placewright/ir/origin.h"
#include "placewright/ir/placement_rule.h"
#include "placewright/ir/type.h"

namespace placewright {

struct OpEntry;  // ir/op_table.h

// The `result`-th result of op number `op` of the same function.
struct Value {
  int32_t op = -1;
  int32_t result = 0;
  friend auto operator<=>(const Value&, const Value&) = default;
};

using FunctionId = int32_t;  // index into Graph::functions

// The user's wish that an op runs on a device, and where it was said. Text: `pin(sim:0 from train.cc:31)`.
struct Pin {
  DeviceId device;
  SourceSite site;
  friend bool operator==(const Pin&, const Pin&) = default;
};

struct Op {
  const OpEntry* entry = nullptr;
  std::vector<Value> operands;
  std::vector<Type> results;
  Attributes attributes;
  std::vector<FunctionId> functions;  // nested bodies: fused, gradient, later cond, while, scan
  OriginId origin = 0;
  std::optional<Pin> pin;

  std::string_view name() const;
  bool is(std::string_view op_name) const { return name() == op_name; }
};

// A function's inputs are `input` ops, whose attribute `kind` is one of these.
enum class InputKind : uint8_t {
  argument,  // given at each call; learning rates and other hyper-parameters too
  state,     // owned by a StateStore under its name; kept between calls
  constant,  // given once, at load
};
std::string_view name(InputKind kind);

// At the end of a call, the state input takes the value. Type and name stay the same.
struct Update {
  Value state;
  Value value;
  friend bool operator==(const Update&, const Update&) = default;
};

struct Function {
  std::string name;
  std::vector<Op> ops;
  std::vector<Value> inputs;  // results of `input` ops, in the order of the call
  std::vector<Value> results;
  std::vector<Update> updates;

  const Op& op(Value value) const { return ops[value.op]; }
  const Type& type(Value value) const { return ops[value.op].results[value.result]; }
  const TensorType& tensor(Value value) const { return type(value).tensor(); }
};

InputKind input_kind(const Function& function, Value input);
const std::string& input_name(const Function& function, Value input);

// A state that every device of a mesh keeps has one input a device: the first one bears its name, the others this one.
// They begin with the same value and get the same updates.
std::string replica_name(std::string_view state, const DeviceId& device);
// The state whose replica a name says: "w" for "w@sim:1", and for "w" itself.
std::string_view primary_name(std::string_view state);

struct Graph {
  std::vector<Function> functions;  // the entry is function 0, "main" by custom
  OriginTable origins;
  std::vector<PlacementRule> rules;

  const Function& main() const { return functions.front(); }
  Function& main() { return functions.front(); }
};

// An op by its origin, as plan files and rules name it: "fc/forward#0:dot_general", "input:x".
std::string op_name(const Graph& graph, const Op& op);

// A value for people: an input's name, else the op that makes it; fused ops are looked through.
std::string value_name(const Graph& graph, const Function& function, Value value);

// Text form of a graph: what .pw files hold (docs/ir.md). Printing and parsing are exact inverses.
std::string print_graph(const Graph& graph);
// Error names `name` (the file), line and column, what was found and what was expected.
Graph parse_graph(std::string_view text, std::string_view name = "graph");

// Error (a bug of a pass, or a damaged file) unless every op agrees with its entry's signature and infer, operands
// stand before their uses, functions are called with what they take, and updates pair states with values of their type.
void verify_graph(const Graph& graph);

}  // namespace placewright
