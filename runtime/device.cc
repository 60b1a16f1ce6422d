#include "placewright/runtime/device.h"

#include <utility>

#include <fmt/core.h>

namespace placewright {

DeviceMemory::DeviceMemory(std::shared_ptr<Device> device, int64_t bytes, int64_t alignment, const std::string& what)
    : device_(std::move(device)) {
  void* address = device_->try_allocate(bytes, alignment);
  if (!address) {
    const int64_t used = device_->used_bytes(), all = device_->spec().memory_bytes;
    const std::optional<int64_t> free = device_->free_bytes();
    throw OutOfDeviceMemory(fmt::format(
        "{} is out of memory: {} needs {} bytes, {} of {} are in use{}", device_->id().to_string(), what, bytes, used,
        all, free && *free < all - used ? fmt::format(", and what others hold leaves {} free", *free) : ""));
  }
  view_ = {device_.get(), address, bytes};
}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : device_(std::exchange(other.device_, nullptr)), view_(std::exchange(other.view_, {})) {}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(view_, other.view_);
  return *this;
}

DeviceMemory::~DeviceMemory() {
  if (device_) device_->free(view_.address);
}

std::unique_ptr<PreparedWork> Device::prepare(std::span<const WorkItem>, std::string* reason) {
  *reason = fmt::format("{} takes launches and copies one by one", id().to_string());
  return nullptr;
}

bool Device::run(int, PreparedWork&, std::string*) {
  PW_CHECK(false, id().to_string());
  return false;
}

int LoadedImage::entry_index(const std::string& name) const {
  for (size_t i = 0; i < entries_.size(); ++i)
    if (entries_[i].name == name) return static_cast<int>(i);
  std::string known;
  for (const KernelEntry& entry : entries_) known += " " + entry.name;
  throw Error(fmt::format("kernel image has no entry '{}'; it has:{}", name, known));
}

void copy_now(BufferView destination, BufferView source, int64_t bytes, const char* name) {
  Device& device = destination.device->is_host_memory() ? *source.device : *destination.device;
  struct OpenStream {
    explicit OpenStream(Device& device) : device(device), number(device.open_stream()) {}
    ~OpenStream() { device.close_stream(number); }
    Device& device;
    int number;
  } stream(device);
  device.copy(stream.number, destination, source, bytes, name);
  device.finish(device.record(stream.number));
}

DeviceSet::DeviceSet(std::vector<std::shared_ptr<Device>> devices, std::vector<AbsentDevice> absent)
    : devices_(std::move(devices)), absent_(std::move(absent)) {
  for (size_t i = 0; i < devices_.size(); ++i)
    for (size_t k = 0; k < i; ++k) PW_CHECK(devices_[i]->id() != devices_[k]->id(), devices_[i]->id().to_string());
}

const std::shared_ptr<Device>& DeviceSet::host() const {
  for (const std::shared_ptr<Device>& device : devices_)
    if (device->is_host_memory()) return device;
  throw Error("no device with the host's memory");
}

const std::shared_ptr<Device>& DeviceSet::find(const DeviceId& id) const {
  for (const std::shared_ptr<Device>& device : devices_)
    if (device->id() == id) return device;
  machine({}).find(id);  // throws, with the list and the reason
  PW_CHECK(false, id.to_string());
  return devices_.front();
}

Machine DeviceSet::machine(std::vector<Link> links) const {
  Machine machine{{}, std::move(links), absent_};
  for (const std::shared_ptr<Device>& device : devices_) machine.devices.push_back(device->spec());
  return machine;
}

}  // namespace placewright
