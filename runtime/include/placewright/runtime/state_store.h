// Owns the buffers of parameters and optimizer state by name, with their device and layout. Executables share it.
// What people see of a state is logical and row-major; where it stands and how is the store's business.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "placewright/ir/host_tensor.h"
#include "placewright/ir/type.h"
#include "placewright/runtime/device.h"

namespace placewright {

// Bytes that crossed between devices, as the runtime counted them.
struct TransferCount {
  int64_t bytes = 0;
  int64_t copies = 0;
};

// How one state is held now: what a later compile takes as a constraint.
struct StatePlace {
  DeviceId device;
  DType dtype = DType::f32;
  Sizes sizes;
  Layout layout;
  int64_t bytes = 0;
  friend bool operator==(const StatePlace&, const StatePlace&) = default;
};

class StateStore {
 public:
  // Many readers, or one that updates. Made by a run of an executable, and by import and export.
  class Lease;

  explicit StateStore(std::shared_ptr<Device> host) : host_(std::move(host)) {}
  StateStore(const StateStore&) = delete;

  // Adds a state in host memory, row-major. Error if there is one of that name.
  void add(const std::string& name, const HostTensor& value);
  // The same; `fill` writes the elements in place, to memory that may hold anything. It is not called for none.
  void add(const std::string& name, DType dtype, const Sizes& sizes, const std::function<void(uint8_t*)>& fill);
  bool has(const std::string& name) const;
  std::vector<std::string> names() const;  // sorted
  StatePlace place(const std::string& name) const;

  // The state's logical value. Waits for calls that update.
  HostTensor read(const std::string& name) const;
  // Replaces the value where it stands, and those of its replicas: no call sees one without the other. Error if dtype
  // or sizes differ. Waits for running calls.
  void write(const std::string& name, const HostTensor& value);
  // Gives a state the value of another, of its type; adds it if there is none of that name. Waits for running calls.
  void copy(const std::string& to, const std::string& from);
  void remove(const std::string& name);

  // Puts a state on a device in a layout: nothing to do if it is there already. Executables that were bound to the old
  // place find out at their next call and bind again. Returns one line for people if a state that had left the host's
  // row-major form had to be converted or moved, else nothing. `lease` must be exclusive.
  std::string put(const Lease& lease, const std::string& name, const std::shared_ptr<Device>& device,
                  const Layout& layout, TransferCount* count);
  bool is_at(const Lease& lease, const std::string& name, const DeviceId& device, const Layout& layout) const;
  // An executable that is kept reads the state as it stands: later compiles should take its layout as given.
  void settle(const std::string& name);
  std::optional<Layout> settled_layout(const std::string& name) const;
  BufferView view(const Lease& lease, const std::string& name) const;
  // Changes whenever an address may have changed.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

 private:
  struct State {
    StatePlace place;
    DeviceMemory memory;
    bool is_settled = false;
  };
  const State& find(const std::string& name) const;
  HostTensor read_locked(const State& state) const;
  void write_locked(const State& state, const HostTensor& value) const;
  // OutOfDeviceMemory names the largest states there.
  DeviceMemory allocate(const std::shared_ptr<Device>& device, int64_t bytes, const std::string& name) const;
  void add_locked(const std::string& name, DType dtype, const Sizes& sizes, const std::function<void(uint8_t*)>& fill);

  std::shared_ptr<Device> host_;
  std::map<std::string, State> states_;
  std::atomic<uint64_t> generation_{1};
  mutable std::atomic<int32_t> lock_{0};  // number of readers, or -1: one that updates
};

class StateStore::Lease {
 public:
  enum class Kind { shared, exclusive };
  Lease(const StateStore& store, Kind kind);  // blocks
  ~Lease();
  Lease(const Lease&) = delete;
  Kind kind() const { return kind_; }

 private:
  const StateStore& store_;
  Kind kind_;
};

}  // namespace placewright
