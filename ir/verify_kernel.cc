// The rules of structured kernels, each with the message that says which one is broken and where.
#include <algorithm>
#include <set>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "placewright/ir/kernel.h"

namespace placewright {
namespace {

class Verifier {
 public:
  explicit Verifier(const StructuredKernel& kernel) : kernel_(kernel) {}

  void run() {
    where_ = fmt::format("kernel {}", kernel_.name);
    for (int b = 0; b < static_cast<int>(kernel_.buffers.size()); ++b) check_buffer(b);
    std::set<int> written;
    for (int s = 0; s < static_cast<int>(kernel_.stages.size()); ++s) {
      where_ = fmt::format("kernel {}, stage {} ({})", kernel_.name, s, kernel_.stages[s].name);
      check_stage(kernel_.stages[s], written);
    }
  }

 private:
  template <typename... Parts>
  void require(bool good, fmt::format_string<Parts...> format, Parts&&... parts) const {
    if (!good) throw Error(where_ + ": " + fmt::format(format, std::forward<Parts>(parts)...));
  }

  int root(int buffer) const {
    while (kernel_.buffers[buffer].alias_of >= 0) buffer = kernel_.buffers[buffer].alias_of;
    return buffer;
  }

  // --- Buffers

  void check_buffer(int number) const {
    const KernelBuffer& buffer = kernel_.buffers[number];
    require(std::all_of(buffer.sizes.begin(), buffer.sizes.end(), [](int64_t size) { return size >= 0; }),
            "buffer b{} has a negative size", number);
    check_layout(number, buffer);
    byte_size(buffer.dtype, element_count(physical_sizes(buffer.layout, buffer.sizes)));  // Error on overflow
    auto order = [](KernelBuffer::Role role) {
      return role == KernelBuffer::Role::local ? 2 : role == KernelBuffer::Role::output ? 1 : 0;
    };
    require(number == 0 || order(kernel_.buffers[number - 1].role) <= order(buffer.role),
            "buffer b{} is out of order: operands come first, then results, then locals", number);
    if (buffer.alias_of < 0) return;
    require(buffer.alias_of < static_cast<int>(kernel_.buffers.size()), "buffer b{} is an alias of b{}, which is none",
            number, buffer.alias_of);
    const KernelBuffer& other = kernel_.buffers[buffer.alias_of];
    require(buffer.role == KernelBuffer::Role::local, "buffer b{} is an alias, so it must be local", number);
    require(buffer.alias_of < number, "buffer b{} is an alias of a later one", number);
    require(
        info(other.dtype).bits == info(buffer.dtype).bits && element_count(other.sizes) == element_count(buffer.sizes),
        "buffer b{} and b{}, whose alias it is, differ in bytes", number, buffer.alias_of);
    require(other.layout.is_row_major() && buffer.layout.is_row_major(), "buffer b{} and its alias are not row-major",
            number);
  }

  void check_layout(int number, const KernelBuffer& buffer) const {
    const Layout& layout = buffer.layout;
    size_t rank = buffer.sizes.size();
    std::vector<int> order = layout.order;
    std::sort(order.begin(), order.end());
    bool good = order.empty() || order.size() == rank;
    for (size_t i = 0; i < order.size(); ++i) good = good && order[i] == static_cast<int>(i);
    require(good, "buffer b{}: the layout's order is no permutation", number);
    for (const Layout::Block& block : layout.blocks)
      require(block.dim >= 0 && block.dim < static_cast<int>(rank) && block.factor >= 1,
              "buffer b{}: a block of dimension {} by {}", number, block.dim, block.factor);
    require(layout.padding.empty() || layout.padding.size() == rank, "buffer b{}: padding is not one a dimension",
            number);
    for (const Layout::Padding& padding : layout.padding)
      require(padding.low >= 0 && padding.high >= 0, "buffer b{}: negative padding", number);
  }

  // --- Stages

  void check_stage(const Stage& stage, std::set<int>& written) {
    size_t rank = stage.extents.size();
    require(stage.reduced.size() == rank, "found {} marks of reduced dimensions, expected {}", stage.reduced.size(),
            rank);
    require(stage.sequential.empty() || stage.sequential.size() == rank,
            "found {} marks of sequential dimensions, expected none or {}", stage.sequential.size(), rank);
    element_count(stage.extents);
    for (int64_t extent : stage.extents) require(extent >= 0, "extent {} is negative", extent);
    bool reduces = std::find(stage.reduced.begin(), stage.reduced.end(), true) != stage.reduced.end();
    require(!reduces || stage.has_reduction(), "reduced dimensions without a reduction");
    for (size_t a = 0; a < stage.accesses.size(); ++a) check_access(stage, a);
    check_body(stage, "body", stage.body, 0);
    check_body(stage, "epilogue", stage.epilogue, stage.reduction.dtypes.size());
    if (stage.has_reduction())
      check_reduction(stage);
    else
      require(stage.reduction == Reduction{} && stage.epilogue.empty() && stage.epilogue_stores.empty(),
              "an epilogue without a reduction");
    require(!stage.has_reduction() || stage.stores.empty(), "stores at every point of a reduction");
    for (const Store& store : stage.stores) check_store(stage, stage.body, store);
    for (const Store& store : stage.epilogue_stores) check_store(stage, stage.epilogue, store);
    check_order(stage, written);
  }

  void check_access(const Stage& stage, size_t number) const {
    const Access& access = stage.accesses[number];
    require(access.buffer >= 0 && access.buffer < static_cast<int>(kernel_.buffers.size()),
            "access a{}: there is no buffer {}", number, access.buffer);
    const Sizes& sizes = kernel_.buffers[access.buffer].sizes;
    require(access.index.size() == sizes.size(), "access a{} has {} indices, buffer b{} has {} dimensions", number,
            access.index.size(), access.buffer, sizes.size());
    for (size_t i = 0; i < sizes.size(); ++i) {
      const AffineExpr& expr = access.index[i];
      require(expr.coefficients.size() == stage.extents.size(), "access a{}: index {} has {} coefficients, expected {}",
              number, i, expr.coefficients.size(), stage.extents.size());
      require(expr.divisor >= 1, "access a{}: divisor {}", number, expr.divisor);
      require(expr.divisor == 1 || access.guarded, "access a{} divides, so it must be guarded", number);
      bool indirect = std::any_of(access.indirect.begin(), access.indirect.end(),
                                  [&](const Access::Indirect& part) { return part.dim == static_cast<int>(i); });
      int64_t low = expr.constant, high = expr.constant;
      for (size_t d = 0; d < stage.extents.size(); ++d) {
        int64_t reach = checked_mul(expr.coefficients[d], std::max<int64_t>(stage.extents[d] - 1, 0));
        int64_t& end = reach < 0 ? low : high;
        end = checked_add(end, reach);
      }
      bool empty = std::find(stage.extents.begin(), stage.extents.end(), 0) != stage.extents.end();
      require(access.guarded || indirect || empty || (low >= 0 && high < sizes[i]),
              "access a{} reaches {} to {} in dimension {} of size {}, without a guard", number, low, high, i,
              sizes[i]);
    }
    for (const Access::Indirect& part : access.indirect)
      require(part.dim >= 0 && part.dim < static_cast<int>(sizes.size()), "access a{}: no dimension {} to be indirect",
              number, part.dim);
  }

  // --- Bodies

  void check_body(const Stage& stage, std::string_view which, const ScalarBody& body, size_t states) const {
    for (int n = 0; n < static_cast<int>(body.size()); ++n) {
      const ScalarNode& node = body[n];
      int operands = operand_count(node.op);
      for (int i = 0; i < 3; ++i) {
        int from = node.operands[i];
        require(i < operands ? from >= 0 && from < n : from == -1, "{} n{}: operand {} is n{}, expected {}", which, n,
                i, from, i < operands ? "an earlier node" : "none");
      }
      check_dtypes(which, body, n);
      switch (node.op) {
        case ScalarOp::index:
          require(node.slot >= 0 && node.slot < stage.rank(), "{} n{}: there is no dimension {}", which, n, node.slot);
          require(which == "body" || !stage.reduced[node.slot], "{} n{}: dimension {} is reduced", which, n, node.slot);
          break;
        case ScalarOp::load:
          require(node.slot >= 0 && node.slot < static_cast<int>(stage.accesses.size()),
                  "{} n{}: there is no access {}", which, n, node.slot);
          check_use(stage, which, body, stage.accesses[node.slot], n);
          require(node.dtype == kernel_.buffers[stage.accesses[node.slot].buffer].dtype,
                  "{} n{}: loads {}, buffer b{} holds {}", which, n, name(node.dtype), stage.accesses[node.slot].buffer,
                  name(kernel_.buffers[stage.accesses[node.slot].buffer].dtype));
          break;
        case ScalarOp::reduced:
          require(which == "epilogue" && node.slot >= 0 && node.slot < static_cast<int>(states),
                  "{} n{}: there is no state {}", which, n, node.slot);
          require(node.dtype == stage.reduction.dtypes[node.slot], "{} n{}: state {} is {}", which, n, node.slot,
                  name(stage.reduction.dtypes[node.slot]));
          break;
        case ScalarOp::parameter:
          require(which == "combine" && node.slot >= 0 && node.slot < static_cast<int>(2 * states),
                  "{} n{}: there is no parameter {}", which, n, node.slot);
          break;
        default:
          break;
      }
      require(which != "combine" || (node.op != ScalarOp::load && node.op != ScalarOp::index),
              "combine n{}: a combination sees its parameters alone", n);
    }
  }

  // Of a load or a store by a node before `end`.
  void check_use(const Stage& stage, std::string_view which, const ScalarBody& body, const Access& access,
                 int end) const {
    for (const Access::Indirect& part : access.indirect)
      require(part.node >= 0 && part.node < end && body[part.node].dtype == DType::i64,
              "an access is indirect by n{} of the {}, expected an earlier node of dtype i64", part.node, which);
    if (which == "body") return;
    for (const AffineExpr& expr : access.index)
      for (int d = 0; d < stage.rank(); ++d)
        require(!stage.reduced[d] || expr.coefficients[d] == 0, "the epilogue uses an access of reduced dimension {}",
                d);
  }

  void check_dtypes(std::string_view which, const ScalarBody& body, int number) const {
    const ScalarNode& node = body[number];
    auto dtype = [&](int i) { return body[node.operands[i]].dtype; };
    auto expect = [&](bool good) {
      require(good, "{} n{}: {} does not give {} from {}", which, number, name(node.op), name(node.dtype),
              operand_count(node.op) ? name(dtype(0)) : "nothing");
    };
    ScalarOp op = node.op;
    if (op == ScalarOp::index) expect(node.dtype == DType::i64);
    if (operand_count(op) == 0 || op == ScalarOp::cast) return;
    if (op == ScalarOp::bitcast) return expect(info(node.dtype).bits == info(dtype(0)).bits);
    if (op == ScalarOp::select)
      return expect(dtype(0) == DType::boolean && dtype(1) == node.dtype && dtype(2) == node.dtype);
    if (operand_count(op) == 2) expect(dtype(0) == dtype(1));
    if (op >= ScalarOp::equal && op <= ScalarOp::is_finite) return expect(node.dtype == DType::boolean);
    expect(dtype(0) == node.dtype);
    if ((op >= ScalarOp::exp && op <= ScalarOp::sigmoid) || op == ScalarOp::atan2) expect(is_floating(node.dtype));
    if (op >= ScalarOp::logical_and && op <= ScalarOp::logical_not) expect(!is_floating(node.dtype));
    if (op >= ScalarOp::shift_left && op <= ScalarOp::multiply_high)
      expect(is_integer(node.dtype) && !is_signed(node.dtype));
  }

  void check_reduction(const Stage& stage) const {
    const Reduction& reduction = stage.reduction;
    size_t states = reduction.dtypes.size();
    bool custom = reduction.kind == Reduction::Kind::custom;
    require(custom ? states >= 1 : states == 1, "a reduction with {} states", states);
    require(reduction.values.size() == states && reduction.init.size() == states,
            "a reduction of {} states with {} values and {} initial states", states, reduction.values.size(),
            reduction.init.size());
    require(reduction.combined.size() == (custom ? states : 0) && (custom || reduction.combine.empty()),
            "found {} combined states, expected {}", reduction.combined.size(), custom ? states : 0);
    check_body(stage, "combine", reduction.combine, states);
    for (size_t s = 0; s < states; ++s) {
      require(has_node(stage.body, reduction.values[s]), "state {} is fed by n{}, which is none", s,
              reduction.values[s]);
      require(reduction.init[s].op == ScalarOp::constant && reduction.init[s].dtype == reduction.dtypes[s],
              "state {} begins with a {} {}, expected a constant {}", s, name(reduction.init[s].op),
              name(reduction.init[s].dtype), name(reduction.dtypes[s]));
      if (custom)
        require(has_node(reduction.combine, reduction.combined[s]) &&
                    reduction.combine[reduction.combined[s]].dtype == reduction.dtypes[s],
                "the combination does not give state {} as {}", s, name(reduction.dtypes[s]));
    }
    const Split& split = reduction.split;
    bool splits = split.partials > 1;
    require(split.partials >= 0 && (split.partials & (split.partials - 1)) == 0 && (splits || split.dim == -1) &&
                (!splits || (split.dim >= 0 && split.dim < stage.rank() && stage.reduced[split.dim] && !custom)),
            "a split of d{} into {} states, expected a reduced dimension and a power of two", split.dim,
            split.partials);
    bool logical = reduction.kind == Reduction::Kind::any || reduction.kind == Reduction::Kind::all;
    require(!logical || reduction.dtypes[0] == DType::boolean, "any and all join booleans");
    require(reduction.precision == Precision::f32 || is_sum_of_products(stage, DType::f32),
            "precision {}, but no sum of f32 products", name(reduction.precision));
  }

  static bool is_sum_of_products(const Stage& stage, DType dtype) {
    const Reduction& reduction = stage.reduction;
    return reduction.kind == Reduction::Kind::sum && reduction.dtypes[0] == dtype &&
           stage.body[reduction.values[0]].op == ScalarOp::mul && stage.body[reduction.values[0]].dtype == dtype;
  }

  static bool has_node(const ScalarBody& body, int node) { return node >= 0 && node < static_cast<int>(body.size()); }

  void check_store(const Stage& stage, const ScalarBody& body, const Store& store) const {
    require(store.access >= 0 && store.access < static_cast<int>(stage.accesses.size()),
            "a store by access {}, which is none", store.access);
    require(has_node(body, store.node), "a store of n{}, which is none", store.node);
    const Access& access = stage.accesses[store.access];
    const KernelBuffer& buffer = kernel_.buffers[access.buffer];
    check_use(stage, &body == &stage.body ? "body" : "epilogue", body, access, static_cast<int>(body.size()));
    require(body[store.node].dtype == buffer.dtype, "n{} is {}, buffer b{} holds {}", store.node,
            name(body[store.node].dtype), access.buffer, name(buffer.dtype));
    require(kernel_.buffers[root(access.buffer)].role != KernelBuffer::Role::input, "a store to input b{}",
            root(access.buffer));
    for (int d = 0; d < stage.rank(); ++d) {
      bool sequential = !stage.sequential.empty() && stage.sequential[d];
      if (stage.reduced[d] || stage.extents[d] <= 1 || sequential) continue;
      bool moves = false;
      for (size_t i = 0; i < access.index.size(); ++i) moves = moves || access.index[i].coefficients[d] != 0;
      require(moves, "points along dimension {} store to one element of b{}: the dimension must be sequential", d,
              access.buffer);
    }
  }

  // Locals are read only where something has been written; a stage reads what it writes only at the same point.
  void check_order(const Stage& stage, std::set<int>& written) const {
    std::vector<const Access*> loads, stores;
    for (const ScalarBody* body : {&stage.body, &stage.epilogue})
      for (const ScalarNode& node : *body)
        if (node.op == ScalarOp::load) loads.push_back(&stage.accesses[node.slot]);
    for (const std::vector<Store>* made : {&stage.stores, &stage.epilogue_stores})
      for (const Store& store : *made) stores.push_back(&stage.accesses[store.access]);
    for (const Access* load : loads) {
      int from = root(load->buffer);
      KernelBuffer::Role role = kernel_.buffers[from].role;
      bool filled = role == KernelBuffer::Role::input || role == KernelBuffer::Role::inout || written.contains(from);
      require(filled, "reads b{} before anything is stored there", load->buffer);
      for (const Access* store : stores)
        require(root(store->buffer) != from || (store->buffer == load->buffer && store->index == load->index),
                "reads b{} at other points than it stores to", load->buffer);
    }
    for (const Access* store : stores) written.insert(root(store->buffer));
  }

  const StructuredKernel& kernel_;
  std::string where_;
};

}  // namespace

void verify_kernel(const StructuredKernel& kernel) { Verifier(kernel).run(); }

}  // namespace placewright
