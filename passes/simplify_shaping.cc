// Identities of ops that move elements without computing, and of contractions that read moved elements.
#include <algorithm>

#include "simplifier.h"

namespace placewright {
namespace {

using Result = std::optional<Value>;

bool counts_up(const Sizes& dims) {
  for (size_t i = 0; i < dims.size(); ++i)
    if (dims[i] != static_cast<int64_t>(i)) return false;
  return true;
}

// What a scalar repeated everywhere becomes when its elements are moved: the scalar repeated to the new shape.
Result move_repeated_scalar(Simplifier& s) {
  const Op* broadcast = s.made_by(s.operand(0), "broadcast");
  if (!broadcast || s.type(broadcast->operands[0]).rank() != 0) return {};
  return s.make("broadcast", {broadcast->operands[0]}, {{"shape", s.result().shape}, {"dims", Sizes{}}});
}

Result reshape_chain(Simplifier& s) {
  if (s.type(s.operand(0)).shape == s.result().shape) return s.operand(0);
  const Op* inner = s.made_by(s.operand(0), "reshape");
  return inner ? Result(s.make("reshape", {inner->operands[0]}, s.op().attributes)) : move_repeated_scalar(s);
}

Result transpose_chain(Simplifier& s) {
  const Sizes& permutation = s.op().attributes.get<Sizes>("permutation");
  if (counts_up(permutation)) return s.operand(0);
  if (const Op* inner = s.made_by(s.operand(0), "transpose")) {
    const Sizes& first = inner->attributes.get<Sizes>("permutation");
    Sizes joined;
    for (int64_t dim : permutation) joined.push_back(first[dim]);
    return s.make("transpose", {inner->operands[0]}, {{"permutation", joined}});
  }
  // Where only dimensions of size 1 change places, no element moves.
  Sizes moved;
  for (int64_t dim : permutation)
    if (s.type(s.operand(0)).shape[dim] != Dim(1)) moved.push_back(dim);
  if (std::is_sorted(moved.begin(), moved.end()))
    return s.make("reshape", {s.operand(0)}, {{"shape", s.result().shape}});
  return move_repeated_scalar(s);
}

// transpose(a . b) = b . a, where each has one free dimension; the products are the same and so is their order.
Result transpose_of_dot(Simplifier& s) {
  const Op* dot = s.made_by(s.operand(0), "dot_general");
  if (!dot || s.result().rank() != 2) return {};
  const Attributes& old = dot->attributes;
  Value lhs = dot->operands[0], rhs = dot->operands[1];
  size_t contracted = old.get<Sizes>("lhs_contracting").size();
  if (!old.get<Sizes>("lhs_batch").empty() || s.type(lhs).rank() != static_cast<int>(contracted) + 1 ||
      s.type(rhs).rank() != static_cast<int>(contracted) + 1 ||
      s.op().attributes.get<Sizes>("permutation") != Sizes{1, 0})
    return {};
  Attributes swapped = old;
  swapped.set("lhs_contracting", old.get<Sizes>("rhs_contracting"));
  swapped.set("rhs_contracting", old.get<Sizes>("lhs_contracting"));
  return s.make("dot_general", {rhs, lhs}, std::move(swapped));
}

Result broadcast_chain(Simplifier& s) {
  const Sizes& dims = s.op().attributes.get<Sizes>("dims");
  const TensorType& from = s.type(s.operand(0));
  if (from.shape == s.result().shape) return s.operand(0);
  if (const Op* inner = s.made_by(s.operand(0), "broadcast")) {
    Sizes joined;
    for (int64_t dim : inner->attributes.get<Sizes>("dims")) joined.push_back(dims[dim]);
    return s.make("broadcast", {inner->operands[0]}, {{"shape", s.result().shape}, {"dims", joined}});
  }
  if (from.elements() == s.result().elements()) return s.make("reshape", {s.operand(0)}, {{"shape", s.result().shape}});
  return {};
}

Result slice_of_whole(Simplifier& s) {
  return s.type(s.operand(0)).shape == s.result().shape ? Result(s.operand(0)) : Result();
}

// A slice of what was repeated, along the repeated dimensions only: repeat less often.
Result slice_of_broadcast(Simplifier& s) {
  const Op* broadcast = s.made_by(s.operand(0), "broadcast");
  if (!broadcast) return {};
  for (int64_t dim : broadcast->attributes.get<Sizes>("dims"))
    if (s.result().shape[dim] != s.type(s.operand(0)).shape[dim]) return {};
  Attributes attributes = broadcast->attributes;
  attributes.set("shape", s.result().shape);
  return s.make("broadcast", {broadcast->operands[0]}, std::move(attributes));
}

// A reduction that keeps its dimensions as ones is one that drops them, seen under another shape.
Result reduce_then_reshape(Simplifier& s) {
  if (!s.op().attributes.get<bool>("keep_dims")) return {};
  Attributes attributes = s.op().attributes;
  attributes.set("keep_dims", false);
  Value reduced = s.make(s.op().name(), s.op().operands, std::move(attributes));
  return s.make("reshape", {reduced}, {{"shape", s.result().shape}});
}

Result pad_by_nothing(Simplifier& s) {
  for (const char* name : {"low", "high", "interior"})
    for (int64_t elements : s.op().attributes.get<Sizes>(name))
      if (elements != 0) return {};
  return s.operand(0);
}

Result reverse_chain(Simplifier& s) {
  const Sizes& dims = s.op().attributes.get<Sizes>("dims");
  auto is_one = [&](int64_t dim) { return s.result().shape[dim] == Dim(1); };
  if (std::all_of(dims.begin(), dims.end(), is_one)) return s.operand(0);
  const Op* inner = s.made_by(s.operand(0), "reverse");
  return inner && inner->attributes == s.op().attributes ? Result(inner->operands[0]) : Result();
}

Result concat_of_one(Simplifier& s) { return s.op().operands.size() == 1 ? Result(s.operand(0)) : Result(); }

Result known_size(Simplifier& s) {
  const Dim& dim = s.type(s.operand(0)).shape[s.op().attributes.get<int64_t>("dim")];
  if (!dim.is_number()) return {};
  return s.make("constant", {}, {{"value", HostTensor::scalar<int64_t>(dim.number())}});
}

// Known before placement, so that nobody pays for copies of what is the same.
Result dropout_of_inference(Simplifier& s) { return s.op().attributes.get<bool>("training") ? Result() : s.operand(0); }

// A contraction names the dimensions that it reads, so it can read them where they stood before a transpose, as long as
// the free ones keep their order.
Result dot_of_transposed(Simplifier& s) {
  for (size_t side : {0, 1}) {
    const Op* transpose = s.made_by(s.operand(side), "transpose");
    if (!transpose) continue;
    const Sizes& permutation = transpose->attributes.get<Sizes>("permutation");
    std::string name = side == 0 ? "lhs" : "rhs";
    Attributes attributes = s.op().attributes;
    std::vector<bool> named(permutation.size(), false);
    for (const std::string& part : {name + "_batch", name + "_contracting"}) {
      Sizes dims = attributes.get<Sizes>(part);
      for (int64_t& dim : dims) {
        named[dim] = true;
        dim = permutation[dim];
      }
      attributes.set(part, dims);
    }
    Sizes free;
    for (size_t i = 0; i < permutation.size(); ++i)
      if (!named[i]) free.push_back(permutation[i]);
    if (!std::is_sorted(free.begin(), free.end())) continue;
    std::vector<Value> operands = s.op().operands;
    operands[side] = transpose->operands[0];
    return s.make("dot_general", std::move(operands), std::move(attributes));
  }
  return {};
}

constexpr NamedRule rules[] = {
    {"reshape", reshape_chain},
    {"transpose", transpose_chain},
    {"transpose", transpose_of_dot},
    {"broadcast", broadcast_chain},
    {"slice", slice_of_whole},
    {"slice", slice_of_broadcast},
    {"reduce_sum", reduce_then_reshape},
    {"reduce_max", reduce_then_reshape},
    {"reduce_min", reduce_then_reshape},
    {"reduce_prod", reduce_then_reshape},
    {"pad", pad_by_nothing},
    {"reverse", reverse_chain},
    {"concat", concat_of_one},
    {"dropout", dropout_of_inference},
    {"size_of", known_size},
    {"dot_general", dot_of_transposed},
};

}  // namespace

std::span<const NamedRule> shaping_rules() { return rules; }

}  // namespace placewright
