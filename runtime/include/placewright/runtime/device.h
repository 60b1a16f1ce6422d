// What a device offers the executor. Adding a device is implementing this in a folder of its own.
// Addresses are opaque: only the device that gave one may use it, unless its memory is the host's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "placewright/base/error.h"
#include "placewright/ir/kernel_image.h"
#include "placewright/ir/machine.h"

namespace placewright {

class Device;

// The device stopped answering. Its memory is lost; the message names the kernel or copy that was running.
class DeviceLost : public Error {
 public:
  using Error::Error;
};

// An allocation failed. Nothing was changed: the next, smaller one may succeed.
class OutOfDeviceMemory : public Error {
 public:
  using Error::Error;
};

// Some memory on a device; does not own it.
struct BufferView {
  Device* device = nullptr;
  void* address = nullptr;
  int64_t bytes = 0;
};

// Memory on a device, freed with this object.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  // Throws OutOfDeviceMemory, which says what needed how much.
  DeviceMemory(std::shared_ptr<Device> device, int64_t bytes, int64_t alignment, const std::string& what);
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  BufferView view() const { return view_; }
  void* address() const { return view_.address; }
  int64_t bytes() const { return view_.bytes; }
  const std::shared_ptr<Device>& device() const { return device_; }
  explicit operator bool() const { return device_ != nullptr; }

 private:
  std::shared_ptr<Device> device_;
  BufferView view_;
};

// A kernel image ready to run. Entries keep the image's order.
class LoadedImage {
 public:
  virtual ~LoadedImage() = default;
  const std::vector<KernelEntry>& entries() const { return entries_; }
  int entry_index(const std::string& name) const;  // Error that lists the entries if there is none of that name

 protected:
  explicit LoadedImage(std::vector<KernelEntry> entries) : entries_(std::move(entries)) {}

 private:
  std::vector<KernelEntry> entries_;
};

// One run of an entry. All it points to must live until the stream has passed it.
struct KernelLaunch {
  const LoadedImage* image = nullptr;
  int entry = 0;
  void* const* buffers = nullptr;  // operands, results, workspaces: addresses on the launch's device
  const int64_t* buffer_bytes = nullptr;
  int buffer_count = 0;
  const int64_t* scalars = nullptr;
  uint64_t* status = nullptr;  // in host memory; valid once the launch is complete
  double flops = 0;
  double bytes = 0;
  const char* name = "";  // for errors: the entry and its origin
  int scalar_count = 0;
  const char* origin = "";  // for virtual clocks
};

// A point in a stream's work, made by record.
struct Event {
  Device* device = nullptr;
  int stream = 0;
  uint64_t number = 0;  // 0: complete already
  double seconds = 0;   // of a complete one
};

// One copy between the device, itself and the host's memory.
struct DeviceCopy {
  BufferView destination, source;
  int64_t bytes = 0;
  const char* name = "";
};

// A launch or a copy of work that is given as a whole. What it points to lives as long as what is prepared of it;
// addresses may change between runs, sizes may not.
struct WorkItem {
  const KernelLaunch* launch = nullptr;
  const DeviceCopy* copy = nullptr;  // if there is no launch
  std::vector<int> after;            // earlier items that it waits for
};

// Work that a device runs as a whole, again and again. Not to outlive its device.
class PreparedWork {
 public:
  virtual ~PreparedWork() = default;
};

// A device whose memory is the host's does its work before launch, copy and accumulate return; what others are given
// waits in streams until an event behind it is finished. Safe to use from several threads, each with streams of its
// own.
class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceSpec& spec() const = 0;
  const DeviceId& id() const { return spec().id; }
  bool is_host_memory() const { return spec().host_memory; }

  // Null if there is not enough memory; no bytes get an address of their own too. Contents are undefined.
  virtual void* try_allocate(int64_t bytes, int64_t alignment) = 0;
  virtual void free(void* address) noexcept = 0;
  virtual int64_t used_bytes() const = 0;
  // What its memory has left whoever uses the rest, this process or others; nothing where nobody counts that.
  virtual std::optional<int64_t> free_bytes() const { return {}; }

  // Error if the image's format, target or ABI is not this device's, or the image is damaged.
  virtual std::shared_ptr<const LoadedImage> load(const KernelImage& image) = 0;
  // The latest major of the compiler of its kernels whose images it is sure to load; 0: any.
  virtual int latest_compiler() const { return 0; }

  virtual int open_stream() = 0;
  // Work that the stream has not done yet is dropped.
  virtual void close_stream(int stream) noexcept = 0;
  virtual void launch(int stream, const KernelLaunch& launch) = 0;
  // What runs such a launch where that is not its own kernel: a library by name and version. Known once it was
  // launched.
  virtual std::string performer(const KernelLaunch&) const { return {}; }
  // Between this device and itself, the host's memory, or another device of its kind. `name` must outlive the copy.
  virtual void copy(int stream, BufferView destination, BufferView source, int64_t bytes, const char* name) = 0;
  // destination += source, both on this device: `count` elements of f32, f64, i32 or i64.
  virtual void accumulate(int stream, void* destination, const void* source, DType dtype, int64_t count) = 0;
  virtual Event record(int stream) = 0;
  virtual void wait(int stream, const Event& event) = 0;  // for later work of the stream; events of other devices too
  // Blocks until the event is complete; throws what went wrong before it on its stream. Returns the event's time in
  // seconds on the device's clock.
  virtual double finish(const Event& event) = 0;

  // Makes work ready to be run as a whole. Null if the device has nothing of the kind, or cannot for now: `reason` says
  // why, and the items are to be given one by one.
  virtual std::unique_ptr<PreparedWork> prepare(std::span<const WorkItem> items, std::string* reason);
  // Runs it with the addresses and scalars that its items have now. Later work of the stream is behind all of it.
  // False, with the reason, if that is no longer possible: then none of it was begun, and it is of no use any more.
  virtual bool run(int stream, PreparedWork& work, std::string* reason);
};

// Copies now, between any two devices of which one is the host's or both are of a kind, and waits for it.
void copy_now(BufferView destination, BufferView source, int64_t bytes, const char* name);

// The devices of this process, by id. Immutable.
class DeviceSet {
 public:
  DeviceSet() = default;
  DeviceSet(std::vector<std::shared_ptr<Device>> devices, std::vector<AbsentDevice> absent);
  const std::vector<std::shared_ptr<Device>>& devices() const { return devices_; }
  const std::vector<AbsentDevice>& absent() const { return absent_; }
  const std::shared_ptr<Device>& host() const;  // the first one with host memory
  const std::shared_ptr<Device>& find(
      const DeviceId& id) const;  // Error lists the devices there are, and why one is absent
  Machine machine(std::vector<Link> links) const;

 private:
  std::vector<std::shared_ptr<Device>> devices_;
  std::vector<AbsentDevice> absent_;
};

}  // namespace placewright
