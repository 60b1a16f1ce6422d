#include <algorithm>

#include <fmt/core.h>

#include "bound_program.h"
#include "placewright/base/log.h"

namespace placewright {
namespace {

std::string name_of(const ProgramBuffer& buffer, int index) {
  return buffer.name.empty() ? fmt::format("buffer {}", index) : fmt::format("'{}'", buffer.name);
}

}  // namespace

Context::Context(std::unique_ptr<Body> body) : body_(std::move(body)) {}
Context::~Context() = default;

Context::Body::Body(const Executable::Body& executable_body) : bound(&executable_body) {
  const Program& program = bound->program();
  addresses.resize(program.buffers.size());
  slots.resize(program.buffers.size());
  events.resize(static_cast<size_t>(bound->events));
  for (size_t i = 0; i < bound->stream_devices.size(); ++i) {
    stream_devices.push_back(bound->stream_devices[i].get());
    if (!stream_devices.back()->is_host_memory()) asynchronous.push_back(static_cast<int>(i));
  }
  for (size_t i = 0; i < program.buffers.size(); ++i) addresses[i] = bound->constant_addresses[i];
  make_arenas();
  make_launches();
  results.resize(program.results.size());
  make_results();
  open_streams();
  steps.why_piecewise = bound->why_piecewise;
}

Context::Body::~Body() { close_streams(); }

// With check_memory each temporary gets a place of its own between canaries; what the plan lets share memory is then
// judged by check_program alone.
void Context::Body::make_arenas() {
  const Program& program = bound->program();
  for (size_t a = 0; a < program.arenas.size(); ++a) {
    std::string what = fmt::format("arena of {}", program.name);
    std::vector<GuardedMemory::Payload> payloads;
    std::vector<int> members;
    for (size_t i = 0; i < program.buffers.size(); ++i) {
      const ProgramBuffer& buffer = program.buffers[i];
      if (buffer.arena != static_cast<int>(a)) continue;
      members.push_back(static_cast<int>(i));
      payloads.push_back({buffer.bytes, buffer.alignment, name_of(buffer, static_cast<int>(i))});
    }
    bool check = bound->options.check_memory;
    if (!check) payloads = {{program.arenas[a].bytes, 4096, what}};
    arenas.emplace_back(bound->arena_devices[a], payloads, check, what);
    for (size_t k = 0; k < members.size(); ++k)
      addresses[static_cast<size_t>(members[k])] = check ? arenas.back().address(k)
                                                         : static_cast<char*>(arenas.back().address(0)) +
                                                               program.buffers[static_cast<size_t>(members[k])].offset;
  }
}

void Context::Body::make_launches() {
  const Program& program = bound->program();
  // One set of workspaces a stream, large enough for each of its launches.
  std::vector<std::vector<GuardedMemory::Payload>> wanted(program.streams.size());
  for (const BoundLaunch& launch : bound->launches) {
    auto& payloads = wanted[static_cast<size_t>(launch.launch->stream)];
    const std::vector<int64_t>& bytes = launch.image->entries()[static_cast<size_t>(launch.entry)].workspace_bytes;
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (i == payloads.size()) payloads.push_back({0, 64, fmt::format("workspace {}", i)});
      payloads[i].bytes = std::max(payloads[i].bytes, bytes[i]);
    }
  }
  for (size_t s = 0; s < wanted.size(); ++s) {
    workspaces.emplace_back();
    if (!wanted[s].empty())
      workspaces.back() = GuardedMemory(bound->stream_devices[s], wanted[s], bound->options.check_memory,
                                        fmt::format("workspace of {}", program.name));
  }
  std::vector<size_t> begins;
  for (const BoundLaunch& launch : bound->launches) {
    begins.push_back(table.size());
    for (int named : launch.launch->buffers) {
      int buffer = memory_of(program, named);
      slots[static_cast<size_t>(buffer)].push_back(table.size());
      table.push_back(addresses[static_cast<size_t>(buffer)]);
      table_bytes.push_back(program.buffers[static_cast<size_t>(buffer)].bytes);
    }
    const std::vector<int64_t>& bytes = launch.image->entries()[static_cast<size_t>(launch.entry)].workspace_bytes;
    for (size_t i = 0; i < bytes.size(); ++i) {
      table.push_back(workspaces[static_cast<size_t>(launch.launch->stream)].address(i));
      table_bytes.push_back(bytes[i]);
    }
  }
  begins.push_back(table.size());
  statuses.resize(bound->launches.size());
  for (size_t i = 0; i < bound->launches.size(); ++i) {
    const BoundLaunch& launch = bound->launches[i];
    launches.push_back({launch.image.get(), launch.entry, table.data() + begins[i], table_bytes.data() + begins[i],
                        static_cast<int>(begins[i + 1] - begins[i]), launch.launch->scalars.data(), &statuses[i],
                        launch.launch->flops, launch.launch->bytes, launch.name.c_str(),
                        static_cast<int>(launch.launch->scalars.size()), launch.launch->origin.c_str()});
  }
}

void Context::Body::make_results() {
  const Program& program = bound->program();
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i]) continue;
    int index = program.results[i];
    const ProgramBuffer& buffer = program.buffers[static_cast<size_t>(index)];
    std::string what = fmt::format("result '{}'", buffer.name);
    const std::shared_ptr<Device>& device = bound->buffer_devices[static_cast<size_t>(index)];
    GuardedMemory memory(device, {{std::max<int64_t>(buffer.bytes, 1), buffer.alignment, what}},
                         bound->options.check_memory, what);
    results[i] = std::shared_ptr<ResultMemory>(new ResultMemory(std::make_unique<ResultMemory::Body>(
        ResultMemory::Body{std::move(memory), device, bound->host, buffer.name, buffer.dtype, buffer.sizes,
                           buffer.layout, buffer.bytes, read_back})));
    set_address(index, results[i]->view().address);
  }
  results_taken = false;
}

void Context::Body::open_streams() {
  for (Device* device : stream_devices) streams.push_back(device->open_stream());
}

void Context::Body::close_streams() noexcept {
  for (size_t i = 0; i < streams.size(); ++i) stream_devices[i]->close_stream(streams[i]);
  streams.clear();
}

BufferView Context::Body::view(int buffer) const {
  return {bound->buffer_devices[static_cast<size_t>(buffer)].get(), address(buffer),
          bound->program().buffers[static_cast<size_t>(buffer)].bytes};
}

void Context::Body::bind_states(const StateStore::Lease& lease) {
  const Program& program = bound->program();
  for (size_t i = 0; i < program.buffers.size(); ++i)
    if (program.buffers[i].kind == BufferKind::state)
      set_address(static_cast<int>(i), bound->states->view(lease, program.buffers[i].name).address);
  generation = bound->states->generation();
}

void Context::Body::return_states(const StateStore::Lease& lease) {
  std::vector<std::string> lines;
  bound->put_states(lease, &transfers, &lines);
  for (const std::string& line : lines) log_info(line);
}

void Context::Body::bind_arguments(std::span<const BufferView> arguments) {
  const Program& program = bound->program();
  if (arguments.size() != program.arguments.size())
    throw Error(
        fmt::format("{} takes {} arguments, found {}", program.name, program.arguments.size(), arguments.size()));
  for (size_t i = 0; i < arguments.size(); ++i) {
    int index = program.arguments[i];
    const BufferView& given = arguments[i];
    const ProgramBuffer& buffer = program.buffers[static_cast<size_t>(index)];
    bool aligned = (reinterpret_cast<uintptr_t>(given.address) & static_cast<uintptr_t>(buffer.alignment - 1)) == 0;
    if (given.device != bound->buffer_devices[static_cast<size_t>(index)].get() || given.bytes != buffer.bytes ||
        !aligned) [[unlikely]]
      throw Error(fmt::format(
          "argument '{}' of {}: found {} bytes on {}{}, expected {} bytes on {} at a multiple of {}", buffer.name,
          program.name, given.bytes, given.device ? given.device->id().to_string() : "no device",
          aligned ? "" : " at another address", buffer.bytes, buffer.device.to_string(), buffer.alignment));
    if (addresses[static_cast<size_t>(index)] != given.address) set_address(index, given.address);
  }
}

void Context::Body::poison_memory() {
  for (const std::vector<GuardedMemory>* memories : {&arenas, &workspaces})
    for (const GuardedMemory& memory : *memories)
      if (memory.bytes() > 0) memory.poison(bound->host);
  for (const std::shared_ptr<ResultMemory>& result : results) result->body_->memory.poison(bound->host);
}

void Context::Body::check_memory() const {
  for (const std::vector<GuardedMemory>* memories : {&arenas, &workspaces})
    for (const GuardedMemory& memory : *memories)
      if (memory.bytes() > 0) memory.check(bound->host);
  for (const std::shared_ptr<ResultMemory>& result : results) result->body_->memory.check(bound->host);
}

void Context::Body::check_statuses() const {
  for (size_t i = 0; i < statuses.size(); ++i) {
    uint64_t status = statuses[i];
    if (status == 0) [[likely]]
      continue;
    std::string causes;
    auto add = [&](Status bit, const char* cause) {
      if (status & static_cast<uint64_t>(bit)) causes += (causes.empty() ? "" : ", ") + std::string(cause);
    };
    add(Status::index_out_of_range, "an index is out of range");
    add(Status::out_of_bounds, "an access is outside its buffer");
    add(Status::not_a_number, "a value is not a number");
    throw Error(fmt::format("kernel {}: {}", bound->launches[i].name, causes.empty() ? "unknown status" : causes));
  }
}

BufferView Context::result(int i) const {
  PW_CHECK(i >= 0 && i < static_cast<int>(body_->results.size()), std::to_string(i));
  PW_CHECK(body_->results[static_cast<size_t>(i)], "the result was taken");
  return body_->results[static_cast<size_t>(i)]->view();
}

HostTensor Context::read_result(int i) const {
  result(i);
  return body_->results[static_cast<size_t>(i)]->read();
}

void Context::exchange_result(int i, std::shared_ptr<ResultMemory>& other) {
  std::shared_ptr<ResultMemory>& result = body_->results.at(static_cast<size_t>(i));
  result.swap(other);
  if (result)
    body_->set_address(body_->bound->program().results[static_cast<size_t>(i)], result->view().address);
  else
    body_->results_taken = true;
}

TransferCount Context::transfers() const { return body_->transfers; }
TransferCount Context::read_back() const { return {body_->read_back->bytes, body_->read_back->copies}; }

int64_t Context::arena_bytes(const DeviceId& device) const {
  int64_t bytes = 0;
  for (size_t i = 0; i < body_->arenas.size(); ++i)
    if (body_->bound->arena_devices[i]->id() == device) bytes += body_->arenas[i].bytes();
  return bytes;
}

const Context::StepCount& Context::steps() const { return body_->steps; }

void Context::set_profiler(Profiler* profiler) { body_->profiler = profiler; }

}  // namespace placewright
