// What placement knows of a machine: devices, memory, rates, launch overheads, links, and what is absent and why.
// Plain data with a text form, so that a plan for a machine can be made on any other. Units: bytes, seconds, per
// second.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "placewright/ir/dtype.h"
#include "placewright/ir/type.h"

namespace placewright {

enum class Precision : uint8_t;  // ir/kernel.h

// Peak rate of an op class (ir/work.h) in operations per second. A device runs the op classes and dtypes that it has
// rates for. With another precision than f32: of products of f32 whose factors it rounds to that.
struct Rate {
  std::string op_class;
  DType dtype = DType::f32;
  double per_second = 0;
  Precision precision{};
  friend bool operator==(const Rate&, const Rate&) = default;
};

struct DeviceSpec {
  DeviceId id;
  std::string name;          // for people: "AMD EPYC 9B45"
  std::string target;        // what kernel images must match
  bool host_memory = false;  // its memory is the host's: no transfer reaches it
  int threads = 1;
  int64_t memory_bytes = 0;
  double memory_bandwidth = 0;
  double launch_seconds = 0;  // overhead of one launch
  std::vector<Rate> rates;

  // The rate of the class and dtype; 0 if the device has none. A device that has none of the precision's own rounds
  // no factors: it takes as long as without.
  double rate(std::string_view op_class, DType dtype, Precision precision = {}) const;
  bool has_rate(std::string_view op_class, DType dtype, Precision precision = {}) const;
  friend bool operator==(const DeviceSpec&, const DeviceSpec&) = default;
};

// One direction between two devices.
struct Link {
  DeviceId from, to;
  double latency_seconds = 0;
  double bytes_per_second = 0;
  friend bool operator==(const Link&, const Link&) = default;
};

// A kind of device that cannot be used here: what the doctor found. It becomes the reason of ops that run elsewhere.
struct AbsentDevice {
  std::string kind;  // "cuda"
  std::string code;  // stable: "no-driver"
  std::string cause;
  std::string fix;
  friend bool operator==(const AbsentDevice&, const AbsentDevice&) = default;
};

struct Machine {
  std::vector<DeviceSpec> devices;
  std::vector<Link> links;
  std::vector<AbsentDevice> absent;

  const DeviceSpec* try_find(const DeviceId& id) const;  // null if absent
  const DeviceSpec& find(const DeviceId& id) const;      // Error lists the devices, and why this one is absent
  const Link* try_link(const DeviceId& from, const DeviceId& to) const;
  friend bool operator==(const Machine&, const Machine&) = default;
};

std::string print_machine(const Machine& machine);
// Exact round trip. Error names `name` (the file), the line, what was found and what was expected: what is negative,
// not finite, unknown or there twice is refused.
Machine parse_machine(std::string_view text, std::string_view name = "machine");
// Error unless the machine can be planned for: a device is the host's, all have memory and bandwidth, and links lead
// from each device to each other one whose memory is not the same.
void verify_machine(const Machine& machine, std::string_view name = "machine");

}  // namespace placewright
