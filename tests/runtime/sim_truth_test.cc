// Simulated machines that differ from their specs, a host on the virtual clock, and machines on which only time passes.
#include "placewright/runtime/sim/sim_truth.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/runtime/sim/sim_host.h"
#include "program_fixture.h"

namespace placewright {
namespace {

using namespace testing_runtime;
using enum BufferKind;

constexpr int64_t n = 1024;

struct TimedMachine {
  explicit TimedMachine(bool computes) {
    links = SimDevice::default_links(cpu0, 2);
    machine = std::make_shared<SimMachine>(links, computes);
    DeviceSpec spec = CpuDevice::probe();
    spec.threads = 1;
    spec.launch_seconds = 1e-6;
    spec.memory_bandwidth = 1e9;
    host = std::make_shared<SimHost>(spec, machine);
    auto pool = std::make_shared<ThreadPool>(1);
    for (int i = 0; i < 2; ++i)
      sims.push_back(std::make_shared<SimDevice>(SimDevice::default_spec(i, 1 << 20), machine, pool));
    devices = DeviceSet({host, sims[0], sims[1]}, {});
    states = std::make_shared<StateStore>(host);
  }
  double seconds_of(const Executable& executable, Context& context, const HostTensor& x) {
    double begin = machine->host_seconds();
    executable.run(context, std::vector{x});
    return machine->host_seconds() - begin;
  }
  std::vector<Link> links;
  std::shared_ptr<SimMachine> machine;
  std::shared_ptr<SimHost> host;
  std::vector<std::shared_ptr<SimDevice>> sims;
  DeviceSet devices;
  std::shared_ptr<StateStore> states;
};

// Doubles on the host, copies there, doubles again, copies back.
CompiledProgram there_and_back() {
  ProgramBuilder b("there and back");
  int h = b.stream(cpu0), s = b.stream(sim(0));
  int x = b.buffer(argument, "x", cpu0, {n}), y = b.buffer(temporary, "y", cpu0, {n});
  int dx = b.buffer(temporary, "dx", sim(0), {n}), t = b.buffer(temporary, "t", sim(0), {n});
  int z = b.buffer(result, "z", cpu0, {n});
  b.launch(h, "add_f32", {x, x, y});
  b.copy(s, y, dx);
  b.launch(s, "add_f32", {dx, dx, t});
  b.copy(s, t, z);
  return b.compiled({entry_of("add_f32", n)});
}

TEST(SimHost, ItsLaunchesTakeVirtualTimeAndCompute) {
  TimedMachine m(true);
  auto executable = Executable::bind(there_and_back(), m.devices, m.states);
  auto context = executable->make_context();
  double host = 1e-6 + 1e6 / 1e9, accelerator = 4e-6 + 1e6 / 1e12, copy = 6e-6 + n * 4 / 25e9;
  EXPECT_NEAR(m.seconds_of(*executable, *context, vector_of(std::vector<float>(n, 1))), host + accelerator + 2 * copy,
              1e-9);
  EXPECT_THAT(values_of(context->read_result(0)), testing::Each(4));
}

TEST(SimMachine, WithoutComputingOnlyTimePasses) {
  TimedMachine real(true), timed(false);
  CompiledProgram without_code = there_and_back();
  without_code.images[0].bytes.clear();
  HostTensor x = vector_of(std::vector<float>(n, 1));
  auto computed = Executable::bind(there_and_back(), real.devices, real.states);
  auto passed = Executable::bind(std::move(without_code), timed.devices, timed.states);
  auto first = computed->make_context(), second = passed->make_context();
  EXPECT_EQ(real.seconds_of(*computed, *first, x), timed.seconds_of(*passed, *second, x));
  EXPECT_EQ(first->transfers().bytes, second->transfers().bytes);
}

TEST(SimTruth, FactorsFollowFromTheSeedAndStayWithinTheSpread) {
  SimTruth told, one, two;
  one.seed = 1;
  two.seed = 2;
  EXPECT_EQ(told.of_op(cpu0, "a"), 1);
  EXPECT_EQ(told.of_launches(cpu0), 1);
  EXPECT_EQ(told.of_link(cpu0, sim(0)), 1);
  EXPECT_NE(one.of_link(cpu0, sim(0)), one.of_link(sim(0), cpu0));
  EXPECT_NE(one.of_op(cpu0, "a"), one.of_op(sim(0), "a"));
  EXPECT_NE(one.of_op(cpu0, "a"), two.of_op(cpu0, "a"));
  double sum = 0;
  std::set<double> seen;
  for (int i = 0; i < 1000; ++i) {
    double factor = one.of_op(sim(0), "op " + std::to_string(i));
    EXPECT_GE(factor, 0.7);
    EXPECT_LE(factor, 1.3);
    EXPECT_EQ(factor, one.of_op(sim(0), "op " + std::to_string(i)));
    sum += factor;
    seen.insert(factor);
  }
  EXPECT_NEAR(sum / 1000, 1, 0.02);
  EXPECT_GT(seen.size(), 990u);
  EXPECT_GE(one.of_launches(sim(0)), 1);
  EXPECT_LE(one.of_launches(sim(0)), 1.5);
}

TEST(SimTruth, SharedLinksCarryOneCopyAtATime) {
  TimedMachine m(true);
  std::vector<uint8_t> from(400000);
  DeviceMemory first(m.sims[0], 400000, 64, "first"), second(m.sims[1], 400000, 64, "second");
  auto seconds_of_both = [&] {
    double begin = m.machine->host_seconds();
    int streams[] = {m.sims[0]->open_stream(), m.sims[1]->open_stream()};
    m.sims[0]->copy(streams[0], first.view(), {m.host.get(), from.data(), 400000}, 400000, "a");
    m.sims[1]->copy(streams[1], second.view(), {m.host.get(), from.data(), 400000}, 400000, "b");
    for (int i = 0; i < 2; ++i) {
      m.sims[static_cast<size_t>(i)]->finish(m.sims[static_cast<size_t>(i)]->record(streams[i]));
      m.sims[static_cast<size_t>(i)]->close_stream(streams[i]);
    }
    return m.machine->host_seconds() - begin;
  };
  const double one = 6e-6 + 400000 / 25e9;
  EXPECT_NEAR(seconds_of_both(), one, 1e-9);
  SimTruth truth;
  truth.seed = 1;
  truth.spread = 0;
  m.machine->set_truth(truth);
  EXPECT_NEAR(seconds_of_both(), 2 * one, 1e-9);
}

// Work is run as late as an event allows: whoever is waited for first, a copy begins when the link is free.
TEST(SimTruth, LinksAreNotIdleWhileACopyWaits) {
  for (bool is_shared : {false, true}) {
    TimedMachine m(true);
    SimTruth truth;
    truth.seed = 1;
    truth.spread = 0;
    truth.shared_links = is_shared;
    m.machine->set_truth(truth);
    SimDevice& device = *m.sims[0];
    std::vector<uint8_t> from(400000);
    DeviceMemory memory(m.sims[0], 400000, 64, "memory");
    int streams[] = {device.open_stream(), device.open_stream(), device.open_stream()};
    Event events[3];
    const double begin = m.machine->host_seconds(), pause = 30e-6, one = 6e-6 + 400000 / 25e9;
    for (int i = 0; i < 3; ++i) {
      device.copy(streams[i], memory.view(), {m.host.get(), from.data(), 400000}, 400000, "a");
      events[i] = device.record(streams[i]);
      if (i == 0) m.machine->spend(pause);
    }
    // The second begins when it is given, the first before that, the third behind both.
    EXPECT_NEAR(device.finish(events[1]) - begin, pause + one, 1e-9);
    EXPECT_NEAR(device.finish(events[0]) - begin, one, 1e-9);
    EXPECT_NEAR(device.finish(events[2]) - begin, pause + 2 * one, 1e-9);
    for (int stream : streams) device.close_stream(stream);
  }
}

}  // namespace
}  // namespace placewright
