#include "windows.h"

#include <fmt/core.h>

#include "families.h"

namespace placewright::ops {

Windows make_windows(const Attributes& attributes, const Shape& shape, const Sizes* inputs) {
  const Sizes& window = attributes.get<Sizes>("window");
  size_t rank = window.size();
  if (rank == 0 || rank > shape.size())
    throw Error(fmt::format("the window {} has {} dimensions, expected from 1 to {}, the rank of the operand {}",
                            to_string(window), rank, shape.size(), to_string(shape)));
  Windows windows;
  windows.lead.assign(shape.begin(), shape.end() - static_cast<std::ptrdiff_t>(rank));
  if (inputs)
    windows.inputs = *inputs;
  else
    for (size_t d = shape.size() - rank; d < shape.size(); ++d) windows.inputs.push_back(shape[d].number());
  windows.geometry = read_geometry(attributes, window, window);
  windows.outputs = windows.geometry.outputs(windows.inputs);
  return windows;
}

std::vector<AttributeSpec> pooling_attributes() {
  std::vector<AttributeSpec> attributes = window_attributes("of each windowed dimension; empty: the window's size");
  attributes.push_back({"window", AttributeKind::sizes, {}, "sizes of a window over the trailing dimensions"});
  return attributes;
}

std::vector<Index> joined(std::vector<Index> first, const std::vector<Index>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

std::vector<Index> parallel(StageWriter& stage, const Sizes& sizes) {
  std::vector<Index> indices;
  for (int64_t size : sizes) indices.push_back(stage.parallel(size));
  return indices;
}

std::vector<Index> reduced(StageWriter& stage, const Sizes& sizes) {
  std::vector<Index> indices;
  for (int64_t size : sizes) indices.push_back(stage.reduced(size));
  return indices;
}

std::vector<Index> input_indices(const Windows& windows, const std::vector<Index>& outputs,
                                 const std::vector<Index>& taps) {
  std::vector<Index> indices;
  for (int d = 0; d < windows.rank(); ++d) indices.push_back(windows.geometry.input_index(d, outputs[d], taps[d]));
  return indices;
}

BackwardIndices backward_indices(StageWriter& stage, const std::vector<BackwardRange>& ranges) {
  BackwardIndices indices;
  std::vector<Index> positions, taps;
  for (const BackwardRange& range : ranges) positions.push_back(stage.parallel(range.count));
  for (const BackwardRange& range : ranges) taps.push_back(stage.reduced(range.taps));
  for (size_t d = 0; d < ranges.size(); ++d) {
    indices.inputs.push_back(ranges[d].input(positions[d]));
    indices.taps.push_back(ranges[d].tap(taps[d]));
    indices.outputs.push_back(ranges[d].output(positions[d], taps[d]));
  }
  return indices;
}

void write_uncovered_zeros(KernelWriter& kernel, const Windows& windows, int buffer) {
  for (int d = 0; d < windows.rank(); ++d) {
    int64_t covered = windows.outputs[d] * windows.geometry.window[d];
    if (covered == windows.inputs[d]) continue;
    StageWriter stage(kernel, "uncovered");
    std::vector<Index> at = parallel(stage, windows.lead_sizes());
    for (int i = 0; i < windows.rank(); ++i) {
      // Before dimension d only what earlier strips left; in it the strip; behind it everything.
      int64_t before = windows.outputs[i] * windows.geometry.window[i];
      if (i < d)
        at.push_back(stage.parallel(before));
      else if (i == d)
        at.push_back(stage.parallel(windows.inputs[d] - covered) + covered);
      else
        at.push_back(stage.parallel(windows.inputs[i]));
    }
    int zero = stage.number(kernel.dtype(buffer), 0);
    stage.store(buffer, at, zero);
    stage.finish();
  }
}

std::vector<OpEntry> windows() {
  std::vector<OpEntry> entries = max_windows();
  for (OpEntry& entry : sum_windows()) entries.push_back(std::move(entry));
  return entries;
}

}  // namespace placewright::ops
