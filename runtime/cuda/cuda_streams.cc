// Streams, events and copies of CudaDevice.
#include <algorithm>
#include <chrono>
#include <cstring>

#include <fmt/format.h>

#include "cuda_graph.h"
#include "lt_products.h"
#include "placewright/base/checked.h"
#include "placewright/runtime/cuda/cuda_device.h"

namespace placewright {
namespace {

constexpr size_t remembered_events = 4096;  // of a stream
constexpr size_t remembered_names = 16;     // of what may be running on a stream
constexpr int64_t staging_bytes = 4 << 20;  // of one staging buffer
constexpr size_t most_staging = 16;         // staging buffers of a device
constexpr int slot_count = 8192;            // launches whose status has not been handed over
constexpr double longest_clock = 8;         // seconds: an f32 of milliseconds is then exact to a microsecond

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

int CudaDevice::open_stream() {
  std::lock_guard lock(mutex_);
  enter();
  Stream stream;
  check(driver_->stream_create(&stream.handle, cuda::stream_non_blocking), "opening a stream");
  streams_.emplace(next_stream_, std::move(stream));
  return next_stream_++;
}

// What has been given to a GPU cannot be called back: it is waited for, and nothing of it reaches the host.
void CudaDevice::close_stream(int number) noexcept {
  std::lock_guard lock(mutex_);
  auto found = streams_.find(number);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  driver_->context_set(context_);
  driver_->stream_synchronize(stream.handle);
  if (products_) products_->close(stream.handle);
  for (const Delivery& delivery : stream.deliveries) {
    if (delivery.staging >= 0) staging_[static_cast<size_t>(delivery.staging)].held = false;
    if (delivery.slot < 0) continue;
    slots_[delivery.slot] = 0;
    free_slots_.push_back(delivery.slot);
  }
  for (const Recorded& recorded : stream.events) free_events_.push_back(recorded.event);
  driver_->stream_destroy(stream.handle);
  streams_.erase(found);
}

CudaDevice::Stream& CudaDevice::stream_at(int stream) {
  auto found = streams_.find(stream);
  PW_CHECK(found != streams_.end());
  return found->second;
}

void CudaDevice::note(Stream& stream, const char* name) {
  if (stream.unfinished.size() == remembered_names) stream.unfinished.pop_front();
  stream.unfinished.push_back({stream.recorded + 1, name});
}

cuda::EventObject* CudaDevice::take_event() {
  cuda::EventObject* event = nullptr;
  if (free_events_.empty()) {
    check(driver_->event_create(&event, 0), "making an event");
    events_.push_back(event);
  } else {
    event = free_events_.back();
    free_events_.pop_back();
  }
  return event;
}

Event CudaDevice::record(int number) {
  std::lock_guard lock(mutex_);
  enter();
  Stream& stream = stream_at(number);
  if (stream.events.size() == remembered_events) {
    // Whoever asks for it later is answered at once: it is complete.
    check(driver_->event_synchronize(stream.events.front().event), "waiting for an event");
    free_events_.push_back(stream.events.front().event);
    stream.events.pop_front();
  }
  cuda::EventObject* event = take_event();
  check(driver_->event_record(event, stream.handle), "recording an event");
  stream.events.push_back({event, ++stream.recorded});
  return {this, number, stream.recorded, 0};
}

void CudaDevice::wait(int number, const Event& event) {
  if (event.number == 0) return;  // complete already
  PW_CHECK(event.device != nullptr);
  auto* other = dynamic_cast<CudaDevice*>(event.device);
  cuda::EventObject* handle = nullptr;
  if (other) {
    std::lock_guard lock(other->mutex_);
    Stream& stream = other->stream_at(event.stream);
    // What stands before it and ends on the host must have arrived there.
    bool delivers = std::any_of(stream.deliveries.begin(), stream.deliveries.end(), [&](const Delivery& delivery) {
      return delivery.to && delivery.before_event <= event.number;
    });
    for (const Recorded& recorded : stream.events)
      if (!delivers && recorded.number == event.number) handle = recorded.event;
  }
  if (!handle) {
    event.device->finish(event);
    return;
  }
  std::lock_guard lock(mutex_);
  enter();
  check(driver_->stream_wait(stream_at(number).handle, handle, 0), "waiting on a stream");
}

double CudaDevice::finish(const Event& event) {
  if (event.number == 0) return now();
  PW_CHECK(event.device == this);
  std::unique_lock lock(mutex_);
  enter();
  Stream& stream = stream_at(event.stream);
  cuda::EventObject* handle = nullptr;
  for (auto recorded = stream.events.rbegin(); recorded != stream.events.rend(); ++recorded)
    if (recorded->number == event.number) {
      handle = recorded->event;
      break;
    }
  if (!handle) {  // long past: its exact time is forgotten
    deliver(stream, event.number);
    return now();
  }
  lock.unlock();
  cuda::Result result = driver_->event_synchronize(handle);
  lock.lock();
  check(result, "waiting for an event");
  deliver(stream, event.number);
  return seconds_of(handle);
}

double CudaDevice::seconds_of(cuda::EventObject* event) {
  float milliseconds = 0;
  check(driver_->event_milliseconds(&milliseconds, clock_zero_, event), "reading an event's time");
  double seconds = zero_seconds_ + static_cast<double>(milliseconds) * 1e-3;
  if (milliseconds > longest_clock * 1e3f) restart_clock();
  return seconds;
}

void CudaDevice::restart_clock() {
  if (!clock_zero_) clock_zero_ = take_event();
  check(driver_->event_record(clock_zero_, stream_at(internal_stream_).handle), "recording an event");
  check(driver_->event_synchronize(clock_zero_), "waiting for an event");
  zero_seconds_ = now();
}

void CudaDevice::deliver(Stream& stream, uint64_t number) {
  while (!stream.unfinished.empty() && stream.unfinished.front().before_event <= number) stream.unfinished.pop_front();
  while (!stream.deliveries.empty() && stream.deliveries.front().before_event <= number) {
    Delivery delivery = stream.deliveries.front();
    stream.deliveries.pop_front();
    if (delivery.staging >= 0) {
      Staging& staging = staging_[static_cast<size_t>(delivery.staging)];
      std::memcpy(delivery.to, staging.memory, static_cast<size_t>(delivery.bytes));
      staging.held = false;
    }
    if (delivery.graph) delivery.graph->deliver(delivery.to, delivery.from, delivery.bytes);
    if (delivery.slot >= 0) {
      if (delivery.status) *delivery.status |= slots_[delivery.slot];
      slots_[delivery.slot] = 0;
      free_slots_.push_back(delivery.slot);
    }
  }
}

void CudaDevice::finish_all(Stream& stream) {
  check(driver_->stream_synchronize(stream.handle), "waiting for a stream");
  deliver(stream, stream.recorded + 1);
}

int CudaDevice::take_slot() {
  if (!slots_) {
    void* memory = nullptr;
    check(driver_->host_allocate(&memory, slot_count * sizeof *slots_, cuda::host_portable | cuda::host_mapped),
          "allocating status words");
    slots_ = static_cast<uint64_t*>(memory);
    std::fill_n(slots_, slot_count, 0);
    check(driver_->host_address(&slots_address_, memory, 0), "mapping status words");
    for (int i = slot_count; i > 0; --i) free_slots_.push_back(i - 1);
  }
  if (free_slots_.empty())
    for (auto& [number, stream] : streams_) finish_all(stream);
  PW_CHECK(!free_slots_.empty());
  int slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

int CudaDevice::take_staging(int64_t bytes) {
  int oldest = -1;
  for (size_t i = 0; i < staging_.size(); ++i) {
    if (staging_[i].held || staging_[i].bytes < bytes) continue;
    if (driver_->event_query(staging_[i].last_use) == 0) return static_cast<int>(i);
    if (oldest < 0) oldest = static_cast<int>(i);
  }
  if (staging_.size() < most_staging) {
    // Small copies are many: their buffers are small, and taken for small copies only.
    Staging made;
    made.bytes = bytes <= (64 << 10) && staging_.size() < most_staging / 2 ? 64 << 10 : staging_bytes;
    made.last_use = take_event();
    const cuda::Result result =
        driver_->host_allocate(&made.memory, static_cast<size_t>(made.bytes), cuda::host_portable);
    if (result == 0) {
      staging_.push_back(made);
      return static_cast<int>(staging_.size()) - 1;
    }
    free_events_.push_back(made.last_use);
    if (result != cuda::out_of_memory) check(result, "allocating a staging buffer");
  }
  if (oldest >= 0)
    check(driver_->event_synchronize(staging_[static_cast<size_t>(oldest)].last_use), "waiting for a staging buffer");
  return oldest;
}

void CudaDevice::copy(int number, BufferView destination, BufferView source, int64_t bytes, const char* name) {
  std::lock_guard lock(mutex_);
  enter();
  if (bytes == 0) return;
  Stream& stream = stream_at(number);
  auto address = [](const BufferView& view) { return reinterpret_cast<cuda::Address>(view.address); };
  note(stream, name);
  if (destination.device == this && source.device == this) {
    check(driver_->copy_within(address(destination), address(source), static_cast<size_t>(bytes), stream.handle), name);
  } else if (destination.device == this && source.device->is_host_memory()) {
    copy_from_host(stream, address(destination), static_cast<const uint8_t*>(source.address), bytes);
  } else if (source.device == this && destination.device->is_host_memory()) {
    copy_to_host(stream, static_cast<uint8_t*>(destination.address), address(source), bytes);
  } else {
    auto* to = dynamic_cast<CudaDevice*>(destination.device);
    auto* from = dynamic_cast<CudaDevice*>(source.device);
    if (!to || !from || (to != this && from != this))
      throw Error(fmt::format("copy {}: {} cannot reach {}", name, id().to_string(),
                              (destination.device == this ? source : destination).device->id().to_string()));
    check(driver_->copy_peer(address(destination), to->context_, address(source), from->context_,
                             static_cast<size_t>(bytes), stream.handle),
          name);
  }
}

// The source is read now: it is ready, as the host's work is done when it is given, but for copies of this stream that
// have not been handed over.
void CudaDevice::require_host_side(Stream& stream, const uint8_t* from, int64_t bytes) {
  for (const Delivery& delivery : stream.deliveries) {
    const auto* to = static_cast<const uint8_t*>(delivery.to);
    if (!to || to >= from + bytes || from >= to + delivery.bytes) continue;
    finish_all(stream);
    return;
  }
}

void CudaDevice::copy_from_host(Stream& stream, cuda::Address to, const uint8_t* from, int64_t bytes) {
  require_host_side(stream, from, bytes);
  for (int64_t done = 0; done < bytes; done += staging_bytes) {
    int64_t part = std::min(staging_bytes, bytes - done);
    int index = take_staging(part);
    if (index < 0) {
      finish_all(stream);
      index = take_staging(part);
    }
    if (index < 0) {  // other streams hold them all, or none can be had: the driver copies by itself, and waits
      check(driver_->copy_in(to + static_cast<uint64_t>(done), from + done, static_cast<size_t>(part), stream.handle),
            "copying from the host");
      check(driver_->stream_synchronize(stream.handle), "waiting for a stream");
      continue;
    }
    Staging& staging = staging_[static_cast<size_t>(index)];
    std::memcpy(staging.memory, from + done, static_cast<size_t>(part));
    check(driver_->copy_in(to + static_cast<uint64_t>(done), staging.memory, static_cast<size_t>(part), stream.handle),
          "copying from the host");
    check(driver_->event_record(staging.last_use, stream.handle), "recording an event");
  }
}

void CudaDevice::copy_to_host(Stream& stream, uint8_t* to, cuda::Address from, int64_t bytes) {
  for (int64_t done = 0; done < bytes; done += staging_bytes) {
    int64_t part = std::min(staging_bytes, bytes - done);
    int index = take_staging(part);
    if (index < 0) {  // a large copy is handed over in pieces on the way
      finish_all(stream);
      index = take_staging(part);
    }
    cuda::Address source = from + static_cast<uint64_t>(done);
    if (index < 0) {
      check(driver_->copy_out(to + done, source, static_cast<size_t>(part), stream.handle), "copying to the host");
      check(driver_->stream_synchronize(stream.handle), "waiting for a stream");
      continue;
    }
    Staging& staging = staging_[static_cast<size_t>(index)];
    check(driver_->copy_out(staging.memory, source, static_cast<size_t>(part), stream.handle), "copying to the host");
    check(driver_->event_record(staging.last_use, stream.handle), "recording an event");
    staging.held = true;
    stream.deliveries.push_back({stream.recorded + 1, to + done, part, index});
  }
}

}  // namespace placewright
