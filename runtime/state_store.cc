#include "placewright/runtime/state_store.h"

#include <algorithm>

#include <fmt/core.h>

#include "placewright/base/error.h"
#include "placewright/ir/graph.h"
#include "placewright/runtime/layout_copy.h"

namespace placewright {
namespace {

constexpr int64_t alignment = 64;

int64_t physical_bytes(DType dtype, const Sizes& sizes, const Layout& layout) {
  return byte_size(dtype, element_count(physical_sizes(layout, sizes)));
}

BufferView host_view(const std::shared_ptr<Device>& host, const void* address, int64_t bytes) {
  return {host.get(), const_cast<void*>(address), bytes};
}

}  // namespace

StateStore::Lease::Lease(const StateStore& store, Kind kind) : store_(store), kind_(kind) {
  std::atomic<int32_t>& lock = store_.lock_;
  for (int32_t seen = lock.load(std::memory_order_relaxed);;) {
    bool free = kind_ == Kind::shared ? seen >= 0 : seen == 0;
    if (!free) {
      lock.wait(seen, std::memory_order_relaxed);
      seen = lock.load(std::memory_order_relaxed);
    } else if (lock.compare_exchange_weak(seen, kind_ == Kind::shared ? seen + 1 : -1, std::memory_order_acquire,
                                          std::memory_order_relaxed)) {
      return;
    }
  }
}

StateStore::Lease::~Lease() {
  // Sequentially consistent: libstdc++'s notify_all looks for waiters first, and that load must not overtake the store.
  if (kind_ == Kind::exclusive)
    store_.lock_.store(0, std::memory_order_seq_cst);
  else if (store_.lock_.fetch_sub(1, std::memory_order_release) != 1)
    return;
  store_.lock_.notify_all();
}

void StateStore::add(const std::string& name, const HostTensor& value) {
  add(name, value.dtype(), value.sizes(), [&](uint8_t* elements) { write_physical(value, {}, elements); });
}

void StateStore::add(const std::string& name, DType dtype, const Sizes& sizes,
                     const std::function<void(uint8_t*)>& fill) {
  Lease lease(*this, Lease::Kind::exclusive);
  add_locked(name, dtype, sizes, fill);
}

void StateStore::add_locked(const std::string& name, DType dtype, const Sizes& sizes,
                            const std::function<void(uint8_t*)>& fill) {
  if (states_.count(name)) throw Error(fmt::format("there is a state called '{}' already", name));
  int64_t bytes = byte_size(dtype, element_count(sizes));
  // Made first: GCC destroys members twice when a later one of an aggregate throws (PR 66139).
  DeviceMemory memory = allocate(host_, bytes, name);
  State state{{host_->id(), dtype, sizes, {}, bytes}, std::move(memory)};
  if (bytes > 0) fill(static_cast<uint8_t*>(state.memory.address()));
  states_.emplace(name, std::move(state));
}

DeviceMemory StateStore::allocate(const std::shared_ptr<Device>& device, int64_t bytes, const std::string& name) const {
  try {
    return DeviceMemory(device, bytes, alignment, fmt::format("state '{}'", name));
  } catch (const OutOfDeviceMemory& error) {
    constexpr size_t named = 5;
    std::vector<std::pair<int64_t, std::string>> there;
    for (const auto& [other, state] : states_)
      if (state.memory.device() == device) there.emplace_back(-state.place.bytes, other);
    std::sort(there.begin(), there.end());
    std::string holders;
    for (size_t i = 0; i < std::min(named, there.size()); ++i)
      holders +=
          fmt::format("{}state '{}' of {} bytes", i == 0 ? "; it holds " : ", ", there[i].second, -there[i].first);
    throw OutOfDeviceMemory(error.what() + holders);
  }
}

const StateStore::State& StateStore::find(const std::string& name) const {
  auto found = states_.find(name);
  if (found == states_.end()) throw Error(fmt::format("there is no state called '{}'", name));
  return found->second;
}

bool StateStore::has(const std::string& name) const {
  Lease lease(*this, Lease::Kind::shared);
  return states_.count(name) > 0;
}

std::vector<std::string> StateStore::names() const {
  Lease lease(*this, Lease::Kind::shared);
  std::vector<std::string> names;
  for (const auto& [name, state] : states_) names.push_back(name);
  return names;
}

StatePlace StateStore::place(const std::string& name) const {
  Lease lease(*this, Lease::Kind::shared);
  return find(name).place;
}

HostTensor StateStore::read_locked(const State& state) const {
  const StatePlace& place = state.place;
  if (state.memory.device()->is_host_memory())
    return read_physical(place.dtype, place.sizes, place.layout, static_cast<const uint8_t*>(state.memory.address()));
  std::vector<uint8_t> bytes(static_cast<size_t>(place.bytes));
  copy_now(host_view(host_, bytes.data(), place.bytes), state.memory.view(), place.bytes, "state to the host");
  return read_physical(place.dtype, place.sizes, place.layout, bytes.data());
}

HostTensor StateStore::read(const std::string& name) const {
  Lease lease(*this, Lease::Kind::shared);
  return read_locked(find(name));
}

void StateStore::write(const std::string& name, const HostTensor& value) {
  Lease lease(*this, Lease::Kind::exclusive);
  const StatePlace& place = find(name).place;
  if (place.dtype != value.dtype() || place.sizes != value.sizes())
    throw Error(fmt::format("state '{}' is {}{}, found a value of {}{}", name, placewright::name(place.dtype),
                            to_string(place.sizes), placewright::name(value.dtype()), to_string(value.sizes())));
  for (const auto& [each, state] : states_)
    if (each == name || primary_name(each) == name) write_locked(state, value);
}

void StateStore::copy(const std::string& to, const std::string& from) {
  Lease lease(*this, Lease::Kind::exclusive);
  const HostTensor value = read_locked(find(from));
  if (states_.count(to)) return write_locked(find(to), value);
  add_locked(to, value.dtype(), value.sizes(), [&](uint8_t* elements) { write_physical(value, {}, elements); });
}

void StateStore::write_locked(const State& state, const HostTensor& value) const {
  const StatePlace& place = state.place;
  if (state.memory.device()->is_host_memory())
    return write_physical(value, place.layout, static_cast<uint8_t*>(state.memory.address()));
  std::vector<uint8_t> bytes(static_cast<size_t>(place.bytes));
  write_physical(value, place.layout, bytes.data());
  copy_now(state.memory.view(), host_view(host_, bytes.data(), place.bytes), place.bytes, "state from the host");
}

void StateStore::remove(const std::string& name) {
  Lease lease(*this, Lease::Kind::exclusive);
  find(name);
  states_.erase(name);
  generation_.fetch_add(1, std::memory_order_release);
}

std::string StateStore::put(const Lease& lease, const std::string& name, const std::shared_ptr<Device>& device,
                            const Layout& layout, TransferCount* count) {
  PW_CHECK(lease.kind() == Lease::Kind::exclusive);
  auto& state = const_cast<State&>(find(name));
  StatePlace before = state.place;
  if (before.device == device->id() && before.layout == layout) return "";
  StatePlace after = before;
  after.device = device->id();
  after.layout = layout;
  after.bytes = physical_bytes(after.dtype, after.sizes, layout);
  DeviceMemory memory = allocate(device, after.bytes, name);
  auto count_copy = [&](int64_t bytes) {
    count->bytes += bytes;
    ++count->copies;
  };
  if (before.layout == layout) {
    copy_now(memory.view(), state.memory.view(), after.bytes, "state to its device");
    count_copy(after.bytes);
  } else {  // through the host, where layouts are made
    HostTensor value = read_locked(state);
    if (!state.memory.device()->is_host_memory()) count_copy(before.bytes);
    std::vector<uint8_t> bytes(static_cast<size_t>(after.bytes));
    write_physical(value, layout, bytes.data());
    copy_now(memory.view(), host_view(host_, bytes.data(), after.bytes), after.bytes, "state to its device");
    if (!device->is_host_memory()) count_copy(after.bytes);
  }
  bool was_used = before.device != host_->id() || !before.layout.is_row_major();
  state.place = after;
  state.memory = std::move(memory);
  generation_.fetch_add(1, std::memory_order_release);
  if (!was_used) return "";
  return fmt::format("state '{}' was moved or converted: {} -> {}, {} bytes", name, before.device.to_string(),
                     after.device.to_string(), after.bytes);
}

void StateStore::settle(const std::string& name) {
  Lease lease(*this, Lease::Kind::exclusive);
  const_cast<State&>(find(name)).is_settled = true;
}

std::optional<Layout> StateStore::settled_layout(const std::string& name) const {
  Lease lease(*this, Lease::Kind::shared);
  const State& state = find(name);
  return state.is_settled ? std::optional(state.place.layout) : std::nullopt;
}

bool StateStore::is_at(const Lease&, const std::string& name, const DeviceId& device, const Layout& layout) const {
  const StatePlace& place = find(name).place;
  return place.device == device && place.layout == layout;
}

BufferView StateStore::view(const Lease&, const std::string& name) const { return find(name).memory.view(); }

}  // namespace placewright
