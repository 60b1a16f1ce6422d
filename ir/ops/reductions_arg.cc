// argmax and argmin: where the extremum stands. A NaN wins over every number; among equals the first wins (-0 equals
// +0).
#include <cmath>

#include "reductions.h"
#include "scalar_writer.h"

namespace placewright::ops {
namespace {

std::vector<Type> infer_arg(const OpView& view) {
  const TensorType& x = view.operand(0);
  int dim = expect_dim(view.attributes.get<int64_t>("dim"), x.rank(), "dim");
  expect(x.shape[dim] != Dim(0), "dimension {} of {} is empty, expected at least one element to choose from", dim,
         to_string(x.shape));
  std::vector<bool> reduced(x.shape.size(), false);
  reduced[dim] = true;
  return {Type(DType::i64, reduced_shape(x.shape, reduced, view.attributes.get<bool>("keep_dims")))};
}

template <typename T>
bool beats(T challenger, T best, bool largest) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(best)) return false;
    if (std::isnan(challenger)) return true;
  }
  return largest ? challenger > best : challenger < best;
}

auto evaluate_arg(bool largest) {
  return [largest](const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
    const HostTensor& x = operands[0];
    int64_t dim = view.attributes.get<int64_t>("dim");
    Sizes outer = x.sizes();
    outer[dim] = 1;  // positions of the first element of each row; the result has its elements in this order
    int64_t result = 0;
    for_each_position(outer, [&](Sizes at) {
      int64_t best = flat_index(at, x.sizes()), best_index = 0;
      for (int64_t i = 1; i < x.sizes()[dim]; ++i) {
        at[dim] = i;
        int64_t flat = flat_index(at, x.sizes());
        if (is_floating(x.dtype()) ? beats(x.number(flat), x.number(best), largest)
                                   : beats(x.integer(flat), x.integer(best), largest))
          best = flat, best_index = i;
      }
      results[0].set_integer(result++, best_index);
    });
  };
}

// Parameters: left value, left index, right value, right index. Associative and free of order: the better value, and
// among equals the lower index.
ScalarBody combine_states(DType dtype, bool largest, std::vector<int>& combined) {
  ScalarBody body;
  for (int i = 0; i < 4; ++i)
    body.push_back({.op = ScalarOp::parameter, .dtype = i % 2 == 0 ? dtype : DType::i64, .slot = i});
  ScalarWriter write(body);
  int better = write(largest ? ScalarOp::greater : ScalarOp::less, 2, 0);
  int same = write(ScalarOp::equal, 2, 0);
  if (is_floating(dtype)) {
    int left_nan = write(ScalarOp::is_nan, 0), right_nan = write(ScalarOp::is_nan, 2);
    better = write(ScalarOp::logical_or, better,
                   write(ScalarOp::logical_and, right_nan, write(ScalarOp::logical_not, left_nan)));
    same = write(ScalarOp::logical_or, same, write(ScalarOp::logical_and, left_nan, right_nan));
  }
  int earlier = write(ScalarOp::less, 3, 1);
  int take_right = write(ScalarOp::logical_or, better, write(ScalarOp::logical_and, same, earlier));
  combined = {write(ScalarOp::select, take_right, 2, 0), write(ScalarOp::select, take_right, 3, 1)};
  return body;
}

auto lower_arg(bool largest) {
  return [largest](const OpView& view) {
    DType dtype = view.operand(0).dtype;
    Sizes sizes = view.operand(0).sizes();
    int64_t dim = view.attributes.get<int64_t>("dim");
    std::vector<bool> reduced(sizes.size(), false);
    reduced[dim] = true;
    KernelWriter kernel(view);
    StageWriter stage(kernel, std::string(view.entry.name));
    std::vector<Index> position;
    for (size_t d = 0; d < sizes.size(); ++d)
      position.push_back(reduced[d] ? stage.reduced(sizes[d]) : stage.parallel(sizes[d]));
    int value = stage.load(kernel.operand(0), position), index = stage.position(position[dim]);
    std::vector<int> combined;
    ScalarBody combine = combine_states(dtype, largest, combined);
    // Any element beats the initial state, for its index is higher than all.
    std::vector<ScalarNode> init{largest ? lowest_value(dtype) : highest_value(dtype), highest_value(DType::i64)};
    std::vector<int> states = stage.reduce_custom({value, index}, init, std::move(combine), combined);
    stage.store(kernel.result(), reduced_position(position, reduced, view.attributes.get<bool>("keep_dims")),
                states[1]);
    stage.finish();
    return kernel.take();
  };
}

std::vector<Sample> arg_samples() {
  auto sample = [](Shape shape, int64_t dim, bool keep_dims) {
    return Sample{.operands = {Type(DType::f32, std::move(shape))},
                  .attributes = {{"dim", dim}, {"keep_dims", keep_dims}}};
  };
  return {sample({5}, 0, false),       sample({3, 4}, 1, false), sample({3, 4}, 0, true),  sample({0, 3}, 1, false),
          sample({2, 3, 4}, 1, false), sample({1}, 0, true),     sample({4, 37}, 1, false)};
}

OpEntry arg(std::string_view name, std::string_view summary, bool largest) {
  return {.name = name,
          .summary = summary,
          .signature = {.operands = {{"x", DTypeClass::numeric}},
                        .attributes = {{"dim", AttributeKind::integer, {}, "the dimension to search"},
                                       keep_dims_attribute()}},
          .infer = infer_arg,
          .evaluate = evaluate_arg(largest),
          .gradient = Gradient::not_differentiable(),
          .realisation = Lower{lower_arg(largest)},
          .samples = arg_samples()};
}

}  // namespace

std::vector<OpEntry> arg_reductions() {
  return {arg("argmax",
              "The i64 index along dim of the largest element: the first NaN if there is one, else the first "
              "of equals.",
              true),
          arg("argmin",
              "The i64 index along dim of the smallest element: the first NaN if there is one, else the "
              "first of equals.",
              false)};
}

}  // namespace placewright::ops
