#include "placewright/runtime/sim/sim_device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "placewright/base/checked.h"
#include "placewright/runtime/accumulate.h"
#include "placewright/runtime/host_code/host_image.h"

namespace placewright {
namespace {

// Not canonical: no processor lets the host touch such an address.
constexpr uint64_t address_base = 0x5100'0000'0000'0000;
constexpr uint64_t address_stride = 0x0000'0100'0000'0000;  // between devices
constexpr int64_t page = 4096;                              // an unused one lies behind each allocation
constexpr size_t remembered_events = 65536;                 // of a stream
constexpr int poison = 0xff;                                // NaN as f32 and f64, -1 as an integer

// It is never run.
class NamedImage final : public LoadedImage {
 public:
  explicit NamedImage(const KernelImage& image) : LoadedImage(image.entries) {}
};

}  // namespace

double SimLink::reserve(double from, double seconds) {
  from = std::max(from, forgotten_);
  auto next = busy_.upper_bound(from);
  if (next != busy_.begin()) from = std::max(from, std::prev(next)->second);
  for (; next != busy_.end() && next->first < from + seconds; ++next) from = next->second;
  double begin = from;
  const double end = from + seconds;
  if (next != busy_.begin() && std::prev(next)->second == begin) {  // one stretch with what is before
    begin = std::prev(next)->first;
    busy_.erase(std::prev(next));
  }
  busy_.emplace(begin, end);
  if (busy_.size() > remembered) {
    forgotten_ = busy_.begin()->second;
    busy_.erase(busy_.begin());
  }
  return end;
}

double SimMachine::host_seconds() const {
  std::lock_guard lock(mutex_);
  return host_seconds_;
}

void SimMachine::spend(double seconds) {
  std::lock_guard lock(mutex_);
  host_seconds_ += seconds;
}

void SimMachine::set_truth(const SimTruth& truth) {
  std::lock_guard lock(mutex_);
  truth_ = truth;
}

SimTruth SimMachine::truth() const {
  std::lock_guard lock(mutex_);
  return truth_;
}

std::shared_ptr<const LoadedImage> SimMachine::load_names(const KernelImage& image) {
  return std::make_shared<NamedImage>(image);
}

SimDevice::SimDevice(DeviceSpec spec, std::shared_ptr<SimMachine> machine, std::shared_ptr<ThreadPool> pool)
    : spec_(std::move(spec)),
      machine_(std::move(machine)),
      pool_(std::move(pool)),
      next_address_(address_base + address_stride * static_cast<uint64_t>(spec_.id.ordinal)) {
  PW_CHECK(!spec_.host_memory && spec_.id.ordinal < 256, spec_.id.to_string());
}

SimDevice::~SimDevice() = default;

DeviceSpec SimDevice::default_spec(int ordinal, int64_t memory_bytes) {
  DeviceSpec spec;
  spec.id = {"sim", ordinal};
  spec.name = "simulated accelerator";
  spec.target = host_target();
  spec.memory_bytes = memory_bytes;
  spec.memory_bandwidth = 1e12;
  spec.launch_seconds = 4e-6;
  for (const DTypeInfo& entry : dtype_table()) {
    if (!entry.supported) continue;
    for (const char* op_class : {"contraction", "convolution"})
      spec.rates.push_back({op_class, entry.dtype, entry.dtype == DType::f64 ? 1e12 : 20e12});
    for (const char* op_class : {"elementwise", "reduction"})
      spec.rates.push_back({op_class, entry.dtype, entry.dtype == DType::f64 ? 1e12 : 5e12});
    for (const char* op_class : {"movement", "gather", "scatter"})
      spec.rates.push_back({op_class, entry.dtype, spec.memory_bandwidth});
  }
  return spec;
}

std::vector<Link> SimDevice::default_links(const DeviceId& host, int count) {
  std::vector<Link> links;
  for (int i = 0; i < count; ++i) {
    links.push_back({host, {"sim", i}, 6e-6, 25e9});
    links.push_back({{"sim", i}, host, 6e-6, 25e9});
    for (int k = 0; k < count; ++k)
      if (k != i) links.push_back({{"sim", i}, {"sim", k}, 4e-6, 100e9});
  }
  return links;
}

void SimDevice::set_faults(const SimFaults& faults) {
  std::lock_guard lock(machine_->mutex_);
  faults_ = faults;
  random_.seed(faults.reorder_seed);
}

bool SimDevice::is_lost() const {
  std::lock_guard lock(machine_->mutex_);
  return !lost_.empty();
}

void* SimDevice::try_allocate(int64_t bytes, int64_t alignment) {
  std::lock_guard lock(machine_->mutex_);
  require_alive();
  if (faults_.fail_allocation > 0 && --faults_.fail_allocation == 0) return nullptr;
  if (bytes < 0 || bytes > spec_.memory_bytes - used_) return nullptr;
  size_t size = static_cast<size_t>(round_up(std::max<int64_t>(bytes, 1), page));
  auto* memory = static_cast<uint8_t*>(std::aligned_alloc(page, size));
  if (!memory) return nullptr;
  if (machine_->computes()) std::memset(memory, poison, size);
  PW_CHECK(alignment <= page);
  uint64_t address = next_address_;
  next_address_ += size + page;
  allocations_.emplace(address, Allocation{bytes, {memory, std::free}});
  used_ += bytes;
  return reinterpret_cast<void*>(address);
}

void SimDevice::free(void* address) noexcept {
  std::lock_guard lock(machine_->mutex_);
  auto found = allocations_.find(reinterpret_cast<uint64_t>(address));
  if (found == allocations_.end()) return;
  used_ -= found->second.bytes;
  allocations_.erase(found);
}

int64_t SimDevice::used_bytes() const {
  std::lock_guard lock(machine_->mutex_);
  return used_;
}

std::shared_ptr<const LoadedImage> SimDevice::load(const KernelImage& image) {
  return machine_->computes() ? HostImage::load(image, spec_.target) : SimMachine::load_names(image);
}

int SimDevice::open_stream() {
  std::lock_guard lock(machine_->mutex_);
  streams_.emplace(next_stream_, Stream{});
  return next_stream_++;
}

void SimDevice::close_stream(int stream) noexcept {
  std::lock_guard lock(machine_->mutex_);
  streams_.erase(stream);
}

void SimDevice::launch(int stream, const KernelLaunch& launch) {
  std::lock_guard lock(machine_->mutex_);
  LaunchCommand command{launch, {}, {}};
  command.buffers.assign(launch.buffers, launch.buffers + launch.buffer_count);
  command.bytes.assign(launch.buffer_bytes, launch.buffer_bytes + launch.buffer_count);
  give(stream, std::move(command));
}

void SimDevice::copy(int stream, BufferView destination, BufferView source, int64_t bytes, const char* name) {
  std::lock_guard lock(machine_->mutex_);
  for (const Device* device : {destination.device, source.device}) {
    const auto* other = dynamic_cast<const SimDevice*>(device);
    if (!device->is_host_memory() && !(other && other->machine_ == machine_))
      throw Error(fmt::format("copy {}: {} cannot reach {}", name, id().to_string(), device->id().to_string()));
  }
  give(stream, CopyCommand{destination, source, bytes, name});
}

void SimDevice::accumulate(int stream, void* destination, const void* source, DType dtype, int64_t count) {
  std::lock_guard lock(machine_->mutex_);
  give(stream, AccumulateCommand{destination, source, dtype, count});
}

Event SimDevice::record(int stream) {
  std::lock_guard lock(machine_->mutex_);
  uint64_t number = ++stream_at(stream).recorded;
  give(stream, RecordCommand{number});
  return {this, stream, number, 0};
}

void SimDevice::wait(int stream, const Event& event) {
  if (event.number == 0) return;  // complete already
  std::lock_guard lock(machine_->mutex_);
  give(stream, WaitCommand{event});
}

double SimDevice::finish(const Event& event) {
  std::lock_guard lock(machine_->mutex_);
  if (event.number == 0) return machine_->host_seconds_;
  PW_CHECK(event.device == this);
  double seconds = complete(event);
  machine_->host_seconds_ = std::max(machine_->host_seconds_, seconds);
  return seconds;
}

void SimDevice::give(int stream, Command command) {
  require_alive();
  stream_at(stream).commands.emplace_back(std::move(command), machine_->host_seconds_);
  if (faults_.reorder_seed == 0) return;
  // Some streams get ahead, a few commands each; none passes an event that is not complete.
  for (auto& [number, other] : streams_)
    for (uint64_t steps = random_() % 3; steps > 0 && run_next(other, false); --steps) {
    }
}

SimDevice::Stream& SimDevice::stream_at(int stream) {
  auto found = streams_.find(stream);
  PW_CHECK(found != streams_.end());
  return found->second;
}

double SimDevice::complete(const Event& event) {
  require_alive();
  Stream& stream = stream_at(event.stream);
  while (stream.completed < event.number) PW_CHECK(run_next(stream, true));
  auto found = stream.times.find(event.number);
  return found == stream.times.end() ? stream.seconds : found->second;  // long past: its exact time is forgotten
}

// Runs the stream's next command. False if there is none, or if it waits for an event that is not complete and must not
// be completed for it.
bool SimDevice::run_next(Stream& stream, bool may_wait) {
  if (stream.commands.empty()) return false;
  if (const WaitCommand* wait = std::get_if<WaitCommand>(&stream.commands.front().first)) {
    auto* other = dynamic_cast<SimDevice*>(wait->event.device);
    PW_CHECK(other && other->machine_ == machine_);
    if (!may_wait && other->stream_at(wait->event.stream).completed < wait->event.number) return false;
    stream.seconds = std::max(stream.seconds, other->complete(wait->event));
    stream.commands.pop_front();
    return true;
  }
  auto [command, given] = std::move(stream.commands.front());
  stream.commands.pop_front();
  stream.seconds = std::max(stream.seconds, given);
  if (const auto* launch = std::get_if<LaunchCommand>(&command)) run(stream, *launch);
  if (const auto* copy = std::get_if<CopyCommand>(&command)) run(stream, *copy);
  if (const auto* sum = std::get_if<AccumulateCommand>(&command)) run(stream, *sum);
  if (const auto* record = std::get_if<RecordCommand>(&command)) {
    stream.completed = record->number;
    stream.times[record->number] = stream.seconds;
    if (stream.times.size() > remembered_events) stream.times.erase(stream.times.begin());
  }
  return true;
}

void SimDevice::run(Stream& stream, const LaunchCommand& command) {
  const KernelLaunch& given = command.launch;
  count_command("kernel", given.name);
  std::vector<void*> buffers(command.buffers.size());
  for (size_t i = 0; i < buffers.size(); ++i)
    buffers[i] = translate(command.buffers[i], command.bytes[i], "kernel", given.name);
  KernelLaunch launch = given;
  launch.buffers = buffers.data();
  if (machine_->computes()) static_cast<const HostImage*>(launch.image)->run(launch, *pool_);
  double seconds = machine_->truth_.launch_seconds(spec_, given) * faults_.launch_factor;
  busy_until_ = std::max(busy_until_, stream.seconds) + seconds;
  stream.seconds = busy_until_;
}

void SimDevice::run(Stream& stream, const CopyCommand& command) {
  count_command("copy", command.name);
  auto host_address = [&](const BufferView& view) {
    if (view.device->is_host_memory()) return static_cast<uint8_t*>(view.address);
    return static_cast<SimDevice*>(view.device)->translate(view.address, command.bytes, "copy", command.name);
  };
  uint8_t* to = host_address(command.destination);
  const uint8_t* from = host_address(command.source);
  if (command.bytes > 0 && machine_->computes()) std::memmove(to, from, static_cast<size_t>(command.bytes));
  queue_on_link(stream, command);
}

void SimDevice::queue_on_link(Stream& stream, const CopyCommand& command) {
  const DeviceId &from = command.source.device->id(), &to = command.destination.device->id();
  const SimTruth& truth = machine_->truth_;
  const bool waits_for_all = truth.seed != 0 && truth.shared_links && from != to;
  SimLink& link = waits_for_all ? machine_->all_links_busy_ : machine_->links_busy_[{from, to}];
  stream.seconds = link.reserve(stream.seconds, link_seconds(command) * truth.of_link(from, to) * faults_.link_factor);
}

void SimDevice::run(Stream& stream, const AccumulateCommand& command) {
  count_command("accumulate", "of an all-reduce");
  int64_t bytes = byte_size(command.dtype, command.count);
  uint8_t* destination = translate(command.destination, bytes, "accumulate", "destination");
  const uint8_t* source = translate(command.source, bytes, "accumulate", "source");
  if (machine_->computes()) accumulate_on_host(destination, source, command.dtype, command.count);
  busy_until_ = std::max(busy_until_, stream.seconds) +
                (spec_.launch_seconds + 3 * static_cast<double>(bytes) / std::max(spec_.memory_bandwidth, 1.0)) *
                    faults_.launch_factor;
  stream.seconds = busy_until_;
}

double SimDevice::link_seconds(const CopyCommand& command) const {
  const DeviceId &from = command.source.device->id(), &to = command.destination.device->id();
  double bytes = static_cast<double>(command.bytes);
  if (from == to) return spec_.launch_seconds + 2 * bytes / std::max(spec_.memory_bandwidth, 1.0);
  for (const Link& link : machine_->links_)
    if (link.from == from && link.to == to) return link.latency_seconds + bytes / std::max(link.bytes_per_second, 1.0);
  throw Error(fmt::format("copy {}: there is no link from {} to {}", command.name, from.to_string(), to.to_string()));
}

void SimDevice::count_command(const char* what, const char* name) {
  if (faults_.lose_at_command > 0 && --faults_.lose_at_command == 0)
    lost_ = fmt::format("{} was lost while it ran {} {}", id().to_string(), what, name);
  require_alive();
}

void SimDevice::require_alive() const {
  if (!lost_.empty()) throw DeviceLost(lost_);
}

uint8_t* SimDevice::try_translate(const void* address, int64_t bytes) const {
  auto wanted = reinterpret_cast<uint64_t>(address);
  auto next = allocations_.upper_bound(wanted);
  if (next == allocations_.begin()) return nullptr;
  const auto& [begin, allocation] = *std::prev(next);
  uint64_t offset = wanted - begin;
  bool inside =
      offset <= static_cast<uint64_t>(allocation.bytes) && bytes <= allocation.bytes - static_cast<int64_t>(offset);
  return inside ? allocation.memory.get() + offset : nullptr;
}

uint8_t* SimDevice::translate(const void* address, int64_t bytes, const char* what, const char* name) const {
  if (uint8_t* found = try_translate(address, bytes)) return found;
  throw Error(fmt::format("{} {}: {} bytes at {} are no memory of {}: was a transfer forgotten, or the memory freed?",
                          what, name, bytes, fmt::ptr(address), id().to_string()));
}

}  // namespace placewright
