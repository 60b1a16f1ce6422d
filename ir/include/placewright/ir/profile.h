// Measured costs of a machine, which override estimates from its rates. Plain data with a text form.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "placewright/ir/dtype.h"
#include "placewright/ir/type.h"

namespace placewright {

struct DeviceSpec;  // ir/machine.h
struct Machine;
enum class Precision : uint8_t;  // ir/kernel.h

struct CostPoint {
  double size = 0;  // operations as the op class counts them (ir/work.h), bytes of a link
  double seconds = 0;
  friend bool operator==(const CostPoint&, const CostPoint&) = default;
};

// Seconds at `size` by log-log interpolation between the points (sorted by size, sizes and seconds > 0); beyond the
// ends the first point's time, and the last point's rate. Nothing without points.
std::optional<double> interpolate(const std::vector<CostPoint>& points, double size);

struct Profile {
  struct OpCost {
    DeviceId device;
    std::string op_class;
    DType dtype = DType::f32;
    std::vector<CostPoint> points;
    Precision precision{};  // as that of a Rate
    friend bool operator==(const OpCost&, const OpCost&) = default;
  };
  struct LinkCost {
    DeviceId from, to;
    std::vector<CostPoint> points;
    friend bool operator==(const LinkCost&, const LinkCost&) = default;
  };
  // What a launch takes beside its stages.
  struct LaunchCost {
    DeviceId device;
    double seconds = 0;
    friend bool operator==(const LaunchCost&, const LaunchCost&) = default;
  };
  // The median of one kernel, its launch included, by a key of its structured kernel.
  struct KernelCost {
    DeviceId device;
    std::string key;
    double seconds = 0;
    friend bool operator==(const KernelCost&, const KernelCost&) = default;
  };
  std::string machine;      // what it was measured on, for people
  double call_seconds = 0;  // what a call takes beside its launches and copies; 0: not measured
  std::vector<LaunchCost> launches;
  std::vector<OpCost> ops;
  std::vector<LinkCost> links;
  std::vector<KernelCost> kernels;

  std::optional<double> launch_seconds(const DeviceId& device) const;
  std::optional<double> op_seconds(const DeviceId& device, std::string_view op_class, DType dtype, double operations,
                                   Precision precision = {}) const;
  // The curve that tells most of the class, dtype and precision on that device, of those that it has rates for: its
  // own, one of the dtype, one of the class; null without any.
  const OpCost* nearest(const DeviceSpec& device, std::string_view op_class, DType dtype, Precision precision) const;
  std::optional<double> link_seconds(const DeviceId& from, const DeviceId& to, double bytes) const;
  std::optional<double> kernel_seconds(const DeviceId& device, std::string_view key) const;
  friend bool operator==(const Profile&, const Profile&) = default;
};

std::string print_profile(const Profile& profile);
// Exact round trip. Error names `name` (the file), the line, what was found and what was expected: what is not above 0,
// not finite, unknown or there twice is refused.
Profile parse_profile(std::string_view text, std::string_view name = "profile");
// Error if the profile speaks of devices that the machine lacks: it is another machine's.
void verify_profile(const Profile& profile, const Machine& machine, std::string_view name = "profile");

}  // namespace placewright
