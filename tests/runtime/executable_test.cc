#include "placewright/runtime/executable.h"

#include <cmath>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/ir/check_program.h"
#include "placewright/runtime/profiler.h"
#include "program_fixture.h"

namespace placewright {
namespace {

using namespace testing_runtime;
using enum BufferKind;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t n = 4;

// result = (x + x) + x on the host.
CompiledProgram host_program() {
  ProgramBuilder b("triple");
  int s = b.stream(cpu0);
  int x = b.buffer(argument, "x", cpu0, {n});
  int t = b.buffer(temporary, "", cpu0, {n});
  int y = b.buffer(result, "y", cpu0, {n});
  b.launch(s, "add_f32", {x, x, t});
  b.launch(s, "add_f32", {t, x, y});
  return b.compiled({entry_of("add_f32", n)});
}

// The same on sim:0.
CompiledProgram sim_program() { return triple_on(sim(0), n).compiled({entry_of("add_f32", n)}); }

// w -= rate * gradient, in place.
CompiledProgram update_program(const DeviceId& device, bool in_place = true) {
  ProgramBuilder b("update");
  int s = b.stream(device);
  int g = b.buffer(argument, "gradient", device, {n});
  int rate = b.buffer(argument, "rate", device, {});
  int w = b.buffer(state, "w", device, {n});
  if (in_place) {
    b.launch(s, "sgd_f32", {g, rate, w});
    b.program.updates.push_back({w, w});
  } else {
    int t = b.buffer(temporary, "", device, {n});
    b.copy(s, w, t);
    b.launch(s, "sgd_f32", {g, rate, t});
    b.program.updates.push_back({w, t});
  }
  return b.compiled({entry_of("sgd_f32", n)});
}

int64_t step_bytes(const Program& program) {
  int64_t bytes = 0;
  for (const LedgerLine& line : transfer_ledger(program)) bytes += line.once ? 0 : line.facts.bytes;
  return bytes;
}

TEST(Executable, RunsOnTheHost) {
  Machines m;
  auto executable = Executable::bind(host_program(), m.devices, m.states);
  auto context = executable->make_context();
  HostTensor x = vector_of({1, 2, 3, 4});
  for (int round = 0; round < 3; ++round) {
    executable->run(*context, std::vector{x});
    EXPECT_THAT(values_of(context->read_result(0)), ElementsAre(3, 6, 9, 12));
  }
  EXPECT_EQ(context->transfers().bytes, 0);
  HostTensor other = vector_of({-1, 0, 1, 2});
  executable->run(*context, std::vector{other});
  EXPECT_THAT(values_of(context->read_result(0)), ElementsAre(-3, 0, 3, 6));
}

TEST(Executable, TransfersAreThoseOfTheLedger) {
  Machines m;
  CompiledProgram compiled = sim_program();
  check_program(compiled.program);
  EXPECT_EQ(step_bytes(compiled.program), 2 * n * 4);
  auto executable = Executable::bind(compiled, m.devices, m.states);
  auto context = executable->make_context();
  for (int round = 0; round < 3; ++round) {
    executable->run(*context, std::vector{vector_of({1, 2, 3, static_cast<float>(round)})});
    EXPECT_THAT(values_of(context->read_result(0)), ElementsAre(3, 6, 9, 3 * round));
    EXPECT_EQ(context->transfers().bytes, step_bytes(compiled.program));
    EXPECT_EQ(context->transfers().copies, 2);
  }
  EXPECT_EQ(context->read_back().bytes, 0);
}

TEST(Executable, ACopyWithoutItsWaitReadsPoisonAndTheCheckerSaysWhy) {
  Machines m;
  CompiledProgram compiled = sim_program();
  std::vector<Instruction>& instructions = compiled.program.blocks[0].instructions;
  ASSERT_TRUE(std::holds_alternative<Wait>(instructions[1]));
  std::swap(instructions[1], instructions[4]);  // both waits for what was not meant
  instructions[1] = Wait{0, 0};
  instructions[4] = Wait{2, 0};
  EXPECT_THAT(error_of([&] { check_program(compiled.program); }), HasSubstr("with no wait between them"));
  auto executable = Executable::bind(compiled, m.devices, m.states);
  auto context = executable->make_context();
  SimFaults faults;
  faults.reorder_seed = 5;
  m.sims[0]->set_faults(faults);
  bool wrong = false;
  for (int round = 0; round < 50; ++round) {
    HostTensor x = vector_of({1.0f + static_cast<float>(round), 2, 3, 4});
    executable->run(*context, std::vector{x});
    wrong = wrong || !(values_of(context->read_result(0))[0] == 3.0f + 3 * static_cast<float>(round));
  }
  EXPECT_TRUE(wrong);
}

TEST(Executable, ReorderingChangesNothingWhenTheWaitsAreThere) {
  for (uint64_t seed = 1; seed < 200; ++seed) {
    Machines m;
    SimFaults faults;
    faults.reorder_seed = seed;
    m.sims[0]->set_faults(faults);
    auto executable = Executable::bind(sim_program(), m.devices, m.states);
    auto context = executable->make_context();
    executable->run(*context, std::vector{vector_of({1, 2, 3, 4})});
    EXPECT_THAT(values_of(context->read_result(0)), ElementsAre(3, 6, 9, 12)) << seed;
  }
}

TEST(Executable, UpdatesStateInPlaceOrThroughACopy) {
  for (bool in_place : {true, false}) {
    Machines m;
    m.states->add("w", vector_of({1, 2, 3, 4}));
    CompiledProgram compiled = update_program(cpu0, in_place);
    check_program(compiled.program);
    auto executable = Executable::bind(compiled, m.devices, m.states);
    auto context = executable->make_context();
    std::vector<HostTensor> arguments{vector_of({1, 1, 2, 2}), HostTensor::scalar<float>(0.5f)};
    executable->run(*context, arguments);
    executable->run(*context, arguments);
    EXPECT_THAT(values_of(m.states->read("w")), ElementsAre(0, 1, 1, 2));
  }
}

TEST(Executable, StateMovesOnceToItsDeviceAndIsSharedByExecutables) {
  Machines m;
  m.states->add("w", vector_of({1, 2, 3, 4}));
  auto first = Executable::bind(update_program(sim(0)), m.devices, m.states);
  EXPECT_EQ(first->load_transfers().bytes, n * 4);
  auto second = Executable::bind(update_program(sim(0)), m.devices, m.states);
  EXPECT_EQ(second->load_transfers().bytes, 0);
  EXPECT_TRUE(second->notes().empty());
  DeviceMemory g(m.sims[0], n * 4, 64, "gradient"), rate(m.sims[0], 4, 64, "rate");
  HostTensor gradient = vector_of({1, 1, 1, 1}), one = HostTensor::scalar<float>(1);
  copy_now(g.view(), {m.cpu.get(), gradient.raw(), n * 4}, n * 4, "gradient");
  copy_now(rate.view(), {m.cpu.get(), one.raw(), 4}, 4, "rate");
  std::vector<BufferView> arguments{g.view(), rate.view()};
  auto a = first->make_context();
  auto b = second->make_context();
  first->run(*a, arguments);
  second->run(*b, arguments);
  EXPECT_THAT(values_of(m.states->read("w")), ElementsAre(-1, 0, 1, 2));
  EXPECT_EQ(m.states->place("w").device, sim(0));

  // An executable that wants it on the host takes it there, says so, and the first one finds out.
  auto third = Executable::bind(update_program(cpu0), m.devices, m.states);
  ASSERT_EQ(third->notes().size(), 1u);
  EXPECT_EQ(third->notes()[0], "state 'w' was moved or converted: sim:0 -> cpu:0, 16 bytes");
  first->run(*a, arguments);
  EXPECT_THAT(values_of(m.states->read("w")), ElementsAre(-2, -1, 0, 1));
}

TEST(Executable, StateKeepsALayoutThatOnlyTheStoreSees) {
  Machines m;
  m.states->add("w", HostTensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
  {
    StateStore::Lease lease(*m.states, StateStore::Lease::Kind::exclusive);
    TransferCount count;
    m.states->put(lease, "w", m.sims[1], Layout{{1, 0}, {{0, 4}}, {{0, 0}, {1, 0}}}, &count);
    EXPECT_EQ(count.bytes, 4 * 4 * 4);
  }
  EXPECT_THAT(values_of(m.states->read("w")), ElementsAre(1, 2, 3, 4, 5, 6));
  m.states->write("w", HostTensor::from<float>({2, 3}, {6, 5, 4, 3, 2, 1}));
  EXPECT_THAT(values_of(m.states->read("w")), ElementsAre(6, 5, 4, 3, 2, 1));
  EXPECT_EQ(error_of([&] { m.states->write("w", vector_of({1})); }), "state 'w' is f32[2,3], found a value of f32[1]");
  EXPECT_EQ(error_of([&] { m.states->read("v"); }), "there is no state called 'v'");
}

TEST(Executable, WorkspacesPhasesAndThreads) {
  for (int threads : {1, 3}) {
    Machines m(1 << 20, threads);
    ProgramBuilder b("sum");
    int s = b.stream(cpu0);
    int x = b.buffer(argument, "x", cpu0, {1000});
    int y = b.buffer(result, "y", cpu0, {});
    b.launch(s, "scaled_sum", {x, y}, {3, 1000});
    KernelEntry entry{"scaled_sum", {{"scale_to_workspace", 1000, 10}, {"sum_workspace", 1, 1}}, {4000}};
    auto executable = Executable::bind(b.compiled({entry}), m.devices, m.states);
    auto context = executable->make_context();
    executable->run(*context, std::vector{vector_of(std::vector<float>(1000, 0.5f))});
    EXPECT_EQ(values_of(context->read_result(0))[0], 1500);
  }
}

TEST(Executable, AStatusNamesKernelAndOrigin) {
  Machines m;
  ProgramBuilder b("gather");
  int s = b.stream(cpu0);
  int table = b.buffer(argument, "table", cpu0, {3}, DType::i64);
  int index = b.buffer(argument, "index", cpu0, {2}, DType::i64);
  int out = b.buffer(result, "out", cpu0, {2}, DType::i64);
  b.launch(s, "gather_i64", {table, index, out}, {3});
  auto executable = Executable::bind(b.compiled({entry_of("gather_i64", 2)}), m.devices, m.states);
  auto context = executable->make_context();
  HostTensor values = HostTensor::from<int64_t>({3}, {10, 20, 30});
  EXPECT_EQ(error_of([&] { executable->run(*context, std::vector{values, HostTensor::from<int64_t>({2}, {1, 3})}); }),
            "kernel gather_i64 of model/forward#0: an index is out of range");
  executable->run(*context, std::vector{values, HostTensor::from<int64_t>({2}, {2, 0})});
  EXPECT_EQ(context->read_result(0).integer(0), 30);
}

TEST(Executable, RedzonesFindAKernelThatWritesTooFar) {
  for (const DeviceId& device : {cpu0, sim(0)}) {
    Machines m;
    ProgramBuilder b("overrun");
    int s = b.stream(device);
    int t = b.buffer(temporary, "hidden", device, {n});
    int y = b.buffer(result, "y", device, {n});
    b.launch(s, "overrun_f32", {t});
    b.launch(s, "add_f32", {t, t, y});
    Executable::Options options;
    options.check_memory = true;
    auto executable = Executable::bind(b.compiled({entry_of("overrun_f32", n), entry_of("add_f32", n)}), m.devices,
                                       m.states, options);
    auto context = executable->make_context();
    EXPECT_EQ(error_of([&] { executable->run(*context, std::vector<BufferView>{}); }),
              "a kernel wrote outside its buffers, between 'hidden' and the end on " + device.to_string());
  }
}

TEST(Executable, MemoryIsNaNBeforeEachRunWhenChecked) {
  Machines m;
  ProgramBuilder b("unwritten");
  int s = b.stream(cpu0);
  int t = b.buffer(temporary, "", cpu0, {n});
  int y = b.buffer(result, "y", cpu0, {n});
  b.launch(s, "add_f32", {t, t, y});
  Executable::Options options;
  options.check_memory = true;
  auto executable = Executable::bind(b.compiled({entry_of("add_f32", n)}), m.devices, m.states, options);
  auto context = executable->make_context();
  executable->run(*context, std::vector<BufferView>{});
  EXPECT_TRUE(std::isnan(values_of(context->read_result(0))[0]));
  EXPECT_THAT(error_of([&] { check_program(b.program); }), HasSubstr("buffer 0 is read before anything wrote it"));
}

TEST(Executable, TakenResultsSurviveTheNextRun) {
  Machines m;
  auto executable = Executable::bind(host_program(), m.devices, m.states);
  auto context = executable->make_context();
  executable->run(*context, std::vector{vector_of({1, 1, 1, 1})});
  std::shared_ptr<ResultMemory> taken;
  context->exchange_result(0, taken);
  executable->run(*context, std::vector{vector_of({2, 2, 2, 2})});
  EXPECT_EQ(values_of(taken->read())[0], 3);
  EXPECT_EQ(values_of(context->read_result(0))[0], 6);
  const void* address = taken->view().address;
  context->exchange_result(0, taken);
  executable->run(*context, std::vector{vector_of({3, 3, 3, 3})});
  EXPECT_EQ(context->result(0).address, address);
  EXPECT_EQ(values_of(taken->read())[0], 6);
  EXPECT_EQ(values_of(context->read_result(0))[0], 9);
}

CompiledProgram all_reduce_program(bool host_first) {
  ProgramBuilder b("reduce");
  std::vector<DeviceId> members{host_first ? cpu0 : sim(0), sim(1)};
  Collective collective;
  for (const DeviceId& device : members) {
    collective.streams.push_back(b.stream(device));
    int x = b.buffer(argument, "x@" + device.to_string(), device, {n});
    int y = b.buffer(result, "y@" + device.to_string(), device, {n});
    collective.sources.push_back(x);
    collective.destinations.push_back(y);
  }
  collective.scratch = b.buffer(temporary, "scratch", members[0], {n});
  collective.facts = {members[0], members[1], 2 * n * 4, "gradient", "train.cc:9", "partial sums"};
  b.add(collective);
  return b.compiled({});
}

TEST(Executable, AllReduceSumsOverDevicesAndCountsItsBytes) {
  for (bool host_first : {false, true}) {
    Machines m;
    CompiledProgram compiled = all_reduce_program(host_first);
    compiled.images.clear();
    check_program(compiled.program);
    auto executable = Executable::bind(compiled, m.devices, m.states);
    auto context = executable->make_context();
    HostTensor a = vector_of({1, 2, 3, 4}), c = vector_of({10, 20, 30, 40});
    std::shared_ptr<Device> first = host_first ? std::shared_ptr<Device>(m.cpu) : m.sims[0];
    DeviceMemory on_first(first, 16, 64, "a"), on_second(m.sims[1], 16, 64, "c");
    copy_now(on_first.view(), {m.cpu.get(), a.raw(), 16}, 16, "a");
    copy_now(on_second.view(), {m.cpu.get(), c.raw(), 16}, 16, "c");
    executable->run(*context, std::vector{on_first.view(), on_second.view()});
    EXPECT_THAT(values_of(context->read_result(0)), ElementsAre(11, 22, 33, 44));
    EXPECT_THAT(values_of(context->read_result(1)), ElementsAre(11, 22, 33, 44));
    EXPECT_EQ(context->transfers().bytes, step_bytes(compiled.program));
  }
}

TEST(Executable, ConstantsAreLoadedOnce) {
  Machines m;
  ProgramBuilder b("constants");
  int s = b.stream(sim(0)), host = b.stream(cpu0);
  int c = b.buffer(constant, "c", sim(0), {n});
  int h = b.buffer(constant, "c", cpu0, {n});
  int y = b.buffer(result, "y", sim(0), {n});
  int z = b.buffer(result, "z", cpu0, {n});
  b.launch(s, "add_f32", {c, c, y});
  b.launch(host, "add_f32", {h, h, z});
  b.program.blocks.push_back({"load", {Copy{s, -1, c, {cpu0, sim(0), n * 4, "c", "train.cc:1", "constant"}}}});
  b.program.load = 1;
  CompiledProgram compiled = b.compiled({entry_of("add_f32", n)});
  EXPECT_THAT(error_of([&] { Executable::bind(compiled, m.devices, m.states); }),
              "program constants: constant 'c' was not given");
  compiled.constants["c"] = vector_of({1, 2, 3, 4});
  auto executable = Executable::bind(compiled, m.devices, m.states);
  EXPECT_EQ(executable->load_transfers().bytes, n * 4);
  ASSERT_EQ(transfer_ledger(executable->program()).size(), 1u);
  EXPECT_TRUE(transfer_ledger(executable->program())[0].once);
  auto context = executable->make_context();
  executable->run(*context, std::vector<BufferView>{});
  EXPECT_THAT(values_of(context->read_result(0)), ElementsAre(2, 4, 6, 8));
  EXPECT_THAT(values_of(context->read_result(1)), ElementsAre(2, 4, 6, 8));
  EXPECT_EQ(context->transfers().bytes, 0);
  EXPECT_EQ(context->read_back().bytes, n * 4);
}

TEST(Executable, LoopsBranchesCallsAndAllocations) {
  Machines m;
  m.states->add("counter", HostTensor::scalar<int64_t>(0));
  ProgramBuilder b("control");
  int s = b.stream(cpu0);
  int counter = b.buffer(state, "counter", cpu0, {}, DType::i64);
  int more = b.buffer(result, "more", cpu0, {}, DType::boolean);
  int x = b.buffer(argument, "x", cpu0, {n});
  int y = b.buffer(result, "y", cpu0, {n});
  int t = b.buffer(temporary, "", cpu0, {n});
  b.program.buffers[t].arena = -1;
  b.program.buffers[t].offset = 0;
  b.program.updates.push_back({counter, counter});
  b.program.blocks.resize(4);
  b.launch(s, "count_below", {counter, more}, {7}, 2);
  b.block = 1;
  b.launch(s, "count_below", {counter, more}, {7}, 2);
  b.block = 2;
  b.launch(s, "add_f32", {x, x, y});
  b.block = 3;
  b.add(Allocate{s, t});
  b.launch(s, "add_f32", {x, x, t});
  b.launch(s, "add_f32", {t, t, y});
  b.block = 0;
  b.add(Repeat{1, -1, more});
  b.add(Repeat{1, 2, -1});
  b.add(Branch{more, 2, 3});
  CompiledProgram compiled = b.compiled({entry_of("count_below", 1), entry_of("add_f32", n)});
  check_program(compiled.program);
  EXPECT_EQ(parse_program(print_program(compiled.program)), compiled.program);
  auto executable = Executable::bind(compiled, m.devices, m.states);
  auto context = executable->make_context();
  executable->run(*context, std::vector{vector_of({1, 2, 3, 4})});
  EXPECT_EQ(m.states->read("counter").integer(0), 9);
  EXPECT_THAT(values_of(context->read_result(1)), ElementsAre(4, 8, 12, 16));
}

TEST(Executable, WrongArgumentsAreSaid) {
  Machines m;
  auto executable = Executable::bind(host_program(), m.devices, m.states);
  auto context = executable->make_context();
  EXPECT_EQ(error_of([&] { executable->run(*context, std::vector<HostTensor>{}); }),
            "triple takes 1 arguments, found 0");
  EXPECT_EQ(error_of([&] { executable->run(*context, std::vector{vector_of({1})}); }),
            "argument 'x' of triple is f32[4], found f32[1]");
  HostTensor x = vector_of({1, 2, 3, 4, 5});
  BufferView shifted{m.cpu.get(), x.raw() + 4, 16};
  EXPECT_EQ(error_of([&] { executable->run(*context, std::vector{shifted}); }),
            "argument 'x' of triple: found 16 bytes on cpu:0 at another address, expected 16 bytes on cpu:0 at a "
            "multiple of 64");
  CompiledProgram elsewhere = host_program();
  for (Stream& stream : elsewhere.program.streams) stream.device = {"cuda", 0};
  for (ProgramBuffer& buffer : elsewhere.program.buffers) buffer.device = {"cuda", 0};
  for (Arena& arena : elsewhere.program.arenas) arena.device = {"cuda", 0};
  EXPECT_EQ(error_of([&] { Executable::bind(elsewhere, m.devices, m.states); }),
            "no device cuda:0 here; there are: cpu:0 sim:0 sim:1; no driver is installed (no-driver): install one");
}

TEST(Executable, ManyThreadsRunOneExecutable) {
  Machines m(1 << 20, 2);
  m.states->add("w", vector_of({0, 0, 0, 0}));
  auto forward = Executable::bind(host_program(), m.devices, m.states);
  auto update = Executable::bind(update_program(cpu0), m.devices, m.states);
  auto on_sim = Executable::bind(sim_program(), m.devices, m.states);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      auto a = forward->make_context();
      auto b = update->make_context();
      auto c = on_sim->make_context();
      std::vector<HostTensor> step{vector_of({1, 1, 1, 1}), HostTensor::scalar<float>(-1)};
      for (int round = 0; round < 25; ++round) {
        float value = static_cast<float>(t * 100 + round);
        forward->run(*a, std::vector{vector_of({value, 0, 0, 0})});
        on_sim->run(*c, std::vector{vector_of({value, 0, 0, 0})});
        update->run(*b, step);
        wrong += values_of(a->read_result(0))[0] != 3 * value || values_of(c->read_result(0))[0] != 3 * value;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_THAT(values_of(m.states->read("w")), ElementsAre(200, 200, 200, 200));
}

TEST(Executable, ProfileNestsAndNamesKernelsCopiesAndOrigins) {
  Machines m;
  auto executable = Executable::bind(sim_program(), m.devices, m.states);
  auto context = executable->make_context();
  Profiler profiler;
  context->set_profiler(&profiler);
  for (int round = 0; round < 2; ++round) executable->run(*context, std::vector{vector_of({1, 2, 3, 4})});
  context->set_profiler(nullptr);
  executable->run(*context, std::vector{vector_of({1, 2, 3, 4})});
  std::vector<Profiler::Record> records = profiler.records();
  ASSERT_EQ(records.size(), 2u * (4 + 1));
  EXPECT_EQ(records[0].name, "x cpu:0 -> sim:0");
  EXPECT_EQ(records[0].track, "copies in");
  EXPECT_EQ(records[0].bytes, 16);
  EXPECT_EQ(records[1].name, "add_f32");
  EXPECT_EQ(records[1].origin, "model/forward#0");
  for (const Profiler::Record& record : records) EXPECT_LE(record.begin, record.end);
  for (size_t i = 1; i < 4; ++i) EXPECT_GE(records[i].begin, records[0].begin);
  // Copy, two kernels, copy: each begins when the one before has ended.
  for (size_t i = 1; i < 4; ++i) EXPECT_GE(records[i].end, records[i - 1].end);
  EXPECT_NEAR(records[1].end - records[1].begin, 4e-6 + 1e-6, 1e-9);  // launch overhead + 1 MB at 1 TB/s
  std::string trace = profiler.chrome_trace();
  EXPECT_THAT(trace, HasSubstr(R"("ph":"X","name":"add_f32")"));
  EXPECT_THAT(trace, HasSubstr(R"("name":"process_name","pid":2,"args":{"name":"sim:0"})"));
  ASSERT_EQ(profiler.summary().size(), 3u);
  EXPECT_EQ(profiler.summary()[0].runs + profiler.summary()[1].runs + profiler.summary()[2].runs, 8);
}

}  // namespace
}  // namespace placewright
