// How windows slide over the spatial dimensions of a tensor: shared by convolution and pooling.
#pragma once

#include <functional>
#include <vector>

#include "kernel_writer.h"
#include "placewright/ir/op_table.h"

namespace placewright::ops {

// Output position o reads input positions o * stride + k * dilation - low, for k in [0, window).
struct WindowGeometry {
  Sizes window, stride, low, high, dilation;  // one for each spatial dimension; low and high: elements of padding
  int rank() const { return static_cast<int>(window.size()); }
  // Number of outputs along spatial dimension `d`; Error if not one window fits.
  int64_t outputs(int d, int64_t input) const;
  Sizes outputs(const Sizes& inputs) const;
  // The input position, which lies in the padding where it is outside [0, input).
  int64_t input_position(int d, int64_t output, int64_t tap) const {
    return output * stride[d] + tap * dilation[d] - low[d];
  }
  Index input_index(int d, const Index& output, const Index& tap) const {
    return output * stride[d] + tap * dilation[d] - low[d];
  }
};

// Seen from the input: positions first + step * q, q < count, of one dimension, with the taps that can reach them, tap
// tap_first + tap_step * t, t < taps. That tap reaches such a position from output (q + shift - reach * t) / divisor.
struct BackwardRange {
  int64_t count = 0, first = 0, step = 1;
  int64_t taps = 0, tap_first = 0, tap_step = 1;
  int64_t shift = 0, reach = 1, divisor = 1;
  Index input(const Index& q) const { return q * step + first; }
  Index tap(const Index& t) const { return t * tap_step + tap_first; }
  Index output(const Index& q, const Index& t) const {
    Index position = q + shift - t * reach;
    return divisor == 1 ? position : divide_or_outside(position, divisor);
  }
};

// Covers all positions of the input with ranges, one a spatial dimension at a time, and calls body(ranges) for each
// combination. With a stride, the positions of each remainder modulo it make a range of their own: so a gradient does
// no work for taps that cannot reach them and needs no divisor, unless there were too many ranges.
void for_each_backward_range(const WindowGeometry& geometry, const Sizes& inputs,
                             const std::function<void(const std::vector<BackwardRange>&)>& body);

// The attributes stride, padding_low, padding_high and dilation; each may be empty: `default_stride`, 0, 0, 1.
std::vector<AttributeSpec> window_attributes(std::string_view stride_fallback);
// Error if a list has another length than `window`, or a number that makes no sense.
WindowGeometry read_geometry(const Attributes& attributes, const Sizes& window, const Sizes& default_stride);

}  // namespace placewright::ops
