#include "placewright/ir/interpret_kernel.h"

#include <bit>
#include <cmath>
#include <limits>

#include <fmt/core.h>

namespace placewright {
namespace {

// A scalar of any dtype: floating ones in `number`, the others in `integer`, sign- or zero-extended.
struct ScalarValue {
  double number = 0;
  int64_t integer = 0;
};

double round_to(DType dtype, double value) { return dtype == DType::f32 ? static_cast<float>(value) : value; }

int64_t wrap_to(DType dtype, int64_t value) {
  switch (dtype) {
    case DType::boolean:
      return value != 0;
    case DType::u8:
      return static_cast<uint8_t>(value);
    case DType::i32:
      return static_cast<int32_t>(value);
    case DType::u32:
      return static_cast<uint32_t>(value);
    default:
      return value;
  }
}

bool is_true(DType dtype, ScalarValue value) { return is_floating(dtype) ? value.number != 0 : value.integer != 0; }

double lesser(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
  return a < b || (a == b && std::signbit(a)) ? a : b;
}

double floating_op(ScalarOp op, double a, double b) {
  switch (op) {
    case ScalarOp::add:
      return a + b;
    case ScalarOp::sub:
      return a - b;
    case ScalarOp::mul:
      return a * b;
    case ScalarOp::div:
      return a / b;
    case ScalarOp::rem:
      return std::fmod(a, b);
    case ScalarOp::min:
      return lesser(a, b);
    case ScalarOp::max:
      return -lesser(-a, -b);
    case ScalarOp::pow:
      return std::pow(a, b);
    case ScalarOp::atan2:
      return std::atan2(a, b);
    case ScalarOp::neg:
      return -a;
    case ScalarOp::abs:
      return std::abs(a);
    case ScalarOp::sign:
      return a > 0 ? 1 : a < 0 ? -1 : a;
    case ScalarOp::exp:
      return std::exp(a);
    case ScalarOp::expm1:
      return std::expm1(a);
    case ScalarOp::log:
      return std::log(a);
    case ScalarOp::log1p:
      return std::log1p(a);
    case ScalarOp::sqrt:
      return std::sqrt(a);
    case ScalarOp::rsqrt:
      return 1 / std::sqrt(a);
    case ScalarOp::sin:
      return std::sin(a);
    case ScalarOp::cos:
      return std::cos(a);
    case ScalarOp::tan:
      return std::tan(a);
    case ScalarOp::asin:
      return std::asin(a);
    case ScalarOp::acos:
      return std::acos(a);
    case ScalarOp::atan:
      return std::atan(a);
    case ScalarOp::sinh:
      return std::sinh(a);
    case ScalarOp::cosh:
      return std::cosh(a);
    case ScalarOp::tanh:
      return std::tanh(a);
    case ScalarOp::erf:
      return std::erf(a);
    case ScalarOp::sigmoid:
      return 1 / (1 + std::exp(-a));
    case ScalarOp::floor:
      return std::floor(a);
    case ScalarOp::ceil:
      return std::ceil(a);
    case ScalarOp::round:
      return std::nearbyint(a);
    case ScalarOp::trunc:
      return std::trunc(a);
    default:
      throw Error(fmt::format("scalar op {} is not defined for floating dtypes", static_cast<int>(op)));
  }
}

// The upper half of the product of two unsigned integers of the dtype.
uint64_t upper_half(DType dtype, uint64_t a, uint64_t b) {
  using Wide = unsigned __int128;
  return static_cast<uint64_t>((static_cast<Wide>(a) * b) >> info(dtype).bits);
}

uint64_t unsigned_op(ScalarOp op, DType dtype, uint64_t a, uint64_t b) {
  auto bits = static_cast<uint64_t>(info(dtype).bits);
  switch (op) {
    case ScalarOp::add:
      return a + b;
    case ScalarOp::sub:
      return a - b;
    case ScalarOp::mul:
      return a * b;
    case ScalarOp::div:
      return b == 0 ? 0 : a / b;
    case ScalarOp::rem:
      return b == 0 ? 0 : a % b;
    case ScalarOp::min:
      return std::min(a, b);
    case ScalarOp::max:
      return std::max(a, b);
    case ScalarOp::neg:
      return -a;
    case ScalarOp::abs:
      return a;
    case ScalarOp::sign:
      return a != 0;
    case ScalarOp::logical_and:
      return a & b;
    case ScalarOp::logical_or:
      return a | b;
    case ScalarOp::logical_xor:
      return a ^ b;
    case ScalarOp::logical_not:
      return dtype == DType::boolean ? a == 0 : ~a;
    case ScalarOp::shift_left:
      return b < bits ? a << b : 0;
    case ScalarOp::shift_right:
      return b < bits ? a >> b : 0;
    case ScalarOp::multiply_high:
      return upper_half(dtype, a, b);
    default:
      throw Error(fmt::format("scalar op {} is not defined for integers", static_cast<int>(op)));
  }
}

int64_t integer_op(ScalarOp op, DType dtype, int64_t a, int64_t b) {
  if (is_signed(dtype)) switch (op) {  // the rest has the same bits, whatever the sign
      case ScalarOp::div:
        return b == 0 ? 0 : b == -1 ? static_cast<int64_t>(-static_cast<uint64_t>(a)) : a / b;
      case ScalarOp::rem:
        return b == 0 || b == -1 ? 0 : a % b;
      case ScalarOp::min:
        return std::min(a, b);
      case ScalarOp::max:
        return std::max(a, b);
      case ScalarOp::abs:
        return a < 0 ? static_cast<int64_t>(-static_cast<uint64_t>(a)) : a;
      case ScalarOp::sign:
        return (a > 0) - (a < 0);
      case ScalarOp::shift_right:
        return a >> std::min<int64_t>(b, 63);
      default:
        break;
    }
  return static_cast<int64_t>(unsigned_op(op, dtype, static_cast<uint64_t>(a), static_cast<uint64_t>(b)));
}

template <typename T>
bool compare(ScalarOp op, T a, T b) {
  switch (op) {
    case ScalarOp::equal:
      return a == b;
    case ScalarOp::not_equal:
      return a != b;
    case ScalarOp::less:
      return a < b;
    case ScalarOp::less_equal:
      return a <= b;
    case ScalarOp::greater:
      return a > b;
    default:
      return a >= b;
  }
}

ScalarValue convert(ScalarValue value, DType from, DType to) {
  if (to == DType::boolean) return {0, is_true(from, value)};
  if (is_floating(to)) {
    double number = is_floating(from)    ? value.number
                    : from == DType::u64 ? static_cast<double>(static_cast<uint64_t>(value.integer))
                    : to == DType::f32   ? static_cast<float>(value.integer)
                                         : static_cast<double>(value.integer);
    return {round_to(to, number), 0};
  }
  if (!is_floating(from)) return {0, wrap_to(to, value.integer)};
  HostTensor holder(to, {1});  // saturates as the definition says
  holder.set_number(0, value.number);
  return {0, holder.integer(0)};
}

ScalarValue reinterpret(ScalarValue value, DType from, DType to) {
  int64_t bits = value.integer;
  if (from == DType::f32) bits = std::bit_cast<int32_t>(static_cast<float>(value.number));
  if (from == DType::f64) bits = std::bit_cast<int64_t>(value.number);
  if (to == DType::f32) return {std::bit_cast<float>(static_cast<int32_t>(bits)), 0};
  if (to == DType::f64) return {std::bit_cast<double>(bits), 0};
  return {0, wrap_to(to, bits)};
}

class Interpreter {
 public:
  Interpreter(const StructuredKernel& kernel, std::span<HostTensor> buffers) : kernel_(kernel) {
    size_t next = 0;
    for (const KernelBuffer& buffer : kernel.buffers) {
      if (buffer.alias_of >= 0) {  // the same bytes under other sizes
        tensors_.push_back(tensors_[static_cast<size_t>(buffer.alias_of)].reshaped(buffer.sizes));
      } else if (buffer.role == KernelBuffer::Role::local) {
        tensors_.emplace_back(buffer.dtype, buffer.sizes);
      } else {
        PW_CHECK(next < buffers.size(), "too few buffers for kernel " + kernel.name);
        PW_CHECK(buffers[next].dtype() == buffer.dtype && buffers[next].sizes() == buffer.sizes,
                 "buffer " + buffer.name + " of kernel " + kernel.name + " has another type");
        tensors_.push_back(buffers[next++]);
      }
    }
    PW_CHECK(next == buffers.size(), "too many buffers for kernel " + kernel.name);
  }

  Status run() {
    for (const Stage& stage : kernel_.stages) run_stage(stage);
    return status_;
  }

 private:
  using ScalarValues = std::vector<ScalarValue>;

  // Calls body() with position_ at every point of the dimensions whose flag is `wanted`, in order.
  template <typename Body>
  void for_each_point(const Stage& stage, bool wanted, Body body, int dim = 0) {
    if (dim == stage.rank()) return body();
    if (stage.reduced[static_cast<size_t>(dim)] != wanted) return for_each_point(stage, wanted, body, dim + 1);
    for (int64_t i = 0; i < stage.extents[static_cast<size_t>(dim)]; ++i) {
      position_[static_cast<size_t>(dim)] = i;
      for_each_point(stage, wanted, body, dim + 1);
    }
    position_[static_cast<size_t>(dim)] = 0;
  }

  void run_stage(const Stage& stage) {
    stage_ = &stage;
    position_.assign(stage.extents.size(), 0);
    for_each_point(stage, false, [&] {
      if (!stage.has_reduction()) {
        store_all(stage.stores, evaluate(stage.body, {}, {}));
        return;
      }
      ScalarValues states = reduce(stage);
      store_all(stage.epilogue_stores, evaluate(stage.epilogue, states, {}));
    });
  }

  ScalarValues reduce(const Stage& stage) {
    const Reduction& reduction = stage.reduction;
    ScalarValues states;
    for (size_t s = 0; s < reduction.init.size(); ++s)
      states.push_back(convert(constant(reduction.init[s]), reduction.init[s].dtype, reduction.dtypes[s]));
    for_each_point(stage, true, [&] {
      ScalarValues body = evaluate(stage.body, {}, {});
      ScalarValues both = states;
      for (size_t s = 0; s < reduction.values.size(); ++s) {
        auto value = static_cast<size_t>(reduction.values[s]);
        both.push_back(convert(body[value], stage.body[value].dtype, reduction.dtypes[s]));
      }
      states = combine(reduction, both);
    });
    return states;
  }

  ScalarValues combine(const Reduction& reduction, const ScalarValues& both) {
    if (reduction.kind == Reduction::Kind::custom) {
      ScalarValues nodes = evaluate(reduction.combine, {}, both), states;
      for (int node : reduction.combined) states.push_back(nodes[static_cast<size_t>(node)]);
      return states;
    }
    ScalarOp op = ScalarOp::add;
    switch (reduction.kind) {
      case Reduction::Kind::prod:
        op = ScalarOp::mul;
        break;
      case Reduction::Kind::min:
        op = ScalarOp::min;
        break;
      case Reduction::Kind::max:
        op = ScalarOp::max;
        break;
      case Reduction::Kind::any:
        op = ScalarOp::logical_or;
        break;
      case Reduction::Kind::all:
        op = ScalarOp::logical_and;
        break;
      default:
        break;
    }
    return {compute({.op = op, .dtype = reduction.dtypes[0]}, reduction.dtypes[0], both[0], both[1], {})};
  }

  static ScalarValue constant(const ScalarNode& node) {
    return is_floating(node.dtype) ? ScalarValue{round_to(node.dtype, node.number), 0}
                                   : ScalarValue{0, wrap_to(node.dtype, node.integer)};
  }

  ScalarValues evaluate(const ScalarBody& body, const ScalarValues& reduced, const ScalarValues& parameters) {
    ScalarValues values;
    for (const ScalarNode& node : body) {
      auto slot = static_cast<size_t>(node.slot);
      switch (node.op) {
        case ScalarOp::constant:
          values.push_back(constant(node));
          break;
        case ScalarOp::index:
          values.push_back({0, position_[slot]});
          break;
        case ScalarOp::load:
          values.push_back(load(stage_->accesses[slot], node.dtype, values));
          break;
        case ScalarOp::reduced:
          values.push_back(reduced[slot]);
          break;
        case ScalarOp::parameter:
          values.push_back(parameters[slot]);
          break;
        default: {
          auto operand = [&](int i) { return node.operands[i] < 0 ? ScalarValue{} : values[node.operands[i]]; };
          values.push_back(compute(node, body[node.operands[0]].dtype, operand(0), operand(1), operand(2)));
        }
      }
    }
    return values;
  }

  // `from`: the dtype of the first operand.
  static ScalarValue compute(const ScalarNode& node, DType from, ScalarValue a, ScalarValue b, ScalarValue c) {
    switch (node.op) {
      case ScalarOp::equal:
      case ScalarOp::not_equal:
      case ScalarOp::less:
      case ScalarOp::less_equal:
      case ScalarOp::greater:
      case ScalarOp::greater_equal:
        if (is_floating(from)) return {0, compare(node.op, a.number, b.number)};
        if (from == DType::u64)
          return {0, compare(node.op, static_cast<uint64_t>(a.integer), static_cast<uint64_t>(b.integer))};
        return {0, compare(node.op, a.integer, b.integer)};
      case ScalarOp::is_nan:
        return {0, is_floating(from) && std::isnan(a.number)};
      case ScalarOp::is_finite:
        return {0, !is_floating(from) || std::isfinite(a.number)};
      case ScalarOp::select:
        return is_true(from, a) ? b : c;
      case ScalarOp::cast:
        return convert(a, from, node.dtype);
      case ScalarOp::bitcast:
        return reinterpret(a, from, node.dtype);
      default:
        break;
    }
    if (is_floating(node.dtype)) return {round_to(node.dtype, floating_op(node.op, a.number, b.number)), 0};
    return {0, wrap_to(node.dtype, integer_op(node.op, node.dtype, a.integer, b.integer))};
  }

  // The element's number in its buffer, or -1 outside.
  int64_t element(const Access& access, const ScalarValues& values) {
    const Sizes& sizes = kernel_.buffers[static_cast<size_t>(access.buffer)].sizes;
    int64_t flat = 0;
    bool inside = true;
    for (size_t d = 0; d < sizes.size(); ++d) {
      const AffineExpr& expr = access.index[d];
      int64_t at = expr.constant;
      for (size_t i = 0; i < expr.coefficients.size(); ++i) at += expr.coefficients[i] * position_[i];
      inside = inside && at % expr.divisor == 0;
      at /= expr.divisor;
      bool found = false;
      for (const Access::Indirect& indirect : access.indirect)
        if (indirect.dim == static_cast<int>(d)) at += values[static_cast<size_t>(indirect.node)].integer, found = true;
      bool fits = at >= 0 && at < sizes[d];
      if (!fits && found) status_ = Status::index_out_of_range;
      if (!fits && !found && !access.guarded)
        throw Error(fmt::format(
            "kernel {}, stage {}: an unguarded access to buffer {} reaches {} in dimension {} of "
            "size {}",
            kernel_.name, stage_->name, kernel_.buffers[static_cast<size_t>(access.buffer)].name, at, d, sizes[d]));
      inside = inside && fits;
      flat = flat * sizes[d] + at;
    }
    return inside ? flat : -1;
  }

  ScalarValue load(const Access& access, DType dtype, const ScalarValues& values) {
    const HostTensor& tensor = tensors_[static_cast<size_t>(access.buffer)];
    int64_t at = element(access, values);
    if (is_floating(dtype)) return {at < 0 ? round_to(dtype, access.outside) : tensor.number(at), 0};
    return {0, at < 0 ? wrap_to(dtype, static_cast<int64_t>(access.outside)) : tensor.integer(at)};
  }

  void store_all(const std::vector<Store>& stores, const ScalarValues& values) {
    for (const Store& store : stores) {
      const Access& access = stage_->accesses[static_cast<size_t>(store.access)];
      HostTensor& tensor = tensors_[static_cast<size_t>(access.buffer)];
      int64_t at = element(access, values);
      if (at < 0) continue;
      ScalarValue value = values[static_cast<size_t>(store.node)];
      if (is_floating(tensor.dtype()))
        tensor.set_number(at, store.add ? round_to(tensor.dtype(), tensor.number(at) + value.number) : value.number);
      else
        tensor.set_integer(at, store.add ? integer_op(ScalarOp::add, tensor.dtype(), tensor.integer(at), value.integer)
                                         : value.integer);
    }
  }

  const StructuredKernel& kernel_;
  std::vector<HostTensor> tensors_;
  const Stage* stage_ = nullptr;
  Sizes position_;
  Status status_ = Status::ok;
};

}  // namespace

Status interpret_kernel(const StructuredKernel& kernel, std::span<HostTensor> buffers) {
  return Interpreter(kernel, buffers).run();
}

}  // namespace placewright
