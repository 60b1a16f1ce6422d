#include "placewright/ir/profile.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/core.h>

#include "placewright/base/error.h"
#include "placewright/base/lexer.h"
#include "placewright/ir/kernel.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/parse_type.h"
#include "rated_work.h"

namespace placewright {
namespace {

// Logarithm and power of plain arithmetic alone: libraries differ in last bits, with the processor too, and plans must
// not. |error| < 1e-15, relative. Pricing asks for them often: both are one polynomial without divisions.
constexpr std::array<double, 12> artanh_terms = [] {  // of x^2: 1/1, 1/3, 1/5, ...
  std::array<double, 12> terms{};
  for (size_t k = 0; k < terms.size(); ++k) terms[k] = 1.0 / static_cast<double>(2 * k + 1);
  return terms;
}();

constexpr std::array<double, 18> exponential_terms = [] {  // 1/0!, 1/1!, 1/2!, ...
  std::array<double, 18> terms{1};
  for (size_t k = 1; k < terms.size(); ++k) terms[k] = terms[k - 1] / static_cast<double>(k);
  return terms;
}();

template <size_t count>
double polynomial(const std::array<double, count>& terms, double x) {
  double sum = 0;
  for (size_t k = count; k-- > 0;) sum = sum * x + terms[k];
  return sum;
}

double binary_logarithm(double x) {
  int exponent = 0;
  double mantissa = std::frexp(x, &exponent);
  if (mantissa < 0.70710678118654752) {
    mantissa *= 2;
    --exponent;
  }
  const double z = (mantissa - 1) / (mantissa + 1);
  return exponent + 2 * z * polynomial(artanh_terms, z * z) * 1.4426950408889634;
}

double power_of_two(double x) {
  const double whole = std::floor(x + 0.5);
  return std::ldexp(polynomial(exponential_terms, (x - whole) * 0.69314718055994531), static_cast<int>(whole));
}

std::string print(const std::vector<CostPoint>& points) {
  std::string text = "{";
  for (const CostPoint& point : points) text += fmt::format(" {}:{}", point.size, point.seconds);
  return text + " }\n";
}

double read_positive(Lexer& lexer, std::string_view what) {
  size_t at = lexer.position();
  double value = lexer.number(what);
  if (!(value > 0 && std::isfinite(value)))
    lexer.fail_at(at, fmt::format("{} is {}, expected a finite number > 0", what, value));
  return value;
}

std::vector<CostPoint> read_points(Lexer& lexer) {
  std::vector<CostPoint> points;
  lexer.expect("{");
  while (points.empty() || !lexer.accept("}")) {
    size_t at = lexer.position();
    CostPoint point;
    point.size = read_positive(lexer, "a size");
    lexer.expect(":");
    point.seconds = read_positive(lexer, "seconds");
    if (!points.empty() && points.back().size >= point.size) lexer.fail_at(at, "points stand in order of their sizes");
    points.push_back(point);
  }
  return points;
}

template <typename Cost, typename Same>
void refuse_twice(const std::vector<Cost>& costs, Same same, Lexer& lexer, size_t at, const std::string& what) {
  if (std::any_of(costs.begin(), costs.end(), same)) lexer.fail_at(at, what + " stands here twice");
}

Profile::LaunchCost read_launch(Lexer& lexer, const Profile& profile) {
  size_t at = lexer.position();
  Profile::LaunchCost cost{parse_device(lexer), 0};
  refuse_twice(
      profile.launches, [&](const auto& known) { return known.device == cost.device; }, lexer, at,
      "the launch of " + cost.device.to_string());
  cost.seconds = read_positive(lexer, "seconds");
  return cost;
}

Profile::OpCost read_op(Lexer& lexer, const Profile& profile) {
  size_t at = lexer.position();
  Profile::OpCost cost;
  cost.device = parse_device(lexer);
  read_rated_work(lexer, cost.op_class, cost.dtype, cost.precision);
  refuse_twice(
      profile.ops,
      [&](const auto& known) {
        return known.device == cost.device && known.op_class == cost.op_class && known.dtype == cost.dtype &&
               known.precision == cost.precision;
      },
      lexer, at,
      fmt::format("{} of {}", print_rated_work(cost.op_class, cost.dtype, cost.precision), cost.device.to_string()));
  cost.points = read_points(lexer);
  return cost;
}

Profile::LinkCost read_link(Lexer& lexer, const Profile& profile) {
  size_t at = lexer.position();
  Profile::LinkCost cost;
  cost.from = parse_device(lexer);
  lexer.expect("->");
  cost.to = parse_device(lexer);
  refuse_twice(
      profile.links, [&](const auto& known) { return known.from == cost.from && known.to == cost.to; }, lexer, at,
      fmt::format("link {} -> {}", cost.from.to_string(), cost.to.to_string()));
  cost.points = read_points(lexer);
  return cost;
}

Profile::KernelCost read_kernel(Lexer& lexer, const Profile& profile) {
  size_t at = lexer.position();
  Profile::KernelCost cost;
  cost.device = parse_device(lexer);
  cost.key = lexer.string("a kernel's key");
  refuse_twice(
      profile.kernels, [&](const auto& known) { return known.device == cost.device && known.key == cost.key; }, lexer,
      at, fmt::format("kernel {} of {}", quote(cost.key), cost.device.to_string()));
  cost.seconds = read_positive(lexer, "seconds");
  return cost;
}

}  // namespace

std::optional<double> interpolate(const std::vector<CostPoint>& points, double size) {
  if (points.empty()) return std::nullopt;
  if (size <= points.front().size) return points.front().seconds;
  if (size >= points.back().size) return points.back().seconds * (size / points.back().size);
  auto above = std::upper_bound(points.begin(), points.end(), size,
                                [](double value, const CostPoint& point) { return value < point.size; });
  const CostPoint& a = above[-1];
  const CostPoint& b = *above;
  double begin = binary_logarithm(a.size), span = binary_logarithm(b.size) - begin;
  if (span <= 0) return b.seconds;  // too close to tell apart
  double low = binary_logarithm(a.seconds), high = binary_logarithm(b.seconds);
  return power_of_two(low + (binary_logarithm(size) - begin) / span * (high - low));
}

std::optional<double> Profile::launch_seconds(const DeviceId& device) const {
  for (const LaunchCost& cost : launches)
    if (cost.device == device) return cost.seconds;
  return std::nullopt;
}

std::optional<double> Profile::op_seconds(const DeviceId& device, std::string_view op_class, DType dtype,
                                          double operations, Precision precision) const {
  for (const OpCost& cost : ops)
    if (cost.device == device && cost.op_class == op_class && cost.dtype == dtype && cost.precision == precision)
      return interpolate(cost.points, operations);
  return std::nullopt;
}

const Profile::OpCost* Profile::nearest(const DeviceSpec& device, std::string_view op_class, DType dtype,
                                        Precision precision) const {
  const OpCost* best = nullptr;
  int most = 0;
  for (const OpCost& cost : ops) {
    if (cost.device != device.id || cost.op_class != op_class) continue;
    if (device.rate(op_class, cost.dtype, cost.precision) <= 0) continue;
    const int likeness = cost.dtype != dtype ? 1 : cost.precision != precision ? 2 : 3;
    if (likeness > most) best = &cost;
    most = std::max(most, likeness);
  }
  return best;
}

std::optional<double> Profile::link_seconds(const DeviceId& from, const DeviceId& to, double bytes) const {
  for (const LinkCost& cost : links)
    if (cost.from == from && cost.to == to) return interpolate(cost.points, bytes);
  return std::nullopt;
}

std::optional<double> Profile::kernel_seconds(const DeviceId& device, std::string_view key) const {
  for (const KernelCost& cost : kernels)
    if (cost.device == device && cost.key == key) return cost.seconds;
  return std::nullopt;
}

std::string print_profile(const Profile& profile) {
  std::string text = fmt::format("profile {}\n", quote(profile.machine));
  if (profile.call_seconds > 0) text += fmt::format("call {}\n", profile.call_seconds);
  for (const Profile::LaunchCost& cost : profile.launches)
    text += fmt::format("launch {} {}\n", cost.device.to_string(), cost.seconds);
  for (const Profile::OpCost& cost : profile.ops)
    text += fmt::format("op {} {} {}", cost.device.to_string(),
                        print_rated_work(quote(cost.op_class), cost.dtype, cost.precision), print(cost.points));
  for (const Profile::LinkCost& cost : profile.links)
    text += fmt::format("link {} -> {} {}", cost.from.to_string(), cost.to.to_string(), print(cost.points));
  for (const Profile::KernelCost& cost : profile.kernels)
    text += fmt::format("kernel {} {} {}\n", cost.device.to_string(), quote(cost.key), cost.seconds);
  return text;
}

Profile parse_profile(std::string_view text, std::string_view name) {
  Lexer lexer(text, std::string(name));
  Profile profile;
  lexer.expect("profile");
  profile.machine = lexer.string("the machine's name");
  while (!lexer.at_end()) {
    if (profile.call_seconds == 0 && lexer.accept("call"))
      profile.call_seconds = read_positive(lexer, "seconds");
    else if (lexer.accept("launch"))
      profile.launches.push_back(read_launch(lexer, profile));
    else if (lexer.accept("op"))
      profile.ops.push_back(read_op(lexer, profile));
    else if (lexer.accept("link"))
      profile.links.push_back(read_link(lexer, profile));
    else if (lexer.accept("kernel"))
      profile.kernels.push_back(read_kernel(lexer, profile));
    else
      lexer.fail("call, launch, op, link or kernel");
  }
  return profile;
}

void verify_profile(const Profile& profile, const Machine& machine, std::string_view name) {
  auto check = [&](const DeviceId& id) {
    if (!machine.try_find(id))
      throw Error(fmt::format("{}: it has costs of {}, which the machine lacks: it is another machine's profile ({})",
                              name, id.to_string(), profile.machine));
  };
  for (const Profile::LaunchCost& cost : profile.launches) check(cost.device);
  for (const Profile::OpCost& cost : profile.ops) check(cost.device);
  for (const Profile::KernelCost& cost : profile.kernels) check(cost.device);
  for (const Profile::LinkCost& cost : profile.links) {
    check(cost.from);
    check(cost.to);
  }
}

}  // namespace placewright
