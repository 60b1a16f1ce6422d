#include "placewright/nn.h"

#include <cmath>

#include <fmt/core.h>

#include "capture/node.h"
#include "session_body.h"

namespace placewright::nn {

using capture::At;
using capture::Node;

namespace {

// The library's own calls name no line: ops take the line of the user's call.
constexpr std::source_location inherited{};

Operand at_caller(const Tensor& x) { return {x, inherited}; }

// PyTorch's kaiming_uniform(a = sqrt(5)) for weights, and its rule for biases, are both uniform in +-1/sqrt(fan in).
std::function<void(uint8_t*)> uniform_by_fan_in(const Sizes& sizes, int64_t fan_in) {
  byte_size(DType::f32, sizes);  // Error unless 64 bits can count them
  std::shared_ptr<Session> session = Session::current();
  HostRandom random(session->seed(), session->next_stream());
  const double bound = fan_in > 0 ? 1 / std::sqrt(static_cast<double>(fan_in)) : 0;
  return [random, bound, count = static_cast<size_t>(element_count(sizes))](uint8_t* elements) {
    random.fill_uniform({reinterpret_cast<float*>(elements), count}, bound);
  };
}

HostTensor filled(const Sizes& sizes, double value) {
  HostTensor host(DType::f32, sizes);
  for (int64_t i = 0; i < host.elements(); ++i) host.set_number(i, value);
  return host;
}

capture::State& state_of(const Tensor& parameter) {
  if (!parameter.is_defined() || !parameter.node()->state)
    throw Error("found a tensor that is no parameter, expected one of a module's parameters");
  return *parameter.node()->state;
}

// Names join to dotted paths.
void require_name(const std::string& name, std::string_view what) {
  if (name.empty() || name.find('.') != std::string::npos)
    throw Error(fmt::format("a {} is named '{}', expected a name without dots", what, name));
}

int64_t positive(int64_t value, std::string_view what) {
  if (value < 1) throw Error(fmt::format("{} is {}, expected 1 or more", what, value));
  return value;
}

}  // namespace

struct Module::Body {
  struct Named {
    std::string name;
    Tensor tensor;
  };
  std::string name;  // as the parent registered it
  std::vector<Child> children;
  std::vector<Named> parameters;
  Tensor random;
  bool is_training = true;
};

Module::Module() : body_(std::make_unique<Body>()) {}
Module::Module(Module&&) noexcept = default;
Module& Module::operator=(Module&&) noexcept = default;
Module::~Module() = default;

Tensor Module::operator()(const Operand& x) {
  capture::Scope scope(capture::site_of(x.where()), body_->name);
  Tensor result = forward(x);
  if (!result.is_defined())
    throw Error(fmt::format("{}: forward() of module '{}' gave an undefined tensor, expected one computed from x",
                            description(), body_->name));
  return result;
}

void Module::adopt(std::string name, std::unique_ptr<Module> module) {
  require_name(name, "submodule");
  if (!module) throw Error(fmt::format("submodule '{}' is null, expected a module", name));
  for (const Child& child : body_->children)
    if (child.name == name) throw Error(fmt::format("two submodules are named '{}'", name));
  module->body_->name = name;
  body_->children.push_back({std::move(name), std::move(module)});
}

Tensor Module::parameter(std::string name, const HostTensor& value, Here where) {
  Type type(value.dtype(), Shape(value.sizes().begin(), value.sizes().end()));
  auto state = std::make_shared<capture::State>(value, capture::site_of(where));
  return own(std::move(name), std::move(state), std::move(type), where);
}

Tensor Module::parameter(std::string name, DType dtype, Sizes sizes, std::function<void(uint8_t*)> fill, Here where) {
  byte_size(dtype, sizes);  // Error unless 64 bits can count them
  Type type(dtype, Shape(sizes.begin(), sizes.end()));
  auto state = std::make_shared<capture::State>(dtype, std::move(sizes), std::move(fill), capture::site_of(where));
  return own(std::move(name), std::move(state), std::move(type), where);
}

Tensor Module::own(std::string name, std::shared_ptr<capture::State> state, Type type, Here where) {
  require_name(name, "parameter");
  for (const Body::Named& each : body_->parameters)
    if (each.name == name) throw Error(fmt::format("two parameters are named '{}'", name));
  state->name = name;
  Tensor tensor = At(where).state(std::move(state), std::move(type));
  body_->parameters.push_back({std::move(name), tensor});
  return tensor;
}

void Module::collect(const std::string& prefix, std::vector<NamedParameter>& into) const {
  for (const Body::Named& each : body_->parameters) into.push_back({prefix + each.name, each.tensor});
  for (const Child& child : body_->children) child.module->collect(prefix + child.name + ".", into);
}

// The seed is the module's, not the op's: two modules draw different numbers, and a state that is loaded brings its
// own.
Tensor Module::random_state() {
  std::shared_ptr<Session> session = Session::current();
  HostTensor start(DType::i64, {2});
  const HostRandom seeds(session->seed(), session->next_stream());
  start.set_integer(0, static_cast<int64_t>(seeds.bits(0) >> 1));
  auto state = std::make_shared<capture::State>(std::move(start), capture::Site{});
  state->name = "random";
  state->requires_grad = false;
  state->counts_steps = true;
  body_->random = At(inherited).state(std::move(state), Type(DType::i64, {2}));
  return body_->random;
}

void Module::collect_random(const std::string& path, std::vector<NamedParameter>& into) const {
  if (body_->random.is_defined()) into.push_back({path, body_->random});
  for (const Child& child : body_->children)
    child.module->collect_random(path.empty() ? child.name : path + "." + child.name, into);
}

std::vector<NamedParameter> Module::named_random_states() const {
  std::vector<NamedParameter> all;
  collect_random("", all);
  return all;
}

std::vector<NamedParameter> Module::named_parameters() const {
  std::vector<NamedParameter> all;
  collect("", all);
  for (const NamedParameter& each : all)
    if (each.name.size() > state_of(each.tensor).name.size()) state_of(each.tensor).name = each.name;
  return all;
}

std::vector<Tensor> Module::parameters() const {
  std::vector<Tensor> all;
  for (NamedParameter& each : named_parameters()) all.push_back(std::move(each.tensor));
  return all;
}

const std::vector<Module::Child>& Module::children() const { return body_->children; }

Module& Module::to(const DeviceId& device, Here where) {
  capture::require_device(device, capture::site_of(where));
  for (const Tensor& each : parameters())
    state_of(each).pin = Pin{device, capture::to_source_site(capture::site_of(where))};
  return *this;
}
Module& Module::to(const char* device, Here where) { return to(parse_device(device ? device : ""), where); }
Module& Module::to(const std::string& device, Here where) { return to(parse_device(device), where); }

Module& Module::to(DType dtype) {
  if (!is_floating(dtype))
    throw Error(
        fmt::format("{}: found dtype {}, expected a floating one: parameters learn", description(), name(dtype)));
  for (const Tensor& each : parameters())
    if (is_floating(each.dtype()) && each.dtype() != dtype) {
      state_of(each).convert(dtype);
      each.node()->results[0] = Type(dtype, each.shape());
    }
  return *this;
}

Module& Module::train(bool training) {
  body_->is_training = training;
  for (const Child& child : body_->children) child.module->train(training);
  return *this;
}
bool Module::is_training() const { return body_->is_training; }

uint64_t Module::structure() const {
  uint64_t hash = body_->is_training;
  auto add = [&](uint64_t value) { hash = (hash ^ value) * 0x100000001b3; };  // FNV-1a
  for (const Body::Named& each : body_->parameters)
    if (const std::optional<Pin>& pin = state_of(each.tensor).pin)
      add(std::hash<std::string>{}(pin->device.kind) + static_cast<uint64_t>(pin->device.ordinal));
  for (const Child& child : body_->children) add(child.module->structure());
  return hash;
}

Module& Module::freeze(bool frozen) {
  for (const Tensor& each : parameters()) set_requires_grad(each, !frozen);
  return *this;
}

bool requires_grad(const Tensor& parameter) { return state_of(parameter).requires_grad; }
void set_requires_grad(const Tensor& parameter, bool wanted) { state_of(parameter).requires_grad = wanted; }

void set_value(const Tensor& parameter, const HostTensor& value) {
  if (value.dtype() != parameter.dtype() || value.sizes() != parameter.sizes())
    throw Error(fmt::format("parameter {}: found a value of type {}{}, expected {}{}", state_of(parameter).name,
                            name(value.dtype()), to_string(value.sizes()), name(parameter.dtype()),
                            to_string(parameter.sizes())));
  state_of(parameter).write(value);
}

Linear::Linear(int64_t in, int64_t out, bool with_bias)
    : in_(positive(in, "Linear: the number of inputs")), out_(positive(out, "Linear: the number of outputs")) {
  weight = parameter("weight", DType::f32, {out, in}, uniform_by_fan_in({out, in}, in), inherited);
  if (with_bias) bias = parameter("bias", DType::f32, {out}, uniform_by_fan_in({out}, in), inherited);
}
Tensor Linear::forward(const Tensor& x) { return linear(at_caller(x), weight, bias); }
std::string Linear::description() const {
  return fmt::format("Linear({}, {}{})", in_, out_, bias.is_defined() ? "" : ", no bias");
}

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, Conv2dOptions options, bool with_bias)
    : in_(positive(in, "Conv2d: the number of input channels")),
      out_(positive(out, "Conv2d: the number of output channels")),
      kernel_(positive(kernel, "Conv2d: the kernel's size")),
      options_(options) {
  if (positive(options.groups, "Conv2d: groups") > in || in % options.groups || out % options.groups)
    throw Error(
        fmt::format("Conv2d: {} groups do not divide {} input and {} output channels", options.groups, in, out));
  const Sizes sizes{out, in / options.groups, kernel, kernel};
  byte_size(DType::f32, sizes);  // Error unless 64 bits can count them
  int64_t fan_in = in / options.groups * kernel * kernel;
  weight = parameter("weight", DType::f32, sizes, uniform_by_fan_in(sizes, fan_in), inherited);
  if (with_bias) bias = parameter("bias", DType::f32, {out}, uniform_by_fan_in({out}, fan_in), inherited);
}
Tensor Conv2d::forward(const Tensor& x) { return conv2d(at_caller(x), weight, bias, options_); }
std::string Conv2d::description() const {
  std::string text = fmt::format("Conv2d({}, {}, {}", in_, out_, kernel_);
  if (options_.stride != 1) text += fmt::format(", stride {}", options_.stride);
  if (options_.padding) text += fmt::format(", padding {}", options_.padding);
  if (options_.dilation != 1) text += fmt::format(", dilation {}", options_.dilation);
  if (options_.groups != 1) text += fmt::format(", groups {}", options_.groups);
  return text + (bias.is_defined() ? ")" : ", no bias)");
}

LayerNorm::LayerNorm(int64_t width, double epsilon)
    : width_(positive(width, "LayerNorm: the width")), epsilon_(epsilon) {
  weight = parameter("weight", filled({width}, 1), inherited);
  bias = parameter("bias", filled({width}, 0), inherited);
}
Tensor LayerNorm::forward(const Tensor& x) { return layer_norm(at_caller(x), weight, bias, epsilon_); }
std::string LayerNorm::description() const { return fmt::format("LayerNorm({})", width_); }

Embedding::Embedding(int64_t count, int64_t width)
    : count_(positive(count, "Embedding: the number of rows")), width_(positive(width, "Embedding: the width")) {
  weight = parameter("weight", randn({count, width}).value(), inherited);
}
Tensor Embedding::forward(const Tensor& ids) { return embedding(weight, at_caller(ids)); }
std::string Embedding::description() const { return fmt::format("Embedding({}, {})", count_, width_); }

Dropout::Dropout(double probability) : probability_(probability) {
  if (!(probability >= 0 && probability < 1))
    throw Error(fmt::format("Dropout: the probability is {}, expected 0 to below 1", probability));
  random_ = random_state();
}
Tensor Dropout::forward(const Tensor& x) {
  if (!is_training() || probability_ == 0) return x;
  return At(inherited)("dropout", {x, random_}, {{"probability", probability_}, {"stream", int64_t{0}}});
}
std::string Dropout::description() const { return fmt::format("Dropout({})", probability_); }

Tensor MaxPool2d::forward(const Tensor& x) { return max_pool2d(at_caller(x), window_, options_); }
std::string MaxPool2d::description() const { return fmt::format("MaxPool2d({})", window_); }
Tensor AvgPool2d::forward(const Tensor& x) { return avg_pool2d(at_caller(x), window_, options_); }
std::string AvgPool2d::description() const { return fmt::format("AvgPool2d({})", window_); }
Tensor Flatten::forward(const Tensor& x) { return x.flatten(1, inherited); }
Tensor ReLU::forward(const Tensor& x) { return relu(at_caller(x)); }
Tensor GELU::forward(const Tensor& x) { return gelu(at_caller(x)); }
Tensor SiLU::forward(const Tensor& x) { return silu(at_caller(x)); }
Tensor Tanh::forward(const Tensor& x) { return tanh(at_caller(x)); }
Tensor Sigmoid::forward(const Tensor& x) { return sigmoid(at_caller(x)); }
Tensor Softmax::forward(const Tensor& x) { return softmax(at_caller(x), dim_); }
std::string Softmax::description() const { return fmt::format("Softmax({})", dim_); }

void Sequential::append(std::unique_ptr<Module> module) { adopt(std::to_string(children().size()), std::move(module)); }
Tensor Sequential::forward(const Tensor& x) {
  Tensor value = x;
  for (const Child& child : children()) value = (*child.module)(at_caller(value));
  return value;
}

}  // namespace placewright::nn
