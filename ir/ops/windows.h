// Windows that slide over the trailing dimensions of a tensor: what maxima and sums over them share.
#pragma once

#include <vector>

#include "naive_loops.h"
#include "window_geometry.h"

namespace placewright::ops {

// A tensor whose trailing dimensions are slid over: `lead` dimensions stay as they are.
struct Windows {
  Shape lead;
  Sizes inputs, outputs;
  WindowGeometry geometry;
  int rank() const { return geometry.rank(); }
  Shape input_shape() const { return join(inputs); }
  Shape output_shape() const { return join(outputs); }
  Sizes lead_sizes() const { return numbers_of(lead); }
  int64_t taps() const { return element_count(geometry.window); }
  // Windows lie side by side and inside the tensor, so that each element belongs to one window or to none.
  bool is_partition() const {
    for (int d = 0; d < rank(); ++d)
      if (geometry.stride[d] != geometry.window[d] || geometry.low[d] != 0 ||
          (geometry.dilation[d] != 1 && geometry.window[d] != 1) || outputs[d] * geometry.window[d] > inputs[d])
        return false;
    return true;
  }

 private:
  Shape join(const Sizes& spatial) const {
    Shape shape = lead;
    shape.insert(shape.end(), spatial.begin(), spatial.end());
    return shape;
  }
};

// Reads the attributes window, stride ... for an operand of this shape, or, where `inputs` is given, for the gradient
// of window results whose windowed tensor had these trailing sizes.
Windows make_windows(const Attributes& attributes, const Shape& shape, const Sizes* inputs = nullptr);
std::vector<AttributeSpec> pooling_attributes();

// Zeros in the elements that belong to no window, if windows.is_partition().
void write_uncovered_zeros(KernelWriter& kernel, const Windows& windows, int buffer);

// Dimensions of a stage, and indices made of them.
std::vector<Index> parallel(StageWriter& stage, const Sizes& sizes);
std::vector<Index> reduced(StageWriter& stage, const Sizes& sizes);
std::vector<Index> joined(std::vector<Index> first, const std::vector<Index>& second);
std::vector<Index> input_indices(const Windows& windows, const std::vector<Index>& outputs,
                                 const std::vector<Index>& taps);

// The same seen from the input, over ranges of its positions: dimensions for positions, then for taps.
struct BackwardIndices {
  std::vector<Index> inputs, taps, outputs;
};
BackwardIndices backward_indices(StageWriter& stage, const std::vector<BackwardRange>& ranges);

// Calls body(output element, input element) for each tap of each window that lies in the tensor, in order.
template <typename Body>
void for_each_tap(const Windows& windows, Body body) {
  Sizes input_sizes = numbers_of(windows.input_shape());
  Sizes output_sizes = numbers_of(windows.output_shape());
  size_t lead = windows.lead.size();
  for_each_position(output_sizes, [&](const Sizes& at) {
    int64_t output = flat_index(at, output_sizes);
    for_each_position(windows.geometry.window, [&](const Sizes& tap) {
      Sizes from(at.begin(), at.begin() + static_cast<std::ptrdiff_t>(lead));
      for (int d = 0; d < windows.rank(); ++d) {
        int64_t position = windows.geometry.input_position(d, at[lead + d], tap[d]);
        if (position < 0 || position >= windows.inputs[d]) return;
        from.push_back(position);
      }
      body(output, flat_index(from, input_sizes));
    });
  });
}

std::vector<OpEntry> max_windows();
std::vector<OpEntry> sum_windows();

}  // namespace placewright::ops
