// Maxima of windows, their gradient, and the gradient of that.
#include <cmath>
#include <limits>

#include <fmt/core.h>

#include "families.h"
#include "windows.h"

namespace placewright::ops {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
// Beyond this many elements a window is not written out element by element.
constexpr int64_t largest_unrolled_window = 16;

// A maximum over nothing but padding has no meaning.
Windows read_max_windows(const OpView& view) {
  Windows windows = make_windows(view.attributes, view.operand(0).shape);
  const WindowGeometry& geometry = windows.geometry;
  for (int d = 0; d < windows.rank(); ++d) {
    int64_t reach = geometry.dilation[d] * (geometry.window[d] - 1) + 1;
    if (geometry.low[d] >= reach || geometry.high[d] >= reach)
      throw Error(fmt::format("padding {} and {} of spatial dimension {}, expected less than the window's reach of {}",
                              geometry.low[d], geometry.high[d], d, reach));
  }
  return windows;
}

void check_shape(const char* name, const Shape& found, const Shape& expected) {
  if (found != expected)
    throw Error(fmt::format("{} has shape {}, expected {}", name, to_string(found), to_string(expected)));
}

// For each window the element that wins: the first maximum, or the first NaN; -1 if there is none.
std::vector<int64_t> winners(const Windows& windows, const HostTensor& input) {
  TensorType outputs{DType::f32, windows.output_shape(), {}, {}};
  std::vector<int64_t> winner(static_cast<size_t>(outputs.elements()), -1);
  bool floating = is_floating(input.dtype());
  for_each_tap(windows, [&](int64_t output, int64_t element) {
    int64_t best = winner[output];
    bool wins = best < 0;
    if (!wins && floating) {
      double old_value = input.number(best), new_value = input.number(element);
      wins = !std::isnan(old_value) && (new_value > old_value || std::isnan(new_value));
    } else if (!wins) {
      wins = input.integer(element) > input.integer(best);
    }
    if (wins) winner[output] = element;
  });
  return winner;
}

void copy_element(const HostTensor& from, int64_t at, HostTensor& to, int64_t position) {
  if (is_floating(from.dtype()))
    to.set_number(position, from.number(at));
  else
    to.set_integer(position, from.integer(at));
}

void evaluate_max(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  std::vector<int64_t> winner = winners(read_max_windows(view), operands[0]);
  for (size_t i = 0; i < winner.size(); ++i)
    if (winner[i] >= 0)
      copy_element(operands[0], winner[i], results[0], static_cast<int64_t>(i));
    else
      results[0].set_number(static_cast<int64_t>(i), -infinity);
}

void evaluate_max_select(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  std::vector<int64_t> winner = winners(read_max_windows(view), operands[0]);
  for (size_t i = 0; i < winner.size(); ++i)
    if (winner[i] >= 0) copy_element(operands[1], winner[i], results[0], static_cast<int64_t>(i));
}

void evaluate_max_gradient(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  std::vector<int64_t> winner = winners(read_max_windows(view), operands[0]);
  std::vector<double> sums(static_cast<size_t>(results[0].elements()));
  for (size_t i = 0; i < winner.size(); ++i)
    if (winner[i] >= 0) sums[winner[i]] += operands[1].number(static_cast<int64_t>(i));
  assign(results[0], sums);
}

// The tap's number within its window.
Index tap_number(const Windows& windows, const std::vector<Index>& taps) {
  Sizes strides = row_major_strides(windows.geometry.window);
  Index number;
  for (int d = 0; d < windows.rank(); ++d) number = number + taps[d] * strides[d];
  return number;
}

double lowest(DType dtype) {
  if (is_floating(dtype)) return -infinity;
  return is_signed(dtype) ? -std::ldexp(1.0, info(dtype).bits - 1) : 0;
}

// Parameters 0..k-1 are the left states (value, tap number, rest...), k..2k-1 the right ones. Whichever way the taps
// are split up and joined, the winner is the first maximum, or the first NaN.
std::pair<ScalarBody, std::vector<int>> first_maximum(const std::vector<DType>& dtypes) {
  ScalarBody body;
  int states = static_cast<int>(dtypes.size());
  for (int i = 0; i < 2 * states; ++i)
    body.push_back({.op = ScalarOp::parameter, .dtype = dtypes[i % states], .slot = i});
  auto node = [&](ScalarOp op, DType dtype, int a, int b = -1, int c = -1) {
    body.push_back({.op = op, .dtype = dtype, .operands = {a, b, c}});
    return static_cast<int>(body.size()) - 1;
  };
  const DType boolean = DType::boolean;
  int left = 0, left_tap = 1, right = states, right_tap = states + 1;
  int greater = node(ScalarOp::greater, boolean, right, left), tied = node(ScalarOp::equal, boolean, right, left);
  if (is_floating(dtypes[0])) {
    int left_nan = node(ScalarOp::is_nan, boolean, left), right_nan = node(ScalarOp::is_nan, boolean, right);
    int left_number = node(ScalarOp::logical_not, boolean, left_nan);
    int only_right = node(ScalarOp::logical_and, boolean, right_nan, left_number);
    greater = node(ScalarOp::logical_or, boolean, greater, only_right);
    int both = node(ScalarOp::logical_and, boolean, left_nan, right_nan);
    tied = node(ScalarOp::logical_or, boolean, tied, both);
  }
  int earlier = node(ScalarOp::less, boolean, right_tap, left_tap);
  int first = node(ScalarOp::logical_and, boolean, tied, earlier);
  int take_right = node(ScalarOp::logical_or, boolean, greater, first);
  std::vector<int> combined;
  for (int i = 0; i < states; ++i) combined.push_back(node(ScalarOp::select, dtypes[i], take_right, states + i, i));
  return {std::move(body), std::move(combined)};
}

StructuredKernel lower_max(const OpView& view) {
  Windows windows = read_max_windows(view);
  KernelWriter kernel(view);
  StageWriter stage(kernel, "max_pool");
  std::vector<Index> lead = parallel(stage, windows.lead_sizes()), outputs = parallel(stage, windows.outputs);
  std::vector<Index> taps = reduced(stage, windows.geometry.window);
  double neutral = lowest(view.result().dtype);
  int value = stage.load(kernel.operand(0), joined(lead, input_indices(windows, outputs, taps)), neutral);
  int maximum = stage.reduce(Reduction::Kind::max, value, neutral);
  stage.store(kernel.result(), joined(lead, outputs), maximum);
  stage.finish();
  return kernel.take();
}

// The tap's number as i32 (as wide as the commonest values, so that both fill the same vectors); a tap in the padding
// comes last, so that it loses even against an infinite element.
int tap_order(StageWriter& stage, const Windows& windows, const std::vector<Index>& inputs,
              const std::vector<Index>& taps) {
  int order = stage.position(tap_number(windows, taps));
  for (int d = 0; d < windows.rank(); ++d) {
    if (windows.geometry.low[d] == 0 && windows.geometry.high[d] == 0) continue;
    int position = stage.position(inputs[d]), zero = stage.number(DType::i64, 0);
    int size = stage.number(DType::i64, static_cast<double>(windows.inputs[d]));
    int not_before = stage.node(ScalarOp::greater_equal, DType::boolean, position, zero);
    int not_behind = stage.node(ScalarOp::less, DType::boolean, position, size);
    int inside = stage.node(ScalarOp::logical_and, DType::boolean, not_before, not_behind);
    int last = stage.number(DType::i64, std::numeric_limits<int32_t>::max());
    order = stage.node(ScalarOp::select, DType::i64, inside, order, last);
  }
  return stage.cast(order, DType::i32);
}

// Finds each window's winner. The epilogue's states are its value, its tap, and operand 1 at its place if `select`.
std::vector<int> reduce_to_winner(StageWriter& stage, KernelWriter& kernel, const Windows& windows,
                                  const std::vector<Index>& lead, const std::vector<Index>& outputs, bool select) {
  std::vector<Index> taps = reduced(stage, windows.geometry.window);
  std::vector<Index> inputs = input_indices(windows, outputs, taps);
  std::vector<int> values{stage.load(kernel.operand(0), joined(lead, inputs), -infinity)};
  values.push_back(tap_order(stage, windows, inputs, taps));
  std::vector<double> init{-infinity, static_cast<double>(std::numeric_limits<int32_t>::max())};
  if (select) values.push_back(stage.load(kernel.operand(1), joined(lead, inputs))), init.push_back(0);
  std::vector<DType> dtypes;
  for (int value : values) dtypes.push_back(stage.dtype(value));
  auto [combine, combined] = first_maximum(dtypes);
  return stage.reduce_custom(std::move(values), init, std::move(combine), std::move(combined));
}

StructuredKernel lower_max_select(const OpView& view) {
  Windows windows = read_max_windows(view);
  KernelWriter kernel(view);
  StageWriter stage(kernel, "max_pool_select");
  std::vector<Index> lead = parallel(stage, windows.lead_sizes()), outputs = parallel(stage, windows.outputs);
  std::vector<int> states = reduce_to_winner(stage, kernel, windows, lead, outputs, true);
  stage.store(kernel.result(), joined(lead, outputs), states[2]);
  stage.finish();
  return kernel.take();
}

// Windows side by side: one point a window, whose body reads the window, finds the winner and stores every element
// once. It costs one read of the input, where a saved index would cost a write and a read besides.
void write_partition_gradient(KernelWriter& kernel, const Windows& windows) {
  StageWriter stage(kernel, "max_pool_gradient");
  std::vector<Index> lead = parallel(stage, windows.lead_sizes()), outputs = parallel(stage, windows.outputs);
  const DType dtype = kernel.dtype(kernel.result()), boolean = DType::boolean;
  std::vector<std::vector<Index>> places;
  for_each_position(windows.geometry.window, [&](const Sizes& tap) {
    places.push_back(joined(lead, input_indices(windows, outputs, {tap.begin(), tap.end()})));
  });
  std::vector<int> values;
  for (const std::vector<Index>& place : places) values.push_back(stage.load(kernel.operand(0), place));
  int gradient = stage.load(kernel.operand(1), joined(lead, outputs)), zero = stage.number(dtype, 0);
  int maximum = values[0];
  for (size_t i = 1; i < values.size(); ++i) maximum = stage.node(ScalarOp::max, dtype, maximum, values[i]);
  int left = gradient;  // what no earlier element has taken; once it is taken, zero
  for (size_t i = 0; i < values.size(); ++i) {
    int equal = stage.node(ScalarOp::equal, boolean, values[i], maximum);
    int nan = stage.node(ScalarOp::is_nan, boolean, values[i]);
    int wins = stage.node(ScalarOp::logical_or, boolean, equal, nan);
    stage.store(kernel.result(), places[i], stage.node(ScalarOp::select, dtype, wins, left, zero));
    if (i + 1 < values.size()) left = stage.node(ScalarOp::select, dtype, wins, zero, left);
  }
  stage.finish();
  write_uncovered_zeros(kernel, windows, kernel.result());
}

// Windows that overlap or reach into padding: first each window's winner, then each element sums over the windows in
// which it may have won.
void write_overlapping_gradient(KernelWriter& kernel, const Windows& windows) {
  Sizes winner_sizes = windows.lead_sizes();
  winner_sizes.insert(winner_sizes.end(), windows.outputs.begin(), windows.outputs.end());
  int winners = kernel.local("winners", DType::i32, winner_sizes);
  {
    StageWriter stage(kernel, "winners");
    std::vector<Index> lead = parallel(stage, windows.lead_sizes()), outputs = parallel(stage, windows.outputs);
    std::vector<int> states = reduce_to_winner(stage, kernel, windows, lead, outputs, false);
    stage.store(winners, joined(lead, outputs), states[1]);
    stage.finish();
  }
  for_each_backward_range(windows.geometry, windows.inputs, [&](const std::vector<BackwardRange>& ranges) {
    StageWriter stage(kernel, "max_pool_gradient");
    std::vector<Index> lead = parallel(stage, windows.lead_sizes());
    BackwardIndices at = backward_indices(stage, ranges);
    std::vector<Index> from = joined(lead, at.outputs);
    int winner = stage.load(winners, from, -1), gradient = stage.load(kernel.operand(1), from);
    int tap = stage.cast(stage.position(tap_number(windows, at.taps)), DType::i32);
    int wins = stage.node(ScalarOp::equal, DType::boolean, winner, tap);
    int zero = stage.number(stage.dtype(gradient), 0);
    int share = stage.node(ScalarOp::select, stage.dtype(gradient), wins, gradient, zero);
    int sum = stage.reduce(Reduction::Kind::sum, share, 0);
    stage.store(kernel.result(), joined(lead, at.inputs), sum);
    stage.finish();
  });
}

StructuredKernel lower_max_gradient(const OpView& view) {
  Windows windows = read_max_windows(view);
  KernelWriter kernel(view);
  if (windows.is_partition() && windows.taps() <= largest_unrolled_window)
    write_partition_gradient(kernel, windows);
  else
    write_overlapping_gradient(kernel, windows);
  return kernel.take();
}

OperandGradients differentiate_max(GradientContext& context) {
  return {context.builder("max_pool_gradient", {context.operands[0], *context.gradients[0]}, context.view.attributes)};
}

// Both are linear in operand 1, and constant in operand 0 but at ties.
OperandGradients differentiate_max_gradient(GradientContext& context) {
  if (!context.needed[1]) return {{}, {}};
  return {{},
          context.builder("max_pool_select", {context.operands[0], *context.gradients[0]}, context.view.attributes)};
}

OperandGradients differentiate_max_select(GradientContext& context) {
  if (!context.needed[1]) return {{}, {}};
  return {{},
          context.builder("max_pool_gradient", {context.operands[0], *context.gradients[0]}, context.view.attributes)};
}

struct Case {
  Shape shape;
  Attributes attributes;
};

std::vector<Case> cases() {
  Sizes one{1, 1}, two{2, 2}, three{3, 3};
  return {
      {{2, 3, 4, 6}, {{"window", two}}},
      {{2, 5, 7}, {{"window", Sizes{2, 3}}}},  // a row and a column that no window covers
      {{1, 2, 5, 5}, {{"window", three}, {"stride", one}, {"padding_low", one}, {"padding_high", one}}},
      {{1, 2, 7, 8}, {{"window", three}, {"stride", two}, {"padding_low", one}, {"padding_high", Sizes{0, 1}}}},
      {{2, 9}, {{"window", Sizes{3}}, {"stride", Sizes{2}}, {"dilation", Sizes{2}}}},
      {{2, 10, 10}, {{"window", Sizes{5, 5}}}},  // side by side, yet too large to be written out
      {{2, 3, 4, 4}, {{"window", Sizes{2, 1, 3, 2}}, {"stride", Sizes{1, 2, 1, 2}}}},
      {{1, 2, 4, 36}, {{"window", two}}},  // wide enough for vectors
      {{3, 51}, {{"window", Sizes{3}}}},   // the same with lanes 3 and 4 elements apart, and elements left over
      {{2, 77}, {{"window", Sizes{4}}}},
      {{2, 39}, {{"window", Sizes{1}}, {"stride", Sizes{2}}}},
      {{0, 4, 4}, {{"window", two}}},
  };
}

// The operands of op number `which` of: max_pool (input), max_pool_gradient (input, like the result),
// max_pool_select (input, like the input).
std::vector<Sample> samples(int which) {
  std::vector<Sample> made;
  for (Case& each : cases()) {
    for (const char* name : {"stride", "padding_low", "padding_high", "dilation"})
      if (!each.attributes.has(name)) each.attributes.set(name, Sizes{});
    Sample sample{.operands = {Type(DType::f32, each.shape)}};
    if (which == 1) sample.operands.emplace_back(DType::f32, make_windows(each.attributes, each.shape).output_shape());
    if (which == 2) sample.operands.emplace_back(DType::f32, each.shape);
    sample.attributes = std::move(each.attributes);
    made.push_back(std::move(sample));
  }
  return made;
}

}  // namespace

std::vector<OpEntry> max_windows() {
  return {
      {.name = "max_pool",
       .summary = "The maximum of each window over the trailing dimensions. NaN wins; padding never does.",
       .signature = {.operands = {{"input", DTypeClass::numeric}}, .attributes = pooling_attributes()},
       .infer =
           [](const OpView& view) {
             return std::vector<Type>{Type(view.operand(0).dtype, read_max_windows(view).output_shape())};
           },
       .evaluate = evaluate_max,
       .gradient = Gradient(differentiate_max),
       .realisation = Lower{lower_max},
       .samples = samples(0)},
      {.name = "max_pool_gradient",
       .summary = "The gradient of max_pool's input: each window's gradient goes to its first maximum (or first NaN).",
       .signature = {.operands = {{"input", DTypeClass::floating}, {"gradient", DTypeClass::floating}},
                     .attributes = pooling_attributes()},
       .infer =
           [](const OpView& view) {
             Windows windows = read_max_windows(view);
             check_shape("gradient", view.operand(1).shape, windows.output_shape());
             return std::vector<Type>{Type(view.operand(0).dtype, windows.input_shape())};
           },
       .evaluate = evaluate_max_gradient,
       .gradient = Gradient(differentiate_max_gradient),
       .realisation = Lower{lower_max_gradient},
       .samples = samples(1)},
      {.name = "max_pool_select",
       .summary = "For each window, `values` at the place of the first maximum (or first NaN) of `input`.",
       .signature = {.operands = {{"input", DTypeClass::floating}, {"values", DTypeClass::floating}},
                     .attributes = pooling_attributes()},
       .infer =
           [](const OpView& view) {
             Windows windows = read_max_windows(view);
             check_shape("values", view.operand(1).shape, windows.input_shape());
             return std::vector<Type>{Type(view.operand(0).dtype, windows.output_shape())};
           },
       .evaluate = evaluate_max_select,
       .gradient = Gradient(differentiate_max_select),
       .realisation = Lower{lower_max_select},
       .samples = samples(2)},
  };
}

}  // namespace placewright::ops
