#include "placewright/base/duration.h"

#include <cmath>

#include <fmt/core.h>

namespace placewright {

int64_t nanoseconds(double seconds) {
  constexpr int64_t most = int64_t{1} << 50;
  const double count = std::round(seconds * 1e9);
  return count < static_cast<double>(most) ? static_cast<int64_t>(count) : most;
}

std::string duration_text(double seconds) {
  if (seconds < 0) return "-" + duration_text(-seconds);
  if (seconds >= 1) return fmt::format("{:.3g} s", seconds);
  if (seconds >= 1e-3) return fmt::format("{:.3g} ms", seconds * 1e3);
  return seconds >= 1e-6 || seconds == 0 ? fmt::format("{:.3g} us", seconds * 1e6)
                                         : fmt::format("{:.3g} ns", seconds * 1e9);
}

}  // namespace placewright
