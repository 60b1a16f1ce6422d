// Functions on tensors, with PyTorch's names. The elementwise ones are written from the op table by a build step
// (generated_ops.h); here are those that need sugar. Negative dims count from the end.
#pragma once

#include <utility>
#include <vector>

#include "placewright/generated_ops.h"
#include "placewright/tensor.h"

namespace placewright {

// (..., n, k) x (..., k, m) -> (..., n, m), leading dims broadcast; a vector is a row on the left, a column on the
// right.
Tensor matmul(const Operand& a, const Operand& b);
// x (..., in) times weight (out, in) transposed, plus bias (out): PyTorch's linear. `bias` may be undefined.
Tensor linear(const Operand& x, const Tensor& weight, const Tensor& bias = {});

struct Conv2dOptions {
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
};
// x (n, c, h, w), weight (out, c / groups, kh, kw), bias (out) or undefined -> (n, out, oh, ow).
Tensor conv2d(const Operand& x, const Tensor& weight, const Tensor& bias = {}, Conv2dOptions options = {});

struct Pool2dOptions {
  int64_t stride = 0;  // 0: the window's size
  int64_t padding = 0;
};
// x (n, c, h, w) -> the largest, or the mean, of each window x window square.
Tensor max_pool2d(const Operand& x, int64_t window, Pool2dOptions options = {});
Tensor avg_pool2d(const Operand& x, int64_t window, Pool2dOptions options = {});

Tensor softmax(const Operand& x, int dim = -1);
Tensor log_softmax(const Operand& x, int dim = -1);
// Normalises over the last dim: (x - mean) / sqrt(variance + epsilon) * weight + bias.
Tensor layer_norm(const Operand& x, const Tensor& weight, const Tensor& bias, double epsilon = 1e-5);
// Rows of table (n, width) by ids of i32 or i64: ids' shape, then width.
Tensor embedding(const Tensor& table, const Operand& ids);

// Joins along a dim; makes a new first dim with stack.
Tensor concat(const std::vector<Tensor>& parts, int dim = 0, Here where = Here::current());
Tensor stack(const std::vector<Tensor>& parts, Here where = Here::current());
// Elements [start, stop) of a dim, every step-th.
Tensor slice(const Operand& x, int dim, int64_t start, int64_t stop, int64_t step = 1);
Tensor where(const Operand& condition, const Operand& if_true, const Operand& if_false);
Tensor clamp(const Operand& x, const Operand& low, const Operand& high);

// Losses, averaged over all elements; cross_entropy over the rows of logits (n, classes), labels i32, i64 or u8 (n).
Tensor mse_loss(const Operand& prediction, const Operand& target);
Tensor cross_entropy(const Operand& logits, const Operand& labels);
Tensor nll_loss(const Operand& log_probabilities, const Operand& labels);

// A scalar loss's gradients with respect to leaves that it was computed from: parameters, arguments, values.
// Results: as many as `with_respect_to`. One op `gradient` in the captured graph.
std::vector<Tensor> gradients(const Tensor& loss, const std::vector<Tensor>& with_respect_to,
                              Here where = Here::current());

}  // namespace placewright
