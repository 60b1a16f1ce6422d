#include "compiled.h"

#include <fmt/format.h>

#include "load_graph.h"
#include "placewright/plan_files.h"

namespace placewright::capture {

namespace {
constexpr int64_t constant_limit_bytes = int64_t{1} << 20;  // of a tensor that a compiled function captures
constexpr size_t most_scalars = 64;
}  // namespace

Captured Compiled::capture(std::span<const Tensor> arguments) {
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
  std::vector<Tensor> inputs = stand_ins;
  inputs.insert(inputs.end(), scalars.begin(), scalars.end());
  return make_graph(options_.name, inputs, traced.results, traced.updates, constant_limit_bytes);
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
  entry->loaded = LoadedGraph::load(capture(captured), Session::current(), std::move(plan));
  entry->scalars = scalar_count();
  entries_.push_back(std::move(entry));
  return *entries_.back();
}

Compiled::Entry& Compiled::prepare(std::span<const Tensor* const> arguments, std::span<double> scalars,
                                   std::source_location where) {
  for (const Tensor* argument : arguments)
    if (!argument->is_defined() || argument->node()->depends_on_argument) [[unlikely]]
      throw Error(
          fmt::format("{}: found {}, expected tensors with values ({})", options_.name,
                      argument->is_defined() ? "a tensor of a function that is being compiled" : "an undefined tensor",
                      to_source_site(site_of(where)).to_string()));
  Entry& entry = find_or_load(arguments);
  last_ = entry.loaded.get();
  PW_CHECK(entry.scalars <= scalars.size(), "too many hyper-parameters");
  scalar_values(scalars.first(entry.scalars));
  return entry;
}

std::vector<Tensor> Compiled::call(std::span<const Tensor* const> arguments, std::source_location where) {
  std::lock_guard lock(mutex_);
  double scalars[most_scalars];
  Entry& entry = prepare(arguments, scalars, where);
  std::vector<Tensor> results(entry.loaded->program().results.size());
  entry.loaded->run(arguments, std::span(scalars, entry.scalars), results);
  return results;
}

Tensor Compiled::call_first(std::span<const Tensor* const> arguments, std::source_location where) {
  std::lock_guard lock(mutex_);
  double scalars[most_scalars];
  Entry& entry = prepare(arguments, scalars, where);
  Tensor result;
  entry.loaded->run(arguments, std::span(scalars, entry.scalars), {&result, 1});
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
