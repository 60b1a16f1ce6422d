// How windows slide over the spatial dimensions of a tensor: shared by convolution and pooling.
#pragma once

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
  // The output whose window has its tap `tap` at `input`: outside where there is none. No divisor for stride 1.
  Index output_index(int d, const Index& input, const Index& tap) const {
    Index position = input + low[d] - tap * dilation[d];
    return stride[d] == 1 ? position : divide_or_outside(position, stride[d]);
  }
};

// The attributes stride, padding_low, padding_high and dilation; each may be empty: `default_stride`, 0, 0, 1.
std::vector<AttributeSpec> window_attributes(std::string_view stride_fallback);
// Error if a list has another length than `window`, or a number that makes no sense.
WindowGeometry read_geometry(const Attributes& attributes, const Sizes& window, const Sizes& default_stride);

}  // namespace placewright::ops
