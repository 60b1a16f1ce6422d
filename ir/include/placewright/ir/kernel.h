// Structured kernels: what an op computes, as stages of {iteration domain, affine accesses, scalar body, reduction}.
// A structured kernel says nothing of order, tiles or threads; a Schedule (ir/schedule.h) does, and apply_schedule
// makes loops from the two. Indices are logical; a buffer's layout is composed with them when loops are made.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "placewright/ir/dtype.h"
#include "placewright/ir/type.h"

namespace placewright {

// (sum of coefficients[d] * index of dimension d + constant) / divisor. With a divisor other than 1 the access must be
// guarded: where the division leaves a remainder, the element counts as outside the buffer.
struct AffineExpr {
  Sizes coefficients;  // one for each dimension of the stage's domain
  int64_t constant = 0;
  int64_t divisor = 1;

  static AffineExpr dim(int dim, int rank, int64_t coefficient = 1, int64_t constant = 0);
  static AffineExpr number(int64_t constant, int rank);
  friend bool operator==(const AffineExpr&, const AffineExpr&) = default;
};

// One scalar instruction of a body. Arithmetic is in the node's own dtype and rounds to it; no contraction, except that
// a `sum` reduction of a `mul` may use fused multiply-add. Integer division truncates towards zero; integer overflow
// wraps. Comparisons give boolean. min and max give NaN if either operand is NaN, and order -0 below +0.
enum class ScalarOp : uint8_t {
  constant,   // `number` or `integer`, by dtype
  index,      // i64: the position in domain dimension `slot`
  load,       // access `slot`; with indirect operands see Access::indirect
  reduced,    // epilogue only: state `slot` of the reduction
  parameter,  // custom combine only: operand `slot` of (left states..., right states...)
  add,
  sub,
  mul,
  div,
  rem,
  min,
  max,
  pow,
  atan2,
  neg,
  abs,
  sign,
  exp,
  expm1,
  log,
  log1p,
  sqrt,
  rsqrt,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  sinh,
  cosh,
  tanh,
  erf,
  sigmoid,
  floor,
  ceil,
  round,
  trunc,  // round: half to even
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  is_nan,
  is_finite,
  logical_and,
  logical_or,
  logical_xor,
  logical_not,  // bitwise for integers
  shift_left,
  shift_right,
  multiply_high,  // unsigned integers; multiply_high: the upper half of the product
  select,         // (condition, if true, if false)
  cast,           // float to integer truncates and saturates, NaN gives 0; to boolean: != 0
  bitcast,        // same number of bits
};

std::string_view name(ScalarOp op);  // as text forms spell it: "multiply_high"
int operand_count(ScalarOp op);

struct ScalarNode {
  ScalarOp op = ScalarOp::constant;
  DType dtype = DType::f32;
  std::array<int, 3> operands{-1, -1, -1};  // earlier nodes of the same body
  int slot = -1;                            // load: access; index: dimension; reduced: state; parameter: operand
  double number = 0;                        // constant of a floating dtype
  int64_t integer = 0;                      // constant of an integer or boolean dtype
  friend bool operator==(const ScalarNode&, const ScalarNode&) = default;
};

// SSA: a node's operands stand before it.
using ScalarBody = std::vector<ScalarNode>;

// Which element of a buffer a load or store touches.
struct Access {
  int buffer = -1;
  std::vector<AffineExpr> index;  // one for each logical dimension of the buffer
  // A guarded load outside the buffer gives `outside`; a guarded store outside the buffer does nothing. An unguarded
  // access is inside by construction.
  bool guarded = false;
  double outside = 0;
  // Node (of the body that uses the access) whose i64 value is added to the index of that buffer dimension: gathers and
  // scatters. Out of range sets Status::index_out_of_range; the load then gives `outside` and the store does nothing.
  struct Indirect {
    int dim;
    int node;
    friend bool operator==(const Indirect&, const Indirect&) = default;
  };
  std::vector<Indirect> indirect;
  friend bool operator==(const Access&, const Access&) = default;
};

struct Store {
  int access = -1;
  int node = -1;
  // `add` reads, adds and writes. Points that may meet in one element then run in domain order (see Stage::sequential).
  bool add = false;
  friend bool operator==(const Store&, const Store&) = default;
};

// In which order a reduction joins values: in that of the domain; or, along `dim`, into `partials` interleaved states
// (position i into state i modulo partials), which are joined at the end, upper half onto lower half. It belongs to the
// reduction, so that what an op is fused with, its place and the number of threads do not change a bit.
struct Split {
  int dim = -1;          // a reduced dimension; -1 with partials 1
  int64_t partials = 0;  // a power of two; 1: in the domain's order; 0: not decided, the schedule may choose
  friend bool operator==(const Split&, const Split&) = default;
};

// To what a target that gains from it may round the f32 factors of a sum of products, to nearest, before it multiplies
// them: not at all, to 10 bits of fraction, or to 7. Sums stay f32; a target may round to a finer one, as the CPU does.
enum class Precision : uint8_t { f32, tf32, bf16 };

std::string_view name(Precision precision);
std::optional<Precision> try_parse_precision(std::string_view name);

// How the values of one reduced point are joined.
struct Reduction {
  enum class Kind : uint8_t { none, sum, prod, min, max, any, all, custom };
  Kind kind = Kind::none;
  std::vector<DType> dtypes;     // of each state; one state unless custom. A sum's state is its accumulate dtype
  std::vector<int> values;       // body node that feeds each state; cast to the state's dtype
  std::vector<ScalarNode> init;  // a constant for each state (neutral element)
  // custom: parameters 0..k-1 are the left states, k..2k-1 the right ones; associative.
  ScalarBody combine;
  std::vector<int> combined;  // node of `combine` that gives each new state
  Split split = {};
  Precision precision = Precision::f32;  // another one: a sum of f32 fed by a `mul`
  friend bool operator==(const Reduction&, const Reduction&) = default;
};

// For every point of the domain the body runs; without a reduction `stores` happen at every point. With one, the values
// of all points that differ only in reduced dimensions are joined, then the epilogue runs once for each remaining point
// (it may load with accesses that do not depend on reduced dimensions), and its stores happen. An empty reduction gives
// the initial state. Stages run one after the other, each as if it were complete before the next begins.
struct Stage {
  std::string name;           // for people: the op it came from
  Sizes extents;              // the iteration domain
  std::vector<bool> reduced;  // one for each dimension; all false without a reduction
  std::vector<Access> accesses;
  ScalarBody body;
  std::vector<Store> stores;  // at every point: only without a reduction
  Reduction reduction;
  ScalarBody epilogue;  // only with a reduction
  std::vector<Store> epilogue_stores;
  // Dimensions that must run in order, serially, because stores with `add` or indirect stores may collide along them.
  std::vector<bool> sequential;  // empty: none

  int rank() const { return static_cast<int>(extents.size()); }
  bool has_reduction() const { return reduction.kind != Reduction::Kind::none; }
  friend bool operator==(const Stage&, const Stage&) = default;
};

struct KernelBuffer {
  enum class Role : uint8_t { input, output, inout, local };
  std::string name;
  DType dtype = DType::f32;
  Sizes sizes;  // logical
  Layout layout;
  Role role = Role::input;
  int alias_of = -1;  // another buffer of the same bytes under other sizes (a reshape); -1: its own storage
  friend bool operator==(const KernelBuffer&, const KernelBuffer&) = default;
};

// The operands of an op come first (role input), then its results (role output). Locals are the kernel's own.
struct StructuredKernel {
  std::string name;
  std::vector<KernelBuffer> buffers;
  std::vector<Stage> stages;
  friend bool operator==(const StructuredKernel&, const StructuredKernel&) = default;
};

// Floating-point operations and bytes (each buffer once) of one run; fused multiply-add counts as two.
struct KernelCost {
  double flops = 0;
  double bytes = 0;
};
KernelCost count_cost(const StructuredKernel& kernel);

// The status word of a launch, read with its results. Codes are bits.
enum class Status : uint64_t { ok = 0, index_out_of_range = 1, out_of_bounds = 2, not_a_number = 4 };

std::string print_kernel(const StructuredKernel& kernel);
StructuredKernel parse_kernel(std::string_view text);  // exact round trip; Error names the line
void verify_kernel(const StructuredKernel& kernel);    // Error says which rule is broken and where

}  // namespace placewright
