#include "bound_program.h"
#include "placewright/runtime/layout_copy.h"

namespace placewright {

ResultMemory::ResultMemory(std::unique_ptr<Body> body) : body_(std::move(body)) {}
ResultMemory::~ResultMemory() = default;

BufferView ResultMemory::view() const { return {body_->device.get(), body_->memory.address(0), body_->bytes}; }

const Layout& ResultMemory::layout() const { return body_->layout; }

HostTensor ResultMemory::read() const {
  BufferView from = view();
  if (from.device->is_host_memory())
    return read_physical(body_->dtype, body_->sizes, body_->layout, static_cast<const uint8_t*>(from.address));
  std::vector<uint8_t> bytes(static_cast<size_t>(from.bytes));
  copy_now({body_->host.get(), bytes.data(), from.bytes}, from, from.bytes, body_->name.c_str());
  body_->read_back->bytes += from.bytes;
  ++body_->read_back->copies;
  return read_physical(body_->dtype, body_->sizes, body_->layout, bytes.data());
}

}  // namespace placewright
