// CUDA devices, by the emulator: what the conformance suite does not ask of every device, and faults.
#include "placewright/runtime/cuda/cuda_device.h"

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/runtime/cuda/probe.h"
#include "placewright/runtime/device_kinds.h"
#include "program_fixture.h"

namespace placewright {
namespace {

using namespace testing_runtime;
using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

// The emulator with faults; it reads them when the driver is initialised.
class Emulated {
 public:
  explicit Emulated(const std::string& faults = "") {
    ::setenv("PLACEWRIGHT_LIBCUDA", PLACEWRIGHT_CUDA_EMULATOR, 1);
    ::setenv("PLACEWRIGHT_EMULATOR", faults.c_str(), 1);
    // Of this machine's toolkits nothing is to be found.
    for (const char* library : {"PLACEWRIGHT_LIBCUBLASLT", "PLACEWRIGHT_LIBCUDNN"}) ::setenv(library, "/none", 1);
    started = start_cuda();
  }
  ~Emulated() { ::unsetenv("PLACEWRIGHT_EMULATOR"); }
  StartedCuda started;
};

class CudaDeviceTest : public testing::Test {
 protected:
  explicit CudaDeviceTest(const std::string& faults = "") : emulated(faults) {
    for (int i = 0; i < emulated.started.count; ++i)
      devices.push_back(std::make_shared<CudaDevice>(emulated.started.driver, i));
    cpu = std::make_shared<CpuDevice>(CpuDevice::probe());
  }
  DeviceMemory upload(const HostTensor& tensor, int device = 0) {
    DeviceMemory memory(devices[static_cast<size_t>(device)], tensor.bytes(), 64, "test");
    copy_now(memory.view(), {cpu.get(), const_cast<uint8_t*>(tensor.raw()), tensor.bytes()}, tensor.bytes(), "up");
    return memory;
  }
  HostTensor download(const DeviceMemory& memory, DType dtype, Sizes sizes) {
    HostTensor tensor(dtype, std::move(sizes));
    copy_now({cpu.get(), tensor.raw(), tensor.bytes()}, memory.view(), tensor.bytes(), "down");
    return tensor;
  }
  std::shared_ptr<const LoadedImage> load(const std::string& symbol, int64_t extent) {
    return devices[0]->load(kernel_image_for(devices[0]->spec(), {entry_of(symbol, extent)}));
  }
  template <class Body>
  std::string message_of(Body body) {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  Emulated emulated;
  std::vector<std::shared_ptr<CudaDevice>> devices;
  std::shared_ptr<Device> cpu;
};

TEST_F(CudaDeviceTest, SpecSaysWhatKernelsMustBeMadeFor) {
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[1]->id().to_string(), "cuda:1");
  EXPECT_EQ(devices[0]->spec().target, "compute_80");
  EXPECT_EQ(devices[0]->spec().name, "PTX emulator 0");
  EXPECT_EQ(devices[0]->spec().memory_bandwidth, 32e9);
  std::vector<Link> links = CudaDevice::default_links({"cpu", 0}, devices);
  EXPECT_EQ(links.size(), 6u);
}

// Peaks by the clock (1 GHz here) and 4 multiprocessors.
TEST(CudaDeviceRates, MatrixUnitsHaveRatesOfTheirOwn) {
  auto spec_of = [](const std::string& faults) {
    Emulated emulated(faults);
    return CudaDevice(emulated.started.driver, 0).spec();
  };
  for (auto [capability, f32, tf32] : {std::tuple(80, 64, 512), {89, 128, 256}, {90, 128, 1024}, {100, 128, 2048}}) {
    const DeviceSpec spec = spec_of(fmt::format("capability={}", capability));
    for (const char* op_class : {"contraction", "convolution"}) {
      EXPECT_EQ(spec.rate(op_class, DType::f32), 2 * 4e9 * f32) << capability;
      EXPECT_EQ(spec.rate(op_class, DType::f32, Precision::tf32), 2 * 4e9 * tf32) << capability;
      EXPECT_EQ(spec.rate(op_class, DType::f32, Precision::bf16), 4 * 4e9 * tf32) << capability;
    }
    Machine machine;
    machine.devices = {spec};
    EXPECT_EQ(parse_machine(print_machine(machine)), machine);
  }
  const DeviceSpec turing = spec_of("capability=75");  // it has matrix units, but not for f32 in any form
  EXPECT_FALSE(turing.has_rate("contraction", DType::f32, Precision::tf32));
  EXPECT_FALSE(turing.has_rate("contraction", DType::f32, Precision::bf16));
}

TEST_F(CudaDeviceTest, LargeCopiesGoInPiecesThroughPinnedBuffers) {
  std::vector<float> values(24 << 20);  // 96 MiB: more than all staging buffers
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 1000003);
  DeviceMemory memory = upload(vector_of(values));
  EXPECT_EQ(values_of(download(memory, DType::f32, {static_cast<int64_t>(values.size())})), values);
}

class CudaDeviceUnpinned : public CudaDeviceTest {
 protected:
  CudaDeviceUnpinned() : CudaDeviceTest("pinned=-1") {}
};

TEST_F(CudaDeviceUnpinned, WhereTheHostHasNoMemoryToPinTheDriverCopies) {
  std::vector<float> values(3 << 20);  // three pieces
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 1000003);
  DeviceMemory memory = upload(vector_of(values));
  EXPECT_EQ(values_of(download(memory, DType::f32, {static_cast<int64_t>(values.size())})), values);
}

TEST_F(CudaDeviceTest, PhasesShareWorkspacesAndScalars) {
  KernelImage image =
      kernel_image_for(devices[0]->spec(), {{"scaled_sum", {{"scale_to_workspace", 4}, {"sum_workspace", 1}}, {16}}});
  auto loaded = devices[0]->load(image);
  DeviceMemory a = upload(vector_of({1, 2, 3, 4})), out(devices[0], 4, 64, "out"), work(devices[0], 16, 64, "work");
  void* buffers[] = {a.address(), out.address(), work.address()};
  int64_t bytes[] = {16, 4, 16}, scalars[] = {10, 4};
  uint64_t status = 0;
  int stream = devices[0]->open_stream();
  devices[0]->launch(stream, {loaded.get(), 0, buffers, bytes, 3, scalars, &status, 0, 0, "scaled_sum", 2});
  devices[0]->finish(devices[0]->record(stream));
  devices[0]->close_stream(stream);
  EXPECT_THAT(values_of(download(out, DType::f32, {1})), ElementsAre(100));
}

TEST_F(CudaDeviceTest, PeersCopyAndWaitForEachOther) {
  DeviceMemory first = upload(vector_of({1, 2, 3, 4}), 0);
  DeviceMemory second(devices[1], 16, 64, "second"), third(devices[0], 16, 64, "third");
  int there = devices[1]->open_stream(), back = devices[0]->open_stream();
  devices[1]->copy(there, second.view(), first.view(), 16, "there");
  devices[0]->wait(back, devices[1]->record(there));
  devices[0]->copy(back, third.view(), second.view(), 16, "back");
  devices[0]->finish(devices[0]->record(back));
  EXPECT_THAT(values_of(download(third, DType::f32, {4})), ElementsAre(1, 2, 3, 4));
  devices[1]->close_stream(there);
  devices[0]->close_stream(back);
}

// In both directions, each thread waiting on either device for events of the other.
TEST_F(CudaDeviceTest, ThreadsCopyBetweenPeersAtOnce) {
  constexpr int rounds = 30;
  std::atomic<int> wrong{0};
  auto work = [&](size_t from) {
    CudaDevice &here = *devices[from], &peer = *devices[1 - from];
    DeviceMemory first(devices[from], 16, 64, "first"), second(devices[1 - from], 16, 64, "second"),
        third(devices[from], 16, 64, "third");
    const int near = here.open_stream(), far = peer.open_stream();
    for (int round = 0; round < rounds; ++round) {
      const auto value = static_cast<float>(round);
      HostTensor in = vector_of({value, -value, 0, 1}), out = vector_of({0, 0, 0, 0});
      here.copy(near, first.view(), {cpu.get(), in.raw(), 16}, 16, "in");
      peer.wait(far, here.record(near));
      peer.copy(far, second.view(), first.view(), 16, "there");
      here.wait(near, peer.record(far));
      here.copy(near, third.view(), second.view(), 16, "back");
      here.copy(near, {cpu.get(), out.raw(), 16}, third.view(), 16, "out");
      here.finish(here.record(near));
      wrong += values_of(out) != values_of(in);
    }
    here.close_stream(near);
    peer.close_stream(far);
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  EXPECT_EQ(wrong, 0);
}

// A copy ends on the host only when an event behind it is finished: whoever waits for that event on another stream, and
// copies from there, must find it.
TEST_F(CudaDeviceTest, WhatWasCopiedToTheHostIsThereForTheNextStream) {
  DeviceMemory source = upload(vector_of({1, 2, 3, 4})), target(devices[1], 16, 64, "target");
  HostTensor between = vector_of({0, 0, 0, 0});
  BufferView host{cpu.get(), between.raw(), 16};
  int out = devices[0]->open_stream(), in = devices[1]->open_stream();
  devices[0]->copy(out, host, source.view(), 16, "out");
  devices[1]->wait(in, devices[0]->record(out));
  devices[1]->copy(in, target.view(), host, 16, "in");
  devices[1]->finish(devices[1]->record(in));
  EXPECT_THAT(values_of(download(target, DType::f32, {4})), ElementsAre(1, 2, 3, 4));
  // And on the same stream, without an event.
  DeviceMemory again(devices[0], 16, 64, "again");
  between = vector_of({0, 0, 0, 0});
  host.address = between.raw();
  devices[0]->copy(out, host, source.view(), 16, "out");
  devices[0]->copy(out, again.view(), host, 16, "in");
  devices[0]->finish(devices[0]->record(out));
  EXPECT_THAT(values_of(download(again, DType::f32, {4})), ElementsAre(1, 2, 3, 4));
  devices[0]->close_stream(out);
  devices[1]->close_stream(in);
}

TEST_F(CudaDeviceTest, ManyLaunchesWithoutAWaitGetTheirStatuses) {
  auto image = load("gather_i64", 2);
  DeviceMemory table = upload(HostTensor::from<int64_t>({1}, {5})),
               good = upload(HostTensor::from<int64_t>({2}, {0, 0})),
               bad = upload(HostTensor::from<int64_t>({2}, {0, 9})), out(devices[0], 16, 64, "out");
  int64_t bytes[] = {8, 16, 16}, scalars[] = {1};
  void* of_good[] = {table.address(), good.address(), out.address()};
  void* of_bad[] = {table.address(), bad.address(), out.address()};
  std::vector<uint64_t> statuses(10000);
  int stream = devices[0]->open_stream();
  for (size_t i = 0; i < statuses.size(); ++i)
    devices[0]->launch(stream,
                       {image.get(), 0, i % 7 ? of_good : of_bad, bytes, 3, scalars, &statuses[i], 0, 0, "g", 1});
  devices[0]->finish(devices[0]->record(stream));
  devices[0]->close_stream(stream);
  for (size_t i = 0; i < statuses.size(); ++i) ASSERT_EQ(statuses[i], i % 7 ? 0u : 1u) << i;
}

TEST_F(CudaDeviceTest, AWrongAccessLosesTheDeviceAndNamesTheKernel) {
  auto image = load("add_f32", 8);
  DeviceMemory a = upload(vector_of({1, 2, 3, 4})), out(devices[0], 32, 64, "out");
  void* buffers[] = {a.address(), a.address(), out.address()};
  int64_t bytes[] = {16, 16, 32};
  uint64_t status = 0;
  int stream = devices[0]->open_stream();
  devices[0]->launch(stream, {image.get(), 0, buffers, bytes, 3, nullptr, &status, 0, 0, "sum of (train.cc:31)"});
  std::string message;
  try {
    devices[0]->finish(devices[0]->record(stream));
  } catch (const DeviceLost& lost) {
    message = lost.what();
  }
  EXPECT_THAT(message, HasSubstr("cuda:0 was lost: CUDA_ERROR_ILLEGAL_ADDRESS (700): kernel add_f32, PTX line "));
  EXPECT_THAT(message, HasSubstr("thread (4,0,0) of group (0,0,0): 4 bytes at 0x"));
  EXPECT_THAT(message, HasSubstr("offset 16 of the allocation of 16 bytes"));
  EXPECT_THAT(message, HasSubstr("; it was running sum of (train.cc:31)"));
  EXPECT_THROW(devices[0]->try_allocate(16, 64), DeviceLost);
  EXPECT_THROW(devices[0]->record(stream), DeviceLost);
  devices[0]->close_stream(stream);
  // The other one is none the worse.
  EXPECT_THAT(values_of(download(upload(vector_of({7}), 1), DType::f32, {1})), ElementsAre(7));
}

TEST_F(CudaDeviceTest, RefusesImagesOfOtherFormatsTargetsAndAbis) {
  KernelImage image = kernel_image_for(devices[0]->spec(), {entry_of("add_f32", 4)});
  auto refusal = [&](auto change) {
    KernelImage changed = image;
    change(changed);
    return message_of([&] { devices[0]->load(changed); });
  };
  EXPECT_EQ(refusal([](KernelImage&) {}), "");
  EXPECT_EQ(refusal([](KernelImage& i) { i.format = "elf-x86-64"; }),
            "kernel image of format 'elf-x86-64', expected cubin or ptx");
  EXPECT_EQ(refusal([](KernelImage& i) { i.target = "compute_90"; }),
            "kernel image of format ptx for compute_90, expected one that runs on compute_80");
  EXPECT_EQ(refusal([](KernelImage& i) { i.format = "cubin", i.target = "sm_80"; }),
            "kernel image of format cubin for sm_80, expected one that runs on compute_80");
  EXPECT_EQ(refusal([](KernelImage& i) { i.abi_version = 77; }), "kernel image of ABI 77, expected 1: compile it anew");
  // Of what follows a library's product, too.
  image.entries[0].rest = image.entries[0].phases;
  for (auto phases : {&KernelEntry::phases, &KernelEntry::rest}) {
    auto phase = [&](KernelImage& i) -> KernelPhase& { return (i.entries[0].*phases)[0]; };
    EXPECT_THAT(refusal([&](KernelImage& i) { phase(i).symbol = "none"; }),
                HasSubstr("kernel add_f32: its image has no function none"));
    EXPECT_THAT(refusal([&](KernelImage& i) { phase(i).group_threads = {2000, 1, 1}; }),
                HasSubstr("groups of 2000 x 1 x 1 threads, expected 1 to 1024"));
    EXPECT_THAT(refusal([&](KernelImage& i) { phase(i).group_threads = {1, 1, 65}; }),
                HasSubstr("groups of 65 threads in z, expected 64 at most"));
    EXPECT_THAT(refusal([&](KernelImage& i) { phase(i).groups = {1, 70000, 1}; }),
                HasSubstr("70000 groups in y, expected 0 to 65535"));
    EXPECT_THAT(refusal([&](KernelImage& i) { phase(i).shared_bytes = 1 << 20; }),
                HasSubstr("1048576 bytes of shared memory a group are more than compute_80 has"));
  }
  EXPECT_THAT(refusal([](KernelImage& i) { i.bytes = {'m', 'o', 'v', ';'}; }), HasSubstr("(invalid-ptx)"));
}

// 48 KiB are for both: what a kernel declares and what its launch asks for.
TEST_F(CudaDeviceTest, SharedMemoryOfAKernelAndOfItsLaunch) {
  const std::string ptx =
      ".version 7.0\n.target sm_75\n.address_size 64\n.visible .entry k(.param .u64 status)\n{\n"
      ".shared .align 16 .b8 a[20480];\nret;\n}\n";
  KernelImage image = kernel_image_for(devices[0]->spec(), {entry_of("k", 32)});
  image.bytes.assign(ptx.begin(), ptx.end());
  image.entries[0].phases[0].shared_bytes = 40 << 10;
  auto loaded = devices[0]->load(image);
  uint64_t status = 0;
  int stream = devices[0]->open_stream();
  devices[0]->launch(stream, {loaded.get(), 0, nullptr, nullptr, 0, nullptr, &status, 0, 0, "k"});
  devices[0]->finish(devices[0]->record(stream));
  devices[0]->close_stream(stream);
}

struct LosesTheThirdLaunch : CudaDeviceTest {
  LosesTheThirdLaunch() : CudaDeviceTest("lose=3") {}
};
TEST_F(LosesTheThirdLaunch, AllThatMayHaveRunIsNamed) {
  auto image = load("add_f32", 4);
  DeviceMemory a = upload(vector_of({1, 2, 3, 4}));
  void* buffers[] = {a.address(), a.address(), a.address()};
  int64_t bytes[] = {16, 16, 16};
  uint64_t status = 0;
  int stream = devices[0]->open_stream();
  auto launch = [&](const char* name) {
    devices[0]->launch(stream, {image.get(), 0, buffers, bytes, 3, nullptr, &status, 0, 0, name});
  };
  launch("first");
  devices[0]->finish(devices[0]->record(stream));
  launch("second");
  launch("third");
  EXPECT_EQ(
      message_of([&] { devices[0]->record(stream); }),
      "cuda:0 was lost: CUDA_ERROR_LAUNCH_FAILED (719): unspecified launch failure; it was running one of: second, "
      "third");
  devices[0]->close_stream(stream);
}

struct FailsToAllocate : CudaDeviceTest {
  FailsToAllocate() : CudaDeviceTest("allocate=2,memory=100000") {}
};
TEST_F(FailsToAllocate, AndTheNextOneWorks) {
  DeviceMemory first(devices[0], 100, 64, "first");
  EXPECT_THROW(DeviceMemory(devices[0], 100, 64, "second"), OutOfDeviceMemory);
  EXPECT_EQ(devices[0]->used_bytes(), 100);
  DeviceMemory third(devices[0], 100, 64, "third");
  EXPECT_THROW(DeviceMemory(devices[0], 100000, 64, "fourth"), OutOfDeviceMemory);
}

TEST(CudaProbe, EveryFailureOfTheDriverHasACodeACauseAndAFix) {
  for (const auto& [result, code] : std::vector<std::pair<int, std::string>>{{34, "stub-library"},
                                                                             {35, "driver-too-old"},
                                                                             {46, "device-unavailable"},
                                                                             {100, "no-device"},
                                                                             {101, "invalid-device"},
                                                                             {304, "no-permission"},
                                                                             {802, "fabric-not-ready"},
                                                                             {803, "driver-mismatch"},
                                                                             {804, "compat-not-supported"},
                                                                             {805, "mps-connection-failed"},
                                                                             {806, "mps-rpc-failure"},
                                                                             {807, "mps-server-not-ready"},
                                                                             {808, "mps-clients"},
                                                                             {809, "mps-connections"},
                                                                             {810, "mps-client-terminated"},
                                                                             {999, "unknown-driver-error"},
                                                                             {12345, "driver-12345"}}) {
    Emulated emulated(fmt::format("init={}", result));
    ASSERT_TRUE(emulated.started.absent) << result;
    EXPECT_EQ(emulated.started.absent->kind, "cuda");
    EXPECT_EQ(emulated.started.absent->code, code);
    EXPECT_THAT(emulated.started.absent->cause, HasSubstr(fmt::format("({})", result)));
    EXPECT_FALSE(emulated.started.absent->fix.empty());
    EXPECT_EQ(emulated.started.driver, nullptr);
  }
  EXPECT_EQ(Emulated("count=0").started.absent->code, "no-device");
  EXPECT_FALSE(Emulated("count=1").started.absent);
}

TEST(CudaProbe, WithoutALibraryFilesSayWhatIsMissing) {
  std::filesystem::path root = testing::TempDir() + "cuda_probe";
  std::filesystem::remove_all(root);
  ::setenv("PLACEWRIGHT_LIBCUDA", (root / "none").c_str(), 1);
  EXPECT_EQ(find_cuda_absence()->code, "bad-override");
  // A library that is no driver.
  ::setenv("PLACEWRIGHT_LIBCUDA", "libc.so.6", 1);
  EXPECT_EQ(find_cuda_absence()->code, "bad-override");
  EXPECT_THAT(find_cuda_absence()->cause, HasSubstr("has no function cuInit"));
  ::unsetenv("PLACEWRIGHT_LIBCUDA");
  if (cuda::Driver::try_open(nullptr)) GTEST_SKIP() << "this machine has a driver";
  EXPECT_EQ(find_cuda_absence(root)->code, "no-driver");
  std::filesystem::create_directories(root / "proc/driver/nvidia");
  write_file_atomically(root / "proc/driver/nvidia/version", std::string_view("NVRM"));
  EXPECT_EQ(find_cuda_absence(root)->code, "no-libcuda");
}

// Memory that somebody else holds is said: by its own count a device has it.
TEST(CudaMemory, WhatOthersHoldIsInTheMessage) {
  Emulated emulated("memory=1000000");
  auto device = std::make_shared<CudaDevice>(emulated.started.driver, 0);
  auto other = std::make_shared<CudaDevice>(emulated.started.driver, 0);
  EXPECT_EQ(device->free_bytes(), 1000000);
  const DeviceMemory held(other, 600000, 64, "what another one has");
  EXPECT_EQ(device->free_bytes(), 400000);
  auto message_of = [](const std::shared_ptr<CudaDevice>& device, int64_t bytes) -> std::string {
    try {
      DeviceMemory(device, bytes, 64, "x");
    } catch (const OutOfDeviceMemory& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message_of(device, 500000),
            "cuda:0 is out of memory: x needs 500000 bytes, 0 of 1000000 are in use, and what others hold leaves "
            "400000 free");
  EXPECT_EQ(message_of(other, 500000), "cuda:0 is out of memory: x needs 500000 bytes, 600000 of 1000000 are in use");
  EXPECT_EQ(message_of(device, 300000), "");
}

// A context that stays retained keeps its memory until the process ends.
TEST(CudaContext, IsLetGoWhereADeviceCannotBeOpened) {
  constexpr cuda::Result invalid_context = 201;  // nobody holds it
  for (const char* faults : {"stream=2", "event=2"}) {
    Emulated emulated(faults);
    ASSERT_EQ(emulated.started.count, 2);
    EXPECT_THROW(CudaDevice(emulated.started.driver, 0), Error) << faults;
    EXPECT_EQ(emulated.started.driver->context_release(0), invalid_context) << faults;
  }
  Emulated good;
  CudaDevice device(good.started.driver, 0);
  EXPECT_EQ(device.used_bytes(), 0);
}

std::vector<std::string> codes_of(const std::vector<DeviceCheck>& checks) {
  std::vector<std::string> codes;
  for (const DeviceCheck& check : checks) {
    EXPECT_EQ(check.good, check.code.empty()) << check.found;
    EXPECT_EQ(check.good, check.fix.empty()) << check.found;
    EXPECT_FALSE(check.found.empty());
    codes.push_back(check.code);
  }
  return codes;
}

FindCompiler always(const CompilerFacts& compiler) {
  return [compiler](int) { return compiler; };
}

TEST(CudaExamination, AsksForTheCompilerOfTheDriversMajor) {
  for (const auto& [faults, latest] : {std::pair("version=12020,count=1", 12), std::pair("count=1", 13)}) {
    Emulated emulated(faults);
    EXPECT_EQ(CudaDevice(emulated.started.driver, 0).latest_compiler(), latest);
    int asked = 0;
    examine_cuda([&](int major) {
      asked = major;
      return CompilerFacts{"NVRTC", "/usr/lib/libnvrtc.so", major, 0, {75, 80, 90}, "", {}};
    });
    EXPECT_EQ(asked, latest);
  }
}

TEST(CudaExamination, TriesTheDriverTheCompilerAndEachDevice) {
  CompilerFacts compiler{"NVRTC", "/usr/lib/libnvrtc.so.13", 13, 0, {75, 80, 90}, "", {}};
  Emulated good("count=2");
  std::vector<DeviceCheck> checks = examine_cuda(always(compiler));
  EXPECT_THAT(codes_of(checks), ElementsAre("", "", "", "", "", "", ""));
  EXPECT_THAT(checks[0].found, HasSubstr("libcuda_emulator.so, for CUDA 13.0, 2 devices"));
  EXPECT_EQ(checks[1].found, "NVRTC 13.0 at /usr/lib/libnvrtc.so.13");
  EXPECT_THAT(checks[2].found,
              HasSubstr("kernels alone: PLACEWRIGHT_LIBCUBLASLT names no library, correct or unset it; "));
  EXPECT_EQ(checks[5].found, "compute_80");
  EXPECT_THAT(checks[6].found, HasSubstr("PTX emulator 1 (compute_80): copies 64 MB at "));
  EXPECT_THAT(checks[6].found, testing::ContainsRegex("; [0-9,]+ B of [0-9,]+ B are free$"));
  EXPECT_EQ(examine_cuda(nullptr).size(), 3u);
}

TEST(CudaExamination, NamesWhatIsWrong) {
  CompilerFacts compiler{"NVRTC", "/usr/lib/libnvrtc.so.13", 13, 0, {75, 80, 90}, "", {}};
  auto examined = [&](const std::string& faults) {
    Emulated emulated(faults);
    return examine_cuda(always(compiler));
  };
  EXPECT_THAT(codes_of(examined("init=803")), ElementsAre("driver-mismatch"));
  std::vector<DeviceCheck> old = examined("version=12020,count=1");
  EXPECT_THAT(codes_of(old), ElementsAre("", "driver-older-than-compiler", "", "", ""));
  EXPECT_THAT(old[1].found, HasSubstr("the driver knows CUDA 12.2 at most"));
  EXPECT_THAT(old[1].fix, HasSubstr("CUDA 13 needs 580 or later"));
  EXPECT_THAT(codes_of(examined("capability=52,count=1")),
              ElementsAre("", "", "", "architecture-too-old", "not-working"));
  EXPECT_THAT(examined("capability=120,count=1")[3].found,
              HasSubstr("compute_120, which NVRTC does not know: it takes PTX"));
  EXPECT_THAT(codes_of(examined("get=46,count=1")), ElementsAre("", "", "", "not-opened"));
  EXPECT_THAT(codes_of(examined("memory=1000000,count=1")), ElementsAre("", "", "", "", "no-memory"));
  EXPECT_THAT(codes_of(examined("lose=1,count=1")), ElementsAre("", "", "", "", "not-working"));
  for (const auto& [result, code] : std::vector<std::pair<int, std::string>>{{200, "invalid-image"},
                                                                             {209, "wrong-architecture"},
                                                                             {218, "invalid-ptx"},
                                                                             {221, "no-jit"},
                                                                             {222, "ptx-too-new"},
                                                                             {223, "jit-disabled"}}) {
    std::vector<DeviceCheck> checks = examined(fmt::format("load={},count=1", result));
    EXPECT_THAT(codes_of(checks), ElementsAre("", "", "", "", "not-working"));
    EXPECT_THAT(checks.back().found, HasSubstr("(" + code + ")"));
  }
  compiler.missing = "libnvrtc.so.13 was not found";
  compiler.architectures.clear();
  EXPECT_THAT(codes_of(examined("count=1")), ElementsAre("", "no-compiler", "", ""));
}

TEST(CudaToolkits, OfDifferentMajorsAreNamedWithTheirPaths) {
  CompilerFacts compiler{"NVRTC", "/usr/lib/libnvrtc.so.13", 13, 0, {75, 80, 90}, "", {}};
  constexpr const char *older = PLACEWRIGHT_TOOLKIT_12080, *newer = PLACEWRIGHT_TOOLKIT_13000;
  auto check = [&](const char* cublas, const char* cudnn) {
    ::setenv("PLACEWRIGHT_LIBCUBLASLT", cublas, 1);
    ::setenv("PLACEWRIGHT_LIBCUDNN", cudnn, 1);
    return check_toolkits(compiler);
  };
  EXPECT_FALSE(check("/none", "/none"));
  EXPECT_EQ(check(newer, newer)->found,
            fmt::format("NVRTC for CUDA 13.0 at /usr/lib/libnvrtc.so.13, cuBLASLt for CUDA 13.0 at {0}, cuDNN for CUDA "
                        "13.0 at {0}",
                        newer));
  EXPECT_EQ(check(newer, newer)->code, "");
  // Each of the three may be the odd one.
  EXPECT_EQ(check(older, "/none")->code, "mixed-toolkits");
  EXPECT_EQ(check(older, "/none")->found,
            fmt::format("NVRTC for CUDA 13.0 at /usr/lib/libnvrtc.so.13, cuBLASLt for CUDA 12.8 at {}", older));
  EXPECT_THAT(check(older, "/none")->fix, HasSubstr("set CUDA_HOME to a toolkit of CUDA 13"));
  EXPECT_EQ(check(newer, older)->code, "mixed-toolkits");
  compiler.major = 12;
  EXPECT_EQ(check(newer, newer)->code, "mixed-toolkits");
  EXPECT_EQ(check(older, older)->code, "");
  // Where the compiler is missing, the others are held against each other; what only has the name is none.
  compiler.missing = "libnvrtc.so.13 was not found";
  EXPECT_EQ(check(newer, older)->code, "mixed-toolkits");
  EXPECT_EQ(check(newer, "/none")->code, "");
  EXPECT_FALSE(check(PLACEWRIGHT_CUDA_EMULATOR, PLACEWRIGHT_CUDA_EMULATOR));
  // Else they are looked for where the compiler's facts say, by their names.
  const fs::path folder = testing::TempDir() + "cuda_toolkit";
  fs::remove_all(folder);
  fs::create_directories(folder);
  fs::copy_file(older, folder / "libcublasLt.so.12");
  compiler.folders = {folder};
  compiler.architectures.clear();
  ASSERT_TRUE(check("", "/none"));
  EXPECT_THAT(check("", "/none")->found, HasSubstr("cuBLASLt for CUDA 1"));
  // Of two, the one that a device of this driver would take.
  fs::copy_file(newer, folder / "libcublasLt.so.13");
  EXPECT_THAT(check_toolkits(compiler, 13)->found, HasSubstr("cuBLASLt for CUDA 13"));
  EXPECT_THAT(check_toolkits(compiler, 12)->found, HasSubstr("cuBLASLt for CUDA 12"));
  Emulated emulated("count=1");
  EXPECT_THAT(codes_of(examine_cuda(always(compiler))), ElementsAre("", "no-compiler", "", ""));
  ::setenv("PLACEWRIGHT_LIBCUBLASLT", newer, 1);
  ::setenv("PLACEWRIGHT_LIBCUDNN", older, 1);
  EXPECT_THAT(codes_of(examine_cuda(always(compiler))), ElementsAre("", "no-compiler", "mixed-toolkits", "", ""));
}

TEST(CudaKind, OpensWhatThereIsAndSaysWhatIsMissing) {
  DeviceSpec host = CpuDevice::probe();
  for (const DeviceKind& kind : device_kinds()) {
    if (kind.name != "cuda") continue;
    Emulated emulated("count=1");
    OpenedDevices opened = kind.open({2, 0, &host});
    EXPECT_EQ(opened.devices.size(), 1u);
    ASSERT_EQ(opened.absent.size(), 1u);
    EXPECT_EQ(opened.absent[0].code, "too-few");
    EXPECT_EQ(opened.absent[0].cause, "the session asks for 2 GPUs, the driver shows 1");
    opened = kind.open({0, 0, &host});
    EXPECT_EQ(opened.absent.at(0).code, "not-given");
    Emulated broken("get=46");
    opened = kind.open({1, 0, &host});
    EXPECT_EQ(opened.devices.size(), 0u);
    EXPECT_EQ(opened.absent.at(0).code, "not-opened");
    EXPECT_THAT(opened.absent.at(0).cause, HasSubstr("cuda:0: the GPU is busy"));
  }
}

}  // namespace
}  // namespace placewright
