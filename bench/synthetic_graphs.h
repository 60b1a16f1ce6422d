// Graphs of any size for measurements, of several shapes; each op has an origin, as captured programs have them.
#pragma once

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "placewright/ir/builder.h"

namespace synthetic {

using namespace placewright;

class Writer {
 public:
  Writer() : builder_(graph_, add_function(graph_, "main")) {}

  Value input(const std::string& name, InputKind kind, Shape shape) {
    builder_.origin = 0;
    return builder_.input(name, kind, TensorType{DType::f32, std::move(shape), {}, {}});
  }
  Value op(Role role, const std::string& module, std::string_view name, std::vector<Value> operands,
           Attributes attributes = {}) {
    Origin origin;
    origin.role = role;
    origin.module_path = module;
    origin.ordinal = ordinals_[{role, module}]++;
    origin.frames = {{"model.py", static_cast<int>(graph_.origins.size() % 500) + 1}};
    builder_.origin = graph_.origins.intern(std::move(origin));
    return builder_(name, std::move(operands), std::move(attributes));
  }
  Value product(Role role, const std::string& module, Value lhs, Value rhs, int64_t lhs_dim, int64_t rhs_dim) {
    return op(role, module, "dot_general", {lhs, rhs},
              {{"lhs_contracting", Sizes{lhs_dim}}, {"rhs_contracting", Sizes{rhs_dim}}});
  }
  int ops() const { return static_cast<int>(builder_.function().ops.size()); }
  Function& function() { return builder_.function(); }
  Graph take() { return std::move(graph_); }

 private:
  Graph graph_;
  FunctionBuilder builder_;
  std::map<std::pair<Role, std::string>, int> ordinals_;
};

inline Graph chain(int ops) {
  Writer w;
  Value x = w.input("x", InputKind::argument, {64, 64}), weight = w.input("w", InputKind::state, {64, 64});
  for (int layer = 0; w.ops() < ops; ++layer) {
    std::string module = "layers." + std::to_string(layer);
    x = w.product(Role::forward, module, x, weight, 1, 0);
    for (const char* name : {"tanh", "neg", "exp", "abs"}) x = w.op(Role::forward, module, name, {x});
  }
  w.function().results = {x};
  return w.take();
}

// Each parameter is read once and updated.
inline Graph parameters(int ops) {
  Writer w;
  Value x = w.input("x", InputKind::argument, {64, 64}), sum = x;
  for (int i = 0; w.ops() < ops; ++i) {
    std::string module = "layers." + std::to_string(i);
    Value weight = w.input(module + ".weight", InputKind::state, {64, 64});
    Value read = w.op(Role::forward, module, "mul", {weight, x});
    sum = w.op(Role::forward, module, "add", {sum, read});
    w.function().updates.push_back({weight, w.op(Role::update, module, "sub", {weight, read})});
  }
  w.function().results = {sum};
  return w.take();
}

// Each op reads two of all earlier values: most are alive for long.
inline Graph reads(int ops) {
  Writer w;
  std::mt19937 random(5);
  std::vector<Value> values{w.input("x", InputKind::argument, {16, 16})};
  std::vector<bool> is_read(1, false);
  while (w.ops() < 3 * ops / 4) {
    size_t a = random() % values.size(), b = random() % values.size();
    is_read[a] = is_read[b] = true;
    is_read.push_back(false);
    std::string module = "layers." + std::to_string(w.ops() / 20);
    if (random() % 4 == 0)
      values.push_back(w.product(Role::forward, module, values[a], values[b], 1, 0));
    else
      values.push_back(w.op(Role::forward, module, random() % 2 ? "add" : "max", {values[a], values[b]}));
  }
  Value sum = values.back();
  for (size_t i = 0; i + 1 < values.size(); ++i)
    if (!is_read[i]) sum = w.op(Role::forward, "", "add", {sum, values[i]});
  w.function().results = {sum};
  return w.take();
}

// Forward, backward and update of a stack of layers.
inline Graph training(int ops) {
  Writer w;
  const int layers = std::max(1, ops / 14);
  Value x = w.input("x", InputKind::argument, {64, 128});
  std::vector<Value> weights, inputs, hidden, active;
  for (int i = 0; i < layers; ++i)
    weights.push_back(w.input("layers." + std::to_string(i) + ".weight", InputKind::state, {128, 128}));
  for (int i = 0; i < layers; ++i) {
    std::string module = "layers." + std::to_string(i);
    inputs.push_back(x);
    hidden.push_back(w.product(Role::forward, module, x, weights[static_cast<size_t>(i)], 1, 0));
    active.push_back(w.op(Role::forward, module, "tanh", {hidden.back()}));
    x = w.op(Role::forward, module, "add", {x, active.back()});
  }
  w.function().results = {x};
  Value gradient = x;
  for (int i = layers - 1; i >= 0; --i) {
    std::string module = "layers." + std::to_string(i);
    auto at = static_cast<size_t>(i);
    Value squares = w.op(Role::backward, module, "mul", {active[at], active[at]});
    Value bent = w.op(Role::backward, module, "mul", {gradient, squares});
    Value through = w.op(Role::backward, module, "sub", {gradient, bent});
    Value change = w.product(Role::backward, module, inputs[at], through, 0, 0);
    Value back = w.product(Role::backward, module, through, weights[at], 1, 1);
    gradient = w.op(Role::backward, module, "add", {gradient, back});
    Value step = w.op(Role::update, module, "mul", {change, change});
    Value root = w.op(Role::update, module, "tanh", {step});
    w.function().updates.push_back({weights[at], w.op(Role::update, module, "sub", {weights[at], root})});
  }
  return w.take();
}

// Branches that share nothing but what they read first and the sum of what they make.
inline Graph wide(int ops) {
  constexpr int length = 8;
  Writer w;
  Value x = w.input("x", InputKind::argument, {64, 64}), sum = x;
  for (int branch = 0; w.ops() < ops; ++branch) {
    std::string module = "branches." + std::to_string(branch);
    Value y = w.product(Role::forward, module, x, w.input(module + ".weight", InputKind::state, {64, 64}), 1, 0);
    for (int i = 0; i < length; ++i) y = w.op(Role::forward, module, i % 2 ? "exp" : "tanh", {y});
    sum = w.op(Role::forward, "", "add", {sum, y});
  }
  w.function().results = {sum};
  return w.take();
}

}  // namespace synthetic
