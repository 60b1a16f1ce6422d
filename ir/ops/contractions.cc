// dot_general: products of two tensors, summed over contracting dimensions.
#include <algorithm>
#include <array>

#include <fmt/core.h>

#include "families.h"
#include "kernel_writer.h"
#include "naive_loops.h"
#include "product_sum.h"

namespace placewright::ops {
namespace {

// Which dimensions of one operand play which part.
struct Side {
  Sizes batch, contracting, free;
};

Side read_side(const Attributes& attributes, const std::string& name, int rank) {
  Side side{attributes.get<Sizes>(name + "_batch"), attributes.get<Sizes>(name + "_contracting"), {}};
  std::vector<bool> used(rank, false);
  for (const Sizes* list : {&side.batch, &side.contracting})
    for (int64_t dim : *list) {
      if (dim < 0 || dim >= rank) throw Error(fmt::format("{} has no dimension {}: its rank is {}", name, dim, rank));
      if (used[dim]) throw Error(fmt::format("{} dimension {} is named twice", name, dim));
      used[dim] = true;
    }
  for (int d = 0; d < rank; ++d)
    if (!used[d]) side.free.push_back(d);
  return side;
}

void match(const char* part, const TensorType& lhs, const Sizes& lhs_dims, const TensorType& rhs,
           const Sizes& rhs_dims) {
  if (lhs_dims.size() != rhs_dims.size())
    throw Error(
        fmt::format("lhs has {} {} dimensions and rhs {}, expected as many", lhs_dims.size(), part, rhs_dims.size()));
  for (size_t i = 0; i < lhs_dims.size(); ++i) {
    const Dim& left = lhs.shape[lhs_dims[i]];
    const Dim& right = rhs.shape[rhs_dims[i]];
    if (left != right)
      throw Error(
          fmt::format("{} dimension {} of lhs {} has size {}, dimension {} of rhs {} has size {}; expected equal "
                      "sizes",
                      part, lhs_dims[i], to_string(lhs.shape), left.to_string(), rhs_dims[i], to_string(rhs.shape),
                      right.to_string()));
  }
}

Side lhs_side(const OpView& view) { return read_side(view.attributes, "lhs", view.operand(0).rank()); }
Side rhs_side(const OpView& view) { return read_side(view.attributes, "rhs", view.operand(1).rank()); }

std::vector<Type> infer_dot(const OpView& view) {
  const TensorType &lhs = view.operand(0), &rhs = view.operand(1);
  Side left = lhs_side(view), right = rhs_side(view);
  match("batch", lhs, left.batch, rhs, right.batch);
  match("contracting", lhs, left.contracting, rhs, right.contracting);
  check_precision(view.attributes);
  accumulate_dtype(view);
  Shape shape;
  for (int64_t d : left.batch) shape.push_back(lhs.shape[d]);
  for (int64_t d : left.free) shape.push_back(lhs.shape[d]);
  for (int64_t d : right.free) shape.push_back(rhs.shape[d]);
  return {Type(lhs.dtype, shape)};
}

void evaluate_dot(const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
  Side left = lhs_side(view), right = rhs_side(view);
  const Sizes &lhs_sizes = operands[0].sizes(), &rhs_sizes = operands[1].sizes();
  Sizes summed;
  for (int64_t d : left.contracting) summed.push_back(lhs_sizes[d]);
  evaluate_bilinear(operands[0], operands[1], results[0], [&](const auto& lhs, const auto& rhs, auto& result) {
    Sizes at_lhs(lhs_sizes.size()), at_rhs(rhs_sizes.size());
    size_t number = 0;
    for_each_position(results[0].sizes(), [&](const Sizes& at) {
      size_t next = 0;
      for (size_t i = 0; i < left.batch.size(); ++i) at_lhs[left.batch[i]] = at_rhs[right.batch[i]] = at[next++];
      for (int64_t d : left.free) at_lhs[d] = at[next++];
      for (int64_t d : right.free) at_rhs[d] = at[next++];
      for_each_position(summed, [&](const Sizes& inner) {
        for (size_t i = 0; i < inner.size(); ++i) at_lhs[left.contracting[i]] = at_rhs[right.contracting[i]] = inner[i];
        auto product = multiply(lhs[flat_index(at_lhs, lhs_sizes)], rhs[flat_index(at_rhs, rhs_sizes)]);
        if (summed.empty())
          result[number] = product;  // no sum: -0 stays -0
        else
          add_to(result[number], product);
      });
      ++number;
    });
  });
}

StructuredKernel lower_dot(const OpView& view) {
  KernelWriter kernel(view);
  StageWriter stage(kernel, "dot_general");
  Side left = lhs_side(view), right = rhs_side(view);
  Sizes lhs_sizes = view.operand(0).sizes(), rhs_sizes = view.operand(1).sizes();
  std::vector<Index> lhs(lhs_sizes.size()), rhs(rhs_sizes.size()), result;
  for (size_t i = 0; i < left.batch.size(); ++i)
    result.push_back(lhs[left.batch[i]] = rhs[right.batch[i]] = stage.parallel(lhs_sizes[left.batch[i]]));
  for (int64_t d : left.free) result.push_back(lhs[d] = stage.parallel(lhs_sizes[d]));
  for (int64_t d : right.free) result.push_back(rhs[d] = stage.parallel(rhs_sizes[d]));
  for (size_t i = 0; i < left.contracting.size(); ++i)
    lhs[left.contracting[i]] = rhs[right.contracting[i]] = stage.reduced(lhs_sizes[left.contracting[i]]);
  write_product_sum(stage, view, stage.load(kernel.operand(0), lhs), stage.load(kernel.operand(1), rhs),
                    !left.contracting.empty(), kernel.result(), result);
  return kernel.take();
}

// The gradient of one side: the result's gradient times the other side, summed over the other side's free dimensions.
// Of the two orders of that product the one is taken that needs no transpose afterwards, if there is one.
Value side_gradient(GradientContext& context, int side) {
  Side mine = side == 0 ? lhs_side(context.view) : rhs_side(context.view);
  Side other = side == 0 ? rhs_side(context.view) : lhs_side(context.view);
  auto batch = static_cast<int64_t>(mine.batch.size());
  int64_t other_free_at = batch + (side == 0 ? static_cast<int64_t>(mine.free.size()) : 0);
  Sizes gradient_batch, gradient_contracting;
  for (int64_t i = 0; i < batch; ++i) gradient_batch.push_back(i);
  for (size_t i = 0; i < other.free.size(); ++i)
    gradient_contracting.push_back(other_free_at + static_cast<int64_t>(i));

  // The other operand's contracting dimensions stay, in its own order; these are mine that they stand for.
  std::vector<std::pair<int64_t, int64_t>> kept;
  for (size_t i = 0; i < other.contracting.size(); ++i) kept.emplace_back(other.contracting[i], mine.contracting[i]);
  std::sort(kept.begin(), kept.end());
  Sizes gradient_first = mine.batch, other_first = mine.batch;  // my dimensions, in the order in which they come out
  gradient_first.insert(gradient_first.end(), mine.free.begin(), mine.free.end());
  for (const auto& [theirs, own] : kept) gradient_first.push_back(own), other_first.push_back(own);
  other_first.insert(other_first.end(), mine.free.begin(), mine.free.end());

  bool swap = !std::is_sorted(gradient_first.begin(), gradient_first.end()) &&
              std::is_sorted(other_first.begin(), other_first.end());
  std::vector<Value> operands{*context.gradients[0], context.operands[1 - side]};
  std::array<const char*, 2> names{"lhs", "rhs"};
  if (swap) std::swap(operands[0], operands[1]), std::swap(names[0], names[1]);
  Attributes attributes{{"accumulate", context.view.attributes.get<DType>("accumulate")},
                        {"precision", context.view.attributes.get<std::string>("precision")}};
  attributes.set(std::string(names[0]) + "_batch", gradient_batch);
  attributes.set(std::string(names[0]) + "_contracting", gradient_contracting);
  attributes.set(std::string(names[1]) + "_batch", other.batch);
  attributes.set(std::string(names[1]) + "_contracting", other.free);
  Value product = context.builder("dot_general", operands, attributes);

  const Sizes& order = swap ? other_first : gradient_first;
  if (std::is_sorted(order.begin(), order.end())) return product;
  Sizes permutation(order.size());
  for (size_t i = 0; i < order.size(); ++i) permutation[order[i]] = static_cast<int64_t>(i);
  return context.builder("transpose", {product}, {{"permutation", permutation}});
}

OperandGradients dot_gradient(GradientContext& context) {
  OperandGradients gradients(2);
  for (int side : {0, 1})
    if (context.needed[side]) gradients[side] = side_gradient(context, side);
  return gradients;
}

Sample dot_sample(Shape lhs, Shape rhs, Attributes attributes) {
  return {.operands = {Type(DType::f32, std::move(lhs)), Type(DType::f32, std::move(rhs))},
          .attributes = std::move(attributes)};
}

std::vector<Sample> dot_samples() {
  Sizes none, zero{0}, one{1};
  return {
      dot_sample({3, 4}, {4, 5}, {{"lhs_contracting", one}, {"rhs_contracting", zero}}),   // NN
      dot_sample({4, 3}, {4, 5}, {{"lhs_contracting", zero}, {"rhs_contracting", zero}}),  // TN
      dot_sample({17, 9}, {33, 9}, {{"lhs_contracting", one}, {"rhs_contracting", one}}),  // NT, past one vector
      dot_sample({6}, {6}, {{"lhs_contracting", zero}, {"rhs_contracting", zero}}),        // inner product
      dot_sample({3}, {4}, {}),                                                            // outer product
      dot_sample({}, {}, {}),
      dot_sample({2, 3, 4}, {2, 4, 2},
                 {{"lhs_batch", zero}, {"rhs_batch", zero}, {"lhs_contracting", Sizes{2}}, {"rhs_contracting", one}}),
      dot_sample({3, 2, 4}, {4, 2, 5},
                 {{"lhs_batch", one}, {"rhs_batch", one}, {"lhs_contracting", Sizes{2}}, {"rhs_contracting", zero}}),
      dot_sample({3, 4, 2}, {2, 5, 4},
                 {{"lhs_contracting", Sizes{1, 2}}, {"rhs_contracting", Sizes{2, 0}}}),  // two, in another order
      dot_sample({0, 4}, {4, 5}, {{"lhs_contracting", one}, {"rhs_contracting", zero}}),
      dot_sample({3, 0}, {0, 5}, {{"lhs_contracting", one}, {"rhs_contracting", zero}}),
  };
}

}  // namespace

std::vector<OpEntry> contractions() {
  auto dims = [](std::string_view name, std::string_view meaning) {
    return AttributeSpec{name, AttributeKind::sizes, Attribute(Sizes{}), meaning};
  };
  return {
      {.name = "dot_general",
       .summary =
           "Sums lhs * rhs over the contracting dimensions, for each position of the batch dimensions, which are "
           "paired in order. Result: batch dimensions, lhs's free ones, rhs's free ones.",
       .signature = {.operands = {{"lhs", DTypeClass::numeric}, {"rhs", DTypeClass::numeric}},
                     .attributes = {dims("lhs_batch", "batch dimensions of lhs"), dims("rhs_batch", "those of rhs"),
                                    dims("lhs_contracting", "contracting dimensions of lhs"),
                                    dims("rhs_contracting", "those of rhs"), accumulate_attribute(),
                                    precision_attribute()}},
       .infer = infer_dot,
       .evaluate = evaluate_dot,
       .gradient = Gradient(dot_gradient),
       .realisation = Lower{lower_dot},
       .tolerance = {.f32 = 1e-5, .f64 = 1e-12},
       .samples = dot_samples()},
  };
}

}  // namespace placewright::ops
