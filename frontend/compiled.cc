#include "compiled.h"

#include <fmt/core.h>

#include "load_graph.h"
#include "placewright/plan_files.h"

namespace placewright::capture {

namespace {
constexpr int64_t constant_limit_bytes = int64_t{1} << 20;  // of a tensor that a compiled function captures
}  // namespace

Captured Compiled::capture(std::span<const Tensor> arguments) {
  for (const DeviceId& device : options_.data_parallel) require_device(device, {});
  std::vector<Tensor> stand_ins;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const Node& given = *arguments[i].node();
    std::optional<Pin> pin = given.pin;
    if (!pin && !given.device_reason.empty() && !given.frames.empty())
      pin = Pin{given.device, to_source_site(given.frames.front())};
    TensorType type{arguments[i].dtype(), arguments[i].shape(), {}, {}};
    if (options_.data_parallel.size() > 1 && type.rank() > 0) {
      type.where = {options_.data_parallel, {}, {{Sharding::Kind::split, 0}}};
      pin.reset();
    }
    stand_ins.push_back(At(given.frames.empty() ? Site{} : given.frames.front())
                            .argument(argument_name(i), std::move(type), arguments[i].device(), std::move(pin)));
  }
  std::vector<Tensor> scalars = make_scalars();
  Traced traced = trace(stand_ins, scalars);
  for (size_t i = 0; i < traced.results.size(); ++i)
    if (!traced.results[i].is_defined())
      throw Error(fmt::format("{}: result {} of the function is an undefined tensor, expected one that it computed",
                              options_.name, i));
  std::vector<Tensor> inputs = stand_ins;
  inputs.insert(inputs.end(), scalars.begin(), scalars.end());
  Captured made = make_graph(options_.name, inputs, traced.results, traced.updates, constant_limit_bytes);
  for (const PlacementRule& rule : options_.rules) verify_placement_rule(rule);
  made.graph.rules = options_.rules;
  return made;
}

namespace {
// Whether the tensor is what an entry was compiled for. Types of arguments carry no layout or place of their own.
bool matches(const Tensor& tensor, const Type& type, const DeviceId& device) {
  return tensor.dtype() == type.tensor().dtype && tensor.shape() == type.tensor().shape && tensor.device() == device;
}
// Zero for tensors that may change their place meanwhile: states.
int64_t serial_of(const Tensor& tensor) { return tensor.node()->state ? 0 : tensor.node()->serial; }
}  // namespace

Compiled::Entry& Compiled::find_or_load(std::span<const Tensor* const> arguments) {
  uint64_t now = structure();
  if (const std::optional<Pin>& pin = scope_pin())  // the ops that are captured get it
    now = 31 * now + std::hash<std::string>{}(pin->device.to_string() + pin->site.to_string());
  for (size_t e = entries_.size(); e-- > 0;) {
    Entry& entry = *entries_[e];
    bool same = entry.types.size() == arguments.size() && entry.structure == now;
    bool known = same && entry.serials.size() == arguments.size();
    for (size_t i = 0; known && i < arguments.size(); ++i)
      known = entry.serials[i] != 0 && entry.serials[i] == serial_of(*arguments[i]) && arguments[i]->result() == 0;
    if (known) return entry;
    for (size_t i = 0; same && i < arguments.size(); ++i)
      same = matches(*arguments[i], entry.types[i], entry.devices[i]);
    if (!same) continue;
    entry.serials.clear();
    for (const Tensor* argument : arguments) entry.serials.push_back(serial_of(*argument));
    return entry;
  }
  auto entry = std::make_unique<Entry>();
  std::vector<Tensor> captured;
  for (const Tensor* argument : arguments) {
    entry->types.emplace_back(argument->dtype(), argument->shape());
    entry->devices.push_back(argument->device());
    captured.push_back(*argument);
  }
  entry->structure = now;
  std::shared_ptr<const PlanFile> plan;
  if (!options_.plan_file.empty()) plan = std::make_shared<const PlanFile>(read_plan_file(options_.plan_file));
  entry->loaded =
      LoadedGraph::load(capture(captured), Session::current(), std::move(plan), options_.max_bytes_per_step);
  entry->scalars.resize(scalar_count());
  entries_.push_back(std::move(entry));
  return *entries_.back();
}

Compiled::Entry& Compiled::prepare(std::span<const Tensor* const> arguments, std::source_location where) {
  for (const Tensor* argument : arguments)
    if (!argument->is_defined() || argument->node()->depends_on_argument) [[unlikely]] {
      Site site = site_of(where);
      throw Error(
          fmt::format("{}: found {}, expected tensors with values{}", options_.name,
                      argument->is_defined() ? "a tensor of a function that is being compiled" : "an undefined tensor",
                      site ? fmt::format(" ({})", to_source_site(site).to_string()) : ""));
    }
  Entry& entry = find_or_load(arguments);
  last_ = entry.loaded.get();
  scalar_values(entry.scalars);
  return entry;
}

std::vector<Tensor> Compiled::call(std::span<const Tensor* const> arguments, std::source_location where) {
  std::lock_guard lock(mutex_);
  Entry& entry = prepare(arguments, where);
  std::vector<Tensor> results(entry.loaded->program().results.size());
  entry.loaded->run(arguments, entry.scalars, results);
  return results;
}

Tensor Compiled::call_first(std::span<const Tensor* const> arguments, std::source_location where) {
  std::lock_guard lock(mutex_);
  Entry& entry = prepare(arguments, where);
  if (entry.loaded->program().results.empty())
    throw Error(
        fmt::format("{} gives no results, expected at least one: use call() for a function without", options_.name));
  Tensor result;
  entry.loaded->run(arguments, entry.scalars, {&result, 1});
  return result;
}

std::vector<const Specialisation*> Compiled::specialisations() const {
  std::lock_guard lock(mutex_);
  std::vector<const Specialisation*> all;
  for (const std::unique_ptr<Entry>& entry : entries_) all.push_back(entry->loaded.get());
  return all;
}

const Specialisation& Compiled::last() const {
  std::lock_guard lock(mutex_);
  if (!last_) throw Error(fmt::format("{} was not called yet: there is no specialisation to look at", options_.name));
  return *last_;
}

}  // namespace placewright::capture
