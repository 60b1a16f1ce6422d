#include <fmt/format.h>

#include "capture/node.h"
#include "placewright/runtime/state_store.h"
#include "session_body.h"

namespace placewright::capture {

State::~State() {
  if (store_) store_->remove(key_);
  if (session_) session_->release_name(key_);
}

HostTensor State::read() const { return store_ ? store_->read(key_) : value_; }

void State::write(const HostTensor& value) {
  if (store_)
    store_->write(key_, value);
  else
    value_ = value;
}

void State::convert(DType dtype) {
  if (session_)
    throw Error(fmt::format("parameter {} cannot become {}: it is in use; convert the module before its first use",
                            name, placewright::name(dtype)));
  HostTensor converted(dtype, value_.sizes());
  for (int64_t i = 0; i < value_.elements(); ++i) converted.set_number(i, value_.number(i));
  value_ = std::move(converted);
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
  store->add(key(), value_);
  store_ = store;
  value_ = HostTensor();
}

}  // namespace placewright::capture
