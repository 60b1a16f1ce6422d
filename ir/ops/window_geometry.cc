#include "window_geometry.h"

#include <algorithm>
#include <numeric>

#include <fmt/core.h>

#include "naive_loops.h"
#include "placewright/base/checked.h"

namespace placewright::ops {
namespace {

Sizes read_list(const Attributes& attributes, std::string_view name, const Sizes& fallback, int64_t smallest) {
  const Sizes& given = attributes.get<Sizes>(name);
  if (given.empty()) return fallback;
  if (given.size() != fallback.size())
    throw Error(fmt::format("{} is {}, expected {} numbers, one for each spatial dimension", name, to_string(given),
                            fallback.size()));
  for (int64_t number : given)
    if (number < smallest)
      throw Error(fmt::format("{} is {}, expected numbers of at least {}", name, to_string(given), smallest));
  return given;
}

}  // namespace

int64_t WindowGeometry::outputs(int d, int64_t input) const {
  int64_t padded = checked_add(input, checked_add(low[d], high[d]));
  int64_t reach = checked_add(checked_mul(dilation[d], window[d] - 1), 1);
  if (padded < reach)
    throw Error(
        fmt::format("a window of {} elements does not fit into spatial dimension {}, which has {}, padding "
                    "included",
                    reach, d, padded));
  return (padded - reach) / stride[d] + 1;
}

Sizes WindowGeometry::outputs(const Sizes& inputs) const {
  Sizes counts;
  for (int d = 0; d < rank(); ++d) counts.push_back(outputs(d, inputs[d]));
  return counts;
}

namespace {

// Beyond this many ranges a kernel of one stage each would cost more to compile than divisions cost to run.
constexpr int64_t most_ranges = 16;

BackwardRange undivided_range(const WindowGeometry& geometry, int d, int64_t input) {
  return {input, 0, 1, geometry.window[d], 0, 1, geometry.low[d], geometry.dilation[d], geometry.stride[d]};
}

// The positions that leave `remainder` modulo the stride.
BackwardRange range_of_remainder(const WindowGeometry& geometry, int d, int64_t input, int64_t remainder) {
  int64_t stride = geometry.stride[d], dilation = geometry.dilation[d], common = std::gcd(stride, dilation);
  BackwardRange range{ceil_div(std::max<int64_t>(input - remainder, 0), stride), remainder, stride};
  range.tap_step = stride / common;
  range.reach = dilation / common;
  // The first tap whose distance from the position is a multiple of the stride; they recur every tap_step taps.
  int64_t offset = remainder + geometry.low[d], tap = 0;
  while (tap < range.tap_step && (offset - tap * dilation) % stride != 0) ++tap;
  if (tap == range.tap_step) return range;  // none
  range.tap_first = tap;
  range.shift = (offset - tap * dilation) / stride;
  if (tap < geometry.window[d]) range.taps = ceil_div(geometry.window[d] - tap, range.tap_step);
  return range;
}

}  // namespace

void for_each_backward_range(const WindowGeometry& geometry, const Sizes& inputs,
                             const std::function<void(const std::vector<BackwardRange>&)>& body) {
  Sizes remainders = geometry.stride;
  bool divides = false;
  int64_t count = 1;
  for (int64_t stride : geometry.stride) divides = divides || (count *= stride) > most_ranges;
  if (divides) remainders.assign(inputs.size(), 1);
  for_each_position(remainders, [&](const Sizes& remainder) {
    std::vector<BackwardRange> ranges;
    bool empty = false;
    for (int d = 0; d < geometry.rank(); ++d) {
      ranges.push_back(divides ? undivided_range(geometry, d, inputs[d])
                               : range_of_remainder(geometry, d, inputs[d], remainder[d]));
      empty = empty || ranges.back().count == 0;
    }
    if (!empty) body(ranges);
  });
}

std::vector<AttributeSpec> window_attributes(std::string_view stride_fallback) {
  return {{"stride", AttributeKind::sizes, Attribute(Sizes{}), stride_fallback},
          {"padding_low", AttributeKind::sizes, Attribute(Sizes{}), "elements before each spatial dimension; empty: 0"},
          {"padding_high", AttributeKind::sizes, Attribute(Sizes{}), "elements after each spatial dimension; empty: 0"},
          {"dilation", AttributeKind::sizes, Attribute(Sizes{}), "distance of a window's elements; empty: 1"}};
}

WindowGeometry read_geometry(const Attributes& attributes, const Sizes& window, const Sizes& default_stride) {
  for (int64_t size : window)
    if (size < 1) throw Error(fmt::format("the window is {}, expected numbers of at least 1", to_string(window)));
  return {window, read_list(attributes, "stride", default_stride, 1),
          read_list(attributes, "padding_low", Sizes(window.size(), 0), 0),
          read_list(attributes, "padding_high", Sizes(window.size(), 0), 0),
          read_list(attributes, "dilation", Sizes(window.size(), 1), 1)};
}

}  // namespace placewright::ops
