#include "placewright/runtime/sim/sim_device.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program_fixture.h"

namespace placewright {
namespace {

using namespace testing_runtime;
using enum BufferKind;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t n = 1024;

// y = (x + x) + x on sim:0 with a state that is added in place, read back to the host.
CompiledProgram round_trip() {
  ProgramBuilder b("round trip");
  int s = b.stream(sim(0));
  int x = b.buffer(argument, "x", cpu0, {n});
  int w = b.buffer(state, "w", sim(0), {n});
  int dx = b.buffer(temporary, "dx", sim(0), {n});
  int t = b.buffer(temporary, "t", sim(0), {n});
  int y = b.buffer(result, "y", cpu0, {n});
  int z = b.buffer(result, "z", sim(0), {n});
  b.copy(s, x, dx);
  b.launch(s, "add_f32", {dx, dx, t});
  b.launch(s, "add_f32", {t, w, z});
  b.copy(s, t, y);
  return b.compiled({entry_of("add_f32", n)});
}

HostTensor ones() { return vector_of(std::vector<float>(n, 1)); }

class SimDeviceTest : public testing::Test {
 protected:
  SimDeviceTest() { m.states->add("w", ones()); }
  Machines m{64 << 10};
};

TEST_F(SimDeviceTest, FreshMemoryIsPoisonAtAddressesOfItsOwn) {
  DeviceMemory memory(m.sims[0], 16, 64, "test");
  auto address = reinterpret_cast<uint64_t>(memory.address());
  EXPECT_NE(address >> 47, 0u);  // not canonical: the host faults on it
  EXPECT_NE(address >> 47, 0x1ffffu);
  HostTensor found = vector_of({0, 0, 0, 0});
  copy_now({m.cpu.get(), found.raw(), 16}, memory.view(), 16, "read");
  for (float value : values_of(found)) EXPECT_TRUE(std::isnan(value));
}

TEST_F(SimDeviceTest, TouchingItsMemoryOnTheHostFaults) {
  DeviceMemory memory(m.sims[0], 16, 64, "test");
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(*static_cast<volatile char*>(memory.address()) = 1, "");
}

TEST_F(SimDeviceTest, WorkIsDoneNoEarlierThanAnEventAsksFor) {
  DeviceMemory memory(m.sims[0], 16, 64, "test");
  HostTensor in = vector_of({1, 2, 3, 4}), out = vector_of({0, 0, 0, 0});
  int stream = m.sims[0]->open_stream();
  m.sims[0]->copy(stream, memory.view(), {m.cpu.get(), in.raw(), 16}, 16, "in");
  m.sims[0]->copy(stream, {m.cpu.get(), out.raw(), 16}, memory.view(), 16, "out");
  Event event = m.sims[0]->record(stream);
  EXPECT_THAT(values_of(out), ElementsAre(0, 0, 0, 0));
  m.sims[0]->finish(event);
  EXPECT_THAT(values_of(out), ElementsAre(1, 2, 3, 4));
  m.sims[0]->close_stream(stream);
}

TEST_F(SimDeviceTest, RefusesAddressesThatAreNotItsOwn) {
  HostTensor host = vector_of({1, 2, 3, 4});
  auto message = [&](BufferView view) {
    try {
      copy_now(view, {m.cpu.get(), host.raw(), 16}, 16, "x");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(message({m.sims[0].get(), host.raw(), 16}), HasSubstr("are no memory of sim:0"));
  DeviceMemory elsewhere(m.sims[1], 16, 64, "elsewhere"), small(m.sims[0], 8, 64, "small");
  EXPECT_THAT(message({m.sims[0].get(), elsewhere.address(), 16}), HasSubstr("are no memory of sim:0"));
  EXPECT_THAT(message({m.sims[0].get(), small.address(), 16}), HasSubstr("16 bytes at"));
  void* freed = nullptr;
  {
    freed = DeviceMemory(m.sims[0], 16, 64, "freed").address();
  }
  EXPECT_THAT(message({m.sims[0].get(), freed, 16}), HasSubstr("or the memory freed?"));
}

TEST_F(SimDeviceTest, ClockFollowsSpecLinksAndFaults) {
  DeviceMemory memory(m.sims[0], 40000, 64, "test"), peer(m.sims[1], 40000, 64, "peer");
  std::vector<uint8_t> host(40000);
  auto seconds_of = [&](BufferView to, BufferView from) {
    int stream = m.sims[0]->open_stream();
    double begin = m.sims[0]->finish(m.sims[0]->record(stream));
    m.sims[0]->copy(stream, to, from, 40000, "x");
    double end = m.sims[0]->finish(m.sims[0]->record(stream));
    m.sims[0]->close_stream(stream);
    return end - begin;
  };
  BufferView on_host{m.cpu.get(), host.data(), 40000};
  EXPECT_NEAR(seconds_of(memory.view(), on_host), 6e-6 + 40000 / 25e9, 1e-12);
  EXPECT_NEAR(seconds_of(peer.view(), memory.view()), 4e-6 + 40000 / 100e9, 1e-12);
  SimFaults slow;
  slow.link_factor = 10;
  m.sims[0]->set_faults(slow);
  EXPECT_NEAR(seconds_of(memory.view(), on_host), 10 * (6e-6 + 40000 / 25e9), 1e-11);
  EXPECT_GT(m.machine->host_seconds(), 0);
}

TEST_F(SimDeviceTest, OutOfMemoryIsTypedAndTheNextSmallerRequestWorks) {
  try {
    DeviceMemory memory(m.sims[0], 1 << 20, 64, "the weights");
    FAIL();
  } catch (const OutOfDeviceMemory& error) {
    EXPECT_STREQ(error.what(), "sim:0 is out of memory: the weights needs 1048576 bytes, 0 of 65536 are in use");
  }
  DeviceMemory memory(m.sims[0], 1 << 10, 64, "the weights");
  EXPECT_EQ(m.sims[0]->used_bytes(), 1 << 10);
}

TEST_F(SimDeviceTest, EveryAllocationMayFailWithoutLeakAndTheNextRunWorks) {
  int failures = 0;
  int64_t held = -1;
  for (int64_t nth = 1;; ++nth) {
    SimFaults faults;
    faults.fail_allocation = nth;
    m.sims[0]->set_faults(faults);
    bool failed = false;
    try {
      auto executable = Executable::bind(round_trip(), m.devices, m.states);
      auto context = executable->make_context();
      executable->run(*context, std::vector{ones()});
      std::shared_ptr<ResultMemory> taken;
      context->exchange_result(1, taken);
      taken.reset();
      executable->run(*context, std::vector{ones()});
    } catch (const OutOfDeviceMemory&) {
      failed = true;
    }
    m.sims[0]->set_faults({});
    // Only the state may stay, once it has been moved.
    if (m.states->place("w").device == sim(0)) held = n * 4;
    EXPECT_EQ(m.sims[0]->used_bytes(), std::max<int64_t>(held, 0)) << nth;
    EXPECT_THAT(values_of(m.states->read("w")), testing::Each(1));
    {
      auto executable = Executable::bind(round_trip(), m.devices, m.states);
      auto context = executable->make_context();
      executable->run(*context, std::vector{ones()});
      EXPECT_EQ(values_of(context->read_result(0))[n - 1], 2);
      EXPECT_EQ(values_of(context->read_result(1))[n - 1], 3);
    }
    held = n * 4;
    if (!failed) break;
    ++failures;
    // The state again, so that its move is the first allocation of the next round as well.
    m.states->remove("w");
    m.states->add("w", ones());
    held = -1;
  }
  EXPECT_EQ(failures, 4);  // state, arena, result, result again
}

TEST_F(SimDeviceTest, ALostDeviceNamesTheKernelAndStaysLost) {
  auto executable = Executable::bind(round_trip(), m.devices, m.states);
  auto context = executable->make_context();
  SimFaults faults;
  faults.lose_at_command = 3;
  m.sims[0]->set_faults(faults);
  for (int round = 0; round < 2; ++round) {
    try {
      executable->run(*context, std::vector{ones()});
      FAIL();
    } catch (const DeviceLost& error) {
      EXPECT_STREQ(error.what(), "sim:0 was lost while it ran kernel add_f32 of model/forward#0");
    }
  }
  EXPECT_TRUE(m.sims[0]->is_lost());
  EXPECT_FALSE(m.sims[1]->is_lost());
  DeviceMemory other(m.sims[1], 16, 64, "the other device works");
}

TEST_F(SimDeviceTest, StreamsWaitForEventsOfOtherDevices) {
  DeviceMemory a(m.sims[0], 16, 64, "a"), b(m.sims[1], 16, 64, "b");
  HostTensor in = vector_of({1, 2, 3, 4}), out = vector_of({0, 0, 0, 0});
  int first = m.sims[0]->open_stream(), second = m.sims[1]->open_stream();
  m.sims[0]->copy(first, a.view(), {m.cpu.get(), in.raw(), 16}, 16, "in");
  m.sims[1]->wait(second, m.sims[0]->record(first));
  m.sims[1]->copy(second, b.view(), a.view(), 16, "across");
  m.sims[1]->copy(second, {m.cpu.get(), out.raw(), 16}, b.view(), 16, "out");
  m.sims[1]->finish(m.sims[1]->record(second));
  EXPECT_THAT(values_of(out), ElementsAre(1, 2, 3, 4));
  m.sims[0]->close_stream(first);
  m.sims[1]->close_stream(second);
}

TEST_F(SimDeviceTest, ImagesForOtherProcessorsAreRefused) {
  KernelImage image = kernel_image({entry_of("add_f32", 4)});
  auto message = [&] {
    try {
      m.sims[0]->load(image);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(message(), "");
  image.target = "x86-64+avx9000";
  EXPECT_THAT(message(), HasSubstr("this processor has no avx9000"));
  image = kernel_image({entry_of("add_f64", 4)});
  EXPECT_EQ(message(), "kernel add_f64: its image has no function 'add_f64'");
  image = kernel_image({entry_of("add_f32", 4)});
  image.abi_version = 77;
  EXPECT_THAT(message(), HasSubstr("ABI version 77"));
  image = kernel_image({entry_of("add_f32", 4)});
  image.format = "cubin";
  EXPECT_THAT(message(), HasSubstr("format cubin, expected elf-x86-64"));
}

}  // namespace
}  // namespace placewright
