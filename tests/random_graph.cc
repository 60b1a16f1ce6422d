#include "random_graph.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>

#include <fmt/core.h>

#include "chosen_graph.h"
#include "derived_cases.h"
#include "placewright/ir/builder.h"

namespace placewright::testing {
namespace {

using Range = std::pair<double, double>;

// Ops that jump where a floating operand changes little.
bool jumps(const OpEntry& entry, const Sample& sample, const std::vector<Type>& results) {
  constexpr std::array<std::string_view, 6> roundings{"floor", "ceil", "round", "trunc", "sign", "rem"};
  if (std::find(roundings.begin(), roundings.end(), entry.name) != roundings.end()) return true;
  bool reads_floating = false, gives_other = false;
  for (const Type& operand : sample.operands) reads_floating = reads_floating || is_floating(operand.tensor().dtype);
  for (const Type& result : results) gives_other = gives_other || !is_floating(result.tensor().dtype);
  return reads_floating && gives_other;
}

class Generator {
 public:
  Generator(uint64_t seed, const RandomGraphOptions& options)
      : options_(options), choose_(seed), builder_(made_.graph, add_function(made_.graph, "main")) {
    for (const OpEntry& entry : op_table())
      if (!entry.is_structural() && !entry.realised_as<Host>()) entries_.push_back(&entry);
  }

  RandomGraph run() {
    for (int step = 0; step < options_.ops;) {
      builder_.origin = made_.graph.origins.intern({{{"random_graph.cc", step + 1}}, "", Role::forward, step, {}});
      if (append(*choose_.of(entries_))) ++step;
    }
    finish();
    return std::move(made_);
  }

 private:
  // A value with the numbers that the inputs give it.
  struct Known {
    Value value;
    HostTensor numbers;
    bool input = false;
    bool used = false;
  };

  bool append(const OpEntry& entry) {
    std::optional<Sample> sample = choose_sample(entry);
    if (!sample) return false;
    std::vector<Type> results;
    try {
      results = infer_types({entry, sample->operands, {}, complete_attributes(entry, sample->attributes)});
    } catch (const Error&) {
      return false;  // no dtype of this graph fits the sample
    }
    for (const Type& result : results)
      if (result.tensor().elements() > options_.max_elements) return false;
    bool only_inputs = jumps(entry, *sample, results);
    std::vector<Value> operands;
    taken_.clear();
    for (size_t i = 0; i < sample->operands.size(); ++i) operands.push_back(operand(entry, *sample, i, only_inputs));
    record(builder_.add(entry.name, operands, sample->attributes));
    return true;
  }

  // A sample of the entry, its generic operands in a dtype of this graph. Elementwise ops take the shape of some value.
  std::optional<Sample> choose_sample(const OpEntry& entry) {
    auto [at, is_new] = cases_.try_emplace(&entry);
    std::vector<DerivedCase>& cases = at->second;
    if (is_new) cases = derived_cases(entry);
    std::erase_if(cases, [&](const DerivedCase& each) {
      if (each.special_values) return true;
      for (const std::vector<Type>* types : {&each.operands, &each.results})
        for (const Type& type : *types) {
          DType dtype = type.tensor().dtype;
          if (is_floating(dtype) && dtype != options_.floating) return true;
          if (type.tensor().elements() > options_.max_elements) return true;
        }
      return false;
    });
    if (cases.empty()) return std::nullopt;
    // Prefer one whose first operand some value can be.
    DerivedCase each = choose_.of(cases);
    bool empty_too = choose_.one_in(8);
    for (int attempt = 0; attempt < 8 && !(fits_any(each) && (empty_too || !is_empty(each))); ++attempt)
      each = choose_.of(cases);
    Sample sample{.operands = each.operands, .attributes = each.attributes, .ranges = each.ranges};
    if (entry.realised_as<Scalar>() && !known_.empty() && !choose_.one_in(4)) {
      const Known& like = known_[recent(known_.size())];
      const Shape& shape = builder_.shape(like.value);
      if (like.numbers.elements() == 0 && !empty_too) return std::nullopt;
      for (Type& operand : sample.operands) operand.set_shape(shape);
    }
    return sample;
  }

  // Later values more often, so that graphs grow deep.
  size_t recent(size_t count) { return std::max(choose_.below(count), choose_.below(count)); }

  static bool is_empty(const DerivedCase& each) {
    for (const std::vector<Type>* types : {&each.operands, &each.results})
      for (const Type& type : *types)
        if (type.tensor().elements() == 0) return true;
    return false;
  }

  bool fits_any(const DerivedCase& each) const {
    if (each.operands.empty()) return true;
    return std::any_of(known_.begin(), known_.end(),
                       [&](const Known& known) { return can_be(known, each.operands[0].tensor()); });
  }

  bool can_be(const Known& known, const TensorType& type) const {
    int64_t elements = known.numbers.elements(), wanted = type.elements();
    return known.numbers.dtype() == type.dtype && (elements == wanted || (wanted > 0 && elements > wanted));
  }

  Value operand(const OpEntry& entry, const Sample& sample, size_t i, bool only_inputs) {
    const TensorType& type = sample.operands[i].tensor();
    std::vector<size_t> fitting;
    for (size_t k = 0; k < known_.size(); ++k) {
      bool allowed = is_floating(type.dtype) ? !only_inputs || known_[k].input : in_range(known_[k], sample.ranges[i]);
      bool again = std::find(taken_.begin(), taken_.end(), k) != taken_.end() && !choose_.one_in(6);
      if (allowed && !again && can_be(known_[k], type)) fitting.push_back(k);
    }
    if (fitting.empty() || choose_.one_in(6)) return add_input(type, sample.ranges[i]);
    size_t chosen = fitting[recent(fitting.size())];
    known_[chosen].used = true;
    taken_.push_back(chosen);
    Value value = known_[chosen].value;
    // Only values that were input stay input: what a jump reads is taken as it is.
    if (is_floating(type.dtype) && !in_range(known_[chosen], limits(entry, sample.ranges[i]))) {
      if (only_inputs) return add_input(type, sample.ranges[i]);
      value = clamped(value, limits(entry, sample.ranges[i]));
    }
    return shaped(value, type);
  }

  // As many of the value's elements as the type has, next to each other in row-major order.
  Value shaped(Value value, const TensorType& type) {
    int64_t elements = builder_.type(value).tensor().elements(), wanted = type.elements();
    if (elements != wanted) {
      value = record(builder_.add("reshape", {value}, {{"shape", Shape{elements}}}), true);
      int64_t start = static_cast<int64_t>(choose_.below(static_cast<size_t>(elements - wanted + 1)));
      value =
          record(builder_.add("slice", {value}, {{"starts", Sizes{start}}, {"limits", Sizes{start + wanted}}}), true);
    }
    if (builder_.shape(value) == type.shape) return value;
    return record(builder_.add("reshape", {value}, {{"shape", type.shape}}), true);
  }

  // What an operand may be without making later results large or not numbers.
  Range limits(const OpEntry& entry, Range range) const {
    return entry.realised_as<Scalar>() && entry.domain != Range{-2, 2} ? entry.domain
                                                                       : Range{range.first - 4, range.second + 4};
  }

  bool in_range(const Known& known, Range range) const {
    for (int64_t i = 0; i < known.numbers.elements(); ++i) {
      double number = known.numbers.number(i);
      if (!(number >= range.first && number <= range.second)) return false;
    }
    return true;
  }

  Value clamped(Value value, Range range) {
    const TensorType type = builder_.type(value).tensor();
    Value low = builder_.full(type.dtype, type.shape, range.first);
    Value high = builder_.full(type.dtype, type.shape, range.second);
    return record(builder_.add("clamp", {value, low, high}), true);
  }

  Value add_input(const TensorType& type, Range range) {
    InputKind kind = choose_.one_in(4) ? InputKind::state : InputKind::argument;
    Value value = builder_.input(fmt::format("x{}", made_.inputs.size()), kind, type);
    made_.inputs.push_back(random_tensor(type.dtype, type.sizes(), choose_.next(), range.first, range.second));
    known_.push_back({value, made_.inputs.back(), true, true});
    return value;
  }

  // Computes what an op gives for the inputs, and keeps its results; returns the first one.
  Value record(const std::vector<Value>& results, bool used = false) {
    compute_numbers(builder_.function(), made_.inputs, numbers_);
    for (Value result : results) known_.push_back({result, numbers_[result.op][result.result], false, used});
    return results.front();
  }

  void finish() {
    Function& function = builder_.function();
    for (const Known& known : known_)
      if (!known.used || (!known.input && choose_.one_in(5))) function.results.push_back(known.value);
    for (Value input : function.inputs) {
      if (input_kind(function, input) != InputKind::state) continue;
      std::vector<Value> fitting;
      for (const Known& known : known_)
        if (known.value != input && function.type(known.value) == function.type(input)) fitting.push_back(known.value);
      if (!fitting.empty()) function.updates.push_back({input, choose_.of(fitting)});
    }
  }

  RandomGraphOptions options_;
  Chooser choose_;
  RandomGraph made_;
  FunctionBuilder builder_;
  std::vector<const OpEntry*> entries_;
  std::map<const OpEntry*, std::vector<DerivedCase>> cases_;  // looked up only, never walked
  std::vector<Known> known_;
  std::vector<size_t> taken_;                     // by the operands of the op being made
  std::vector<std::vector<HostTensor>> numbers_;  // of each op of the function
};

}  // namespace

RandomGraph make_random_graph(uint64_t seed, const RandomGraphOptions& options) {
  return Generator(seed, options).run();
}

double random_graph_tolerance(DType dtype) {
  if (!is_floating(dtype)) return 0;
  return dtype == DType::f64 ? 1e-9 : 1e-3;
}

}  // namespace placewright::testing
