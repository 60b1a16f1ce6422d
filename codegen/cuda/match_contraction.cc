// Which kernels are one product of matrices: by their stage's accesses and scalar bodies alone, so that no op is known.
#include <algorithm>
#include <cmath>

#include "placewright/base/checked.h"
#include "placewright/codegen/cuda/cuda_code.h"

namespace placewright {
namespace {

using Dims = std::vector<int>;

// An access as a walk through memory: where it begins, and the elements to the next index of each dimension.
struct Walk {
  int buffer = -1;
  int64_t offset = 0;
  Sizes strides;
};

std::optional<Walk> walk_of(const StructuredKernel& kernel, const Stage& stage, int number) {
  const Access& access = stage.accesses[static_cast<size_t>(number)];
  const KernelBuffer& buffer = kernel.buffers[static_cast<size_t>(access.buffer)];
  const Layout& layout = buffer.layout;
  if (access.guarded || !access.indirect.empty() || !layout.blocks.empty() || !layout.padding.empty()) return {};
  Walk walk{access.buffer, 0, Sizes(stage.extents.size(), 0)};
  int64_t stride = 1;
  for (size_t i = buffer.sizes.size(); i-- > 0;) {
    const auto dim = layout.order.empty() ? i : static_cast<size_t>(layout.order[i]);
    const AffineExpr& index = access.index[dim];
    if (index.divisor != 1) return {};
    walk.offset += index.constant * stride;
    for (size_t d = 0; d < walk.strides.size(); ++d) walk.strides[d] += index.coefficients[d] * stride;
    stride = checked_mul(stride, buffer.sizes[dim]);
  }
  for (size_t d = 0; d < walk.strides.size(); ++d) {
    if (stage.extents[d] == 1) walk.strides[d] = 0;
    if (walk.strides[d] < 0) return {};
  }
  return walk;
}

// Several dimensions as one: their points, and what each walk steps from one to the next. Nothing if a walk has no such
// step. Ordered by the strides of `order`, the largest first.
struct Joined {
  int64_t extent = 1;
  Sizes strides;  // one for each walk
};

std::optional<Joined> join_dims(const Stage& stage, const Dims& dims, const std::vector<const Walk*>& walks) {
  Joined joined{1, Sizes(walks.size(), 0)};
  for (size_t i = dims.size(); i-- > 0;) {
    for (size_t w = 0; w < walks.size(); ++w) {
      const int64_t stride = walks[w]->strides[static_cast<size_t>(dims[i])];
      if (i + 1 == dims.size())
        joined.strides[w] = stride;
      else if (stride != checked_mul(joined.strides[w], joined.extent))
        return {};
    }
    joined.extent = checked_mul(joined.extent, stage.extents[static_cast<size_t>(dims[i])]);
  }
  return joined;
}

void sort_by(Dims& dims, const Walk& walk) {
  std::stable_sort(dims.begin(), dims.end(), [&](int a, int b) {
    return walk.strides[static_cast<size_t>(a)] > walk.strides[static_cast<size_t>(b)];
  });
}

// What the epilogue does to a sum: scale, bias, activation, in that order.
class Epilogue {
 public:
  explicit Epilogue(const Stage& stage) : body_(stage.epilogue), dtype_(stage.reduction.dtypes[0]) {}

  bool match(int node, Contraction& made) {
    if (int x = relu_of(node); x >= 0)
      made.activation = Contraction::Activation::relu, node = x;
    else if (int y = gelu_of(node); y >= 0)
      made.activation = Contraction::Activation::gelu, node = y;
    if (is(node, ScalarOp::add))
      for (int side : {0, 1}) {
        const int other = operand(node, 1 - side);
        if (!is(other, ScalarOp::load)) continue;
        bias_ = body_[static_cast<size_t>(other)].slot;
        node = operand(node, side);
        break;
      }
    if (is(node, ScalarOp::mul))
      for (int side : {0, 1}) {
        const int other = operand(node, 1 - side);
        if (!is(other, ScalarOp::constant) || !std::isfinite(body_[static_cast<size_t>(other)].number)) continue;
        made.scale = body_[static_cast<size_t>(other)].number;
        node = operand(node, side);
        break;
      }
    return is(node, ScalarOp::reduced);
  }
  int bias_access() const { return bias_; }  // -1: none

 private:
  bool is(int node, ScalarOp op) const {
    const ScalarNode& found = body_[static_cast<size_t>(node)];
    return found.op == op && found.dtype == dtype_;
  }
  int operand(int node, int i) const { return body_[static_cast<size_t>(node)].operands[static_cast<size_t>(i)]; }
  bool is_number(int node, double number) const {
    if (!is(node, ScalarOp::constant)) return false;
    const double found = body_[static_cast<size_t>(node)].number;
    return dtype_ == DType::f32 ? static_cast<float>(found) == static_cast<float>(number) : found == number;
  }

  // -1: it is none. NaN stays NaN in ours; of the library's max(x, 0) nobody says.
  int relu_of(int node) const {
    if (is(node, ScalarOp::max))
      for (int side : {0, 1})
        if (is_number(operand(node, side), 0)) return operand(node, 1 - side);
    if (!is(node, ScalarOp::select) || !is_number(operand(node, 1), 0)) return -1;
    const ScalarNode& condition = body_[static_cast<size_t>(operand(node, 0))];
    const int x = operand(node, 2);
    return condition.op == ScalarOp::less && condition.operands[0] == x && is_number(condition.operands[1], 0) ? x : -1;
  }

  // x * 0.5 * (tanh(x * ((x * x * 0.044715 + 1) * sqrt(2 / pi))) + 1)
  int gelu_of(int node) const {
    constexpr double cubic = 0.044715, root_two_by_pi = 0.79788456080286535588;
    if (!is(node, ScalarOp::mul)) return -1;
    const int half = operand(node, 0), raised = operand(node, 1);
    if (!is(half, ScalarOp::mul) || !is_number(operand(half, 1), 0.5)) return -1;
    if (!is(raised, ScalarOp::add) || !is_number(operand(raised, 1), 1)) return -1;
    const int x = operand(half, 0), curve = operand(raised, 0);
    if (!is(curve, ScalarOp::tanh)) return -1;
    const int inner = operand(curve, 0);
    if (!is(inner, ScalarOp::mul) || operand(inner, 0) != x) return -1;
    const int scaled = operand(inner, 1);
    if (!is(scaled, ScalarOp::mul) || !is_number(operand(scaled, 1), root_two_by_pi)) return -1;
    const int sum = operand(scaled, 0);
    if (!is(sum, ScalarOp::add) || !is_number(operand(sum, 1), 1)) return -1;
    const int bent = operand(sum, 0);
    if (!is(bent, ScalarOp::mul) || !is_number(operand(bent, 1), cubic)) return -1;
    const int square = operand(bent, 0);
    return is(square, ScalarOp::mul) && operand(square, 0) == x && operand(square, 1) == x ? x : -1;
  }

  const ScalarBody& body_;
  DType dtype_;
  int bias_ = -1;
};

// Strides of a matrix of so many rows and columns that a library takes, or false: one of them is 1, the other steps
// over the whole line. Where there is one line only, what is stepped over is made up.
bool settle(Contraction::Matrix& matrix, int64_t rows, int64_t columns) {
  if (rows == 1) matrix.row = matrix.column <= 1 ? columns : 1;
  if (columns == 1) matrix.column = matrix.row <= 1 && rows > 1 ? rows : 1;
  if (rows == 1 && columns == 1) matrix.row = matrix.column = 1;
  return (matrix.column == 1 && matrix.row >= columns) || (matrix.row == 1 && matrix.column >= rows);
}

class Matcher {
 public:
  explicit Matcher(const StructuredKernel& kernel) : kernel_(kernel), stage_(kernel.stages[0]) {}

  std::optional<Contraction> match() {
    if (!is_sum_of_products() || !match_epilogue() || !share_out_dims()) return {};
    // A leading dimension that does not continue its side in memory is one of the batch, which the other factor shares.
    for (size_t rows = 0; rows <= rows_.size(); ++rows)
      for (size_t columns = 0; columns <= columns_.size(); ++columns)
        if (std::optional<Contraction> made = match_with(rows, columns)) return made;
    return {};
  }

 private:
  bool is_sum_of_products() {
    const Reduction& reduction = stage_.reduction;
    if (reduction.kind != Reduction::Kind::sum || reduction.dtypes.size() != 1) return false;
    const DType dtype = reduction.dtypes[0];
    if ((dtype != DType::f32 && dtype != DType::f64) || reduction.init[0].number != 0) return false;
    if (std::find(stage_.sequential.begin(), stage_.sequential.end(), true) != stage_.sequential.end()) return false;
    if (!stage_.stores.empty() || stage_.epilogue_stores.size() != 1 || stage_.epilogue_stores[0].add) return false;
    const ScalarNode& product = stage_.body[static_cast<size_t>(reduction.values[0])];
    if (product.op != ScalarOp::mul || product.dtype != dtype) return false;
    std::optional<Walk>* factors[] = {&left_, &right_};
    for (size_t i : {0u, 1u}) {
      const ScalarNode& factor = stage_.body[static_cast<size_t>(product.operands[i])];
      if (factor.op != ScalarOp::load || factor.dtype != dtype) return false;
      *factors[i] = walk_of(kernel_, stage_, factor.slot);
    }
    result_ = walk_of(kernel_, stage_, stage_.epilogue_stores[0].access);
    if (!left_ || !right_ || !result_) return false;
    made_.dtype = dtype;
    made_.precision = reduction.precision;
    return root(result_->buffer) != root(left_->buffer) && root(result_->buffer) != root(right_->buffer);
  }

  bool match_epilogue() {
    Epilogue epilogue(stage_);
    if (!epilogue.match(stage_.epilogue_stores[0].node, made_)) return false;
    if (epilogue.bias_access() < 0) return true;
    bias_ = walk_of(kernel_, stage_, epilogue.bias_access());
    return bias_ && bias_->offset == 0 && root(bias_->buffer) != root(result_->buffer);
  }

  bool share_out_dims() {
    for (int d = 0; d < stage_.rank(); ++d) {
      const auto at = static_cast<size_t>(d);
      if (stage_.extents[at] == 0) return false;
      if (stage_.extents[at] == 1) continue;
      const bool of_left = left_->strides[at] > 0, of_right = right_->strides[at] > 0;
      if (stage_.reduced[at] ? !(of_left && of_right) : (result_->strides[at] == 0 || !(of_left || of_right)))
        return false;
      Dims& side = of_left ? rows_ : columns_;
      Dims& shared = stage_.reduced[at] ? depth_ : batch_;
      (of_left && of_right ? shared : side).push_back(d);
    }
    for (Dims* dims : {&batch_, &rows_, &columns_}) sort_by(*dims, *result_);
    sort_by(depth_, *left_);
    return true;
  }

  // With so many leading rows and columns counted to the batch.
  std::optional<Contraction> match_with(size_t leading_rows, size_t leading_columns) const {
    Dims batch = batch_;
    batch.insert(batch.end(), rows_.begin(), rows_.begin() + static_cast<std::ptrdiff_t>(leading_rows));
    batch.insert(batch.end(), columns_.begin(), columns_.begin() + static_cast<std::ptrdiff_t>(leading_columns));
    sort_by(batch, *result_);
    std::vector<const Walk*> walks{&*left_, &*right_, &*result_};
    if (bias_) walks.push_back(&*bias_);
    auto joined = [&](const Dims& dims, size_t from) {
      return join_dims(stage_, {dims.begin() + static_cast<std::ptrdiff_t>(from), dims.end()}, walks);
    };
    std::optional<Joined> all = joined(batch, 0), rows = joined(rows_, leading_rows);
    std::optional<Joined> columns = joined(columns_, leading_columns), depth = joined(depth_, 0);
    if (!all || !rows || !columns || !depth) return {};
    if (bias_ && all->strides[3] != 0) return {};
    const bool is_turned = columns->strides[2] != 1 && rows->strides[2] == 1;
    const size_t left = is_turned ? 1 : 0, right = 1 - left;
    if (is_turned) std::swap(rows, columns);
    Contraction made = made_;
    made.batch = all->extent, made.rows = rows->extent, made.columns = columns->extent, made.depth = depth->extent;
    if (made.rows == 1 && made.columns == 1) return {};  // no more than a sum
    const Walk& left_walk = is_turned ? *right_ : *left_;
    const Walk& right_walk = is_turned ? *left_ : *right_;
    made.left = {parameter(left_walk.buffer), left_walk.offset, rows->strides[left], depth->strides[left],
                 all->strides[left]};
    made.right = {parameter(right_walk.buffer), right_walk.offset, depth->strides[right], columns->strides[right],
                  all->strides[right]};
    made.result = {parameter(result_->buffer), result_->offset, rows->strides[2], columns->strides[2], all->strides[2]};
    if (!settle(made.left, made.rows, made.depth) || !settle(made.right, made.depth, made.columns)) return {};
    if (!settle(made.result, made.rows, made.columns) || made.result.column != 1) return {};
    if (bias_) {
      if (rows->strides[3] != 0 || (made.columns > 1 && columns->strides[3] != 1)) return {};
      made.bias = parameter(bias_->buffer);
    }
    return made;
  }

  int root(int buffer) const {
    while (kernel_.buffers[static_cast<size_t>(buffer)].alias_of >= 0)
      buffer = kernel_.buffers[static_cast<size_t>(buffer)].alias_of;
    return buffer;
  }
  // Its place among those of a launch, by the ABI of grids.
  int parameter(int buffer) const {
    int place = 0;
    for (int b = 0; b < root(buffer); ++b) place += kernel_.buffers[static_cast<size_t>(b)].alias_of < 0;
    return place;
  }

  const StructuredKernel& kernel_;
  const Stage& stage_;
  std::optional<Walk> left_, right_, result_, bias_;
  Dims batch_, rows_, columns_, depth_;
  Contraction made_;
};

}  // namespace

std::optional<Contraction> match_contraction(const StructuredKernel& kernel) {
  if (kernel.stages.size() != 1) return {};
  return Matcher(kernel).match();
}

}  // namespace placewright
