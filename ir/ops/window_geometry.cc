#include "window_geometry.h"

#include <fmt/format.h>

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
