#include "placewright/runtime/executable.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/core.h>

#include "bound_program.h"
#include "placewright/runtime/layout_copy.h"

namespace placewright {
namespace {

// Buffers that instructions of the load block write: constants among them need no tensor from outside.
std::set<int> written_at_load(const Program& program) {
  std::set<int> written;
  if (program.load < 0) return written;
  for (const Instruction& instruction : program.blocks[static_cast<size_t>(program.load)].instructions) {
    if (const Copy* copy = std::get_if<Copy>(&instruction); copy && copy->source >= 0)
      written.insert(copy->destination);
    if (const Launch* launch = std::get_if<Launch>(&instruction))
      written.insert(launch->buffers.end() - launch->written, launch->buffers.end());
    if (const Collective* collective = std::get_if<Collective>(&instruction))
      written.insert(collective->destinations.begin(), collective->destinations.end());
  }
  return written;
}

// Whether the load block does more than copy what is given to its place.
bool runs_at_load(const Program& program) {
  if (program.load < 0) return false;
  const std::vector<Instruction>& instructions = program.blocks[static_cast<size_t>(program.load)].instructions;
  return std::any_of(instructions.begin(), instructions.end(), [](const Instruction& instruction) {
    const Copy* copy = std::get_if<Copy>(&instruction);
    return !copy || copy->source >= 0;
  });
}

}  // namespace

void Executable::Body::find_devices(const DeviceSet& devices) {
  host = devices.host();
  for (const Stream& stream : program().streams) stream_devices.push_back(devices.find(stream.device));
  for (const Arena& arena : program().arenas) arena_devices.push_back(devices.find(arena.device));
  for (const ProgramBuffer& buffer : program().buffers) buffer_devices.push_back(devices.find(buffer.device));
}

void Executable::Body::bind_blocks(const DeviceSet& devices) {
  std::map<std::pair<int, DeviceId>, std::shared_ptr<const LoadedImage>> loaded;
  for (const Block& block : program().blocks) {
    std::vector<BoundInstruction>& bound = blocks.emplace_back(block.instructions.size());
    for (size_t i = 0; i < bound.size(); ++i) {
      bound[i].instruction = &block.instructions[i];
      if (const Launch* launch = std::get_if<Launch>(bound[i].instruction)) {
        const DeviceId& device = program().streams[static_cast<size_t>(launch->stream)].device;
        if (launch->image >= static_cast<int>(compiled.images.size()))
          throw Error(fmt::format("program {} launches from image {}, but there are {}", program().name, launch->image,
                                  compiled.images.size()));
        auto& image = loaded[{launch->image, device}];
        if (!image) image = devices.find(device)->load(compiled.images[static_cast<size_t>(launch->image)]);
        bound[i].launch = static_cast<int>(launches.size());
        bound[i].is_judged = options.check_status && devices.find(device)->is_host_memory();
        bound[i].name = launch->entry;
        launches.push_back(
            {launch, image, image->entry_index(launch->entry),
             launch->origin.empty() ? launch->entry : fmt::format("{} of {}", launch->entry, launch->origin)});
      } else if (const Copy* copy = std::get_if<Copy>(bound[i].instruction)) {
        bound[i].name =
            fmt::format("{} {} -> {}", copy->facts.value, copy->facts.from.to_string(), copy->facts.to.to_string());
      } else if (const Collective* collective = std::get_if<Collective>(bound[i].instruction)) {
        bound[i].name = "all_reduce " + collective->facts.value;
      } else if (const Wait* wait = std::get_if<Wait>(bound[i].instruction)) {
        int& event = bound[static_cast<size_t>(wait->instruction)].event;
        if (event < 0) event = events++;
        bound[i].event = event;
      } else if (const Branch* branch = std::get_if<Branch>(bound[i].instruction)) {
        require_on_host(branch->condition);
      } else if (const Repeat* repeat = std::get_if<Repeat>(bound[i].instruction); repeat && repeat->count < 0) {
        require_on_host(repeat->condition);
      }
    }
  }
}

// The executor itself reads conditions.
void Executable::Body::require_on_host(int condition) const {
  if (buffer_devices[static_cast<size_t>(condition)]->is_host_memory()) return;
  throw Error(fmt::format("program {}: condition {} is on {}, expected in the host's memory: copy it there",
                          program().name, condition, buffer_devices[static_cast<size_t>(condition)]->id().to_string()));
}

void Executable::Body::load_constants() {
  std::set<int> made = written_at_load(program());
  constants.resize(program().buffers.size());
  constant_addresses.resize(program().buffers.size());
  for (size_t i = 0; i < program().buffers.size(); ++i) {
    const ProgramBuffer& buffer = program().buffers[i];
    if (buffer.kind != BufferKind::constant) continue;
    bool is_made = made.count(static_cast<int>(i)) > 0;
    auto given = compiled.constants.find(buffer.name);
    if (!is_made && given == compiled.constants.end())
      throw Error(fmt::format("program {}: constant '{}' was not given", program().name, buffer.name));
    if (!is_made && (given->second.dtype() != buffer.dtype || given->second.sizes() != buffer.sizes))
      throw Error(fmt::format("program {}: constant '{}' is {}{}, given was {}{}", program().name, buffer.name,
                              name(buffer.dtype), to_string(buffer.sizes), name(given->second.dtype()),
                              to_string(given->second.sizes())));
    const std::shared_ptr<Device>& device = buffer_devices[i];
    if (!is_made && device->is_host_memory() && buffer.layout.is_row_major() && buffer.alignment <= 64) {
      constant_addresses[i] = const_cast<uint8_t*>(given->second.raw());  // only read; `compiled` keeps it
      continue;
    }
    constants[i] = DeviceMemory(device, buffer.bytes, buffer.alignment, fmt::format("constant '{}'", buffer.name));
    constant_addresses[i] = constants[i].address();
    if (is_made) continue;
    std::vector<uint8_t> bytes(static_cast<size_t>(buffer.bytes));
    write_physical(given->second, buffer.layout, bytes.data());
    copy_now(constants[i].view(), {host.get(), bytes.data(), buffer.bytes}, buffer.bytes, buffer.name.c_str());
    if (device->is_host_memory()) continue;
    load_transfers.bytes += buffer.bytes;
    ++load_transfers.copies;
  }
}

bool Executable::Body::states_in_place(const StateStore::Lease& lease) const {
  for (size_t i = 0; i < program().buffers.size(); ++i) {
    const ProgramBuffer& buffer = program().buffers[i];
    if (buffer.kind == BufferKind::state && !states->is_at(lease, buffer.name, buffer.device, buffer.layout))
      return false;
  }
  return true;
}

void Executable::Body::put_states(const StateStore::Lease& lease, TransferCount* count,
                                  std::vector<std::string>* lines) const {
  for (size_t i = 0; i < program().buffers.size(); ++i) {
    const ProgramBuffer& buffer = program().buffers[i];
    if (buffer.kind != BufferKind::state) continue;
    std::string line = states->put(lease, buffer.name, buffer_devices[i], buffer.layout, count);
    if (!line.empty()) lines->push_back(std::move(line));
    BufferView view = states->view(lease, buffer.name);
    if (view.bytes != buffer.bytes)
      throw Error(fmt::format("program {}: state '{}' takes {} bytes, the store's has {}", program().name, buffer.name,
                              buffer.bytes, view.bytes));
  }
}

Executable::Executable(std::unique_ptr<Body> body) : body_(std::move(body)) {}
Executable::~Executable() = default;
const Program& Executable::program() const { return body_->program(); }
TransferCount Executable::load_transfers() const { return body_->load_transfers; }

std::vector<Executable::Performed> Executable::performed() const {
  std::vector<Performed> all;
  for (const BoundLaunch& bound : body_->launches) {
    KernelLaunch launch;
    launch.image = bound.image.get();
    launch.entry = bound.entry;
    std::string performer = body_->stream_devices[static_cast<size_t>(bound.launch->stream)]->performer(launch);
    if (performer.empty()) continue;
    all.push_back({bound.launch->origin.empty() ? bound.launch->entry : bound.launch->origin, std::move(performer)});
  }
  return all;
}
const std::vector<std::string>& Executable::notes() const { return body_->notes; }

std::shared_ptr<const Executable> Executable::bind(CompiledProgram compiled, const DeviceSet& devices,
                                                   std::shared_ptr<StateStore> states) {
  return bind(std::move(compiled), devices, std::move(states), Options{});
}

std::shared_ptr<const Executable> Executable::bind(CompiledProgram compiled, const DeviceSet& devices,
                                                   std::shared_ptr<StateStore> states, Options options) {
  verify_program(compiled.program);
  auto body = std::make_unique<Body>();
  body->compiled = std::move(compiled);
  body->states = std::move(states);
  body->options = options;
  body->find_devices(devices);
  body->bind_blocks(devices);
  body->why_piecewise = body->find_why_piecewise();
  body->load_constants();
  std::shared_ptr<Executable> executable(new Executable(std::move(body)));
  Body& bound = *executable->body_;
  {
    StateStore::Lease lease(*bound.states, StateStore::Lease::Kind::exclusive);
    bound.put_states(lease, &bound.load_transfers, &bound.notes);
  }
  if (runs_at_load(bound.program())) {
    std::unique_ptr<Context> context = executable->make_context();
    StateStore::Lease lease(*bound.states, StateStore::Lease::Kind::exclusive);
    context->body_->run_load(lease);
    bound.load_transfers.bytes += context->body_->transfers.bytes;
    bound.load_transfers.copies += context->body_->transfers.copies;
  }
  return executable;
}

std::unique_ptr<Context> Executable::make_context() const {
  auto body = std::make_unique<Context::Body>(*body_);
  body->executable = shared_from_this();
  return std::unique_ptr<Context>(new Context(std::move(body)));
}

void Executable::run(Context& context, std::span<const BufferView> arguments) const {
  Context::Body& body = *context.body_;
  PW_CHECK(body.bound == body_.get(), "a context of another executable");
  using Kind = StateStore::Lease::Kind;
  Kind kind = program().updates.empty() ? Kind::shared : Kind::exclusive;
  {
    StateStore::Lease lease(*body_->states, kind);
    if (body.generation == body_->states->generation() || body_->states_in_place(lease))
      return body.run(lease, arguments);
  }
  // Another executable took a state elsewhere: it comes back, which needs the store alone.
  StateStore::Lease lease(*body_->states, Kind::exclusive);
  body.return_states(lease);
  body.run(lease, arguments);
}

void Executable::run(Context& context, std::span<const HostTensor> arguments) const {
  std::vector<BufferView> views;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const HostTensor& tensor = arguments[i];
    if (i < program().arguments.size()) {
      const ProgramBuffer& buffer = program().buffers[static_cast<size_t>(program().arguments[i])];
      if (tensor.dtype() != buffer.dtype || tensor.sizes() != buffer.sizes || !buffer.layout.is_row_major())
        throw Error(fmt::format("argument '{}' of {} is {}{}, found {}{}", buffer.name, program().name,
                                name(buffer.dtype), to_string(buffer.sizes), name(tensor.dtype()),
                                to_string(tensor.sizes())));
    }
    views.push_back({body_->host.get(), const_cast<uint8_t*>(tensor.raw()), tensor.bytes()});
  }
  run(context, views);
}

}  // namespace placewright
