#include "placewright/ir/machine.h"

#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "placewright/base/error.h"
#include "placewright/base/lexer.h"
#include "placewright/ir/kernel.h"
#include "placewright/ir/parse_type.h"
#include "rated_work.h"

namespace placewright {
namespace {

std::string print(const DeviceSpec& device) {
  std::string text =
      fmt::format("device {} {} target {} {}memory {} bandwidth {} threads {} launch {} {{\n", device.id.to_string(),
                  quote(device.name), quote(device.target), device.host_memory ? "host " : "", device.memory_bytes,
                  device.memory_bandwidth, device.threads, device.launch_seconds);
  for (const Rate& rate : device.rates)
    text += fmt::format("  rate {} {}\n", print_rated_work(quote(rate.op_class), rate.dtype, rate.precision),
                        rate.per_second);
  return text + "}\n";
}

// A finite number, at least 0 or above it.
double read_number(Lexer& lexer, std::string_view label, bool may_be_zero) {
  size_t at = lexer.position();
  double value = lexer.number(label);
  if (!std::isfinite(value) || value < 0 || (value == 0 && !may_be_zero))
    lexer.fail_at(at, fmt::format("{} is {}, expected a finite number {} 0", label, value, may_be_zero ? ">=" : ">"));
  return value;
}

double read_labelled(Lexer& lexer, std::string_view label, bool may_be_zero) {
  lexer.expect(label);
  return read_number(lexer, label, may_be_zero);
}

Rate read_rate(Lexer& lexer, const DeviceSpec& device) {
  size_t at = lexer.position();
  Rate rate;
  read_rated_work(lexer, rate.op_class, rate.dtype, rate.precision);
  const std::string what = print_rated_work(rate.op_class, rate.dtype, rate.precision);
  if (device.has_rate(rate.op_class, rate.dtype, rate.precision))
    lexer.fail_at(at, fmt::format("the rate of {} stands here twice", what));
  if (rate.precision != Precision::f32 && !device.has_rate(rate.op_class, rate.dtype))
    lexer.fail_at(at, fmt::format("the rate of {} stands before that of {} {}, which the device must have, too", what,
                                  rate.op_class, name(rate.dtype)));
  rate.per_second = read_number(lexer, "operations per second", false);
  return rate;
}

DeviceSpec read_device_spec(Lexer& lexer) {
  DeviceSpec device;
  device.id = parse_device(lexer);
  device.name = lexer.string("the device's name");
  lexer.expect("target");
  device.target = lexer.string("the target");
  device.host_memory = lexer.accept("host");
  lexer.expect("memory");
  size_t at = lexer.position();
  device.memory_bytes = lexer.integer("bytes of memory");
  if (device.memory_bytes < 0) lexer.fail_at(at, fmt::format("{} bytes of memory", device.memory_bytes));
  device.memory_bandwidth = read_labelled(lexer, "bandwidth", true);
  lexer.expect("threads");
  at = lexer.position();
  int64_t threads = lexer.integer("a number of threads");
  if (threads < 1 || threads > INT32_MAX) lexer.fail_at(at, fmt::format("{} threads, expected at least 1", threads));
  device.threads = static_cast<int>(threads);
  device.launch_seconds = read_labelled(lexer, "launch", true);
  lexer.expect("{");
  while (!lexer.accept("}")) {
    lexer.expect("rate");
    device.rates.push_back(read_rate(lexer, device));
  }
  return device;
}

}  // namespace

double DeviceSpec::rate(std::string_view op_class, DType dtype, Precision precision) const {
  double unrounded = 0;
  for (const Rate& entry : rates) {
    if (entry.op_class != op_class || entry.dtype != dtype) continue;
    if (entry.precision == precision) return entry.per_second;
    if (entry.precision == Precision::f32) unrounded = entry.per_second;
  }
  return unrounded;
}

bool DeviceSpec::has_rate(std::string_view op_class, DType dtype, Precision precision) const {
  return std::any_of(rates.begin(), rates.end(), [&](const Rate& entry) {
    return entry.op_class == op_class && entry.dtype == dtype && entry.precision == precision;
  });
}

const DeviceSpec* Machine::try_find(const DeviceId& id) const {
  for (const DeviceSpec& device : devices)
    if (device.id == id) return &device;
  return nullptr;
}

const DeviceSpec& Machine::find(const DeviceId& id) const {
  if (const DeviceSpec* device = try_find(id)) return *device;
  std::string message = fmt::format("no device {} here; there are:", id.to_string());
  for (const DeviceSpec& device : devices) message += " " + device.id.to_string();
  for (const AbsentDevice& entry : absent)
    if (entry.kind == id.kind) message += fmt::format("; {} ({}): {}", entry.cause, entry.code, entry.fix);
  throw Error(message);
}

const Link* Machine::try_link(const DeviceId& from, const DeviceId& to) const {
  for (const Link& link : links)
    if (link.from == from && link.to == to) return &link;
  return nullptr;
}

std::string print_machine(const Machine& machine) {
  std::string text;
  for (const DeviceSpec& device : machine.devices) text += print(device);
  for (const Link& link : machine.links)
    text += fmt::format("link {} -> {} latency {} bandwidth {}\n", link.from.to_string(), link.to.to_string(),
                        link.latency_seconds, link.bytes_per_second);
  for (const AbsentDevice& entry : machine.absent)
    text += fmt::format("absent {} code {} cause {} fix {}\n", quote(entry.kind), quote(entry.code), quote(entry.cause),
                        quote(entry.fix));
  return text;
}

Machine parse_machine(std::string_view text, std::string_view name) {
  Lexer lexer(text, std::string(name));
  Machine machine;
  auto known_device = [&] {
    size_t at = lexer.position();
    DeviceId id = parse_device(lexer);
    if (!machine.try_find(id)) lexer.fail_at(at, fmt::format("no device {} stands before this link", id.to_string()));
    return id;
  };
  while (!lexer.at_end()) {
    if (lexer.accept("device")) {
      size_t at = lexer.position();
      DeviceSpec made = read_device_spec(lexer);
      if (machine.try_find(made.id)) lexer.fail_at(at, fmt::format("{} stands here twice", made.id.to_string()));
      machine.devices.push_back(std::move(made));
    } else if (lexer.accept("link")) {
      size_t at = lexer.position();
      Link link;
      link.from = known_device();
      lexer.expect("->");
      link.to = known_device();
      std::string both = fmt::format("{} -> {}", link.from.to_string(), link.to.to_string());
      if (link.from == link.to) lexer.fail_at(at, fmt::format("link {} leads nowhere", both));
      if (machine.try_link(link.from, link.to)) lexer.fail_at(at, fmt::format("link {} stands here twice", both));
      link.latency_seconds = read_labelled(lexer, "latency", true);
      link.bytes_per_second = read_labelled(lexer, "bandwidth", false);
      machine.links.push_back(std::move(link));
    } else if (lexer.accept("absent")) {
      AbsentDevice entry;
      entry.kind = lexer.string("a kind of device");
      lexer.expect("code");
      entry.code = lexer.string("a code");
      lexer.expect("cause");
      entry.cause = lexer.string("a cause");
      lexer.expect("fix");
      entry.fix = lexer.string("a fix");
      machine.absent.push_back(std::move(entry));
    } else {
      lexer.fail("device, link or absent");
    }
  }
  return machine;
}

void verify_machine(const Machine& machine, std::string_view name) {
  int hosts = 0;
  for (const DeviceSpec& device : machine.devices) {
    hosts += device.host_memory;
    if (device.memory_bytes <= 0 || device.memory_bandwidth <= 0)
      throw Error(fmt::format("{}: {} has {} bytes of memory and a bandwidth of {}, expected both above 0", name,
                              device.id.to_string(), device.memory_bytes, device.memory_bandwidth));
  }
  if (hosts == 0)
    throw Error(fmt::format("{}: the machine has no device of host memory: one of its devices must say `host`", name));
  for (const DeviceSpec& from : machine.devices)
    for (const DeviceSpec& to : machine.devices)
      if (from.id != to.id && !(from.host_memory && to.host_memory) && !machine.try_link(from.id, to.id))
        throw Error(
            fmt::format("{0}: there is no link {1} -> {2}, expected one from each device to each other one; "
                        "write `link {1} -> {2} latency SECONDS bandwidth BYTES_PER_SECOND`",
                        name, from.id.to_string(), to.id.to_string()));
}

}  // namespace placewright
