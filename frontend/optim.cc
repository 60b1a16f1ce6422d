#include "placewright/optim.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <set>

#include <fmt/core.h>

#include "capture/node.h"
#include "optim_body.h"

namespace placewright::optim {
namespace {

constexpr std::source_location inherited{};

// Arithmetic of update rules, without a line of its own: ops take the line that asked for the training step.
struct Term {
  Tensor tensor;
};
Operand operand(const Term& x) { return {x.tensor, inherited}; }
Term operator+(const Term& a, const Term& b) { return {operand(a) + operand(b)}; }
Term operator-(const Term& a, const Term& b) { return {operand(a) - operand(b)}; }
Term operator*(const Term& a, const Term& b) { return {operand(a) * operand(b)}; }
Term operator/(const Term& a, const Term& b) { return {operand(a) / operand(b)}; }
Term number(double value) { return {capture::At(inherited).number(DType::f64, value)}; }
Term root(const Term& x) { return {sqrt(operand(x))}; }

double valid(double value, std::string_view what, double low, double high) {
  if (!(value >= low && value <= high))
    throw Error(fmt::format("{} is {}, expected a number from {} to {}", what, value, low, high));
  return value;
}

// Of the names that our own optimizers use; a rule of the user's may want any number.
double valid_hyper(const std::string& optimizer, const std::string& name, double value) {
  constexpr double largest = 1e30, below_one = 1 - 0x1p-53;
  const std::string what = fmt::format("{}: {}", optimizer, name);
  if (name == "lr" || name == "epsilon" || name == "weight_decay") return valid(value, what, 0, largest);
  if (name == "momentum") return valid(value, what, 0, 1);
  if (name == "beta1" || name == "beta2") return valid(value, what, 0, below_one);  // 1 would divide by 0
  return valid(value, what, -std::numeric_limits<double>::max(), std::numeric_limits<double>::max());
}

std::vector<Hyper> checked_hypers(const std::string& optimizer, std::vector<Hyper> hypers) {
  for (const Hyper& hyper : hypers) valid_hyper(optimizer, hyper.name, hyper.value);
  return hypers;
}

std::vector<Hyper> adam_hypers(const AdamOptions& options) {
  std::vector<Hyper> hypers{
      {"lr", options.lr}, {"beta1", options.beta1}, {"beta2", options.beta2}, {"epsilon", options.epsilon}};
  if (options.weight_decay != 0) hypers.push_back({"weight_decay", options.weight_decay});
  return checked_hypers("Adam", std::move(hypers));
}

std::vector<Hyper> sgd_hypers(const SGDOptions& options) {
  if (options.nesterov && options.momentum == 0) throw Error("SGD: nesterov is on and momentum 0, expected a momentum");
  std::vector<Hyper> hypers{{"lr", options.lr}};
  if (options.momentum != 0) hypers.push_back({"momentum", options.momentum});
  if (options.weight_decay != 0) hypers.push_back({"weight_decay", options.weight_decay});
  return checked_hypers("SGD", std::move(hypers));
}

}  // namespace

Tensor UpdateContext::like_parameter(const Tensor& scalar) const {
  return capture::At(inherited).cast(scalar, parameter.dtype());
}

Optimizer::Optimizer(std::vector<nn::NamedParameter> parameters, std::vector<Hyper> hypers)
    : body_(std::make_unique<Body>()) {
  if (parameters.empty())
    throw Error("an optimizer was given no parameters, expected those of a module: named_parameters()");
  require_own(parameters);
  groups_.push_back({std::move(parameters), std::move(hypers)});
}
Optimizer::~Optimizer() = default;

// Each of them is a parameter that no group has yet: it would be updated twice in a step.
void Optimizer::require_own(const std::vector<nn::NamedParameter>& parameters) const {
  std::set<const capture::Node*> known;
  for (const Group& group : groups_)
    for (const nn::NamedParameter& each : group.parameters) known.insert(each.tensor.node().get());
  for (const nn::NamedParameter& each : parameters) {
    nn::requires_grad(each.tensor);  // Error unless it is a parameter
    if (!known.insert(each.tensor.node().get()).second)
      throw Error(fmt::format("an optimizer was given parameter '{}' twice, expected it in one group", each.name));
  }
}

size_t Optimizer::checked(int group) const {
  if (group < 0 || group >= static_cast<int>(groups_.size()))
    throw Error(fmt::format("{} has no group {}, expected 0 to {}", description(), group, groups_.size() - 1));
  return static_cast<size_t>(group);
}

double Optimizer::hyper(const std::string& name, int group) const {
  for (const Hyper& hyper : groups_[checked(group)].hypers)
    if (hyper.name == name) return hyper.value;
  throw Error(fmt::format("{} has no hyper-parameter '{}'", description(), name));
}

void Optimizer::set_hyper(const std::string& name, double value, int group) {
  for (Hyper& hyper : groups_[checked(group)].hypers)
    if (hyper.name == name) {
      hyper.value = valid_hyper(description(), name, value);
      return;
    }
  throw Error(fmt::format("{} has no hyper-parameter '{}': give it when the optimizer is made", description(), name));
}

void Optimizer::set_hyper(const std::string& name, double value) {
  for (size_t group = 0; group < groups_.size(); ++group) set_hyper(name, value, static_cast<int>(group));
}

int Optimizer::add_group(const std::vector<nn::NamedParameter>& parameters, const std::vector<Hyper>& changes) {
  require_own(parameters);
  groups_.push_back({parameters, groups_.front().hypers});
  const int group = static_cast<int>(groups_.size()) - 1;
  try {
    for (const Hyper& change : changes) set_hyper(change.name, change.value, group);
  } catch (...) {
    groups_.pop_back();
    throw;
  }
  return group;
}

void Optimizer::clip_norm(double max_norm) { max_norm_ = valid(max_norm, "clip_norm: the bound", 0, 1e30); }
void Optimizer::clip_value(double max_value) { max_value_ = valid(max_value, "clip_value: the bound", 0, 1e30); }

std::vector<nn::NamedParameter> Optimizer::named_state() const {
  std::vector<nn::NamedParameter> all;
  for (const auto& [name, tensor] : body_->state) all.push_back({name, tensor});
  return all;
}

SGD::SGD(std::vector<nn::NamedParameter> parameters, SGDOptions options)
    : Optimizer(std::move(parameters), sgd_hypers(options)), options_(options) {}
std::string SGD::description() const { return "SGD"; }

// PyTorch's SGD: g += weight_decay p; v = momentum v + g; g = nesterov ? g + momentum v : v; p -= lr g.
void SGD::update(UpdateContext& context) const {
  auto scalar = [&](const char* name) { return Term{context.like_parameter(context.hyper(name))}; };
  Term p{context.parameter}, g{context.gradient};
  if (options_.weight_decay != 0) g = g + p * scalar("weight_decay");
  if (options_.momentum != 0) {
    Tensor velocity = context.state("momentum");
    Term momentum = scalar("momentum"), next = Term{velocity} * momentum + g;
    context.set(velocity, next.tensor);
    g = options_.nesterov ? g + next * momentum : next;
  }
  context.set(context.parameter, (p - g * scalar("lr")).tensor);
}

Adam::Adam(std::vector<nn::NamedParameter> parameters, AdamOptions options, bool decoupled)
    : Optimizer(std::move(parameters), adam_hypers(options)), options_(options), decoupled_(decoupled) {}
Adam::Adam(std::vector<nn::NamedParameter> parameters, AdamOptions options)
    : Adam(std::move(parameters), options, false) {}
AdamW::AdamW(std::vector<nn::NamedParameter> parameters, AdamOptions options)
    : Adam(std::move(parameters), options, true) {}
std::string Adam::description() const { return "Adam"; }
std::string AdamW::description() const { return "AdamW"; }

// PyTorch's Adam, scalars in f64: m += (1 - beta1)(g - m); v = beta2 v + (1 - beta2) g^2;
// p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon).
void Adam::update(UpdateContext& context) const {
  auto like = [&](const Term& scalar) { return Term{context.like_parameter(scalar.tensor)}; };
  Term one = number(1), lr{context.hyper("lr")}, beta1{context.hyper("beta1")}, beta2{context.hyper("beta2")};
  Term p{context.parameter}, g{context.gradient};
  if (options_.weight_decay != 0) {
    Term decay{context.hyper("weight_decay")};
    if (decoupled_)
      p = p * like(one - lr * decay);
    else
      g = g + p * like(decay);
  }
  Tensor first = context.state("exp_avg"), second = context.state("exp_avg_sq");
  Term m = Term{first} + (g - Term{first}) * like(one - beta1);
  Term v = Term{second} * like(beta2) + g * g * like(one - beta2);
  context.set(first, m.tensor);
  context.set(second, v.tensor);
  Operand step(context.step(), inherited);
  Term correction1 = one - Term{pow(operand(beta1), step)}, correction2 = one - Term{pow(operand(beta2), step)};
  Term denominator = root(v) / like(root(correction2)) + like(Term{context.hyper("epsilon")});
  context.set(context.parameter, (p - m * like(lr / correction1) / denominator).tensor);
}

Schedule::Schedule(Optimizer& optimizer, std::function<double(int64_t epoch)> factor)
    : optimizer_(optimizer), factor_(std::move(factor)) {
  if (!factor_) throw Error("a schedule was given an empty function, expected one from the epoch to a factor");
  for (size_t group = 0; group < optimizer.groups().size(); ++group)
    initial_.push_back(optimizer.hyper("lr", static_cast<int>(group)));
  for (size_t group = 0; group < initial_.size(); ++group)
    optimizer_.set_hyper("lr", initial_[group] * factor_(0), static_cast<int>(group));
}

void Schedule::step() {
  ++epoch_;
  for (size_t group = 0; group < initial_.size(); ++group)
    optimizer_.set_hyper("lr", initial_[group] * factor_(epoch_), static_cast<int>(group));
}

Schedule step_lr(Optimizer& optimizer, int64_t every, double gamma) {
  if (every < 1) throw Error(fmt::format("step_lr: every {} epochs, expected 1 or more", every));
  return {optimizer, [=](int64_t epoch) {
            int64_t drops = epoch / every;
            return std::pow(gamma, static_cast<double>(drops));
          }};
}
Schedule exponential_lr(Optimizer& optimizer, double gamma) {
  return {optimizer, [=](int64_t epoch) { return std::pow(gamma, static_cast<double>(epoch)); }};
}
Schedule cosine_lr(Optimizer& optimizer, int64_t epochs, double minimum_factor) {
  if (epochs < 1) throw Error(fmt::format("cosine_lr: {} epochs, expected 1 or more", epochs));
  return {optimizer, [=](int64_t epoch) {
            double part = static_cast<double>(std::min(epoch, epochs)) / static_cast<double>(epochs);
            return minimum_factor + (1 - minimum_factor) * (1 + std::cos(std::numbers::pi * part)) / 2;
          }};
}
Schedule linear_warmup(Optimizer& optimizer, int64_t epochs, double start_factor) {
  if (epochs < 1) throw Error(fmt::format("linear_warmup: {} epochs, expected 1 or more", epochs));
  return {optimizer, [=](int64_t epoch) {
            double part = static_cast<double>(std::min(epoch, epochs)) / static_cast<double>(epochs);
            return start_factor + (1 - start_factor) * part;
          }};
}

}  // namespace placewright::optim
