#include <cstring>

#include <fmt/core.h>

#include "capture/node.h"
#include "placewright/runtime/state_store.h"
#include "session_body.h"

namespace placewright::capture {
namespace {

State::Fill filled_with(const HostTensor& value) {
  return [value](uint8_t* elements) { std::memcpy(elements, value.raw(), static_cast<size_t>(value.bytes())); };
}

}  // namespace

State::State(const HostTensor& initial, Site made)
    : State(initial.dtype(), initial.sizes(), filled_with(initial), made) {}

State::State(DType dtype, Sizes sizes, Fill fill, Site made)
    : pin(scope_pin()), dtype_(dtype), sizes_(std::move(sizes)), fill_(std::move(fill)), made_(made) {}

State::~State() {
  if (store_) store_->remove(key_);
  if (session_) session_->release_name(key_);
}

HostTensor State::read() const {
  std::unique_lock lock(mutex_);
  if (std::shared_ptr<StateStore> store = store_) {
    lock.unlock();
    return store->read(key_);
  }
  HostTensor value(dtype_, sizes_);
  fill_(value.raw());
  return value;
}

void State::write(const HostTensor& value) {
  std::unique_lock lock(mutex_);
  if (std::shared_ptr<StateStore> store = store_) {
    lock.unlock();
    store->write(key_, value);
  } else {
    fill_ = filled_with(value);
  }
}

void State::convert(DType dtype) {
  std::lock_guard lock(mutex_);
  if (session_)
    throw Error(fmt::format("parameter {} cannot become {}: it is in use; convert the module before its first use",
                            name, placewright::name(dtype)));
  HostTensor value(dtype_, sizes_), converted(dtype, sizes_);
  fill_(value.raw());
  for (int64_t i = 0; i < value.elements(); ++i) converted.set_number(i, value.number(i));
  dtype_ = dtype;
  fill_ = filled_with(converted);
}

const std::string& State::key() {
  std::lock_guard lock(mutex_);
  return key_locked();
}

const std::string& State::key_locked() {
  if (!session_) {
    session_ = Session::current();
    key_ = session_->claim_name(name.empty() ? "state" : name);
  }
  return key_;
}

void State::enter(const std::shared_ptr<StateStore>& store) {
  std::lock_guard lock(mutex_);
  if (store_ == store) return;
  if (store_) throw Error(fmt::format("state {} belongs to a session that configure() has replaced", key_));
  store->add(key_locked(), dtype_, sizes_, fill_);
  store_ = store;
  fill_ = nullptr;
}

}  // namespace placewright::capture
