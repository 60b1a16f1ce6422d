// The ways to make an executable: from a function, from a module, as a training step.
#include <fmt/core.h>

#include "compiled.h"
#include "optim_body.h"
#include "placewright/compile.h"
#include "placewright/kernel_report.h"
#include "placewright/passes/placement.h"

namespace placewright {

using capture::At;
using capture::Compiled;
using capture::Traced;

namespace {

constexpr std::source_location inherited{};

template <typename Function>
void require_callable(const Function& function, std::string_view what) {
  if (!function) throw Error(fmt::format("compile: {} is empty, expected something to call", what));
}

class TracedFunction final : public Compiled {
 public:
  using Function = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;
  TracedFunction(Function function, CompileOptions options)
      : Compiled(std::move(options)), function_(std::move(function)) {}

 protected:
  Traced trace(std::span<const Tensor> stand_ins, std::span<const Tensor>) override {
    return {function_({stand_ins.begin(), stand_ins.end()}), {}};
  }

 private:
  Function function_;
};

class CompiledModule final : public Compiled {
 public:
  CompiledModule(nn::Module& module, CompileOptions options, capture::Site site)
      : Compiled(std::move(options)), module_(module), site_(site) {}

 protected:
  Traced trace(std::span<const Tensor> stand_ins, std::span<const Tensor>) override {
    if (stand_ins.size() != 1) throw Error(fmt::format("a module takes 1 argument, found {}", stand_ins.size()));
    capture::Scope here(site_, "");
    module_.named_parameters();
    return {{module_({stand_ins[0], inherited})}, {}};
  }
  std::string argument_name(size_t) const override { return "input"; }
  uint64_t structure() const override { return module_.structure(); }

 private:
  nn::Module& module_;
  capture::Site site_;
};

// Random states that the loss was computed with count this step.
void advance_random_states(const Tensor& loss, std::vector<capture::CapturedUpdate>& updates) {
  capture::RoleScope role(Role::update);
  for (const capture::NodePtr& node : capture::reachable({&loss, 1})) {
    if (!node->state || !node->state->counts_steps) continue;
    Tensor state(node), one = At(inherited)("constant", {}, {{"value", HostTensor::from<int64_t>({2}, {0, 1})}});
    updates.push_back({state, Operand(state, inherited) + Operand(one, inherited)});
  }
}

class CompiledStep final : public Compiled {
 public:
  CompiledStep(nn::Module& model, Loss loss, optim::Optimizer& optimizer, CompileOptions options)
      : Compiled(std::move(options)), model_(model), loss_(std::move(loss)), optimizer_(optimizer) {}

  capture::Site site;  // of the call that is traced

 protected:
  Traced trace(std::span<const Tensor> stand_ins, std::span<const Tensor> scalars) override {
    if (stand_ins.size() != 2)
      throw Error(fmt::format("a training step takes an input and a target, found {} arguments", stand_ins.size()));
    capture::Scope here(site, "");
    model_.named_parameters();
    Tensor loss = loss_({model_({stand_ins[0], inherited}), inherited}, {stand_ins[1], inherited});
    std::vector<Tensor> trainable = optim::trainable(optimizer_);
    std::vector<Tensor> results = At(inherited).gradients({loss}, trainable);
    std::vector<capture::CapturedUpdate> updates = optim::capture_updates(
        optimizer_, std::span(results).subspan(1), {std::vector<Tensor>(scalars.begin(), scalars.end())}, {});
    advance_random_states(loss, updates);
    return {{results.front()}, std::move(updates)};
  }
  std::string argument_name(size_t i) const override { return i == 0 ? "input" : "target"; }
  std::vector<Tensor> make_scalars() override { return optim::capture_hypers(optimizer_).arguments; }
  size_t scalar_count() const override { return optim::hyper_count(optimizer_); }
  void scalar_values(std::span<double> values) const override { optim::hyper_values(optimizer_, values); }
  uint64_t structure() const override { return 31 * optim::structure(optimizer_) + model_.structure(); }

 private:
  nn::Module& model_;
  Loss loss_;
  optim::Optimizer& optimizer_;
};

}  // namespace

std::vector<Tensor> CompiledFunction::call(std::span<const Tensor> arguments, Here where) const {
  std::vector<const Tensor*> list;
  for (const Tensor& argument : arguments) list.push_back(&argument);
  return compiled_->call(list, where);
}
Tensor CompiledFunction::call_first(std::span<const Tensor* const> arguments, Here where) const {
  return compiled_->call_first(arguments, where);
}
Graph CompiledFunction::capture(std::span<const Tensor> arguments) const { return compiled_->capture(arguments).graph; }
std::vector<const Specialisation*> CompiledFunction::specialisations() const { return compiled_->specialisations(); }

CompiledFunction compile(std::function<std::vector<Tensor>(const std::vector<Tensor>&)> function,
                         CompileOptions options) {
  require_callable(function, "the function");
  return CompiledFunction(std::make_shared<TracedFunction>(std::move(function), std::move(options)));
}

CompiledFunction compile(std::function<Tensor(const Tensor&)> function, CompileOptions options) {
  require_callable(function, "the function");
  return compile(
      [function = std::move(function)](const std::vector<Tensor>& arguments) {
        if (arguments.size() != 1)
          throw Error(fmt::format("the function takes 1 argument, found {}", arguments.size()));
        return std::vector<Tensor>{function(arguments[0])};
      },
      std::move(options));
}

CompiledFunction compile(std::function<Tensor(const Tensor&, const Tensor&)> function, CompileOptions options) {
  require_callable(function, "the function");
  return compile(
      [function = std::move(function)](const std::vector<Tensor>& arguments) {
        if (arguments.size() != 2)
          throw Error(fmt::format("the function takes 2 arguments, found {}", arguments.size()));
        return std::vector<Tensor>{function(arguments[0], arguments[1])};
      },
      std::move(options));
}

CompiledFunction compile(nn::Module& module, CompileOptions options, Here where) {
  return CompiledFunction(std::make_shared<CompiledModule>(module, std::move(options), capture::site_of(where)));
}

TrainingStep compile_training_step(nn::Module& model, Loss loss, optim::Optimizer& optimizer, CompileOptions options,
                                   Here where) {
  require_callable(loss, "the loss");
  auto compiled = std::make_shared<CompiledStep>(model, std::move(loss), optimizer, std::move(options));
  compiled->site = capture::site_of(where);
  return TrainingStep(CompiledFunction(std::move(compiled)));
}

const Specialisation& CompiledFunction::last() const { return compiled_->last(); }

std::string placement_report(const Specialisation& specialisation) {
  std::string text = print_plan(specialisation.placement());
  for (const std::string& line : kernel_lines(specialisation.kernels())) text += line + "\n";
  const std::vector<PerformedLaunch> libraries = specialisation.libraries();
  if (!libraries.empty()) text += "Libraries that run instead of kernels, which took longer\n";
  for (const PerformedLaunch& launch : libraries) text += fmt::format("  {}: {}\n", launch.origin, launch.performer);
  return text;
}

Tensor TrainingStep::operator()(const Tensor& x, const Tensor& target, Here where) {
  const Tensor* const arguments[] = {&x, &target};
  return function_.call_first(arguments, where);
}

Graph TrainingStep::capture(const Tensor& x, const Tensor& target) {
  const Tensor arguments[] = {x, target};
  return function_.capture(arguments);
}

}  // namespace placewright
