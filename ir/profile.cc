#include "placewright/ir/profile.h"

#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "placewright/base/error.h"
#include "placewright/base/lexer.h"
#include "placewright/ir/parse_type.h"

namespace placewright {
namespace {

std::string print(const std::vector<CostPoint>& points) {
  std::string text = "{";
  for (const CostPoint& point : points) text += fmt::format(" {}:{}", point.size, point.seconds);
  return text + " }\n";
}

std::vector<CostPoint> read_points(Lexer& lexer) {
  std::vector<CostPoint> points;
  lexer.expect("{");
  while (!lexer.accept("}")) {
    size_t at = lexer.position();
    CostPoint point;
    point.size = lexer.number("a size");
    lexer.expect(":");
    point.seconds = lexer.number("seconds");
    if (!(point.size > 0 && point.seconds > 0 && std::isfinite(point.size) && std::isfinite(point.seconds)))
      lexer.fail_at(at, "sizes and seconds are finite and above 0");
    if (!points.empty() && points.back().size >= point.size) lexer.fail_at(at, "points stand in order of their sizes");
    points.push_back(point);
  }
  return points;
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
  double share = std::log(size / a.size) / std::log(b.size / a.size);
  return a.seconds * std::pow(b.seconds / a.seconds, share);
}

std::optional<double> Profile::op_seconds(const DeviceId& device, std::string_view op_class, DType dtype,
                                          double operations) const {
  for (const OpCost& cost : ops)
    if (cost.device == device && cost.op_class == op_class && cost.dtype == dtype)
      return interpolate(cost.points, operations);
  return std::nullopt;
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
  for (const Profile::OpCost& cost : profile.ops)
    text += fmt::format("op {} {} {} {}", cost.device.to_string(), quote(cost.op_class), name(cost.dtype),
                        print(cost.points));
  for (const Profile::LinkCost& cost : profile.links)
    text += fmt::format("link {} -> {} {}", cost.from.to_string(), cost.to.to_string(), print(cost.points));
  for (const Profile::KernelCost& cost : profile.kernels)
    text += fmt::format("kernel {} {} {}\n", cost.device.to_string(), quote(cost.key), cost.seconds);
  return text;
}

Profile parse_profile(std::string_view text) {
  Lexer lexer(text, "profile");
  Profile profile;
  lexer.expect("profile");
  profile.machine = lexer.string("the machine's name");
  while (!lexer.at_end()) {
    if (lexer.accept("op")) {
      Profile::OpCost& cost = profile.ops.emplace_back();
      cost.device = parse_device(lexer);
      cost.op_class = lexer.string("an op class");
      cost.dtype = parse_dtype(lexer);
      cost.points = read_points(lexer);
    } else if (lexer.accept("link")) {
      Profile::LinkCost& cost = profile.links.emplace_back();
      cost.from = parse_device(lexer);
      lexer.expect("->");
      cost.to = parse_device(lexer);
      cost.points = read_points(lexer);
    } else if (lexer.accept("kernel")) {
      Profile::KernelCost& cost = profile.kernels.emplace_back();
      cost.device = parse_device(lexer);
      cost.key = lexer.string("a kernel's key");
      cost.seconds = lexer.number("seconds");
    } else {
      lexer.fail("op, link or kernel");
    }
  }
  return profile;
}

}  // namespace placewright
