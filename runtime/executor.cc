// Carries out a program's blocks on a context: a loop over decided instructions.
#include <algorithm>
#include <chrono>
#include <cstring>

#include "bound_program.h"

namespace placewright {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

int stream_of(const Instruction& instruction) {
  if (const Launch* launch = std::get_if<Launch>(&instruction)) return launch->stream;
  if (const Copy* copy = std::get_if<Copy>(&instruction)) return copy->stream;
  return std::get<Collective>(instruction).streams.front();
}

}  // namespace

void Context::Body::run(const StateStore::Lease& lease, std::span<const BufferView> arguments) {
  if (generation != bound->states->generation()) [[unlikely]]
    bind_states(lease);
  if (results_taken) [[unlikely]]
    make_results();
  bind_arguments(arguments);
  if (bound->options.check_memory) poison_memory();
  run_guarded(bound->program().step);
  if (bound->options.check_memory) check_memory();
}

void Context::Body::run_load(const StateStore::Lease& lease) {
  bind_states(lease);
  run_guarded(bound->program().load);
}

// After a failure nothing of this call may still be waiting on a stream: it would touch memory that others reuse.
void Context::Body::run_guarded(int block) {
  transfers = {};
  for (uint64_t& status : statuses) status = 0;
  try {
    profiler ? run_whole<true>(block) : run_whole<false>(block);
  } catch (...) {
    close_streams();
    open_streams();
    allocated.clear();
    pending.clear();
    records.clear();
    throw;
  }
  allocated.clear();
  if (bound->options.check_status) check_statuses();
}

template <bool profiled>
void Context::Body::run_whole(int block) {
  double begin = profiled ? now() : 0;
  const bool is_step = block == bound->program().step;
  // Times of single kernels need each to be given by itself.
  if (profiled || !is_step || !run_at_once()) run_block<profiled>(block);
  if (is_step) update_states();
  join();
  if constexpr (profiled) finish_profile(begin);
}

template <bool profiled>
void Context::Body::run_block(int block) {
  for (const BoundInstruction& step : bound->blocks[static_cast<size_t>(block)]) {
    const Instruction& instruction = *step.instruction;
    if (const Launch* launch = std::get_if<Launch>(&instruction)) {
      timed<profiled>(step, [&] {
        auto stream = static_cast<size_t>(launch->stream);
        stream_devices[stream]->launch(streams[stream], launches[static_cast<size_t>(step.launch)]);
      });
      // What follows, updates of states above all, must not run on values that are wrong.
      if (step.is_judged && statuses[static_cast<size_t>(step.launch)] != 0) [[unlikely]]
        check_statuses();
    } else if (const Copy* copy = std::get_if<Copy>(&instruction)) {
      if (copy->source >= 0) timed<profiled>(step, [&] { run_copy(step, *copy); });
    } else if (const Wait* wait = std::get_if<Wait>(&instruction)) {
      auto stream = static_cast<size_t>(wait->stream);
      stream_devices[stream]->wait(streams[stream], events[static_cast<size_t>(step.event)]);
      continue;
    } else if (const Collective* collective = std::get_if<Collective>(&instruction)) {
      timed<profiled>(step, [&] { run_all_reduce(*collective); });
    } else if (const Allocate* wanted = std::get_if<Allocate>(&instruction)) {
      allocate(*wanted);
    } else {
      join();
      run_control<profiled>(instruction);
      join();
    }
    if (step.event >= 0) events[static_cast<size_t>(step.event)] = record(stream_of(instruction));
  }
}

template <bool profiled>
void Context::Body::run_control(const Instruction& instruction) {
  auto run_joined = [&](int block) {
    run_block<profiled>(block);
    join();
  };
  if (const Call* call = std::get_if<Call>(&instruction)) run_joined(call->block);
  if (const Branch* branch = std::get_if<Branch>(&instruction)) {
    int chosen = condition(branch->condition) ? branch->then_block : branch->else_block;
    if (chosen >= 0) run_joined(chosen);
  }
  if (const Repeat* repeat = std::get_if<Repeat>(&instruction))
    for (int64_t i = 0; repeat->count < 0 ? condition(repeat->condition) : i < repeat->count; ++i)
      run_joined(repeat->block);
}

// Runs one instruction; in a profiled run with a record of when it began and ended on its stream.
template <bool profiled, typename Work>
void Context::Body::timed(const BoundInstruction& step, Work work) {
  if constexpr (!profiled) {
    work();
  } else {
    int stream = stream_of(*step.instruction);
    bool host = stream_devices[static_cast<size_t>(stream)]->is_host_memory();
    Profiler::Record entry;
    entry.device = stream_devices[static_cast<size_t>(stream)]->id().to_string();
    entry.track = bound->program().streams[static_cast<size_t>(stream)].name;
    entry.name = step.name;
    if (const Launch* launch = std::get_if<Launch>(step.instruction)) entry.origin = launch->origin;
    if (const Copy* copy = std::get_if<Copy>(step.instruction)) {
      entry.origin = copy->facts.origin;
      entry.bytes = copy->facts.bytes;
    }
    if (const Collective* collective = std::get_if<Collective>(step.instruction)) {
      entry.origin = collective->facts.origin;
      entry.bytes = collective->facts.bytes;
    }
    Event begin;
    if (host)
      entry.begin = now();
    else
      begin = record(stream);
    work();
    if (host)
      entry.end = now();
    else
      pending.push_back({records.size(), begin, record(stream)});
    if (std::holds_alternative<Launch>(*step.instruction))
      entry.performer =
          stream_devices[static_cast<size_t>(stream)]->performer(launches[static_cast<size_t>(step.launch)]);
    records.push_back(std::move(entry));
  }
}

Event Context::Body::record(int stream) {
  return stream_devices[static_cast<size_t>(stream)]->record(streams[static_cast<size_t>(stream)]);
}

void Context::Body::wait(int stream, const Event& event) {
  stream_devices[static_cast<size_t>(stream)]->wait(streams[static_cast<size_t>(stream)], event);
}

void Context::Body::count_transfer(int64_t bytes) {
  transfers.bytes += bytes;
  ++transfers.copies;
}

void Context::Body::copy(int stream, int destination, int source, const char* name) {
  BufferView to = view(destination), from = view(source);
  stream_devices[static_cast<size_t>(stream)]->copy(streams[static_cast<size_t>(stream)], to, from, to.bytes, name);
  if (to.device != from.device) count_transfer(to.bytes);
}

void Context::Body::run_copy(const BoundInstruction& step, const Copy& instruction) {
  copy(instruction.stream, instruction.destination, instruction.source, step.name.c_str());
}

// Gathers to the first member one after the other, so that the order of the sum is that of the members, then spreads
// the sum. The stream that copies is the first member's, unless only the other's device can reach both.
void Context::Body::run_all_reduce(const Collective& collective) {
  int first = collective.streams[0], sum = collective.destinations[0];
  Device* device = stream_devices[static_cast<size_t>(first)];
  const ProgramBuffer& buffer = bound->program().buffers[static_cast<size_t>(sum)];
  int64_t count = buffer.bytes * 8 / info(buffer.dtype).bits;
  if (address(collective.sources[0]) != address(sum)) copy(first, sum, collective.sources[0], "all_reduce");
  for (size_t m = 1; m < collective.streams.size(); ++m) {
    int member = collective.streams[m];
    if (device->is_host_memory()) {
      copy(member, collective.scratch, collective.sources[m], "all_reduce");
      wait(first, record(member));
    } else {
      wait(first, record(member));
      copy(first, collective.scratch, collective.sources[m], "all_reduce");
    }
    device->accumulate(streams[static_cast<size_t>(first)], address(sum), address(collective.scratch), buffer.dtype,
                       count);
  }
  for (size_t m = 1; m < collective.streams.size(); ++m)
    copy(device->is_host_memory() ? collective.streams[m] : first, collective.destinations[m], sum, "all_reduce");
  for (size_t m = 1; m < collective.streams.size(); ++m) {
    if (device->is_host_memory())
      wait(first, record(collective.streams[m]));
    else
      wait(collective.streams[m], record(first));
  }
}

void Context::Body::allocate(const Allocate& instruction) {
  auto index = static_cast<size_t>(instruction.buffer);
  for (const auto& [buffer, memory] : allocated)
    if (buffer == instruction.buffer) return;  // in a loop: the same memory again
  const ProgramBuffer& buffer = bound->program().buffers[index];
  DeviceMemory made(bound->buffer_devices[index], buffer.bytes, buffer.alignment, buffer.name);
  set_address(instruction.buffer, made.address());
  allocated.emplace_back(instruction.buffer, std::move(made));
}

bool Context::Body::condition(int buffer) const { return *static_cast<const uint8_t*>(address(buffer)) != 0; }

void Context::Body::update_states() {
  bool joined = false;
  for (const StateUpdate& update : bound->program().updates) {
    if (update.state == memory_of(bound->program(), update.value)) continue;
    if (!joined) {
      join();
      if (bound->options.check_status) check_statuses();
    }
    joined = true;
    BufferView to = view(update.state), from = view(update.value);
    copy_now(to, from, to.bytes, "update");
  }
}

void Context::Body::join() {
  for (int stream : asynchronous) {
    Event event = record(stream);
    stream_devices[static_cast<size_t>(stream)]->finish(event);
  }
}

void Context::Body::finish_profile(double begin) {
  for (const Pending& entry : pending) {
    records[entry.record].begin = entry.begin.device->finish(entry.begin);
    records[entry.record].end = entry.end.device->finish(entry.end);
  }
  pending.clear();
  records.push_back({bound->host->id().to_string(), "steps", bound->program().name, "", begin, now(), 0});
  profiler->add(std::move(records));
  records.clear();
}

}  // namespace placewright
