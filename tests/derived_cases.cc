#include "derived_cases.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <fmt/core.h>

#include "placewright/ir/builder.h"

namespace placewright::testing {
namespace {

const std::vector<DType>& supported_dtypes() {
  static const std::vector<DType> dtypes = [] {
    std::vector<DType> found;
    for (const DTypeInfo& entry : dtype_table())
      if (entry.supported) found.push_back(entry.dtype);
    return found;
  }();
  return dtypes;
}

const OperandSpec& spec_of(const OpEntry& entry, size_t operand) {
  return entry.signature.operands[std::min(operand, entry.signature.operands.size() - 1)];
}

// Shapes for elementwise ops: scalar, empty, smaller and larger than a vector, several dimensions.
std::vector<Sample> elementwise_samples(const OpEntry& entry) {
  std::vector<Sample> samples;
  for (const Shape& shape :
       {Shape{}, Shape{1}, Shape{7}, Shape{0}, Shape{3, 4}, Shape{2, 0, 3}, Shape{2, 1, 17}, Shape{67}}) {
    Sample sample{.operands = {}};
    for (size_t i = 0; i < entry.signature.operands.size(); ++i) sample.operands.emplace_back(DType::f32, shape);
    samples.push_back(std::move(sample));
  }
  return samples;
}

bool infers(const OpEntry& entry, const Sample& sample, DType dtype) {
  std::vector<Type> operands = sample.operands;
  for (Type& operand : operands)
    if (operand.tensor().dtype == DType::f32) operand.set_dtype(dtype);
  try {
    infer_types({entry, operands, {}, complete_attributes(entry, sample.attributes)});
    return true;
  } catch (const Error&) {
    return false;
  }
}

// Its operands have one dtype and its attributes may be left out: if it is elementwise, shapes can be made up.
bool takes_any_shape(const OpEntry& entry) {
  bool all_default = true;
  for (const AttributeSpec& spec : entry.signature.attributes) all_default = all_default && spec.fallback;
  return entry.signature.same_dtype && all_default;
}

// Operands that a sample gives in f32 take every dtype that the op accepts there; others stay as they are.
std::vector<DType> dtypes_of(const OpEntry& entry, const Sample& sample) {
  std::vector<DType> dtypes;
  bool generic = false;
  for (const Type& operand : sample.operands) generic = generic || operand.tensor().dtype == DType::f32;
  if (!generic) return {DType::f32};
  for (DType dtype : supported_dtypes()) {
    bool accepted = true;
    for (size_t i = 0; i < sample.operands.size(); ++i)
      accepted =
          accepted && (sample.operands[i].tensor().dtype != DType::f32 || accepts(spec_of(entry, i).dtypes, dtype));
    // Entries whose operands differ in dtype refuse some in infer; a sample as it stands must be right.
    if (accepted && (dtype == DType::f32 || infers(entry, sample, dtype))) dtypes.push_back(dtype);
  }
  return dtypes;
}

std::string text_of(const Attribute& value) {
  return std::visit(
      []<typename T>(const T& v) -> std::string {
        if constexpr (std::is_same_v<T, Shape> || std::is_same_v<T, Sizes>)
          return to_string(v);
        else if constexpr (std::is_same_v<T, DType>)
          return std::string(name(v));
        else if constexpr (std::is_same_v<T, HostTensor>)
          return "tensor";
        else
          return fmt::format("{}", v);
      },
      value);
}

std::string case_name(const OpEntry& entry, const std::vector<Type>& operands, const Attributes& attributes,
                      bool special) {
  std::string text = std::string(entry.name) + "(";
  for (size_t i = 0; i < operands.size(); ++i) text += (i ? ", " : "") + operands[i].to_string();
  text += ")";
  for (const auto& [key, value] : attributes) text += fmt::format(" {}={}", key, text_of(value));
  return special ? text + " special values" : text;
}

std::vector<double> special_numbers(DType dtype) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  switch (info(dtype).kind) {
    case DTypeKind::boolean:
      return {0, 1};
    case DTypeKind::floating:
      return {0., -0., 1, -1, 0.5, -2.5, 3, 100, -100, infinity, -infinity, std::nan("")};
    case DTypeKind::unsigned_integer:
      return {0, 1, 2, 7, 100, infinity};  // infinity saturates
    case DTypeKind::signed_integer:
      return {0, 1, -1, 2, -7, 100, infinity, -infinity};
  }
  return {};
}

int64_t special_combinations(const std::vector<Type>& operands) {
  int64_t count = 1;
  for (const Type& operand : operands) count *= static_cast<int64_t>(special_numbers(operand.tensor().dtype).size());
  return count;
}

std::pair<double, double> range_of(const OpEntry& entry, const Sample& sample, size_t operand, DType dtype) {
  if (operand < sample.ranges.size()) return sample.ranges[operand];
  if (is_floating(dtype) && entry.realised_as<Scalar>()) return entry.domain;
  if (is_floating(dtype)) return {-2, 2};
  return {-6, 6};
}

bool is_differentiable(const DerivedCase& each, const Sample& sample) {
  if (each.special_values || !sample.differentiable_here) return false;
  if (each.entry->gradient.kind() == Gradient::Kind::not_differentiable) return false;
  auto is_f64 = [](const Type& type) { return type.tensor().dtype == DType::f64; };
  return std::any_of(each.operands.begin(), each.operands.end(), is_f64) &&
         std::any_of(each.results.begin(), each.results.end(), is_f64);
}

DerivedCase make_case(const OpEntry& entry, const Sample& sample, DType dtype, bool special) {
  DerivedCase each;
  each.entry = &entry;
  each.operands = sample.operands;
  each.special_values = special;
  each.attributes = complete_attributes(entry, sample.attributes);
  for (size_t i = 0; i < each.operands.size(); ++i) {
    Type& type = each.operands[i];
    if (type.tensor().dtype == DType::f32) type.set_dtype(dtype);
    each.ranges.push_back(range_of(entry, sample, i, type.tensor().dtype));
  }
  if (special) {
    int64_t count = special_combinations(each.operands);
    for (Type& operand : each.operands) operand.set_shape({Dim(count)});
  }
  each.results = infer_types({entry, each.operands, {}, each.attributes});
  each.name = case_name(entry, each.operands, each.attributes, special);
  each.differentiable = is_differentiable(each, sample);
  return each;
}

uint64_t hash(std::string_view text) {  // FNV-1a
  uint64_t state = 0xcbf29ce484222325u;
  for (char c : text) state = (state ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return state;
}

}  // namespace

std::vector<DerivedCase> derived_cases(const OpEntry& entry) {
  if (entry.is_structural()) return {};
  bool elementwise = entry.realised_as<Scalar>() != nullptr;
  std::vector<Sample> samples = entry.samples;
  if (elementwise && takes_any_shape(entry))
    for (Sample& sample : elementwise_samples(entry)) samples.push_back(std::move(sample));
  std::vector<DerivedCase> cases;
  for (const Sample& sample : samples)
    for (DType dtype : dtypes_of(entry, sample)) {
      cases.push_back(make_case(entry, sample, dtype, false));
      if (elementwise && sample.operands[0].tensor().rank() == 1 && sample.operands[0].tensor().elements() > 1)
        cases.push_back(make_case(entry, sample, dtype, true));
    }
  std::sort(cases.begin(), cases.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  cases.erase(std::unique(cases.begin(), cases.end(), [](const auto& a, const auto& b) { return a.name == b.name; }),
              cases.end());
  return cases;
}

HostTensor random_tensor(DType dtype, const Sizes& sizes, uint64_t seed, double low, double high) {
  HostTensor tensor(dtype, sizes);
  uint64_t state = seed;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    uint64_t bits = state += 0x9e3779b97f4a7c15u;  // splitmix64 (Steele, Lea, Flood 2014)
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    double unit = std::ldexp(static_cast<double>((bits ^ (bits >> 31)) >> 11), -53);
    double value = low + (high - low) * unit;
    tensor.set_number(i, dtype == DType::boolean ? unit < 0.5 : value);
  }
  return tensor;
}

std::vector<HostTensor> make_operands(const DerivedCase& each) {
  std::vector<HostTensor> operands;
  int64_t repeat = 1;
  for (size_t i = 0; i < each.operands.size(); ++i) {
    const TensorType& type = each.operands[i].tensor();
    if (!each.special_values) {
      operands.push_back(
          random_tensor(type.dtype, type.sizes(), hash(each.name) + i, each.ranges[i].first, each.ranges[i].second));
      continue;
    }
    std::vector<double> numbers = special_numbers(type.dtype);
    auto count = static_cast<int64_t>(numbers.size());
    HostTensor tensor(type.dtype, type.sizes());
    for (int64_t k = 0; k < tensor.elements(); ++k) {
      double value = numbers[static_cast<size_t>(k / repeat % count)];
      tensor.set_number(k, value);
    }
    repeat *= count;
    operands.push_back(std::move(tensor));
  }
  return operands;
}

std::vector<HostTensor> evaluate_case(const DerivedCase& each, const std::vector<HostTensor>& operands) {
  std::vector<HostTensor> results;
  for (const Type& type : each.results) results.emplace_back(type.tensor().dtype, type.tensor().sizes());
  each.entry->evaluate(each.view(), operands, results);
  return results;
}

Graph make_graph(const DerivedCase& each) {
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  std::vector<Value> inputs;
  for (const Type& type : each.operands)
    inputs.push_back(builder.input(fmt::format("x{}", inputs.size()), InputKind::argument, type));
  builder.function().results = builder.add(each.entry->name, inputs, each.attributes);
  return graph;
}

double tolerance(const OpEntry& entry, DType dtype) {
  if (!is_floating(dtype)) return 0;
  return dtype == DType::f64 ? entry.tolerance.f64 : entry.tolerance.f32;
}

std::string mismatch(const HostTensor& found, const HostTensor& expected, double tolerance) {
  if (found.dtype() != expected.dtype() || found.sizes() != expected.sizes())
    return fmt::format("found {}{}, expected {}{}", name(found.dtype()), to_string(found.sizes()),
                       name(expected.dtype()), to_string(expected.sizes()));
  for (int64_t i = 0; i < expected.elements(); ++i) {
    if (!is_floating(expected.dtype())) {
      if (found.integer(i) != expected.integer(i))
        return fmt::format("element {} of {} is {}, expected {}", i, to_string(expected.sizes()), found.integer(i),
                           expected.integer(i));
      continue;
    }
    double a = found.number(i), b = expected.number(i);
    bool agree = std::isnan(b) ? std::isnan(a) : a == b || std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
    if (!std::isnan(b) && std::isinf(b)) agree = a == b;
    if (!agree)
      return fmt::format("element {} of {} is {:.17g}, expected {:.17g} within {:g}", i, to_string(expected.sizes()), a,
                         b, tolerance);
  }
  return "";
}

}  // namespace placewright::testing
