// compile(function): an executable made ahead of time. compile_training_step: forward, loss, gradients and updates as
// ONE graph, called once a step; state is donated and updated in place. New argument shapes, dtypes or devices are new
// specialisations in one cache, each compiled once.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "placewright/ir/graph.h"
#include "placewright/nn.h"
#include "placewright/optim.h"
#include "placewright/tensor.h"

namespace placewright {

struct KernelReport;  // kernel_report.h
struct DeviceNeed;    // passes/memory_need.h
struct PlacementPlan;
struct Program;

struct PerformedLaunch {
  std::string origin, performer;  // "fc at train.cc:3", "cuBLASLt 13.1.0"
  friend bool operator==(const PerformedLaunch&, const PerformedLaunch&) = default;
};

// What one specialisation is and does, for reports and tests.
class Specialisation {
 public:
  virtual ~Specialisation() = default;
  virtual const Graph& captured() const = 0;  // as captured: what --dump writes
  virtual const Graph& placed() const = 0;    // after all passes
  virtual const PlacementPlan& placement() const = 0;
  virtual const Program& program() const = 0;  // what the runtime executes
  // What its kernels take of their devices, where the targets' compilers say so.
  virtual const std::vector<KernelReport>& kernels() const = 0;
  // What libraries of devices run instead of kernels, by name and version, with what it is; known after a step.
  virtual std::vector<PerformedLaunch> libraries() const { return {}; }
  virtual std::vector<DeviceNeed> memory() const = 0;  // that a step needs: with as much as a limit it runs
  virtual double compile_seconds() const = 0;          // passes, code generation or cache, load
  virtual bool from_cache() const = 0;
  virtual const std::vector<std::string>& notices() const = 0;  // lines that were printed: unasked-for transfers
  virtual int64_t planned_step_bytes() const = 0;               // between devices in a step, by the transfer ledger
  virtual int64_t step_transfer_bytes() const = 0;  // between devices in the last step, as the runtime counted
  virtual int64_t load_transfer_bytes() const = 0;
  virtual int64_t read_back_bytes() const = 0;  // of results, so far
  // Steps so far that their device took as a whole; and why it does not ("": nothing speaks against it).
  virtual int64_t steps_at_once() const = 0;
  virtual const std::string& why_piecewise() const = 0;
};

// Text of devices, reasons and transfers of a specialisation, and of what its kernels take: the placement report.
std::string placement_report(const Specialisation& specialisation);

struct CompileOptions {
  std::string name = "main";
  // Splits the first dimension of every argument over these devices: each computes its part, and gradients are added
  // up. Empty: no splitting. The first dimension must divide by their number.
  std::vector<DeviceId> data_parallel = {};
  // A plan file (docs/plan-files.md) that placement follows: its pins act as the program's, and ops that no pin moves
  // stand where it says. Error if it is damaged or another model's.
  std::string plan_file = {};
  // Pins, allowed devices and what stays together, by names of ops and modules (placement_rules.h). Error if one means
  // no op, or if they contradict one another or the program's pins.
  std::vector<PlacementRule> rules = {};
  int64_t max_bytes_per_step = -1;  // Error if a step would copy more between devices; -1: no limit
};

namespace capture {
class Compiled;
}

// A compiled function of tensors. Copies share the specialisations.
class CompiledFunction {
 public:
  explicit CompiledFunction(std::shared_ptr<capture::Compiled> compiled) : compiled_(std::move(compiled)) {}
  std::vector<Tensor> call(std::span<const Tensor> arguments, Here where = Here::current()) const;
  template <typename... Tensors>
  Tensor operator()(const Tensors&... arguments) const {
    const Tensor* const list[] = {&arguments...};
    return call_first(list, Here{});
  }
  // The first result alone.
  Tensor call_first(std::span<const Tensor* const> arguments, Here where = Here::current()) const;
  // Captures without compiling: the graph for these arguments.
  Graph capture(std::span<const Tensor> arguments) const;
  std::vector<const Specialisation*> specialisations() const;
  const Specialisation& last() const;  // the one that the last call used; Error before the first call

 private:
  std::shared_ptr<capture::Compiled> compiled_;
};

CompiledFunction compile(std::function<std::vector<Tensor>(const std::vector<Tensor>&)> function,
                         CompileOptions options = {});
CompiledFunction compile(std::function<Tensor(const Tensor&)> function, CompileOptions options = {});
CompiledFunction compile(std::function<Tensor(const Tensor&, const Tensor&)> function, CompileOptions options = {});
// The module's forward pass; parameters are state, nothing is updated.
CompiledFunction compile(nn::Module& module, CompileOptions options = {}, Here where = Here::current());

using Loss = std::function<Tensor(const Operand& output, const Operand& target)>;

// step(x, target) runs one training step and returns the loss, unread.
class TrainingStep {
 public:
  explicit TrainingStep(CompiledFunction function) : function_(std::move(function)) {}
  Tensor operator()(const Tensor& x, const Tensor& target, Here where = Here::current());
  Graph capture(const Tensor& x, const Tensor& target);
  std::vector<const Specialisation*> specialisations() const { return function_.specialisations(); }
  const Specialisation& last() const { return function_.last(); }

 private:
  CompiledFunction function_;
};

// `model` and `optimizer` must outlive the step.
TrainingStep compile_training_step(nn::Module& model, Loss loss, optim::Optimizer& optimizer,
                                   CompileOptions options = {.name = "training_step"}, Here where = Here::current());

}  // namespace placewright
