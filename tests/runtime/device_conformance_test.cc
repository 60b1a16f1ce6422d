// What every device must do, whatever it is: one suite for all that this machine has.
#include <array>
#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/runtime/device_kinds.h"
#include "program_fixture.h"

namespace placewright {
namespace {

using namespace testing_runtime;
using testing::ElementsAre;

// Every kind of device of this build, two of each if it has more than one.
struct OpenMachine {
  OpenMachine() {
    use_cuda_emulator();
    std::vector<std::shared_ptr<Device>> all;
    for (const DeviceKind& kind : device_kinds()) {
      OpenedDevices opened = kind.open({std::min(kind.most, 2), 0, all.empty() ? nullptr : &all.front()->spec()});
      all.insert(all.end(), opened.devices.begin(), opened.devices.end());
    }
    devices = DeviceSet(all, {});
    cpu = devices.host();
  }
  DeviceSet devices;
  std::shared_ptr<Device> cpu;
};

std::vector<DeviceId> all_devices() {
  std::vector<DeviceId> ids;
  const OpenMachine machine;
  for (const std::shared_ptr<Device>& device : machine.devices.devices()) ids.push_back(device->id());
  return ids;
}

class DeviceConformance : public testing::TestWithParam<DeviceId> {
 protected:
  OpenMachine m;
  std::shared_ptr<Device> device = m.devices.find(GetParam());

  DeviceMemory upload(const HostTensor& tensor) {
    DeviceMemory memory(device, tensor.bytes(), 64, "test");
    copy_now(memory.view(), {m.cpu.get(), const_cast<uint8_t*>(tensor.raw()), tensor.bytes()}, tensor.bytes(), "up");
    return memory;
  }
  HostTensor download(const DeviceMemory& memory, DType dtype, Sizes sizes) {
    HostTensor tensor(dtype, std::move(sizes));
    copy_now({m.cpu.get(), tensor.raw(), tensor.bytes()}, memory.view(), tensor.bytes(), "down");
    return tensor;
  }
};

TEST_P(DeviceConformance, SpecNamesItAndRatesArePositive) {
  EXPECT_EQ(device->id(), GetParam());
  EXPECT_FALSE(device->spec().name.empty());
  EXPECT_GT(device->spec().memory_bytes, 0);
  EXPECT_GT(device->spec().memory_bandwidth, 0);
  ASSERT_FALSE(device->spec().rates.empty());
  for (const Rate& rate : device->spec().rates) EXPECT_GT(rate.per_second, 0);
}

TEST_P(DeviceConformance, AllocationsAreAlignedDistinctAndCounted) {
  int64_t before = device->used_bytes();
  {
    std::vector<DeviceMemory> memories;
    for (int64_t alignment : {1, 64, 256, 4096})
      for (int64_t bytes : {0, 1, 1000, 70000}) memories.emplace_back(device, bytes, alignment, "test");
    for (size_t i = 0; i < memories.size(); ++i) {
      auto address = reinterpret_cast<uintptr_t>(memories[i].address());
      EXPECT_EQ(address % (std::array{1, 64, 256, 4096})[i / 4], 0u);
      for (size_t k = 0; k < i; ++k) EXPECT_NE(memories[i].address(), memories[k].address());
    }
    EXPECT_GE(device->used_bytes(), before + 4 * 71001);
  }
  EXPECT_EQ(device->used_bytes(), before);
}

TEST_P(DeviceConformance, TooMuchMemoryIsRefusedAndNothingIsLost) {
  int64_t before = device->used_bytes();
  EXPECT_EQ(device->try_allocate(int64_t{1} << 45, 64), nullptr);
  EXPECT_EQ(device->try_allocate(INT64_MAX, 64), nullptr);
  EXPECT_THROW(DeviceMemory(device, int64_t{1} << 45, 64, "test"), OutOfDeviceMemory);
  EXPECT_EQ(device->used_bytes(), before);
  DeviceMemory memory(device, 100, 64, "test");
}

// A session's limit, of a device that has more: what placement plans with is what the device gives out.
TEST_P(DeviceConformance, GivesOutNoMoreThanTheSessionAllows) {
  constexpr int64_t limit = 1 << 20;
  for (const DeviceKind& kind : device_kinds()) {
    if (kind.name != GetParam().kind) continue;
    std::vector<int64_t> limits(static_cast<size_t>(std::min(kind.most, 2)), 2 * limit);
    limits[static_cast<size_t>(GetParam().ordinal)] = limit;
    OpenedDevices opened = kind.open({std::min(kind.most, 2), 0, kind.is_host ? nullptr : &m.cpu->spec(), limits});
    const std::shared_ptr<Device>& limited = opened.devices.at(static_cast<size_t>(GetParam().ordinal));
    EXPECT_EQ(limited->spec().memory_bytes, limit);
    EXPECT_EQ(limited->try_allocate(limit + 1, 64), nullptr);
    DeviceMemory all(limited, limit, 64, "test");
    EXPECT_EQ(limited->try_allocate(1, 64), nullptr);
  }
}

TEST_P(DeviceConformance, CopiesThereAndBackAndWithin) {
  std::vector<float> values;
  for (int i = 0; i < 5000; ++i) values.push_back(static_cast<float>(i) * 0.5f);
  DeviceMemory first = upload(vector_of(values));
  DeviceMemory second(device, first.bytes(), 64, "test");
  copy_now(second.view(), first.view(), first.bytes(), "within");
  EXPECT_EQ(values_of(download(second, DType::f32, {5000})), values);
  copy_now(second.view(), first.view(), 0, "nothing");
}

TEST_P(DeviceConformance, LaunchesInTheOrderOfTheStream) {
  auto image = device->load(kernel_image_for(device->spec(), {entry_of("add_f32", 4), entry_of("sgd_f32", 4)}));
  DeviceMemory a = upload(vector_of({1, 2, 3, 4})), rate = upload(HostTensor::scalar<float>(-2));
  DeviceMemory out(device, 16, 64, "out");
  void* add[] = {a.address(), a.address(), out.address()};
  void* step[] = {a.address(), rate.address(), out.address()};
  int64_t bytes[] = {16, 16, 16}, step_bytes[] = {16, 4, 16};
  uint64_t status = 0;
  int stream = device->open_stream();
  device->launch(stream, {image.get(), image->entry_index("add_f32"), add, bytes, 3, nullptr, &status, 4, 48, "add"});
  device->launch(stream,
                 {image.get(), image->entry_index("sgd_f32"), step, step_bytes, 3, nullptr, &status, 8, 48, "sgd"});
  Event event = device->record(stream);
  double seconds = device->finish(event);
  EXPECT_GE(device->finish(device->record(stream)), seconds);
  device->close_stream(stream);
  EXPECT_EQ(status, 0u);
  EXPECT_THAT(values_of(download(out, DType::f32, {4})), ElementsAre(4, 8, 12, 16));
  EXPECT_THROW(image->entry_index("none"), Error);
}

TEST_P(DeviceConformance, AnEmptyLaunchTouchesNothing) {
  auto image = device->load(kernel_image_for(device->spec(), {entry_of("add_f32", 0)}));
  DeviceMemory a(device, 0, 64, "a");
  void* buffers[] = {a.address(), a.address(), a.address()};
  int64_t bytes[] = {0, 0, 0};
  uint64_t status = 0;
  int stream = device->open_stream();
  device->launch(stream, {image.get(), 0, buffers, bytes, 3, nullptr, &status, 0, 0, "empty"});
  device->finish(device->record(stream));
  device->close_stream(stream);
  EXPECT_EQ(status, 0u);
}

// A device that takes work as a whole gives what the same items one by one give, run after run, from addresses as they
// are then; one that does not says so.
TEST_P(DeviceConformance, WorkAsAWholeIsWhatItsItemsAre) {
  auto image = device->load(kernel_image_for(device->spec(), {entry_of("add_f32", 4), entry_of("gather_i64", 2)}));
  DeviceMemory a(device, 16, 64, "a"), b(device, 16, 64, "b"), c(device, 16, 64, "c");
  DeviceMemory table = upload(HostTensor::from<int64_t>({1}, {5})),
               index = upload(HostTensor::from<int64_t>({2}, {0, 9})), found(device, 16, 64, "found");
  HostTensor in = vector_of({0, 0, 0, 0}), out = vector_of({0, 0, 0, 0});
  BufferView in_view{m.cpu.get(), in.raw(), 16}, out_view{m.cpu.get(), out.raw(), 16};
  void* add[] = {a.address(), a.address(), b.address()};
  void* gather[] = {table.address(), index.address(), found.address()};
  int64_t bytes[] = {16, 16, 16}, gather_bytes[] = {8, 16, 16}, scalars[] = {1};
  uint64_t sum_status = 0, gather_status = 0;
  KernelLaunch sum{image.get(), image->entry_index("add_f32"), add, bytes, 3, nullptr, &sum_status, 4, 48, "sum"};
  KernelLaunch look{image.get(),
                    image->entry_index("gather_i64"),
                    gather,
                    gather_bytes,
                    3,
                    scalars,
                    &gather_status,
                    4,
                    48,
                    "look",
                    1};
  DeviceCopy first{a.view(), in_view, 16, "in"}, within{c.view(), b.view(), 16, "within"},
      last{out_view, c.view(), 16, "out"};
  const std::vector<WorkItem> items{{nullptr, &first, {}},
                                    {&look, nullptr, {}},
                                    {&sum, nullptr, {0}},
                                    {nullptr, &within, {2}},
                                    {nullptr, &last, {3}}};
  std::string reason;
  std::unique_ptr<PreparedWork> prepared = device->prepare(items, &reason);
  EXPECT_EQ(prepared == nullptr, !reason.empty());
  if (!prepared) GTEST_SKIP() << reason;
  int stream = device->open_stream();
  for (int round = 0; round < 4; ++round) {
    const auto value = static_cast<float>(round);
    std::fill_n(in.data<float>().data(), 4, value);
    index = upload(HostTensor::from<int64_t>({2}, {0, round % 2 ? 9 : 0}));
    gather[1] = index.address();
    HostTensor elsewhere = vector_of({-1, -1, -1, -1});
    last.destination.address = round == 2 ? elsewhere.raw() : out.raw();
    gather_status = 0;
    ASSERT_TRUE(device->run(stream, *prepared, &reason)) << reason;
    std::fill_n(in.data<float>().data(), 4, -7.0f);  // it was read
    device->finish(device->record(stream));
    EXPECT_EQ(values_of(round == 2 ? elsewhere : out), std::vector<float>(4, 2 * value)) << round;
    EXPECT_EQ(gather_status, round % 2 ? static_cast<uint64_t>(Status::index_out_of_range) : 0u) << round;
    EXPECT_EQ(sum_status, 0u);
  }
  // Given again before anybody waited: what the first one brings is not the second one's.
  HostTensor early = vector_of({0, 0, 0, 0});
  std::fill_n(in.data<float>().data(), 4, 1.0f);
  last.destination.address = early.raw();
  ASSERT_TRUE(device->run(stream, *prepared, &reason)) << reason;
  std::fill_n(in.data<float>().data(), 4, 2.0f);
  last.destination.address = out.raw();
  ASSERT_TRUE(device->run(stream, *prepared, &reason)) << reason;
  device->finish(device->record(stream));
  EXPECT_THAT(values_of(early), ElementsAre(2, 2, 2, 2));
  EXPECT_THAT(values_of(out), ElementsAre(4, 4, 4, 4));
  // Dropped while it runs, it leaves nothing behind.
  last.destination.address = early.raw();
  ASSERT_TRUE(device->run(stream, *prepared, &reason)) << reason;
  prepared.reset();
  device->finish(device->record(stream));
  EXPECT_THAT(values_of(early), ElementsAre(2, 2, 2, 2));
  device->close_stream(stream);
}

TEST_P(DeviceConformance, StatusesArriveWithTheEvent) {
  auto image = device->load(kernel_image_for(device->spec(), {entry_of("gather_i64", 2)}));
  DeviceMemory table = upload(HostTensor::from<int64_t>({1}, {5})),
               index = upload(HostTensor::from<int64_t>({2}, {0, 9}));
  DeviceMemory out(device, 16, 64, "out");
  void* buffers[] = {table.address(), index.address(), out.address()};
  int64_t bytes[] = {8, 16, 16}, scalars[] = {1};
  uint64_t status = 0;
  int stream = device->open_stream();
  device->launch(stream, {image.get(), 0, buffers, bytes, 3, scalars, &status, 0, 0, "gather", 1});
  device->finish(device->record(stream));
  device->close_stream(stream);
  EXPECT_EQ(status, static_cast<uint64_t>(Status::index_out_of_range));
}

TEST_P(DeviceConformance, AccumulatesEveryDtypeOfAllReduce) {
  auto check = [&]<typename T>(T) {
    DeviceMemory to = upload(HostTensor::from<T>({3}, {T(1), T(2), T(3)}));
    DeviceMemory from = upload(HostTensor::from<T>({3}, {T(10), T(-20), T(30)}));
    int stream = device->open_stream();
    device->accumulate(stream, to.address(), from.address(), dtype_of<T>(), 3);
    device->finish(device->record(stream));
    device->close_stream(stream);
    HostTensor sum = download(to, dtype_of<T>(), {3});
    EXPECT_THAT(std::vector<T>(sum.data<T>().begin(), sum.data<T>().end()), ElementsAre(T(11), T(-18), T(33)));
  };
  check(float{});
  check(double{});
  check(int32_t{});
  check(int64_t{});
}

TEST_P(DeviceConformance, DroppedStreamsDoNothingMore) {
  if (device->is_host_memory()) GTEST_SKIP() << "work on the host's memory is done before it could be dropped";
  DeviceMemory memory = upload(vector_of({1, 2, 3, 4}));
  HostTensor out = vector_of({0, 0, 0, 0});
  int stream = device->open_stream();
  device->copy(stream, {m.cpu.get(), out.raw(), 16}, memory.view(), 16, "dropped");
  device->close_stream(stream);
  upload(vector_of({5}));
  EXPECT_THAT(values_of(out), ElementsAre(0, 0, 0, 0));
}

// Each with a stream, memory and work as a whole of its own, and the image that all share.
TEST_P(DeviceConformance, ThreadsUseItAtOnce) {
  constexpr int threads_at_once = 4, rounds = 12;
  auto image = device->load(kernel_image_for(device->spec(), {entry_of("add_f32", 4)}));
  const int64_t before = device->used_bytes();
  std::atomic<int> wrong{0};
  auto work = [&](int thread) {
    DeviceMemory a(device, 16, 64, "a"), b(device, 16, 64, "b");
    HostTensor in = vector_of({0, 0, 0, 0}), out = vector_of({0, 0, 0, 0});
    void* buffers[] = {a.address(), a.address(), b.address()};
    int64_t bytes[] = {16, 16, 16};
    uint64_t status = 0;
    KernelLaunch launch{image.get(), 0, buffers, bytes, 3, nullptr, &status, 4, 48, "sum"};
    DeviceCopy first{a.view(), {m.cpu.get(), in.raw(), 16}, 16, "in"},
        last{{m.cpu.get(), out.raw(), 16}, b.view(), 16, "out"};
    const std::vector<WorkItem> items{{nullptr, &first, {}}, {&launch, nullptr, {0}}, {nullptr, &last, {1}}};
    std::string reason;
    std::unique_ptr<PreparedWork> prepared = device->prepare(items, &reason);
    for (int round = 0; round < rounds; ++round) {
      const auto value = static_cast<float>(thread * rounds + round);
      std::fill_n(in.data<float>().data(), 4, value);
      const int stream = device->open_stream();
      if (prepared && round % 2) {
        wrong += !device->run(stream, *prepared, &reason);
      } else {
        device->copy(stream, first.destination, first.source, 16, first.name);
        device->launch(stream, launch);
        device->copy(stream, last.destination, last.source, 16, last.name);
      }
      device->finish(device->record(stream));
      device->close_stream(stream);
      wrong += status != 0 || values_of(out) != std::vector<float>(4, 2 * value);
    }
  };
  std::vector<std::thread> threads;
  for (int thread = 0; thread < threads_at_once; ++thread) threads.emplace_back(work, thread);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(device->used_bytes(), before);
}

TEST_P(DeviceConformance, DamagedImagesAreErrors) {
  KernelImage image = kernel_image_for(device->spec(), {entry_of("add_f32", 4)});
  image.bytes.resize(image.bytes.size() / 2);
  EXPECT_THROW(device->load(image), Error);
  image.bytes.clear();
  EXPECT_THROW(device->load(image), Error);
}

TEST(DeviceKinds, TheHostStandsFirstAndAlone) {
  const std::vector<DeviceKind> kinds = device_kinds();
  ASSERT_FALSE(kinds.empty());
  const OpenMachine machine;
  for (size_t i = 0; i < kinds.size(); ++i) {
    EXPECT_EQ(kinds[i].is_host, i == 0) << kinds[i].name;
    for (const std::shared_ptr<Device>& device : machine.devices.devices()) {
      bool is_of_kind = device->id().kind == kinds[i].name;
      EXPECT_TRUE(!is_of_kind || device->is_host_memory() == (i == 0)) << device->id().to_string();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceConformance, testing::ValuesIn(all_devices()),
                         [](const auto& info) { return info.param.kind + std::to_string(info.param.ordinal); });

}  // namespace
}  // namespace placewright
