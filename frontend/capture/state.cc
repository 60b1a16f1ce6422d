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

State::State(const HostTensor& initial, Site made) : State(initial.dtype(), initial.sizes(), filled_with(initial), made) {}

State::State(DType dtype, Sizes sizes, Fill fill, Site made)
    : dtype_(dtype), sizes_(std::move(sizes)), fill_(std::move(fill)), made_(made) {}

State::~State() {
  if (store_) store_->remove(key_);
  if (session_) session_->release_name(key_);
}

HostTensor State::read() const {
  if (store_) return store_->read(key_);
  HostTensor value(dtype_, sizes_);
  fill_(value.raw());
  return value;
}

void State::write(const HostTensor& value) {
  if (!store_) {
    fill_ = filled_with(value);
    return;
  }
  for (const std::string& each : store_->names())  // replicas, too
    if (primary_name(each) == key_) store_->write(each, value);
}

void State::convert(DType dtype) {
  if (session_)
    throw Error(fmt::format("parameter {} cannot become {}: it is in use; convert the module before its first use",
                            name, placewright::name(dtype)));
  HostTensor value = read(), converted(dtype, sizes_);
  for (int64_t i = 0; i < value.elements(); ++i) converted.set_number(i, value.number(i));
  dtype_ = dtype;
  fill_ = filled_with(converted);
}

const std::string& State::key() {
  if (!session_) {
    session_ = Session::current();
    key_ = session_->claim_name(name.empty() ? "state" : name);
  }
  return key_;
}

void State::enter(const std::shared_ptr<StateStore>& store) {
  if (store_ == store) return;
  if (store_) throw Error(fmt::format("state {} belongs to a session that configure() has replaced", key_));
  store->add(key(), dtype_, sizes_, fill_);
  store_ = store;
  fill_ = nullptr;
}

}  // namespace placewright::capture
