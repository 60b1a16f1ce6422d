#include "optim_body.h"

#include <cstring>
#include <functional>

#include <fmt/core.h>

namespace placewright::optim {

using capture::At;
using capture::Site;

namespace {

constexpr std::source_location inherited{};

std::string hyper_name(const std::string& name, size_t group) {
  return group ? fmt::format("{}.{}", name, group) : name;
}

class Context final : public UpdateContext {
 public:
  Context(const Optimizer& optimizer, std::map<std::string, Tensor> hypers, std::string name,
          const std::function<Tensor()>& step, std::vector<capture::CapturedUpdate>& updates)
      : optimizer_(optimizer), hypers_(std::move(hypers)), name_(std::move(name)), step_(step), updates_(updates) {}

  Tensor hyper(const std::string& name) override { return hypers_.at(name); }
  Tensor state(const std::string& name) override {
    Tensor made = optimizer_.body().find_or_make(name_ + "." + name, parameter.node()->results[0]);
    made.node()->state->pin = parameter.node()->state->pin;
    return made;
  }
  Tensor step() override { return step_(); }
  void set(const Tensor& state, const Tensor& value) override { updates_.push_back({state, value}); }

 private:
  const Optimizer& optimizer_;
  std::map<std::string, Tensor> hypers_;
  std::string name_;
  const std::function<Tensor()>& step_;
  std::vector<capture::CapturedUpdate>& updates_;
};

// torch.nn.utils.clip_grad_norm_: all gradients times max_norm / (norm + 1e-6), if that is below 1.
void clip_by_norm(std::vector<Tensor>& gradients, const Tensor& max_norm) {
  if (gradients.empty()) return;  // all are frozen
  At at(inherited);
  Tensor sum;
  for (const Tensor& gradient : gradients) {
    Operand g(gradient, inherited);
    Tensor squares = at.cast((g * g).sum({}, false, inherited), DType::f64);
    sum = sum.is_defined() ? Operand(sum, inherited) + Operand(squares, inherited) : squares;
  }
  Tensor norm = sqrt({sum, inherited});
  Tensor factor =
      minimum({Operand(max_norm, inherited) / Operand(Operand(norm, inherited) + Operand(1e-6, inherited), inherited),
               inherited},
              {1.0, inherited});
  for (Tensor& gradient : gradients)
    gradient = Operand(gradient, inherited) * Operand(at.cast(factor, gradient.dtype()), inherited);
}

void clip_by_value(std::vector<Tensor>& gradients, const Tensor& max_value) {
  At at(inherited);
  for (Tensor& gradient : gradients) {
    Tensor high = at.cast(max_value, gradient.dtype());
    gradient = clamp({gradient, inherited}, {-Operand(high, inherited), inherited}, {high, inherited});
  }
}

}  // namespace

Tensor Optimizer::Body::find_or_make(const std::string& name, const Type& type) {
  auto at = state.find(name);
  if (at != state.end()) return at->second;
  const auto bytes = static_cast<size_t>(type.tensor().bytes());
  auto made = std::make_shared<capture::State>(
      type.tensor().dtype, type.tensor().sizes(), [bytes](uint8_t* elements) { std::memset(elements, 0, bytes); },
      Site{});
  made->name = "optimizer." + name;
  return state.emplace(name, At(inherited).state(std::move(made), type)).first->second;
}

std::vector<Tensor> trainable(const Optimizer& optimizer) {
  std::vector<Tensor> all;
  for (const Group& group : optimizer.groups())
    for (const nn::NamedParameter& parameter : group.parameters)
      if (nn::requires_grad(parameter.tensor)) all.push_back(parameter.tensor);
  return all;
}

namespace {
// Calls visit(name, value) for each hyper-parameter argument, in the one order.
template <typename Visit>
void for_each_hyper(const Optimizer& optimizer, Visit visit) {
  for (size_t g = 0; g < optimizer.groups().size(); ++g)
    for (const Hyper& hyper : optimizer.groups()[g].hypers) visit(g, hyper.name, hyper.value);
  if (optimizer.max_norm() > 0) visit(size_t{0}, "max_norm", optimizer.max_norm());
  if (optimizer.max_value() > 0) visit(size_t{0}, "max_value", optimizer.max_value());
}
}  // namespace

size_t hyper_count(const Optimizer& optimizer) {
  size_t count = 0;
  for_each_hyper(optimizer, [&](size_t, const std::string&, double) { ++count; });
  return count;
}

void hyper_values(const Optimizer& optimizer, std::span<double> values) {
  size_t i = 0;
  for_each_hyper(optimizer, [&](size_t, const std::string&, double value) { values[i++] = value; });
}

CapturedHypers capture_hypers(const Optimizer& optimizer) {
  CapturedHypers captured;
  At at(inherited);
  for_each_hyper(optimizer, [&](size_t group, const std::string& name, double) {
    captured.arguments.push_back(at.argument(hyper_name(name, group), Type(DType::f64, {}), {"cpu", 0}, {}));
  });
  return captured;
}

std::vector<capture::CapturedUpdate> capture_updates(const Optimizer& optimizer, std::span<const Tensor> gradients,
                                                     const CapturedHypers& hypers, Site site) {
  capture::RoleScope role(Role::update);
  capture::Scope here(site, "");
  std::map<std::string, Tensor> arguments;
  for (const Tensor& argument : hypers.arguments) arguments[argument.node()->name] = argument;
  std::vector<Tensor> clipped(gradients.begin(), gradients.end());
  if (optimizer.max_value() > 0) clip_by_value(clipped, arguments.at("max_value"));
  if (optimizer.max_norm() > 0) clip_by_norm(clipped, arguments.at("max_norm"));

  std::vector<capture::CapturedUpdate> updates;
  Tensor counted;  // made when a rule first asks for it
  std::function<Tensor()> step = [&] {
    if (counted.is_defined()) return counted;
    Tensor counter = optimizer.body().find_or_make("step", Type(DType::i64, {}));
    Tensor next = Operand(counter, inherited) + Operand(1, inherited);
    updates.push_back({counter, next});
    return counted = At(inherited).cast(next, DType::f64);
  };
  size_t next = 0;
  for (size_t g = 0; g < optimizer.groups().size(); ++g)
    for (const nn::NamedParameter& parameter : optimizer.groups()[g].parameters) {
      if (!nn::requires_grad(parameter.tensor)) continue;
      std::map<std::string, Tensor> own;
      for (const Hyper& hyper : optimizer.groups()[g].hypers) own[hyper.name] = arguments.at(hyper_name(hyper.name, g));
      capture::Scope scope({}, parameter.name);
      Context context(optimizer, std::move(own), parameter.name, step, updates);
      context.parameter = parameter.tensor;
      context.gradient = clipped[next++];
      optimizer.update(context);
    }
  return updates;
}

void check_state(const Optimizer& optimizer, const std::map<std::string, HostTensor>& values,
                 const std::string& source) {
  for (const auto& [name, value] : values) {
    if (name == "step") {
      if (value.dtype() != DType::i64 || !value.sizes().empty())
        throw Error(fmt::format("{}: the optimizer's step is {}{}, expected i64[]", source,
                                placewright::name(value.dtype()), to_string(value.sizes())));
      continue;
    }
    const nn::NamedParameter* owner = nullptr;
    for (const Group& group : optimizer.groups())
      for (const nn::NamedParameter& each : group.parameters)
        if (name.starts_with(each.name + ".")) owner = &each;
    if (!owner)
      throw Error(fmt::format("{}: optimizer state '{}' belongs to no parameter of this optimizer", source, name));
    if (value.dtype() != owner->tensor.dtype() || value.sizes() != owner->tensor.sizes())
      throw Error(fmt::format("{}: optimizer state '{}' is {}{}, expected {}{}", source, name,
                              placewright::name(value.dtype()), to_string(value.sizes()),
                              placewright::name(owner->tensor.dtype()), to_string(owner->tensor.sizes())));
  }
}

void set_state(const Optimizer& optimizer, const std::map<std::string, HostTensor>& values) {
  for (const auto& [name, value] : values)
    optimizer.body().find_or_make(name, Type(value.dtype(), Shape(value.sizes().begin(), value.sizes().end())));
  for (const auto& [name, tensor] : optimizer.body().state) {
    auto at = values.find(name);
    tensor.node()->state->write(at == values.end() ? HostTensor(tensor.dtype(), tensor.sizes()) : at->second);
  }
}

uint64_t structure(const Optimizer& optimizer) {
  uint64_t hash = 2 * (optimizer.max_norm() > 0) + (optimizer.max_value() > 0);
  auto add = [&](uint64_t value) { hash = (hash ^ value) * 0x100000001b3; };  // FNV-1a
  for (const Group& group : optimizer.groups()) {
    add(2 + group.parameters.size());
    for (const nn::NamedParameter& parameter : group.parameters) add(nn::requires_grad(parameter.tensor));
  }
  return hash;
}

}  // namespace placewright::optim
