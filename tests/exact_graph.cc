#include "exact_graph.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "chosen_graph.h"
#include "placewright/base/error.h"
#include "placewright/ir/builder.h"
#include "placewright/ir/op_table.h"

namespace placewright::testing {
namespace {

constexpr int64_t most_elements = 6000;  // of a value
constexpr int64_t most_work = 400000;    // multiplications of an op
constexpr double largest = 60;           // beyond, values are clamped, so that sums stay exact in f32

int64_t product(const Sizes& sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
}

class ExactGenerator {
 public:
  explicit ExactGenerator(uint64_t seed) : choose_(seed * 7919 + 13) {}

  ExactGraph run(int ops) {
    for (int step = 0, tries = 0; step < ops && tries < 30 * ops; ++tries) {
      builder_.origin = made_.graph.origins.intern({{{"exact_graph.cc", step + 1}}, "", Role::forward, step, {}});
      step += append();
    }
    finish();
    return std::move(made_);
  }

 private:
  struct Known {
    Value value;
    HostTensor numbers;
    bool input = false;
    bool used = false;
  };

  // --- chance

  int64_t below(size_t count) { return static_cast<int64_t>(choose_.below(count)); }
  int64_t between(int64_t low, int64_t high) { return low + below(static_cast<size_t>(high - low + 1)); }
  bool one_in(size_t count) { return choose_.one_in(count); }
  template <typename T>
  T shuffled(T list) {
    for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[static_cast<size_t>(below(i))]);
    return list;
  }
  const char* of(std::initializer_list<const char*> names) { return names.begin()[below(names.size())]; }

  int64_t odd_size() {
    constexpr std::array<int64_t, 17> sizes{1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 31, 32, 33, 64, 65};
    return one_in(60) ? 0 : sizes[static_cast<size_t>(below(sizes.size()))];
  }
  Sizes odd_shape(int64_t rank, int64_t limit = most_elements / 2) {
    if (rank == 1 && one_in(4)) return {one_in(2) ? 1023 : 129};
    Sizes sizes;
    for (int64_t d = 0; d < rank; ++d) {
      sizes.push_back(odd_size());
      while (sizes.back() > limit) sizes.back() /= 2;
      limit /= std::max<int64_t>(sizes.back(), 1);
    }
    return shuffled(sizes);
  }
  DType some_dtype() {
    constexpr std::array<DType, 10> dtypes{DType::f32, DType::f32, DType::f32, DType::f32, DType::f32,
                                           DType::f32, DType::f64, DType::i32, DType::i64, DType::u8};
    return dtypes[static_cast<size_t>(below(dtypes.size()))];
  }
  Sizes some_dims(size_t rank) {
    Sizes dims;
    for (size_t d = 0; d < rank; ++d)
      if (one_in(2)) dims.push_back(static_cast<int64_t>(d));
    return dims;
  }

  // --- values

  Sizes sizes_of(Value value) const { return builder_.type(value).tensor().sizes(); }
  static Shape shape_of(const Sizes& sizes) { return {sizes.begin(), sizes.end()}; }

  Value input(DType dtype, const Sizes& sizes, bool may_be_state = true, int64_t low = -4, int64_t high = 4) {
    InputKind kind = may_be_state && one_in(3) ? InputKind::state : InputKind::argument;
    Value value = builder_.input(fmt::format("x{}", made_.inputs.size()), kind, Type(dtype, shape_of(sizes)));
    HostTensor tensor(dtype, sizes);
    if (!is_signed(dtype)) low = 0;
    for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_integer(i, between(low, high));
    if (is_floating(dtype))
      for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_number(i, static_cast<double>(between(low, high)));
    made_.inputs.push_back(tensor);
    compute();
    known_.push_back({value, tensor, true, true});
    return value;
  }

  void compute() { compute_numbers(builder_.function(), made_.inputs, numbers_); }

  // Appends an op, and clamps what has become large. False if its operands do not fit.
  bool add(std::string_view op, const std::vector<Value>& operands, Attributes attributes = {}) {
    Value value;
    try {
      value = builder_(op, operands, std::move(attributes));
    } catch (const Error&) {
      return false;  // an output without a place for its window, say
    }
    keep(value, false);
    return true;
  }

  Value keep(Value value, bool used) {
    compute();
    const HostTensor& numbers = numbers_[static_cast<size_t>(value.op)][0];
    known_.push_back({value, numbers, false, used});
    bool large = false;
    if (is_floating(numbers.dtype()))
      for (int64_t i = 0; i < numbers.elements(); ++i) large = large || std::abs(numbers.number(i)) > largest;
    if (!large) return value;
    known_.back().used = true;
    const TensorType type = builder_.type(value).tensor();
    Value low = builder_.full(type.dtype, type.shape, -5), high = builder_.full(type.dtype, type.shape, 6);
    return keep(builder_("clamp", {value, low, high}), used);
  }

  template <typename Fits>
  std::optional<Value> find(Fits fits) {
    std::vector<size_t> fitting;
    for (size_t k = 0; k < known_.size(); ++k)
      if (fits(known_[k].numbers)) fitting.push_back(k);
    if (fitting.empty()) return std::nullopt;
    auto chosen = static_cast<size_t>(std::max(below(fitting.size()), below(fitting.size())));
    known_[fitting[chosen]].used = true;
    return known_[fitting[chosen]].value;
  }

  Value any(DType dtype, int64_t low_rank, int64_t high_rank) {
    auto fits = [&](const HostTensor& numbers) {
      auto rank = static_cast<int64_t>(numbers.sizes().size());
      return numbers.dtype() == dtype && rank >= low_rank && rank <= high_rank;
    };
    if (!one_in(5))
      if (std::optional<Value> found = find(fits)) return *found;
    return input(dtype, odd_shape(between(low_rank, high_rank)));
  }

  // A value of this type: one there is, another seen under its shape, repeated or transposed, or an input.
  Value value_of(DType dtype, const Sizes& sizes) {
    int64_t way = below(6);
    if (way == 0)
      if (auto found = find([&](const HostTensor& one) { return one.dtype() == dtype && one.sizes() == sizes; }))
        return *found;
    if (way == 1)
      if (auto found =
              find([&](const HostTensor& one) { return one.dtype() == dtype && one.elements() == product(sizes); }))
        return keep(builder_("reshape", {*found}, {{"shape", shape_of(sizes)}}), true);
    if (way == 2 && !sizes.empty()) {
      Sizes dims = some_dims(sizes.size()), from;
      for (int64_t dim : dims) from.push_back(sizes[static_cast<size_t>(dim)]);
      return keep(builder_("broadcast", {value_of(dtype, from)}, {{"shape", shape_of(sizes)}, {"dims", dims}}), true);
    }
    if (way == 3 && sizes.size() >= 2) {
      Sizes permutation(sizes.size()), from(sizes.size());
      std::iota(permutation.begin(), permutation.end(), 0);
      permutation = shuffled(permutation);
      for (size_t d = 0; d < sizes.size(); ++d) from[static_cast<size_t>(permutation[d])] = sizes[d];
      return keep(builder_("transpose", {value_of(dtype, from)}, {{"permutation", permutation}}), true);
    }
    return input(dtype, sizes);
  }

  // --- ops

  bool append() {
    switch (below(13)) {
      case 0:
      case 1:
        return elementwise();
      case 2:
      case 3:
      case 4:
        return moved();
      case 5:
        return padded();
      case 6:
        return joined();
      case 7:
      case 8:
        return reduced();
      case 9:
        return indexed();
      case 10:
        return contracted();
      case 11:
        return convolved();
      default:
        return windowed();
    }
  }

  bool elementwise() {
    DType dtype = some_dtype(), to = some_dtype();
    Value a = any(dtype, 0, 4);
    if (one_in(6)) return to != dtype && add("cast", {a}, {{"dtype", to}});
    if (one_in(6)) return add(of({"neg", "abs", "sign"}), {a});
    Value b = value_of(dtype, sizes_of(a));
    if (!one_in(6)) return add(of({"add", "sub", "mul", "max", "min"}), {a, b});
    Value chosen = keep(builder_(of({"less", "greater_equal", "equal"}), {a, b}), true);
    return add("select", {chosen, b, a});
  }

  bool moved() {
    Value x = any(some_dtype(), 1, 4);
    Sizes sizes = sizes_of(x);
    size_t rank = sizes.size();
    if (one_in(4)) return add("reverse", {x}, {{"dims", some_dims(rank)}});
    if (one_in(3)) {
      Sizes permutation(rank);
      std::iota(permutation.begin(), permutation.end(), 0);
      return add("transpose", {x}, {{"permutation", shuffled(permutation)}});
    }
    if (one_in(3)) return add("reshape", {x}, {{"shape", shape_of(shuffled(sizes))}});
    Sizes starts, limits, strides;
    for (int64_t size : sizes) {
      starts.push_back(std::min<int64_t>(below(4), size));
      limits.push_back(one_in(3) ? -1 : between(starts.back(), size));
      strides.push_back(one_in(2) ? 1 : between(1, 5));
    }
    return add("slice", {x}, {{"starts", starts}, {"limits", limits}, {"strides", strides}});
  }

  bool padded() {
    Value x = any(some_dtype(), 1, 4);
    Sizes low, high, interior, made;
    for (int64_t size : sizes_of(x)) {
      low.push_back(below(4));
      high.push_back(below(4));
      interior.push_back(one_in(2) ? 0 : below(3));
      made.push_back(size + low.back() + high.back() + interior.back() * std::max<int64_t>(size - 1, 0));
    }
    if (product(made) > most_elements) return false;
    double value = static_cast<double>(below(4));
    return add("pad", {x}, {{"low", low}, {"high", high}, {"interior", interior}, {"value", value}});
  }

  bool joined() {
    DType dtype = some_dtype();
    Value x = any(dtype, 1, 4);
    Sizes sizes = sizes_of(x);
    int64_t dim = below(sizes.size());
    std::vector<Value> parts{x};
    for (int64_t more = below(4); more > 0; --more) {
      sizes[static_cast<size_t>(dim)] = odd_size();
      if (product(sizes) > most_elements / 3) sizes[static_cast<size_t>(dim)] = 1;
      parts.push_back(one_in(3) ? parts[static_cast<size_t>(below(parts.size()))] : value_of(dtype, sizes));
    }
    return add("concat", shuffled(parts), {{"dim", dim}});
  }

  bool reduced() {
    Value x = any(some_dtype(), 1, 4);
    size_t rank = sizes_of(x).size();
    if (one_in(4)) return add(of({"argmax", "argmin"}), {x}, {{"dim", below(rank)}, {"keep_dims", one_in(2)}});
    return add(of({"reduce_sum", "reduce_max", "reduce_min"}), {x},
               {{"dims", some_dims(rank)}, {"keep_dims", one_in(2)}});
  }

  bool indexed() {
    DType dtype = some_dtype();
    Value x = any(dtype, 1, 3);
    Sizes sizes = sizes_of(x), indices = odd_shape(below(3), 40);
    int64_t dim = below(sizes.size()), size = sizes[static_cast<size_t>(dim)];
    if (size == 0) return false;
    Sizes taken = sizes;
    taken.erase(taken.begin() + dim);
    taken.insert(taken.begin() + dim, indices.begin(), indices.end());
    if (product(taken) > most_elements) return false;
    Value at = input(one_in(2) ? DType::i32 : DType::i64, indices, false, 0, size - 1);
    if (one_in(2)) return add("gather", {x, at}, {{"dim", dim}});
    return add("scatter_add", {x, at, value_of(dtype, taken)}, {{"dim", dim}});
  }

  bool contracted() {
    DType dtype = some_dtype();
    Value lhs = any(dtype, 1, 4);
    Sizes sizes = sizes_of(lhs), order(sizes.size());
    std::iota(order.begin(), order.end(), 0);
    order = shuffled(order);
    auto batch = std::min<int64_t>(below(3), static_cast<int64_t>(order.size()));
    auto summed = std::min<int64_t>(below(3), static_cast<int64_t>(order.size()) - batch);
    // The dimensions of rhs: what each is of lhs, or -1 for one of its own.
    Sizes of_lhs(order.begin(), order.begin() + batch + summed), rhs_sizes;
    for (int64_t free = below(3); free > 0; --free) of_lhs.push_back(-1);
    of_lhs = shuffled(of_lhs);
    int64_t work = product(sizes);
    for (int64_t dim : of_lhs) {
      rhs_sizes.push_back(dim < 0 ? odd_size() : sizes[static_cast<size_t>(dim)]);
      if (dim < 0) work *= std::max<int64_t>(rhs_sizes.back(), 1);
    }
    Sizes lhs_batch(order.begin(), order.begin() + batch);
    Sizes lhs_summed(order.begin() + batch, order.begin() + batch + summed);
    auto places = [&](const Sizes& dims) {
      Sizes found;
      for (int64_t dim : dims) found.push_back(std::find(of_lhs.begin(), of_lhs.end(), dim) - of_lhs.begin());
      return found;
    };
    int64_t inner = 1;
    for (int64_t dim : lhs_summed) inner *= std::max<int64_t>(sizes[static_cast<size_t>(dim)], 1);
    if (work > most_work || work / inner > most_elements || product(rhs_sizes) > most_elements) return false;
    return add("dot_general", {lhs, value_of(dtype, rhs_sizes)},
               {{"lhs_batch", lhs_batch},
                {"rhs_batch", places(lhs_batch)},
                {"lhs_contracting", lhs_summed},
                {"rhs_contracting", places(lhs_summed)}});
  }

  struct Window {
    Sizes outputs;
    Attributes attributes;  // all but the window itself
    Sizes window;
  };
  std::optional<Window> some_window(const Sizes& spatial) {
    Window made;
    Sizes stride, low, high, dilation;
    for (int64_t size : spatial) {
      made.window.push_back(between(1, 4));
      stride.push_back(between(1, 3));
      dilation.push_back(one_in(3) ? between(1, 3) : 1);
      low.push_back(below(static_cast<size_t>(made.window.back())));
      high.push_back(below(static_cast<size_t>(made.window.back())));
      int64_t room = size + low.back() + high.back() - dilation.back() * (made.window.back() - 1) - 1;
      if (room < 0 || size == 0) return std::nullopt;
      made.outputs.push_back(room / stride.back() + 1);
    }
    made.attributes = {{"stride", stride}, {"padding_low", low}, {"padding_high", high}, {"dilation", dilation}};
    return made;
  }

  bool convolved() {
    DType dtype = some_dtype();
    int64_t groups = one_in(3) ? between(2, 3) : 1, channels = between(1, 5), filters = between(1, 9);
    Sizes spatial;
    for (int64_t d = between(1, 2); d > 0; --d) spatial.push_back(std::clamp<int64_t>(odd_size(), 1, 17));
    std::optional<Window> window = some_window(spatial);
    if (!window) return false;
    int64_t batch = between(1, 3);
    Sizes images{batch, groups * channels}, weight{groups * filters, channels}, outputs{batch, groups * filters};
    images.insert(images.end(), spatial.begin(), spatial.end());
    weight.insert(weight.end(), window->window.begin(), window->window.end());
    outputs.insert(outputs.end(), window->outputs.begin(), window->outputs.end());
    if (product(outputs) * channels * product(window->window) > most_work ||
        std::max(product(images), product(outputs)) > most_elements)
      return false;
    Attributes attributes = window->attributes;
    attributes.set("groups", groups);
    if (one_in(3)) return add("conv", {value_of(dtype, images), value_of(dtype, weight)}, attributes);
    if (one_in(2)) {
      attributes.set("input_sizes", spatial);
      return add("conv_input_gradient", {value_of(dtype, outputs), value_of(dtype, weight)}, attributes);
    }
    attributes.set("window", window->window);
    return add("conv_weight_gradient", {value_of(dtype, images), value_of(dtype, outputs)}, attributes);
  }

  bool windowed() {
    DType dtype = some_dtype();
    Value x = any(dtype, 1, 4);
    Sizes sizes = sizes_of(x);
    auto windowed_dims =
        static_cast<std::ptrdiff_t>(between(1, std::min<int64_t>(2, static_cast<int64_t>(sizes.size()))));
    Sizes spatial(sizes.end() - windowed_dims, sizes.end()), outputs(sizes.begin(), sizes.end() - windowed_dims);
    std::optional<Window> window = some_window(spatial);
    if (!window) return false;
    outputs.insert(outputs.end(), window->outputs.begin(), window->outputs.end());
    if (product(outputs) > most_elements || product(outputs) * product(window->window) > most_work) return false;
    Attributes attributes = window->attributes;
    attributes.set("window", window->window);
    if (one_in(2)) return add(of({"max_pool", "window_sum"}), {x}, attributes);
    if (is_floating(dtype) && one_in(2)) {
      if (one_in(2)) return add("max_pool_select", {x, value_of(dtype, sizes)}, attributes);
      return add("max_pool_gradient", {x, value_of(dtype, outputs)}, attributes);
    }
    attributes.set("input_sizes", spatial);
    return add("window_sum_gradient", {value_of(dtype, outputs)}, attributes);
  }

  // Results: what nothing uses and some of the rest, one perhaps twice. States take values of their type.
  void finish() {
    Function& function = builder_.function();
    for (const Known& known : known_)
      if (!known.used || (!known.input && one_in(5))) function.results.push_back(known.value);
    if (function.results.empty()) function.results.push_back(known_.back().value);
    if (one_in(4)) function.results.push_back(function.results.front());
    for (Value state : function.inputs) {
      if (input_kind(function, state) != InputKind::state) continue;
      std::vector<Value> fitting;
      for (const Known& known : known_)
        if (!known.input && function.type(known.value) == function.type(state)) fitting.push_back(known.value);
      if (!fitting.empty()) function.updates.push_back({state, fitting[static_cast<size_t>(below(fitting.size()))]});
    }
  }

  Chooser choose_;
  ExactGraph made_;
  FunctionBuilder builder_{made_.graph, add_function(made_.graph, "main")};
  std::vector<Known> known_;
  std::vector<std::vector<HostTensor>> numbers_;  // of each op of the function
};

}  // namespace

ExactGraph make_exact_graph(uint64_t seed, int ops) { return ExactGenerator(seed).run(ops); }

}  // namespace placewright::testing
