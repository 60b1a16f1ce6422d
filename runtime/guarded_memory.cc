#include <algorithm>

#include <fmt/core.h>

#include "bound_program.h"
#include "placewright/base/checked.h"

namespace placewright {
namespace {

constexpr int64_t canary_bytes = 64;
constexpr uint8_t canary = 0xa5;
constexpr uint8_t poison_byte = 0xff;  // NaN as f32 and f64

}  // namespace

GuardedMemory::GuardedMemory(const std::shared_ptr<Device>& device, const std::vector<Payload>& payloads, bool guard,
                             const std::string& what)
    : payloads_(payloads) {
  int64_t gap = guard ? canary_bytes : 0, at = gap, alignment = 64;
  for (const Payload& payload : payloads) {
    at = round_up(at, payload.alignment);
    offsets_.push_back(at);
    at = checked_add(checked_add(at, payload.bytes), gap);
    alignment = std::max(alignment, payload.alignment);
  }
  memory_ = DeviceMemory(device, at, alignment, what);
}

std::vector<uint8_t> GuardedMemory::pattern() const {
  std::vector<uint8_t> bytes(static_cast<size_t>(memory_.bytes()), canary);
  for (size_t i = 0; i < payloads_.size(); ++i)
    std::fill_n(bytes.begin() + offsets_[i], payloads_[i].bytes, poison_byte);
  return bytes;
}

void GuardedMemory::poison(const std::shared_ptr<Device>& host) const {
  std::vector<uint8_t> bytes = pattern();
  copy_now(memory_.view(), {host.get(), bytes.data(), memory_.bytes()}, memory_.bytes(), "poison");
}

void GuardedMemory::check(const std::shared_ptr<Device>& host) const {
  std::vector<uint8_t> expected = pattern(), found(expected.size());
  copy_now({host.get(), found.data(), memory_.bytes()}, memory_.view(), memory_.bytes(), "canaries");
  int64_t at = 0;
  for (size_t i = 0; i <= payloads_.size(); ++i) {
    int64_t end = i < payloads_.size() ? offsets_[i] : memory_.bytes();
    for (; at < end; ++at) {
      if (found[static_cast<size_t>(at)] == expected[static_cast<size_t>(at)]) continue;
      std::string before = i > 0 ? payloads_[i - 1].what : "the start";
      std::string behind = i < payloads_.size() ? payloads_[i].what : "the end";
      throw Error(fmt::format("a kernel wrote outside its buffers, between {} and {} on {}", before, behind,
                              memory_.device()->id().to_string()));
    }
    if (i < payloads_.size()) at = offsets_[i] + payloads_[i].bytes;
  }
}

}  // namespace placewright
