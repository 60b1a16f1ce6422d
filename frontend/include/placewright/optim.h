// Optimizers: their updates are ordinary ops of the training step, in role update. Hyper-parameters are arguments of
// the step, f64 scalars: changing one never recompiles. Formulas and defaults are PyTorch's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "placewright/nn.h"
#include "placewright/tensor.h"

namespace placewright::optim {

// A hyper-parameter of a group under its name, such as "lr".
struct Hyper {
  std::string name;
  double value = 0;
};

struct Group {
  std::vector<nn::NamedParameter> parameters;
  std::vector<Hyper> hypers;
};

// What an update rule sees of one parameter, as captured tensors. Scalars are f64; numbers are cast to the parameter's
// dtype only where they meet it.
class UpdateContext {
 public:
  virtual ~UpdateContext() = default;
  Tensor parameter, gradient;
  virtual Tensor hyper(const std::string& name) = 0;               // f64 scalar
  virtual Tensor state(const std::string& name) = 0;               // like the parameter, zeros at first
  virtual Tensor step() = 0;                                       // this step's number from 1, f64
  virtual void set(const Tensor& state, const Tensor& value) = 0;  // the state's or parameter's new value
  Tensor like_parameter(const Tensor& scalar) const;               // cast to the parameter's dtype
};

class Optimizer {
 public:
  virtual ~Optimizer();
  Optimizer(const Optimizer&) = delete;

  // The learning rate of all groups, and of one.
  double lr() const { return hyper("lr"); }
  void set_lr(double lr) { set_hyper("lr", lr); }
  double hyper(const std::string& name, int group = 0) const;
  // Error if the optimizer has none of that name, or the value is outside its range; then nothing was changed.
  void set_hyper(const std::string& name, double value);  // of all groups
  void set_hyper(const std::string& name, double value, int group);
  // A further group, whose hyper-parameters start from the first one's; `changes` differ.
  int add_group(const std::vector<nn::NamedParameter>& parameters, const std::vector<Hyper>& changes = {});
  const std::vector<Group>& groups() const { return groups_; }

  // Gradient clipping, before the update: to a total norm over all gradients, or each element to [-value, value].
  // Switching on or off recompiles; changing the bound does not.
  // 0 switches off.
  void clip_norm(double max_norm);
  void clip_value(double max_value);
  double max_norm() const { return max_norm_; }
  double max_value() const { return max_value_; }

  // The optimizer's state tensors by name ("fc1.weight.momentum", "step"), once a training step was compiled.
  std::vector<nn::NamedParameter> named_state() const;

  virtual std::string description() const = 0;
  virtual void update(UpdateContext& context) const = 0;

  struct Body;  // the state tensors; the frontend's own
  Body& body() const { return *body_; }

 protected:
  Optimizer(std::vector<nn::NamedParameter> parameters, std::vector<Hyper> hypers);

 private:
  size_t checked(int group) const;
  void require_own(const std::vector<nn::NamedParameter>& parameters) const;
  std::vector<Group> groups_;
  double max_norm_ = 0, max_value_ = 0;
  std::unique_ptr<Body> body_;
};

struct SGDOptions {
  double lr = 1e-3, momentum = 0, weight_decay = 0;
  bool nesterov = false;
};
class SGD : public Optimizer {
 public:
  SGD(std::vector<nn::NamedParameter> parameters, SGDOptions options);
  std::string description() const override;
  void update(UpdateContext& context) const override;

 private:
  SGDOptions options_;
};

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
};
class Adam : public Optimizer {  // Kingma and Ba, arXiv 1412.6980; weight decay is added to the gradient
 public:
  Adam(std::vector<nn::NamedParameter> parameters, AdamOptions options = {});
  std::string description() const override;
  void update(UpdateContext& context) const override;

 protected:
  Adam(std::vector<nn::NamedParameter> parameters, AdamOptions options, bool decoupled);

 private:
  AdamOptions options_;
  bool decoupled_ = false;
};
class AdamW : public Adam {  // Loshchilov and Hutter, arXiv 1711.05101; weight decay 0.01 by default, as in PyTorch
 public:
  AdamW(std::vector<nn::NamedParameter> parameters, AdamOptions options = {.weight_decay = 0.01});
  std::string description() const override;
};

// Learning-rate schedules: the factor of the initial rate after `epoch` calls of step(). Call step() once an epoch.
class Schedule {
 public:
  Schedule(Optimizer& optimizer, std::function<double(int64_t epoch)> factor);
  void step();
  int64_t epoch() const { return epoch_; }

 private:
  Optimizer& optimizer_;
  std::function<double(int64_t)> factor_;
  std::vector<double> initial_;  // of each group
  int64_t epoch_ = 0;
};
Schedule step_lr(Optimizer& optimizer, int64_t every, double gamma = 0.1);
Schedule exponential_lr(Optimizer& optimizer, double gamma);
Schedule cosine_lr(Optimizer& optimizer, int64_t epochs, double minimum_factor = 0);
Schedule linear_warmup(Optimizer& optimizer, int64_t epochs, double start_factor = 1.0 / 3);

}  // namespace placewright::optim
