// Modules: functions with named parameters. A module owns its parameters and submodules; names join to dotted paths
// ("features.0.weight"). Initial values are PyTorch's defaults, drawn from the session's seed in order of construction.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "placewright/ops.h"
#include "placewright/tensor.h"

namespace placewright::capture {
class State;
}

namespace placewright::nn {

struct NamedParameter {
  std::string name;  // dotted path below the module that was asked
  Tensor tensor;
};

class Module {
 public:
  Module();
  Module(Module&&) noexcept;
  Module& operator=(Module&&) noexcept;
  virtual ~Module();

  // What the module computes; called through operator(), which notes the module's path and the caller's line.
  virtual Tensor forward(const Tensor& x) = 0;
  Tensor operator()(const Operand& x);

  // "Linear(10, 2)"
  virtual std::string description() const = 0;

  std::vector<NamedParameter> named_parameters() const;  // in order of registration, depth first
  std::vector<Tensor> parameters() const;
  // What random modules draw from, (seed, counter), by the path of the module: training that goes on elsewhere with
  // these draws the same numbers.
  std::vector<NamedParameter> named_random_states() const;
  struct Child {
    std::string name;
    std::unique_ptr<Module> module;
  };
  const std::vector<Child>& children() const;

  // Pins the state of this module and those below to a device; moved there once, before the next call. What was
  // compiled before is compiled anew then.
  Module& to(const DeviceId& device, Here where = Here::current());
  Module& to(const char* device, Here where = Here::current());
  Module& to(const std::string& device, Here where = Here::current());
  // Converts floating parameters: before the first use only.
  Module& to(DType dtype);

  // Dropout works only while training. Modules train by default; a compiled function looks at each call.
  Module& train(bool training = true);
  Module& eval() { return train(false); }
  bool is_training() const;
  // Frozen parameters get neither gradients nor updates.
  Module& freeze(bool frozen = true);
  // Changes when the ops that this module is captured as, or their places, may change.
  uint64_t structure() const;

 protected:
  // Registers a submodule; the reference stays good when this module is moved.
  template <typename M, typename... Args>
  M& add(std::string name, Args&&... args) {
    auto module = std::make_unique<M>(std::forward<Args>(args)...);
    M& made = *module;
    adopt(std::move(name), std::move(module));
    return made;
  }
  void adopt(std::string name, std::unique_ptr<Module> module);
  // Registers a parameter, whose initial value this is.
  Tensor parameter(std::string name, const HostTensor& value, Here where = Here::current());
  // The same, made where it will stand when it is first used: `fill` writes the elements, row-major, and may be called
  // more than once, always with the same outcome.
  Tensor parameter(std::string name, DType dtype, Sizes sizes, std::function<void(uint8_t* elements)> fill,
                   Here where = Here::current());
  // Registers what this module draws from: one state a module, with a seed of its own, that counts training steps.
  Tensor random_state();

 private:
  Tensor own(std::string name, std::shared_ptr<capture::State> state, Type type, Here where);
  void collect(const std::string& prefix, std::vector<NamedParameter>& into) const;
  void collect_random(const std::string& path, std::vector<NamedParameter>& into) const;
  struct Body;
  std::unique_ptr<Body> body_;
};

bool requires_grad(const Tensor& parameter);
void set_requires_grad(const Tensor& parameter, bool wanted);
// Replaces a parameter's value. Error unless dtype and sizes are the same.
void set_value(const Tensor& parameter, const HostTensor& value);

// y = x W^T + b; weight (out, in), bias (out), both uniform in +-1/sqrt(in).
class Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, bool with_bias = true);
  Tensor forward(const Tensor& x) override;
  std::string description() const override;
  Tensor weight, bias;

 private:
  int64_t in_, out_;
};

// (n, in, h, w) -> (n, out, oh, ow); weight (out, in/groups, k, k), bias (out), uniform in +-1/sqrt(in/groups k k).
class Conv2d : public Module {
 public:
  Conv2d(int64_t in, int64_t out, int64_t kernel, Conv2dOptions options = {}, bool with_bias = true);
  Tensor forward(const Tensor& x) override;
  std::string description() const override;
  Tensor weight, bias;

 private:
  int64_t in_, out_, kernel_;
  Conv2dOptions options_;
};

// Over the last dimension, of `width` elements; weight ones, bias zeros.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(int64_t width, double epsilon = 1e-5);
  Tensor forward(const Tensor& x) override;
  std::string description() const override;
  Tensor weight, bias;

 private:
  int64_t width_;
  double epsilon_;
};

// Rows of a table of `count` by `width`, normal(0, 1), by ids of i32 or i64.
class Embedding : public Module {
 public:
  Embedding(int64_t count, int64_t width);
  Tensor forward(const Tensor& ids) override;
  std::string description() const override;
  Tensor weight;

 private:
  int64_t count_, width_;
};

// While training, makes each element 0 with the given probability and scales the others by 1 / (1 - probability); else
// gives x. Draws anew in every training step, from a state of its own: (seed, counter).
class Dropout : public Module {
 public:
  explicit Dropout(double probability = 0.5);
  Tensor forward(const Tensor& x) override;
  std::string description() const override;

 private:
  double probability_;
  Tensor random_;
};

class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(int64_t window, Pool2dOptions options = {}) : window_(window), options_(options) {}
  Tensor forward(const Tensor& x) override;
  std::string description() const override;

 private:
  int64_t window_;
  Pool2dOptions options_;
};

class AvgPool2d : public Module {
 public:
  explicit AvgPool2d(int64_t window, Pool2dOptions options = {}) : window_(window), options_(options) {}
  Tensor forward(const Tensor& x) override;
  std::string description() const override;

 private:
  int64_t window_;
  Pool2dOptions options_;
};

// (n, ...) -> (n, rest)
class Flatten : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  std::string description() const override { return "Flatten()"; }
};

class ReLU : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  std::string description() const override { return "ReLU()"; }
};
class GELU : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  std::string description() const override { return "GELU()"; }
};
class SiLU : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  std::string description() const override { return "SiLU()"; }
};
class Tanh : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  std::string description() const override { return "Tanh()"; }
};
class Sigmoid : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  std::string description() const override { return "Sigmoid()"; }
};
class Softmax : public Module {
 public:
  explicit Softmax(int dim = -1) : dim_(dim) {}
  Tensor forward(const Tensor& x) override;
  std::string description() const override;

 private:
  int dim_;
};

// Runs its modules one after the other; they are named "0", "1", ...
class Sequential : public Module {
 public:
  template <typename... Modules>
    requires(std::derived_from<std::remove_cvref_t<Modules>, Module> && ...)
  explicit Sequential(Modules&&... modules) {
    (append(std::make_unique<std::remove_cvref_t<Modules>>(std::forward<Modules>(modules))), ...);
  }
  void append(std::unique_ptr<Module> module);
  Tensor forward(const Tensor& x) override;
  std::string description() const override { return "Sequential"; }
};

// Losses as objects, as compile_training_step takes them.
struct MSELoss {
  Tensor operator()(const Operand& prediction, const Operand& target) const { return mse_loss(prediction, target); }
};
struct CrossEntropyLoss {
  Tensor operator()(const Operand& logits, const Operand& labels) const { return cross_entropy(logits, labels); }
};
struct NLLLoss {
  Tensor operator()(const Operand& log_probabilities, const Operand& labels) const {
    return nll_loss(log_probabilities, labels);
  }
};

}  // namespace placewright::nn
