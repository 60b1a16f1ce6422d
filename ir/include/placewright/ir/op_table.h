// The op table: an op is one entry, in one file of ir/ops/. Everything else about an op is derived from its entry: the
// verifier, frontend functions, reference page, numeric and gradient tests, the fuzzer, its cost.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "placewright/ir/graph.h"
#include "placewright/ir/host_tensor.h"
#include "placewright/ir/kernel.h"

namespace placewright {

class FunctionBuilder;  // ir/builder.h

// Which dtypes an operand takes.
enum class DTypeClass : uint8_t { any, numeric, floating, integer, boolean, index /* i32 or i64 */ };
bool accepts(DTypeClass dtypes, DType dtype);

struct OperandSpec {
  std::string_view name;
  DTypeClass dtypes = DTypeClass::any;
  bool variadic = false;  // the last operand only: zero or more
};

enum class AttributeKind : uint8_t {
  boolean,
  integer,
  number,
  string,
  dtype,
  sizes,
  shape,
  tensor
};  // as in Attribute

struct AttributeSpec {
  std::string_view name;
  AttributeKind kind;
  std::optional<Attribute> fallback = {};  // without one the attribute must be given
  std::string_view meaning = {};           // for the reference page
};

struct Signature {
  std::vector<OperandSpec> operands = {};
  std::vector<AttributeSpec> attributes = {};
  bool same_dtype = true;  // all operands share one dtype; infer says the rest
};

// What infer, evaluate and lower see of an op. For infer, `results` is empty, but for structural ops it holds the types
// that the op declares. Only structural ops look at `graph` and `functions`.
struct OpView {
  const OpEntry& entry;
  std::span<const Type> operands;
  std::span<const Type> results;
  const Attributes& attributes;
  const Graph* graph = nullptr;
  std::span<const FunctionId> functions = {};

  const TensorType& operand(int i) const { return operands[i].tensor(); }
  const TensorType& result(int i = 0) const { return results[i].tensor(); }
};

// What a gradient rule sees. It builds the gradients of the operands from those of the results.
struct GradientContext {
  FunctionBuilder& builder;  // ops made through it take the op's origin, in role backward
  OpView view;
  std::vector<Value> operands;
  std::vector<Value> results;
  std::vector<std::optional<Value>> gradients;  // of each result; absent: zero
  std::vector<bool> needed;                     // for each operand: whether its gradient is wanted
};
// One for each operand; absent: zero.
using OperandGradients = std::vector<std::optional<Value>>;

class Gradient {  // deliberately without a default: forgetting it does not compile
 public:
  using Rule = std::function<OperandGradients(GradientContext&)>;
  enum class Kind : uint8_t { rule, not_differentiable, through_decomposition };
  Gradient(Rule rule);
  Gradient(const Gradient&);
  Gradient(Gradient&&) noexcept;
  Gradient& operator=(const Gradient&);
  Gradient& operator=(Gradient&&) noexcept;
  ~Gradient();
  static Gradient not_differentiable() { return Gradient(Kind::not_differentiable); }
  static Gradient through_decomposition() { return Gradient(Kind::through_decomposition); }
  Kind kind() const { return kind_; }
  const Rule& rule() const { return rule_; }

 private:
  explicit Gradient(Kind kind);
  Kind kind_;
  Rule rule_;
};

// --- How an op is realised: exactly one of these
// -----------------------------------------------------------------------

// Elementwise: one scalar expression. Operands and result share a shape; `expression` appends nodes to the body and
// returns the result's node, given the nodes of the operands and the op's view.
struct Scalar {
  std::function<int(ScalarBody&, std::span<const int> operands, const OpView&)> expression;
};
struct Lower {
  std::function<StructuredKernel(const OpView&)> lower;
};
// Composites: replaced by other ops. Survive differentiation and placement until the target model refuses them.
struct Decompose {
  std::function<std::vector<Value>(FunctionBuilder&, const OpView&, std::span<const Value> operands)> decompose;
};
// A function on host buffers: never fused.
struct Host {};  // runs `evaluate`
// Known to passes or codegen: input, constant, fused, gradient, transfer, relayout, collectives, control flow.
struct Structural {};
using Realisation = std::variant<Scalar, Lower, Decompose, Host, Structural>;

struct Traits {
  bool commutative = false;
  bool view = false;    // the result has the operand's elements in the same row-major order (reshape)
  bool random = false;  // reads a random state
  bool keep = false;    // never eliminated although unused
};

// Operands and attributes that the derived tests try, besides what they make up for elementwise ops.
struct Sample {
  std::vector<Type> operands;
  Attributes attributes = {};
  // Values: uniform in [low, high]; integers are rounded towards zero. One pair an operand, or empty for [-2, 2].
  std::vector<std::pair<double, double>> ranges = {};
  bool differentiable_here = true;  // false: kinks or ties make finite differences useless at these values
};

// Largest error against `evaluate`, relative to max(1, |value|).
struct Tolerance {
  double f32 = 2e-6;
  double f64 = 1e-13;
};

struct OpEntry {
  std::string_view name;
  std::string_view summary;  // what it computes: shapes, dtypes, formula, source
  Signature signature;
  // Result types: dtype and logical shape (layouts and places are the passes' business). Throws Error on bad operands,
  // saying what was found and expected; the caller adds op and source line.
  std::function<std::vector<Type>(const OpView&)> infer;
  // The definition and the oracle: a naive index loop in f64 or int64, rounded once to the result dtype. Results are
  // allocated. Shares no code with lower or decompose. Empty only for structural ops, which the evaluator knows.
  std::function<void(const OpView&, std::span<const HostTensor> operands, std::span<HostTensor> results)> evaluate = {};
  Gradient gradient;
  Realisation realisation;
  Traits traits = {};
  Tolerance tolerance = {};
  // Floating operands of elementwise ops are drawn from here by the derived tests (log: above 0).
  std::pair<double, double> domain = {-2, 2};
  std::vector<Sample> samples = {};

  template <typename T>
  const T* realised_as() const {
    return std::get_if<T>(&realisation);
  }
  bool is_structural() const { return realised_as<Structural>() != nullptr; }
};

// All entries, in the order in which families are listed in ir/op_table.cc; built once, immutable.
std::span<const OpEntry> op_table();
const OpEntry* try_find_op(std::string_view name);
const OpEntry& find_op(std::string_view name);  // Error if there is none

// Attributes with the signature's fallbacks filled in and kinds checked; Error names the attribute.
Attributes complete_attributes(const OpEntry& entry, Attributes attributes);
// Checks operands against the signature (count, dtype classes, same_dtype) and runs infer. `view.results`: see OpView.
std::vector<Type> infer_types(const OpView& view);

// The op's structured kernel: operands' buffers first, then results. For elementwise (Scalar) and Lower entries.
StructuredKernel lower_op(const OpView& view);
bool can_lower(const OpEntry& entry);

}  // namespace placewright
