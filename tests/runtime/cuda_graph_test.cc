// Steps that are given to a CUDA device as a whole, by the emulator: it counts what it is asked for, and runs a graph's
// nodes in an order that only their dependencies hold back.
#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/ir/check_program.h"
#include "placewright/runtime/cuda/cuda_device.h"
#include "placewright/runtime/cuda/probe.h"
#include "placewright/runtime/profiler.h"
#include "program_fixture.h"

namespace placewright {
namespace {

using namespace testing_runtime;
using enum BufferKind;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t n = 4;
DeviceId cuda(int ordinal) { return {"cuda", ordinal}; }

// A host and two emulated GPUs with faults; counts since the driver was initialised.
struct GpuMachine {
  explicit GpuMachine(const std::string& faults = "") {
    ::setenv("PLACEWRIGHT_LIBCUDA", PLACEWRIGHT_CUDA_EMULATOR, 1);
    ::setenv("PLACEWRIGHT_EMULATOR", faults.c_str(), 1);
    StartedCuda started = start_cuda();
    cpu = std::make_shared<CpuDevice>(CpuDevice::probe());
    std::vector<std::shared_ptr<Device>> all{cpu};
    for (int i = 0; i < started.count; ++i) gpus.push_back(std::make_shared<CudaDevice>(started.driver, i));
    all.insert(all.end(), gpus.begin(), gpus.end());
    CudaDevice::default_links(cpu0, gpus);
    devices = DeviceSet(all, {});
    states = std::make_shared<StateStore>(cpu);
  }
  ~GpuMachine() { ::unsetenv("PLACEWRIGHT_EMULATOR"); }

  CompiledProgram compiled(const ProgramBuilder& b, std::vector<KernelEntry> entries) const {
    check_program(b.program);
    return {b.program, {kernel_image_for(gpus[0]->spec(), std::move(entries))}, {}};
  }
  std::shared_ptr<const Executable> bind(const CompiledProgram& program) const {
    return Executable::bind(program, devices, states);
  }
  int64_t graph_launches() const { return library.function<int64_t()>("placewright_emulator_graph_launches")(); }
  int64_t launches() const { return library.function<int64_t()>("placewright_emulator_launches")(); }

  SharedLibrary library = SharedLibrary::open({{PLACEWRIGHT_CUDA_EMULATOR}, {}, "", true, false});
  std::shared_ptr<CpuDevice> cpu;
  std::vector<std::shared_ptr<CudaDevice>> gpus;
  DeviceSet devices;
  std::shared_ptr<StateStore> states;
};

ProgramBuilder triple() { return triple_on(cuda(0), n); }

// w -= rate * gradient, twice, on a GPU; the second through a copy of w.
ProgramBuilder updates() {
  ProgramBuilder b("updates");
  int s = b.stream(cuda(0));
  int g = b.buffer(argument, "gradient", cuda(0), {n});
  int rate = b.buffer(argument, "rate", cpu0, {});
  int there = b.buffer(temporary, "rate there", cuda(0), {});
  int w = b.buffer(state, "w", cuda(0), {n});
  int kept = b.buffer(result, "w before", cuda(0), {n});
  b.copy(s, rate, there);
  b.copy(s, w, kept);
  b.launch(s, "sgd_f32", {g, there, w});
  b.program.updates.push_back({w, w});
  return b;
}

TEST(CudaGraph, FromTheSecondStepOnAStepIsOneLaunch) {
  GpuMachine m;
  CompiledProgram program = m.compiled(triple(), {entry_of("add_f32", n)});
  auto executable = m.bind(program);
  auto context = executable->make_context();
  int64_t before = m.graph_launches();
  for (int round = 0; round < 6; ++round) {
    const auto last = static_cast<float>(round);
    executable->run(*context, std::vector{vector_of({1, 2, 3, last})});
    EXPECT_THAT(values_of(context->read_result(0)), ElementsAre(3, 6, 9, 3 * last));
    EXPECT_EQ(context->transfers().bytes, 2 * n * 4);
    EXPECT_EQ(context->transfers().copies, 2);
    EXPECT_EQ(m.graph_launches() - before, round);
    EXPECT_EQ(m.launches(), 2 * (round + 1));
  }
  EXPECT_EQ(context->steps().at_once, 5);
  EXPECT_EQ(context->steps().piecewise, 1);
  EXPECT_EQ(context->steps().why_piecewise, "");
}

// The order comes from the program's waits and streams: without a wait the emulator takes the other one.
TEST(CudaGraph, HoldsBackWhatTheProgramWaitsForAndNothingElse) {
  GpuMachine m;
  CompiledProgram program = m.compiled(triple(), {entry_of("add_f32", n)});
  std::vector<Instruction>& step = program.program.blocks[0].instructions;
  ASSERT_TRUE(std::holds_alternative<Wait>(step[1]));
  step[1] = Wait{2, 0};
  auto executable = m.bind(program);
  auto context = executable->make_context();
  executable->run(*context, std::vector{vector_of({1, 2, 3, 4})});
  executable->run(*context, std::vector{vector_of({5, 6, 7, 8})});
  EXPECT_THAT(values_of(context->read_result(0)), ElementsAre(3, 6, 9, 12)) << "of the step before";
}

TEST(CudaGraph, TakesAddressesThatChange) {
  GpuMachine m;
  m.states->add("w", vector_of({10, 10, 10, 10}));
  auto executable = m.bind(m.compiled(updates(), {entry_of("sgd_f32", n)}));
  auto context = executable->make_context();
  std::vector<std::shared_ptr<ResultMemory>> taken(5);
  for (size_t round = 0; round < taken.size(); ++round) {
    HostTensor gradient = vector_of({1, 0, 0, static_cast<float>(round)}), rate = HostTensor::scalar<float>(2);
    DeviceMemory g(m.gpus[0], n * 4, 64, "gradient");  // elsewhere each time, as long as the others live
    DeviceMemory other(m.gpus[0], 1000, 64, "other");
    copy_now(g.view(), {m.cpu.get(), gradient.raw(), n * 4}, n * 4, "gradient");
    if (round == 3) {  // somebody else had the state on the host: it has another place when it comes back
      StateStore::Lease lease(*m.states, StateStore::Lease::Kind::exclusive);
      TransferCount count;
      m.states->put(lease, "w", m.cpu, {}, &count);
    }
    executable->run(*context, std::vector<BufferView>{g.view(), {m.cpu.get(), rate.raw(), 4}});
    context->exchange_result(0, taken[round]);
  }
  EXPECT_EQ(context->steps().at_once, 4);
  for (size_t round = 0; round < taken.size(); ++round)
    EXPECT_EQ(values_of(taken[round]->read())[0], 10 - 2 * static_cast<float>(round)) << round;
  EXPECT_THAT(values_of(m.states->read("w")), ElementsAre(0, 10, 10, -10));
}

TEST(CudaGraph, PhasesWorkspacesScalarsAndEmptyLaunches) {
  GpuMachine m;
  ProgramBuilder b("scaled sum");
  int s = b.stream(cuda(0));
  int x = b.buffer(argument, "x", cpu0, {n}), dx = b.buffer(temporary, "", cuda(0), {n});
  int none = b.buffer(argument, "none", cpu0, {0}), empty = b.buffer(temporary, "", cuda(0), {0});
  int out = b.buffer(temporary, "", cuda(0), {1}), y = b.buffer(result, "y", cpu0, {1});
  b.copy(s, x, dx);
  b.copy(s, none, empty);
  b.launch(s, "add_f32", {empty, empty, empty});
  b.launch(s, "scaled_sum", {dx, out}, {10, n});
  b.copy(s, out, y);
  auto executable = m.bind(m.compiled(
      b, {entry_of("add_f32", 0), {"scaled_sum", {{"scale_to_workspace", n}, {"sum_workspace", 1}}, {n * 4}}}));
  auto context = executable->make_context();
  for (float first : {1.0f, 2.0f, 3.0f}) {
    executable->run(*context, std::vector{vector_of({first, 2, 3, 4}), vector_of({})});
    EXPECT_THAT(values_of(context->read_result(0)), ElementsAre(10 * (first + 9)));
  }
  EXPECT_EQ(context->steps().at_once, 2);
}

TEST(CudaGraph, StatusesNameTheKernelAndTheNextStepIsNoneTheWorse) {
  GpuMachine m;
  ProgramBuilder b("gather");
  int s = b.stream(cuda(0));
  int table = b.buffer(argument, "table", cpu0, {1}, DType::i64),
      dt = b.buffer(temporary, "", cuda(0), {1}, DType::i64);
  int index = b.buffer(argument, "index", cpu0, {2}, DType::i64),
      di = b.buffer(temporary, "", cuda(0), {2}, DType::i64);
  int out = b.buffer(result, "out", cuda(0), {2}, DType::i64);
  b.copy(s, table, dt);
  b.copy(s, index, di);
  b.launch(s, "gather_i64", {dt, di, out}, {1});
  auto executable = m.bind(m.compiled(b, {entry_of("gather_i64", 2)}));
  auto context = executable->make_context();
  auto run = [&](int64_t second) {
    return error_of([&] {
      executable->run(*context,
                      std::vector{HostTensor::from<int64_t>({1}, {5}), HostTensor::from<int64_t>({2}, {0, second})});
    });
  };
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(run(0), "");
    EXPECT_EQ(context->read_result(0).integer(1), 5);
    EXPECT_EQ(run(9), "kernel gather_i64 of model/forward#0: an index is out of range");
  }
  EXPECT_EQ(context->steps().at_once, 5);
}

TEST(CudaGraph, AProfiledStepGoesPieceByPieceAndTheNextOneDoesNot) {
  GpuMachine m;
  auto executable = m.bind(m.compiled(triple(), {entry_of("add_f32", n)}));
  auto context = executable->make_context();
  Profiler profiler;
  for (int round = 0; round < 6; ++round) {
    context->set_profiler(round % 2 ? &profiler : nullptr);
    executable->run(*context, std::vector{vector_of({1, 2, 3, 4})});
    EXPECT_THAT(values_of(context->read_result(0)), ElementsAre(3, 6, 9, 12));
  }
  EXPECT_EQ(m.graph_launches(), 2);
  EXPECT_EQ(profiler.records().size(), 3u * 5);
}

TEST(CudaGraph, TwoContextsHaveGraphsOfTheirOwn) {
  GpuMachine m;
  auto executable = m.bind(m.compiled(triple(), {entry_of("add_f32", n)}));
  auto first = executable->make_context(), second = executable->make_context();
  for (float value : {1.0f, 2.0f, 3.0f}) {
    executable->run(*first, std::vector{vector_of({value, 2, 3, 4})});
    executable->run(*second, std::vector{vector_of({-value, 2, 3, 4})});
    EXPECT_EQ(values_of(first->read_result(0))[0], 3 * value);
    EXPECT_EQ(values_of(second->read_result(0))[0], -3 * value);
  }
  second.reset();
  executable->run(*first, std::vector{vector_of({7, 2, 3, 4})});
  EXPECT_EQ(values_of(first->read_result(0))[0], 21);
}

TEST(CudaGraph, ThreadsRunStepsAtOnce) {
  constexpr int threads_at_once = 4, rounds = 10;
  GpuMachine m;
  m.states->add("w", vector_of({0, 0, 0, 0}));
  auto tripled = m.bind(m.compiled(triple(), {entry_of("add_f32", n)}));
  auto updated = m.bind(m.compiled(updates(), {entry_of("sgd_f32", n)}));
  std::atomic<int> wrong{0}, piecewise{0};
  auto work = [&](int thread) {
    auto own = tripled->make_context(), shared = updated->make_context();
    HostTensor gradient = vector_of({1, 1, 1, 1}), rate = HostTensor::scalar<float>(-1);
    DeviceMemory g(m.gpus[0], n * 4, 64, "gradient");
    copy_now(g.view(), {m.cpu.get(), gradient.raw(), n * 4}, n * 4, "gradient");
    for (int round = 0; round < rounds; ++round) {
      const auto value = static_cast<float>(thread * rounds + round);
      tripled->run(*own, std::vector{vector_of({value, 0, 0, 0})});
      updated->run(*shared, std::vector<BufferView>{g.view(), {m.cpu.get(), rate.raw(), 4}});
      wrong += values_of(own->read_result(0))[0] != 3 * value;
    }
    piecewise += own->steps().piecewise + shared->steps().piecewise;
  };
  std::vector<std::thread> threads;
  for (int thread = 0; thread < threads_at_once; ++thread) threads.emplace_back(work, thread);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(piecewise, 2 * threads_at_once) << "the first step of each context";
  EXPECT_EQ(values_of(m.states->read("w")), std::vector<float>(n, threads_at_once * rounds));
}

// --- What a graph cannot hold

std::string why_piecewise(GpuMachine& m, const CompiledProgram& program, std::vector<HostTensor> arguments) {
  auto executable = m.bind(program);
  auto context = executable->make_context();
  for (int round = 0; round < 3; ++round) executable->run(*context, arguments);
  EXPECT_EQ(context->steps().at_once, 0);
  EXPECT_EQ(context->steps().piecewise, 3);
  EXPECT_EQ(m.graph_launches(), 0);
  return context->steps().why_piecewise;
}

// What the step's block does on a GPU besides a copy in and a sum there, and what the step then gives of {1, 2, 3, 4}.
struct Refused {
  std::string name, why;
  std::function<void(ProgramBuilder& b, int stream, int x, int y)> step;
  std::vector<float> expected;
};

std::vector<Refused> refused_steps() {
  // y = x + x in a block of its own.
  auto doubling = [](ProgramBuilder& b, int stream, int x, int y) {
    b.program.blocks.push_back({"double", {}});
    b.block = b.program.blocks.size() - 1;
    b.launch(stream, "add_f32", {x, x, y});
    b.block = 0;
    return static_cast<int>(b.program.blocks.size()) - 1;
  };
  auto condition = [](ProgramBuilder& b) { return b.buffer(argument, "condition", cpu0, {}, DType::boolean); };
  const std::string control = "it has branches, loops or calls";
  return {
      {"call",
       control,
       [=](ProgramBuilder& b, int stream, int x, int y) { b.add(Call{doubling(b, stream, x, y)}); },
       {2, 4, 6, 8}},
      {"branch",
       control,
       [=](ProgramBuilder& b, int stream, int x, int y) {
         b.launch(stream, "add_f32", {x, x, y});
         b.add(Branch{condition(b), doubling(b, stream, y, y), -1});
       },
       {4, 8, 12, 16}},
      {"loop",
       control,
       [=](ProgramBuilder& b, int stream, int x, int y) {
         b.launch(stream, "add_f32", {x, x, y});
         b.add(Repeat{doubling(b, stream, y, y), 3, -1});
       },
       {16, 32, 48, 64}},
      {"allocation",
       "it allocates memory as it runs",
       [](ProgramBuilder& b, int stream, int x, int y) {
         const int t = b.buffer(temporary, "", cuda(0), {n});
         b.program.buffers[static_cast<size_t>(t)].arena = -1;
         b.program.buffers[static_cast<size_t>(t)].offset = 0;
         b.add(Allocate{stream, t});
         b.launch(stream, "add_f32", {x, x, t});
         b.launch(stream, "add_f32", {t, x, y});
       },
       {3, 6, 9, 12}},
      {"sum",
       "it sums over several devices",
       [](ProgramBuilder& b, int stream, int x, int y) {
         const int second = b.stream(cuda(1)), there = b.buffer(temporary, "x on the second", cuda(1), {n});
         b.wait(second, b.copy(stream, x, there));
         Collective sum;
         sum.streams = {stream, second};
         sum.sources = {x, there};
         sum.destinations = {y, b.buffer(result, "y on the second", cuda(1), {n})};
         sum.scratch = b.buffer(temporary, "scratch", cuda(0), {n});
         sum.facts = {cuda(0), cuda(1), 2 * n * 4, "gradient", "train.cc:9", "partial sums"};
         b.add(sum);
       },
       {2, 4, 6, 8}},
  };
}

TEST(CudaGraph, StepsThatAGraphCannotHoldSayWhyAndRun) {
  for (const Refused& refused : refused_steps()) {
    SCOPED_TRACE(refused.name);
    GpuMachine m;
    ProgramBuilder b(refused.name);
    const int stream = b.stream(cuda(0)), x = b.buffer(argument, "x", cpu0, {n});
    const int there = b.buffer(temporary, "x there", cuda(0), {n}), y = b.buffer(result, "y", cuda(0), {n});
    b.copy(stream, x, there);
    refused.step(b, stream, there, y);
    std::vector<HostTensor> arguments{vector_of({1, 2, 3, 4})};
    if (b.program.arguments.size() > 1) arguments.push_back(HostTensor::scalar<bool>(true));
    const CompiledProgram program = m.compiled(b, {entry_of("add_f32", n)});
    EXPECT_EQ(why_piecewise(m, program, arguments), refused.why);
    auto executable = m.bind(program);
    auto context = executable->make_context();
    executable->run(*context, arguments);
    EXPECT_EQ(values_of(context->read_result(0)), refused.expected);
  }
}

TEST(CudaGraph, DriversOfCuda11HaveNoGraphs) {
  GpuMachine old("version=11080");
  const CompiledProgram program = old.compiled(triple(), {entry_of("add_f32", n)});
  EXPECT_THAT(why_piecewise(old, program, {vector_of({1, 2, 3, 4})}),
              HasSubstr("has no graphs: a driver for CUDA 12 or later does"));
  GpuMachine first("version=12000");
  auto executable = first.bind(program);
  auto context = executable->make_context();
  for (int round = 0; round < 3; ++round) executable->run(*context, std::vector{vector_of({1, 2, 3, 4})});
  EXPECT_EQ(context->steps().at_once, 2);
}

TEST(CudaGraph, StepsOfTwoDevicesGoPieceByPiece) {
  GpuMachine m;
  ProgramBuilder b("two");
  int first = b.stream(cuda(0)), second = b.stream(cuda(1));
  int x = b.buffer(argument, "x", cpu0, {n});
  int t = b.buffer(temporary, "", cuda(0), {n}), u = b.buffer(temporary, "", cuda(1), {n});
  int y = b.buffer(result, "y", cuda(1), {n});
  b.copy(first, x, t);
  int there = b.launch(first, "add_f32", {t, t, t});
  b.wait(second, there);
  b.copy(second, t, u);
  b.launch(second, "add_f32", {u, u, y});
  CompiledProgram program = m.compiled(b, {entry_of("add_f32", n)});
  EXPECT_EQ(why_piecewise(m, program, {vector_of({1, 2, 3, 4})}), "it copies between cuda:1 and cuda:0");
  auto executable = m.bind(program);
  auto context = executable->make_context();
  executable->run(*context, std::vector{vector_of({1, 2, 3, 4})});
  EXPECT_THAT(values_of(context->read_result(0)), ElementsAre(4, 8, 12, 16));
  EXPECT_EQ(context->transfers().bytes, 2 * n * 4);
}

TEST(CudaGraph, KernelsOfTheHostAndWhatWasFetchedThere) {
  GpuMachine m;
  ProgramBuilder b("both");
  int here = b.stream(cpu0), there = b.stream(cuda(0));
  int x = b.buffer(argument, "x", cpu0, {n}), t = b.buffer(temporary, "", cpu0, {n});
  int u = b.buffer(result, "u", cuda(0), {n});
  int made = b.launch(here, "add_f32", {x, x, t});
  b.wait(there, made);
  b.copy(there, t, u);
  CompiledProgram program = b.compiled({entry_of("add_f32", n)});
  EXPECT_EQ(why_piecewise(m, program, {vector_of({1, 2, 3, 4})}), "it works on cpu:0 and cuda:0");

  ProgramBuilder back("there and back");
  there = back.stream(cuda(0));
  x = back.buffer(argument, "x", cuda(0), {n});
  t = back.buffer(temporary, "fetched", cpu0, {n});
  u = back.buffer(result, "u", cuda(0), {n});
  back.copy(there, x, t);
  back.copy(there, t, u);
  auto executable = m.bind(m.compiled(back, {}));
  EXPECT_EQ(executable->make_context()->steps().why_piecewise, "it copies fetched to the host and from there again");
}

TEST(CudaGraph, TheHostAndTheSimulatorTakeTheirsOneByOne) {
  Machines m;
  ProgramBuilder b("host");
  int s = b.stream(cpu0), x = b.buffer(argument, "x", cpu0, {n}), y = b.buffer(result, "y", cpu0, {n});
  b.launch(s, "add_f32", {x, x, y});
  auto executable = Executable::bind(b.compiled({entry_of("add_f32", n)}), m.devices, m.states);
  auto context = executable->make_context();
  for (int round = 0; round < 2; ++round) executable->run(*context, std::vector{vector_of({1, 2, 3, 4})});
  EXPECT_EQ(context->steps().why_piecewise, "cpu:0 takes launches and copies one by one");
}

TEST(CudaGraph, CopiesBeyondWhatMayBePinned) {
  GpuMachine m;
  constexpr int64_t many = 17 << 20;  // 68 MiB
  ProgramBuilder b("large");
  int s = b.stream(cuda(0)), x = b.buffer(argument, "x", cpu0, {many}), y = b.buffer(result, "y", cuda(0), {many});
  b.copy(s, x, y);
  EXPECT_EQ(why_piecewise(m, m.compiled(b, {}), {HostTensor(DType::f32, {many})}),
            "copies from and to the host need 71303168 bytes of pinned memory, a graph takes 67108864 at most");
}

// Rows have a longest pitch, 2 GiB on GPUs, and a copy in a row has none.
TEST(CudaGraph, CopiesLongerThanAPitchMayBe) {
  GpuMachine m("pitch=8");
  auto executable = m.bind(m.compiled(triple(), {entry_of("add_f32", n)}));
  auto context = executable->make_context();
  for (int round = 0; round < 3; ++round) executable->run(*context, std::vector{vector_of({1, 2, 3, 4})});
  EXPECT_EQ(context->steps().why_piecewise, "");
  EXPECT_EQ(m.graph_launches(), 2);
}

// --- The emulator refuses what a driver would, and what it does not implement

TEST(CudaGraph, TheEmulatorRefusesNodesThatADriverWould) {
  GpuMachine m;
  std::shared_ptr<const cuda::Driver> driver = cuda::Driver::try_open(nullptr);
  ASSERT_TRUE(driver && driver->has_graphs());
  cuda::ContextObject* context = nullptr;
  ASSERT_EQ(driver->context_retain(&context, 0), 0);
  driver->context_set(context);
  cuda::GraphObject *graph = nullptr, *other = nullptr;
  constexpr cuda::Result invalid = 1;
  EXPECT_EQ(driver->graph_create(&graph, 1), invalid);
  ASSERT_EQ(driver->graph_create(&graph, 0), 0);
  ASSERT_EQ(driver->graph_create(&other, 0), 0);
  cuda::Address first = 0, second = 0;
  ASSERT_EQ(driver->allocate(&first, 64), 0);
  ASSERT_EQ(driver->allocate(&second, 64), 0);
  cuda::CopyNode good;
  for (auto [end, address] : {std::pair(&good.from, first), std::pair(&good.to, second)}) {
    end->memory = cuda::memory_device;
    end->device = address;
  }
  good.bytes = 16;
  auto add = [&](cuda::CopyNode copy, std::vector<cuda::GraphNodeObject*> after = {}) {
    cuda::GraphNodeObject* node = nullptr;
    return std::pair(driver->graph_add_copy(&node, graph, after.data(), after.size(), &copy, context), node);
  };
  cuda::GraphNodeObject* node = add(good).second;
  ASSERT_NE(node, nullptr);
  EXPECT_EQ(add(good, {node}).first, 0);
  EXPECT_EQ(add(good, {node, node}).first, invalid) << "a dependency twice";
  cuda::GraphNodeObject* foreign = nullptr;
  ASSERT_EQ(driver->graph_add_copy(&foreign, other, nullptr, 0, &good, context), 0);
  EXPECT_EQ(add(good, {foreign}).first, invalid) << "another graph's node";
  auto changed = [&](auto change) {
    cuda::CopyNode copy = good;
    change(copy);
    return add(copy).first;
  };
  EXPECT_EQ(changed([](cuda::CopyNode& copy) { copy.bytes = 0; }), invalid);
  EXPECT_EQ(changed([](cuda::CopyNode& copy) { copy.height = 2; }), invalid);
  EXPECT_EQ(changed([](cuda::CopyNode& copy) { copy.from.pitch = 8; }), invalid);
  EXPECT_EQ(changed([](cuda::CopyNode& copy) { copy.from.pitch = size_t{1} << 31; }), invalid);
  EXPECT_EQ(changed([](cuda::CopyNode& copy) { copy.to.memory = 3; }), invalid);
  EXPECT_EQ(changed([](cuda::CopyNode& copy) { copy.to.device = 0; }), invalid);
  EXPECT_EQ(changed([](cuda::CopyNode& copy) { copy.from.x_bytes = 4; }), invalid);
  cuda::KernelNode none;
  cuda::GraphNodeObject* kernel = nullptr;
  EXPECT_EQ(driver->graph_add_kernel(&kernel, graph, nullptr, 0, &none), invalid);

  cuda::GraphExecObject* made = nullptr;
  EXPECT_EQ(driver->graph_instantiate(&made, graph, 1), invalid);
  ASSERT_EQ(driver->graph_instantiate(&made, graph, 0), 0);
  EXPECT_EQ(driver->graph_set_copy(made, foreign, &good, context), invalid);
  EXPECT_EQ(driver->graph_set_kernel(made, node, &none), invalid) << "a copy's node";
  cuda::CopyNode from_host = good;
  uint64_t word = 0;
  from_host.from.memory = cuda::memory_host;
  from_host.from.host = &word;
  EXPECT_EQ(driver->graph_set_copy(made, node, &from_host, context), invalid) << "an end in another memory";
  EXPECT_EQ(driver->graph_set_copy(made, node, &good, context), 0);
  EXPECT_EQ(driver->graph_exec_destroy(made), 0);
  EXPECT_EQ(driver->graph_destroy(graph), 0);
  EXPECT_EQ(driver->graph_destroy(other), 0);
  for (cuda::Address address : {first, second}) driver->free(address);
  driver->context_release(0);
}

// --- Faults

TEST(CudaGraph, WhatTheDriverRefusesIsTheReasonAndTheStepRuns) {
  for (const auto& [faults, reason] : std::vector<std::pair<std::string, std::string>>{
           {"instantiate=2", "cuda:0: instantiating a graph failed: CUDA_ERROR_OUT_OF_MEMORY (2)"},
           {"pinned=4", "cuda:0: allocating a graph's pinned memory failed: CUDA_ERROR_OUT_OF_MEMORY (2)"}}) {
    GpuMachine m(faults);
    auto executable = m.bind(m.compiled(triple(), {entry_of("add_f32", n)}));
    auto context = executable->make_context();
    for (int round = 0; round < 4; ++round) {
      executable->run(*context, std::vector{vector_of({1, 2, 3, 4})});
      EXPECT_THAT(values_of(context->read_result(0)), ElementsAre(3, 6, 9, 12));
    }
    EXPECT_THAT(context->steps().why_piecewise, HasSubstr(reason));
    EXPECT_EQ(context->steps().piecewise, 4);
    EXPECT_EQ(m.graph_launches(), 0);
  }
}

TEST(CudaGraph, ALostDeviceNamesWhatTheGraphRuns) {
  GpuMachine m("lose=5");
  auto executable = m.bind(m.compiled(triple(), {entry_of("add_f32", n)}));
  auto context = executable->make_context();
  HostTensor x = vector_of({1, 2, 3, 4});
  executable->run(*context, std::vector{x});
  executable->run(*context, std::vector{x});
  EXPECT_EQ(context->steps().at_once, 1);
  std::string message;
  try {
    executable->run(*context, std::vector{x});
  } catch (const DeviceLost& lost) {
    message = lost.what();
  }
  EXPECT_THAT(message, HasSubstr("cuda:0 was lost: CUDA_ERROR_LAUNCH_FAILED (719)"));
  EXPECT_THAT(message, HasSubstr("it was running x cpu:0 -> cuda:0, add_f32 of model/forward#0,  cuda:0 -> cpu:0"));
  EXPECT_THROW(executable->run(*context, std::vector{x}), DeviceLost);
}

}  // namespace
}  // namespace placewright
