#include "placewright/ir/work.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

namespace placewright {
namespace {

constexpr std::array<OpClass, 7> classes{{
    {"contraction", "multiplications and additions of matrix products"},
    {"convolution", "multiplications and additions of products over windows"},
    {"elementwise", "additions; dearer functions count as several"},
    {"reduction", "additions; dearer functions count as several"},
    {"movement", "bytes read and written"},
    {"gather", "bytes read and written"},
    {"scatter", "bytes read and written"},
}};

double weight(const ScalarBody& body) {
  double sum = 0;
  for (const ScalarNode& node : body) sum += node_weight(node.op);
  return sum;
}

bool is_window(const AffineExpr& expr) {
  return expr.divisor != 1 || std::count_if(expr.coefficients.begin(), expr.coefficients.end(),
                                            [](int64_t coefficient) { return coefficient != 0; }) > 1;
}

class Counter {
 public:
  Counter(const StructuredKernel& kernel, const Stage& stage) : kernel_(kernel), stage_(stage) {
    for (int d = 0; d < stage.rank(); ++d) {
      points_ *= static_cast<double>(stage.extents[d]);
      if (!stage.reduced[d]) outer_ *= static_cast<double>(stage.extents[d]);
    }
  }

  StageWork count() {
    StageWork work;
    for (const Access& access : distinct_accesses()) work.bytes += touched(access);
    std::vector<int> factors = product_factors();
    if (!factors.empty()) {
      bool windows = false;
      for (int slot : factors)
        for (const AffineExpr& expr : stage_.accesses[slot].index) windows = windows || is_window(expr);
      work.op_class = windows ? "convolution" : "contraction";
      work.dtype = kernel_.buffers[stage_.accesses[factors[0]].buffer].dtype;
      work.needed = {work.dtype};
      work.precision = stage_.reduction.precision;
      work.operations = 2 * points_ + outer_ * weight(stage_.epilogue);
      return work;
    }
    count_dtypes(work);
    double arithmetic = points_ * weight(stage_.body) + outer_ * weight(stage_.epilogue);
    if (stage_.has_reduction()) arithmetic += points_ * std::max(1.0, weight(stage_.reduction.combine));
    std::string_view moved = is_scattered(stage_.stores) || is_scattered(stage_.epilogue_stores) ? "scatter"
                             : is_gathered()                                                     ? "gather"
                             : arithmetic == 0                                                   ? "movement"
                                                                                                 : "";
    work.op_class = !moved.empty() ? moved : stage_.has_reduction() ? "reduction" : "elementwise";
    work.operations = moved.empty() ? arithmetic : work.bytes;
    return work;
  }

 private:
  bool depends(const Access& access, int d) const {
    return std::any_of(access.index.begin(), access.index.end(),
                       [&](const AffineExpr& expr) { return expr.coefficients[d] != 0; });
  }

  // Accesses that differ only in where they begin meet the same elements.
  std::vector<Access> distinct_accesses() const {
    std::vector<Access> distinct;
    for (Access access : stage_.accesses) {
      for (AffineExpr& expr : access.index) expr.constant = 0;
      access.guarded = false;
      if (std::find(distinct.begin(), distinct.end(), access) == distinct.end()) distinct.push_back(std::move(access));
    }
    return distinct;
  }

  double touched(const Access& access) const {
    const KernelBuffer& buffer = kernel_.buffers[access.buffer];
    double elements = 1;
    for (int d = 0; d < stage_.rank(); ++d)
      if (depends(access, d) || !access.indirect.empty()) elements *= static_cast<double>(stage_.extents[d]);
    elements = std::min(elements, static_cast<double>(element_count(buffer.sizes)));
    return elements * info(buffer.dtype).bits / 8;
  }

  // The two loads whose product a sum adds up, each read again along a dimension of the other: the accesses.
  std::vector<int> product_factors() const {
    if (stage_.reduction.kind != Reduction::Kind::sum) return {};
    const ScalarNode& fed = source(stage_.body, stage_.reduction.values[0]);
    if (fed.op != ScalarOp::mul) return {};
    const ScalarNode &a = source(stage_.body, fed.operands[0]), &b = source(stage_.body, fed.operands[1]);
    if (a.op != ScalarOp::load || b.op != ScalarOp::load) return {};
    const Access &left = stage_.accesses[a.slot], &right = stage_.accesses[b.slot];
    if (!left.indirect.empty() || !right.indirect.empty()) return {};
    bool shared = false;  // a result dimension that only one of them moves with
    for (int d = 0; d < stage_.rank(); ++d)
      shared = shared || (!stage_.reduced[d] && depends(left, d) != depends(right, d));
    return shared ? std::vector<int>{a.slot, b.slot} : std::vector<int>{};
  }

  static const ScalarNode& source(const ScalarBody& body, int node) {
    while (body[node].op == ScalarOp::cast) node = body[node].operands[0];
    return body[node];
  }

  // The dtype that most of the arithmetic is in; without any, the widest that is moved.
  void count_dtypes(StageWork& work) const {
    std::map<DType, double> weights;
    for (const ScalarNode& node : stage_.body) weights[node.dtype] += points_ * node_weight(node.op);
    for (const ScalarNode& node : stage_.epilogue) weights[node.dtype] += outer_ * node_weight(node.op);
    if (stage_.has_reduction())
      for (DType dtype : stage_.reduction.dtypes) weights[dtype] += points_;
    std::set<DType> touched, floating;
    for (const Access& access : stage_.accesses) touched.insert(kernel_.buffers[access.buffer].dtype);
    auto order = [&](DType dtype) { return std::tuple(weights[dtype], is_floating(dtype), info(dtype).bits); };
    for (const auto& [dtype, weight] : std::map(weights))
      if (weight > 0 && is_floating(dtype)) touched.insert(dtype);  // other integers are steps on the way
    for (DType dtype : touched) {
      if (is_floating(dtype)) floating.insert(dtype);
      if (!touched.contains(work.dtype) || order(dtype) > order(work.dtype)) work.dtype = dtype;
    }
    work.needed.assign(floating.begin(), floating.end());
    if (work.needed.empty()) work.needed = {work.dtype};
  }

  bool is_scattered(const std::vector<Store>& stores) const {
    return std::any_of(stores.begin(), stores.end(),
                       [&](const Store& store) { return !stage_.accesses[store.access].indirect.empty(); });
  }
  bool is_gathered() const {
    return std::any_of(stage_.accesses.begin(), stage_.accesses.end(),
                       [](const Access& access) { return !access.indirect.empty(); });
  }

  const StructuredKernel& kernel_;
  const Stage& stage_;
  double points_ = 1, outer_ = 1;
};

}  // namespace

std::span<const OpClass> op_classes() { return classes; }

bool is_op_class(std::string_view name) {
  return std::any_of(classes.begin(), classes.end(), [&](const OpClass& entry) { return entry.name == name; });
}

bool is_product_class(std::string_view name) { return name == "contraction" || name == "convolution"; }

std::vector<StageWork> count_work(const StructuredKernel& kernel) {
  std::vector<StageWork> work;
  for (const Stage& stage : kernel.stages) work.push_back(Counter(kernel, stage).count());
  return work;
}

double node_weight(ScalarOp op) {
  switch (op) {
    case ScalarOp::constant:
    case ScalarOp::index:
    case ScalarOp::load:
    case ScalarOp::reduced:
    case ScalarOp::parameter:
    case ScalarOp::bitcast:
      return 0;
    case ScalarOp::div:
    case ScalarOp::rem:
    case ScalarOp::sqrt:
    case ScalarOp::rsqrt:
      return 8;
    case ScalarOp::exp:
    case ScalarOp::log:
    case ScalarOp::sigmoid:
      return 16;
    case ScalarOp::expm1:
    case ScalarOp::log1p:
    case ScalarOp::tanh:
    case ScalarOp::sin:
    case ScalarOp::cos:
      return 60;
    case ScalarOp::pow:
    case ScalarOp::atan2:
    case ScalarOp::tan:
    case ScalarOp::asin:
    case ScalarOp::acos:
    case ScalarOp::atan:
    case ScalarOp::sinh:
    case ScalarOp::cosh:
    case ScalarOp::erf:
      return 120;
    default:
      return 1;
  }
}

}  // namespace placewright
