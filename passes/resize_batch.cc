#include "placewright/passes/resize_batch.h"

#include <algorithm>
#include <optional>
#include <set>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

using OpKey = std::pair<FunctionId, int32_t>;

// A size that may grow with the batch: of an operand, or in an attribute.
struct Place {
  int operand = -1;       // else an attribute
  std::string attribute;  // a shape, sizes, or an integer
  size_t index = 0;
};

std::optional<int64_t> entry_of(const Attribute& attribute, size_t index) {
  if (const auto* number = std::get_if<int64_t>(&attribute)) return *number;
  if (const auto* sizes = std::get_if<Sizes>(&attribute)) return (*sizes)[index];
  if (const auto* shape = std::get_if<Shape>(&attribute); shape && (*shape)[index].is_number())
    return (*shape)[index].number();
  return {};
}

size_t entries_of(const Attribute& attribute) {
  if (std::holds_alternative<int64_t>(attribute)) return 1;
  if (const auto* sizes = std::get_if<Sizes>(&attribute)) return sizes->size();
  if (const auto* shape = std::get_if<Shape>(&attribute)) return shape->size();
  return 0;
}

void set_entry(Attribute& attribute, size_t index, int64_t value) {
  if (auto* number = std::get_if<int64_t>(&attribute)) *number = value;
  if (auto* sizes = std::get_if<Sizes>(&attribute)) (*sizes)[index] = value;
  if (auto* shape = std::get_if<Shape>(&attribute)) (*shape)[index] = value;
}

void set_size(Type& type, size_t dim, int64_t size) {
  Shape shape = type.tensor().shape;
  shape[dim] = size;
  type.set_shape(std::move(shape));
}

}  // namespace

// `grown_` is the graph with a batch so much larger that what grew can be told from what did not. Sizes only ever
// start to grow, so that this ends.
class BatchResizer::Growth {
 public:
  Growth(const Graph& graph, Value argument) : graph_(graph), grown_(graph), factor_(find_factor(graph)) {
    const TensorType& type = graph.main().tensor(argument);
    if (type.shape.empty() || !type.shape[0].is_number() || type.shape[0].number() <= 0)
      throw Error(fmt::format("the batch of input '{}', {}, is no number above 0", input_name(graph.main(), argument),
                              Type(type.dtype, type.shape).to_string()));
    batch_ = type.shape[0].number();
    find_readers();
    grow(0, argument, 0);
    while (!open_.empty()) {
      const OpKey key = *open_.begin();
      open_.erase(open_.begin());
      settle(key.first, key.second);
    }
    check();
  }

  int64_t batch() const { return batch_; }

  Graph resized(int64_t batch) const {
    if (batch <= 0) throw Error(fmt::format("a batch of {}: expected a number above 0", batch));
    Graph graph = graph_;
    auto scaled = [&](int64_t size) { return checked_mul(size / batch_, batch); };
    for (size_t f = 0; f < graph.functions.size(); ++f)
      for (size_t i = 0; i < graph.functions[f].ops.size(); ++i) {
        Op& op = graph.functions[f].ops[i];
        const Op& grown = grown_.functions[f].ops[i];
        for (size_t r = 0; r < op.results.size(); ++r)
          for (size_t d = 0; d < op.results[r].tensor().shape.size(); ++d) {
            const Dim& size = op.results[r].tensor().shape[d];
            if (size != grown.results[r].tensor().shape[d]) set_size(op.results[r], d, scaled(size.number()));
          }
        for (const auto& [name, before] : Attributes(op.attributes))
          for (size_t e = 0; e < entries_of(before); ++e) {
            const std::optional<int64_t> size = entry_of(before, e);
            if (!size || size == entry_of(*grown.attributes.try_get(name), e)) continue;
            Attribute changed = *op.attributes.try_get(name);
            set_entry(changed, e, scaled(*size));
            op.attributes.set(name, std::move(changed));
          }
      }
    verify_graph(graph);
    return graph;
  }

 private:
  // A prime that no size above 0 is a multiple of, so that what grew by it is told from what did not.
  static int64_t find_factor(const Graph& graph) {
    std::vector<int64_t> sizes;
    for (const Function& function : graph.functions)
      for (const Op& op : function.ops) {
        for (const Type& type : op.results)
          for (const Dim& dim : type.tensor().shape)
            if (dim.is_number()) sizes.push_back(dim.number());
        for (const auto& [name, attribute] : op.attributes)
          for (size_t e = 0; e < entries_of(attribute); ++e) sizes.push_back(entry_of(attribute, e).value_or(0));
      }
    std::sort(sizes.begin(), sizes.end());
    sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
    for (int64_t factor = 1009;; factor += 2) {
      bool is_prime = true;
      for (int64_t d = 3; d * d <= factor; d += 2) is_prime = is_prime && factor % d != 0;
      if (is_prime && std::none_of(sizes.begin(), sizes.end(), [&](int64_t s) { return s != 0 && s % factor == 0; }))
        return factor;
    }
  }

  bool may_grow(const Dim& dim) const { return dim.is_number() && dim.number() > 0 && dim.number() % batch_ == 0; }
  const Dim& before(FunctionId f, Value value, size_t dim) const {
    return graph_.functions[f].tensor(value).shape[dim];
  }
  bool has_grown(FunctionId f, Value value, size_t dim) const {
    return grown_.functions[f].tensor(value).shape[dim] != before(f, value, dim);
  }

  void find_readers() {
    readers_.resize(graph_.functions.size());
    callers_.resize(graph_.functions.size());
    for (size_t f = 0; f < graph_.functions.size(); ++f) {
      const std::vector<Op>& ops = graph_.functions[f].ops;
      readers_[f].resize(ops.size());
      for (size_t i = 0; i < ops.size(); ++i) {
        for (Value operand : ops[i].operands) readers_[f][operand.op].push_back(static_cast<int32_t>(i));
        for (FunctionId callee : ops[i].functions)
          callers_[callee].push_back({static_cast<FunctionId>(f), static_cast<int32_t>(i)});
      }
    }
  }

  void grow(FunctionId f, Value value, size_t dim) {
    if (has_grown(f, value, dim)) return;
    Op& op = grown_.functions[f].ops[value.op];
    set_size(op.results[value.result], dim, checked_mul(before(f, value, dim).number(), factor_));
    open_.insert({f, value.op});
    for (int32_t reader : readers_[f][value.op]) open_.insert({f, reader});
    for (const OpKey& caller : callers_[f]) open_.insert(caller);
  }

  std::string site(FunctionId f, int32_t op) const {
    const Origin& origin = graph_.origins[graph_.functions[f].ops[op].origin];
    return origin.has_site() ? " (" + origin.site() + ")" : "";
  }

  // Inputs have no line of their own.
  std::string site_of_reader(int32_t input) const {
    for (int32_t reader : readers_[0][input])
      if (std::string text = site(0, reader); !text.empty()) return text;
    return "";
  }

  // The result types of an op of the grown graph with some sizes grown further; nothing if they do not fit together.
  std::optional<std::vector<Type>> try_infer(FunctionId f, int32_t number, const std::vector<Place>& further) const {
    const Function& function = grown_.functions[f];
    const Op& op = function.ops[number];
    std::vector<Type> operands;
    for (Value operand : op.operands) operands.push_back(function.type(operand));
    Attributes attributes = op.attributes;
    for (const Place& place : further) {
      if (place.operand >= 0) {
        set_size(operands[place.operand], place.index,
                 checked_mul(before(f, op.operands[place.operand], place.index).number(), factor_));
      } else {
        Attribute changed = *attributes.try_get(place.attribute);
        set_entry(changed, place.index, checked_mul(*entry_of(changed, place.index), factor_));
        attributes.set(place.attribute, std::move(changed));
      }
    }
    try {
      std::vector<Type> inferred = infer_types({*op.entry, operands, op.results, attributes, &grown_, op.functions});
      return agrees(f, number, inferred) ? std::optional(std::move(inferred)) : std::nullopt;
    } catch (const Error&) {
      return {};
    }
  }

  // Each size is as it was, or grown; those that must grow have.
  bool agrees(FunctionId f, int32_t number, const std::vector<Type>& types) const {
    for (size_t r = 0; r < types.size(); ++r) {
      const Value value{number, static_cast<int32_t>(r)};
      const Shape& shape = types[r].tensor().shape;
      for (size_t d = 0; d < shape.size(); ++d) {
        const Dim& old = before(f, value, d);
        const bool grew = may_grow(old) && shape[d] == Dim(checked_mul(old.number(), factor_));
        if (!grew && (shape[d] != old || has_grown(f, value, d))) return false;
      }
    }
    return true;
  }

  // What else might grow: attributes first, leading sizes first.
  std::vector<Place> candidates(FunctionId f, int32_t number) const {
    const Function& function = grown_.functions[f];
    const Op& op = function.ops[number];
    std::vector<Place> places;
    for (const auto& [name, attribute] : op.attributes)
      for (size_t e = 0; e < entries_of(attribute); ++e) {
        std::optional<int64_t> now = entry_of(attribute, e);
        const bool is_old = now == entry_of(*graph_.functions[f].ops[number].attributes.try_get(name), e);
        if (now && is_old && may_grow(*now)) places.push_back({-1, name, e});
      }
    for (size_t o = 0; o < op.operands.size(); ++o)
      for (size_t d = 0; d < function.tensor(op.operands[o]).shape.size(); ++d)
        if (!has_grown(f, op.operands[o], d) && may_grow(before(f, op.operands[o], d)))
          places.push_back({static_cast<int>(o), "", d});
    return places;
  }

  // All operands of the shape of one that has grown, as it has.
  std::vector<Place> alike(FunctionId f, int32_t number, const std::vector<Place>& candidates) const {
    const Op& op = graph_.functions[f].ops[number];
    std::vector<Place> places;
    for (const Place& place : candidates) {
      if (place.operand < 0) continue;
      const Shape& shape = graph_.functions[f].tensor(op.operands[place.operand]).shape;
      bool found = false;
      for (Value other : op.operands)
        found = found || (graph_.functions[f].tensor(other).shape == shape && has_grown(f, other, place.index));
      for (size_t r = 0; r < op.results.size(); ++r)
        found = found ||
                (op.results[r].tensor().shape == shape && has_grown(f, {number, static_cast<int32_t>(r)}, place.index));
      if (found) places.push_back(place);
    }
    return places;
  }

  void settle(FunctionId f, int32_t number) {
    const Op& op = graph_.functions[f].ops[number];
    if (op.is("input")) {
      if (f != 0) return;
      const Value value{number, 0};
      if (input_kind(graph_.main(), value) != InputKind::argument)
        throw Error(fmt::format("{} '{}'{} would have to grow with the batch", name(input_kind(graph_.main(), value)),
                                input_name(graph_.main(), value), site_of_reader(number)));
      return;
    }
    if (!op.functions.empty()) pass_through(f, number);
    const std::vector<Place> all = candidates(f, number);
    if (accept(f, number, {}) || accept(f, number, alike(f, number, all))) return;
    const size_t count = std::min<size_t>(all.size(), 16);
    for (size_t a = 0; a < count; ++a)
      if (accept(f, number, {all[a]})) return;
    for (size_t a = 0; a < count; ++a)
      for (size_t b = a + 1; b < count; ++b)
        if (accept(f, number, {all[a], all[b]})) return;
    for (size_t a = 0; a < count; ++a)
      for (size_t b = a + 1; b < count; ++b)
        for (size_t c = b + 1; c < count; ++c)
          if (accept(f, number, {all[a], all[b], all[c]})) return;
    // Perhaps what reads its neighbours says more; check() has the last word.
  }

  bool accept(FunctionId f, int32_t number, const std::vector<Place>& further) {
    std::optional<std::vector<Type>> types = try_infer(f, number, further);
    if (!types) return false;
    const Op& op = graph_.functions[f].ops[number];
    for (const Place& place : further) {
      if (place.operand >= 0) {
        grow(f, op.operands[place.operand], place.index);
        continue;
      }
      Attribute changed = *grown_.functions[f].ops[number].attributes.try_get(place.attribute);
      set_entry(changed, place.index, checked_mul(*entry_of(changed, place.index), factor_));
      grown_.functions[f].ops[number].attributes.set(place.attribute, std::move(changed));
    }
    for (size_t r = 0; r < types->size(); ++r)
      for (size_t d = 0; d < (*types)[r].tensor().shape.size(); ++d) {
        const Value value{number, static_cast<int32_t>(r)};
        if ((*types)[r].tensor().shape[d] != before(f, value, d)) grow(f, value, d);
      }
    return true;
  }

  // A function's inputs grow with the operands of its calls, and these with them.
  void pass_through(FunctionId f, int32_t number) {
    const Op& op = graph_.functions[f].ops[number];
    for (FunctionId callee : op.functions) {
      const std::vector<Value>& inputs = graph_.functions[callee].inputs;
      for (size_t i = 0; i < std::min(inputs.size(), op.operands.size()); ++i)
        for (size_t d = 0; d < graph_.functions[callee].tensor(inputs[i]).shape.size(); ++d) {
          if (has_grown(f, op.operands[i], d)) grow(callee, inputs[i], d);
          if (has_grown(callee, inputs[i], d)) grow(f, op.operands[i], d);
        }
    }
  }

  void check() const {
    for (size_t f = 0; f < graph_.functions.size(); ++f)
      for (size_t i = 0; i < graph_.functions[f].ops.size(); ++i) {
        const Op& op = graph_.functions[f].ops[i];
        if (op.is("input")) continue;
        std::optional<std::vector<Type>> types = try_infer(static_cast<FunctionId>(f), static_cast<int32_t>(i), {});
        if (!types || *types != unplaced(grown_.functions[f].ops[i].results))
          throw Error(fmt::format("{}{} cannot take another batch than {}", op.name(),
                                  site(static_cast<FunctionId>(f), static_cast<int32_t>(i)), batch_));
      }
    for (const Update& update : grown_.main().updates)
      if (grown_.main().tensor(update.state).shape != grown_.main().tensor(update.value).shape)
        throw Error(
            fmt::format("state '{}' would have to grow with the batch", input_name(graph_.main(), update.state)));
  }

  // infer says nothing of layouts and places.
  static std::vector<Type> unplaced(std::vector<Type> types) {
    for (Type& type : types) type = Type(type.tensor().dtype, type.tensor().shape);
    return types;
  }

  const Graph graph_;
  Graph grown_;
  const int64_t factor_;
  int64_t batch_ = 0;
  std::vector<std::vector<std::vector<int32_t>>> readers_;  // [function][op]
  std::vector<std::vector<OpKey>> callers_;                 // [function]
  std::set<OpKey> open_;                                    // ops whose neighbours have grown
};

BatchResizer::BatchResizer(const Graph& graph, Value argument) : growth_(std::make_unique<Growth>(graph, argument)) {}
BatchResizer::~BatchResizer() = default;
int64_t BatchResizer::batch() const { return growth_->batch(); }
Graph BatchResizer::resized(int64_t batch) const { return growth_->resized(batch); }

Value find_batch(const Graph& graph) {
  for (Value input : graph.main().inputs)
    if (input_kind(graph.main(), input) == InputKind::argument && graph.main().tensor(input).rank() > 0) return input;
  return {};
}

std::optional<Dim> find_batch_size(const Graph& graph) {
  for (Value input : graph.main().inputs)
    for (const Dim& dim : graph.main().tensor(input).shape)
      if (!dim.is_number() && dim.symbol_name() == "batch") return dim;
  const Value argument = find_batch(graph);
  return argument.op < 0 ? std::nullopt : std::optional(graph.main().tensor(argument).shape.front());
}

}  // namespace placewright
