// Small programs over the kernels of tests/runtime/kernels, built line by line as codegen would build them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "error_of.h"
#include "kernel_object.h"
#include "placewright/ir/program.h"
#include "placewright/runtime/cpu/cpu_device.h"
#include "placewright/runtime/executable.h"
#include "placewright/runtime/sim/sim_device.h"

namespace placewright::testing_runtime {

inline const DeviceId cpu0{"cpu", 0};
inline DeviceId sim(int ordinal) { return {"sim", ordinal}; }

class ProgramBuilder {
 public:
  explicit ProgramBuilder(std::string name) {
    program.name = std::move(name);
    program.blocks.push_back({"step", {}});
  }

  int stream(const DeviceId& device, const std::string& name = "compute") {
    program.streams.push_back({device, name});
    return static_cast<int>(program.streams.size()) - 1;
  }
  int buffer(BufferKind kind, const std::string& name, const DeviceId& device, Sizes sizes, DType dtype = DType::f32) {
    ProgramBuffer made{name, kind, device, dtype, std::move(sizes), {}, 0, 64, -1, 0};
    made.bytes = byte_size(dtype, element_count(made.sizes));
    int index = static_cast<int>(program.buffers.size());
    if (kind == BufferKind::argument) program.arguments.push_back(index);
    if (kind == BufferKind::result) program.results.push_back(index);
    if (kind == BufferKind::temporary) place(made);
    program.buffers.push_back(made);
    return index;
  }
  int launch(int stream, const std::string& entry, std::vector<int> buffers, std::vector<int64_t> scalars = {},
             int written = 1) {
    return add(Launch{stream, 0, entry, std::move(buffers), written, std::move(scalars), 1e6, 1e6, "model/forward#0"});
  }
  int copy(int stream, int source, int destination) {
    const ProgramBuffer &from = program.buffers[source], &to = program.buffers[destination];
    return add(
        Copy{stream,
             source,
             destination,
             {from.device, to.device, from.device == to.device ? 0 : to.bytes, from.name, "train.cc:3", "test"}});
  }
  int wait(int stream, int instruction) { return add(Wait{stream, instruction}); }
  int add(Instruction instruction) {
    program.blocks[block].instructions.push_back(std::move(instruction));
    return static_cast<int>(program.blocks[block].instructions.size()) - 1;
  }

  CompiledProgram compiled(std::vector<KernelEntry> entries) const {
    return {program, {kernel_image(std::move(entries))}, {}};
  }

  Program program;
  size_t block = 0;

 private:
  // Behind what is already in the device's arena.
  void place(ProgramBuffer& made) {
    size_t arena = 0;
    while (arena < program.arenas.size() && program.arenas[arena].device != made.device) ++arena;
    if (arena == program.arenas.size()) program.arenas.push_back({made.device, 0});
    made.arena = static_cast<int>(arena);
    made.offset = (program.arenas[arena].bytes + 63) / 64 * 64;
    program.arenas[arena].bytes = made.offset + made.bytes;
  }
};

// A host and two simulated accelerators.
struct Machines {
  explicit Machines(int64_t sim_memory = 1 << 20, int threads = 1) {
    DeviceSpec spec = CpuDevice::probe();
    spec.threads = threads;
    cpu = std::make_shared<CpuDevice>(spec);
    links = SimDevice::default_links(cpu0, 2);
    machine = std::make_shared<SimMachine>(links);
    pool = std::make_shared<ThreadPool>(threads);
    for (int i = 0; i < 2; ++i)
      sims.push_back(std::make_shared<SimDevice>(SimDevice::default_spec(i, sim_memory), machine, pool));
    devices = DeviceSet({cpu, sims[0], sims[1]}, {{"cuda", "no-driver", "no driver is installed", "install one"}});
    states = std::make_shared<StateStore>(cpu);
  }
  std::vector<Link> links;
  std::shared_ptr<CpuDevice> cpu;
  std::shared_ptr<SimMachine> machine;
  std::shared_ptr<ThreadPool> pool;
  std::vector<std::shared_ptr<SimDevice>> sims;
  DeviceSet devices;
  std::shared_ptr<StateStore> states;
};

// y = x + x + x of `n` numbers on a device, with the copies in and out and every wait that they need.
inline ProgramBuilder triple_on(const DeviceId& device, int64_t n) {
  ProgramBuilder b("triple on " + device.kind);
  int compute = b.stream(device), in = b.stream(device, "copies in"), out = b.stream(device, "copies out");
  int x = b.buffer(BufferKind::argument, "x", cpu0, {n});
  int dx = b.buffer(BufferKind::temporary, "x there", device, {n});
  int t = b.buffer(BufferKind::temporary, "", device, {n});
  int dy = b.buffer(BufferKind::temporary, "", device, {n});
  int y = b.buffer(BufferKind::result, "y", cpu0, {n});
  int copied = b.copy(in, x, dx);
  b.wait(compute, copied);
  b.launch(compute, "add_f32", {dx, dx, t});
  int launched = b.launch(compute, "add_f32", {t, dx, dy});
  b.wait(out, launched);
  b.copy(out, dy, y);
  return b;
}

inline HostTensor vector_of(std::vector<float> values) {
  return HostTensor::from<float>({static_cast<int64_t>(values.size())}, values);
}
inline std::vector<float> values_of(const HostTensor& tensor) {
  auto data = tensor.data<float>();
  return {data.begin(), data.end()};
}

}  // namespace placewright::testing_runtime
