// Text form of structured kernels: printer and parser, exact inverses.
#include <array>
#include <cmath>

#include <fmt/core.h>

#include "placewright/base/join.h"
#include "placewright/base/lexer.h"
#include "placewright/ir/kernel.h"
#include "placewright/ir/parse_type.h"

namespace placewright {
namespace {

struct ScalarOpInfo {
  std::string_view name;
  int operands;
};

// In the order of ScalarOp.
constexpr std::array<ScalarOpInfo, 56> scalar_ops{{
    {"constant", 0},   {"index", 0},       {"load", 0},          {"reduced", 0},       {"parameter", 0},
    {"add", 2},        {"sub", 2},         {"mul", 2},           {"div", 2},           {"rem", 2},
    {"min", 2},        {"max", 2},         {"pow", 2},           {"atan2", 2},         {"neg", 1},
    {"abs", 1},        {"sign", 1},        {"exp", 1},           {"expm1", 1},         {"log", 1},
    {"log1p", 1},      {"sqrt", 1},        {"rsqrt", 1},         {"sin", 1},           {"cos", 1},
    {"tan", 1},        {"asin", 1},        {"acos", 1},          {"atan", 1},          {"sinh", 1},
    {"cosh", 1},       {"tanh", 1},        {"erf", 1},           {"sigmoid", 1},       {"floor", 1},
    {"ceil", 1},       {"round", 1},       {"trunc", 1},         {"equal", 2},         {"not_equal", 2},
    {"less", 2},       {"less_equal", 2},  {"greater", 2},       {"greater_equal", 2}, {"is_nan", 1},
    {"is_finite", 1},  {"logical_and", 2}, {"logical_or", 2},    {"logical_xor", 2},   {"logical_not", 1},
    {"shift_left", 2}, {"shift_right", 2}, {"multiply_high", 2}, {"select", 3},        {"cast", 1},
    {"bitcast", 1},
}};
static_assert(static_cast<size_t>(ScalarOp::bitcast) + 1 == scalar_ops.size());

const ScalarOpInfo& info_of(ScalarOp op) { return scalar_ops[static_cast<size_t>(op)]; }

constexpr std::array<std::string_view, 8> reductions{"none", "sum", "prod", "min", "max", "any", "all", "custom"};
constexpr std::array<std::string_view, 3> precisions{"f32", "tf32", "bf16"};
constexpr std::array<std::string_view, 4> roles{"input", "output", "inout", "local"};

bool has_slot(ScalarOp op) {
  return op == ScalarOp::index || op == ScalarOp::load || op == ScalarOp::reduced || op == ScalarOp::parameter;
}

// --- Printing

std::string text_of(const AffineExpr& expr) {
  std::vector<std::string> terms;
  for (size_t d = 0; d < expr.coefficients.size(); ++d) {
    if (expr.coefficients[d] == 1) terms.push_back(fmt::format("d{}", d));
    if (expr.coefficients[d] != 0 && expr.coefficients[d] != 1)
      terms.push_back(fmt::format("{}*d{}", expr.coefficients[d], d));
  }
  if (expr.constant != 0 || terms.empty()) terms.push_back(fmt::format("{}", expr.constant));
  std::string sum = join(terms, " + ");
  return expr.divisor == 1 ? sum : fmt::format("({})/{}", sum, expr.divisor);
}

std::string text_of(const ScalarNode& node) {
  std::string text = fmt::format("{} {}", name(node.op), name(node.dtype));
  if (node.op == ScalarOp::constant)
    return text + (is_floating(node.dtype) ? fmt::format(" {}", node.number) : fmt::format(" {}", node.integer));
  if (has_slot(node.op)) return text + fmt::format(" {}", node.slot);
  for (int i = 0; i < operand_count(node.op); ++i) text += fmt::format(" n{}", node.operands[i]);
  return text;
}

std::string text_of(const Access& access) {
  std::vector<std::string> index;
  for (const AffineExpr& expr : access.index) index.push_back(text_of(expr));
  std::string text = fmt::format("b{}[{}]", access.buffer, join(index, ", "));
  if (access.guarded) text += " guarded";
  if (access.outside != 0 || std::signbit(access.outside)) text += fmt::format(" outside {}", access.outside);
  for (const Access::Indirect& part : access.indirect) text += fmt::format(" indirect {} n{}", part.dim, part.node);
  return text;
}

class Printer {
 public:
  std::string print(const StructuredKernel& kernel) {
    line(0, "kernel {} {{", quote(kernel.name));
    for (const KernelBuffer& buffer : kernel.buffers) {
      TensorType type{buffer.dtype, Shape(buffer.sizes.begin(), buffer.sizes.end()), buffer.layout, {}};
      line(1, "buffer {} {} {}{}", quote(buffer.name), roles[static_cast<size_t>(buffer.role)], Type(type).to_string(),
           buffer.alias_of < 0 ? "" : fmt::format(" alias b{}", buffer.alias_of));
    }
    for (const Stage& stage : kernel.stages) print(stage);
    line(0, "}}");
    return std::move(text_);
  }

 private:
  template <typename... Parts>
  void line(int depth, fmt::format_string<Parts...> format, Parts&&... parts) {
    text_.append(static_cast<size_t>(depth) * 2, ' ');
    text_ += fmt::format(format, std::forward<Parts>(parts)...);
    text_ += '\n';
  }

  static std::string dims(const std::vector<bool>& set) {
    Sizes numbers;
    for (size_t d = 0; d < set.size(); ++d)
      if (set[d]) numbers.push_back(static_cast<int64_t>(d));
    return fmt::format("[{}]", join(numbers, ", "));
  }

  void print(const Stage& stage) {
    line(1, "stage {} [{}] reduced {}{} {{", quote(stage.name), join(stage.extents, ", "), dims(stage.reduced),
         stage.sequential.empty() ? "" : " sequential " + dims(stage.sequential));
    for (const Access& access : stage.accesses) line(2, "access {}", text_of(access));
    print("body", stage.body);
    for (const Store& store : stage.stores) print("store", store);
    if (stage.has_reduction()) print(stage.reduction);
    print("epilogue", stage.epilogue);
    for (const Store& store : stage.epilogue_stores) print("epilogue_store", store);
    line(1, "}}");
  }

  void print(std::string_view what, const ScalarBody& body, int depth = 2) {
    if (body.empty()) return;
    line(depth, "{} {{", what);
    for (size_t n = 0; n < body.size(); ++n) line(depth + 1, "n{} = {}", n, text_of(body[n]));
    line(depth, "}}");
  }

  void print(std::string_view what, const Store& store) {
    line(2, "{} {}a{} n{}", what, store.add ? "add " : "", store.access, store.node);
  }

  void print(const Reduction& reduction) {
    line(2, "reduce {} {{", reductions[static_cast<size_t>(reduction.kind)]);
    for (size_t s = 0; s < reduction.dtypes.size(); ++s)
      line(3, "state {} n{} from {}", name(reduction.dtypes[s]), reduction.values.at(s), text_of(reduction.init.at(s)));
    print("combine", reduction.combine, 3);
    for (int node : reduction.combined) line(3, "gives n{}", node);
    if (reduction.split.partials == 1) line(3, "in order");
    if (reduction.split.partials > 1) line(3, "split d{} {}", reduction.split.dim, reduction.split.partials);
    if (reduction.precision != Precision::f32) line(3, "precision {}", name(reduction.precision));
    line(2, "}}");
  }

  std::string text_;
};

// --- Parsing

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text, "kernel") {}

  StructuredKernel kernel() {
    StructuredKernel kernel;
    lexer_.expect("kernel");
    kernel.name = lexer_.string("the kernel's name");
    lexer_.expect("{");
    while (lexer_.accept("buffer")) kernel.buffers.push_back(buffer());
    while (lexer_.accept("stage")) kernel.stages.push_back(stage());
    if (!lexer_.accept("}")) lexer_.fail("buffer, stage or }");
    if (!lexer_.at_end()) lexer_.fail("the end");
    return kernel;
  }

 private:
  // A number behind a letter: "n3", "d0".
  int numbered(char letter, std::string_view what) {
    size_t at = lexer_.position();
    std::string word = lexer_.identifier(what);
    int number = 0;
    bool good = word.size() > 1 && word.size() < 9 && word[0] == letter && (word[1] != '0' || word.size() == 2);
    for (size_t i = 1; good && i < word.size(); ++i) {
      good = word[i] >= '0' && word[i] <= '9';
      number = number * 10 + (word[i] - '0');
    }
    if (!good) lexer_.fail_at(at, fmt::format("found '{}', expected {}", word, what));
    return number;
  }

  int small_integer(std::string_view what) {
    size_t at = lexer_.position();
    int64_t value = lexer_.integer(what);
    if (value < 0 || value > 1'000'000) lexer_.fail_at(at, fmt::format("found {}, expected {}", value, what));
    return static_cast<int>(value);
  }

  template <typename Names>
  size_t one_of(const Names& names, std::string_view what) {
    size_t at = lexer_.position();
    std::string word = lexer_.identifier(what);
    for (size_t i = 0; i < names.size(); ++i)
      if (names[i] == word) return i;
    lexer_.fail_at(at, fmt::format("found '{}', expected {}", word, what));
  }

  KernelBuffer buffer() {
    KernelBuffer buffer;
    buffer.name = lexer_.string("the buffer's name");
    buffer.role = static_cast<KernelBuffer::Role>(one_of(roles, "input, output, inout or local"));
    Type type = parse_type(lexer_);
    buffer.dtype = type.tensor().dtype;
    buffer.sizes = type.tensor().sizes();
    buffer.layout = type.tensor().layout;
    if (lexer_.accept("alias")) buffer.alias_of = numbered('b', "a buffer such as b0");
    return buffer;
  }

  std::vector<bool> dims(size_t rank) {
    std::vector<bool> set(rank);
    lexer_.expect("[");
    while (!lexer_.accept("]")) {
      size_t at = lexer_.position();
      int dim = small_integer("a dimension");
      if (static_cast<size_t>(dim) >= rank) lexer_.fail_at(at, fmt::format("there is no dimension {}", dim));
      set[dim] = true;
      if (!lexer_.next_is("]")) lexer_.expect(",");
    }
    return set;
  }

  Stage stage() {
    Stage stage;
    stage.name = lexer_.string("the stage's name");
    lexer_.expect("[");
    while (!lexer_.accept("]")) {
      stage.extents.push_back(lexer_.integer("an extent"));
      if (!lexer_.next_is("]")) lexer_.expect(",");
    }
    lexer_.expect("reduced");
    stage.reduced = dims(stage.extents.size());
    if (lexer_.accept("sequential")) stage.sequential = dims(stage.extents.size());
    lexer_.expect("{");
    while (lexer_.accept("access")) stage.accesses.push_back(access(stage.rank()));
    if (lexer_.accept("body")) stage.body = body();
    while (lexer_.accept("store")) stage.stores.push_back(store());
    if (lexer_.accept("reduce")) stage.reduction = reduction();
    if (lexer_.accept("epilogue")) stage.epilogue = body();
    while (lexer_.accept("epilogue_store")) stage.epilogue_stores.push_back(store());
    if (!lexer_.accept("}")) lexer_.fail("access, body, store, reduce, epilogue, epilogue_store (in this order) or }");
    return stage;
  }

  AffineExpr affine(int rank) {
    AffineExpr expr = AffineExpr::number(0, rank);
    bool divided = lexer_.accept("(");
    do {
      int64_t factor = 1;
      if (!lexer_.next_is_identifier()) {
        factor = lexer_.integer("a term such as 2*d0 or 5");
        if (!lexer_.accept("*")) {
          expr.constant = factor;
          continue;
        }
      }
      size_t at = lexer_.position();
      int dim = numbered('d', "a dimension such as d0");
      if (dim >= rank) lexer_.fail_at(at, fmt::format("there is no dimension {}", dim));
      expr.coefficients[dim] = factor;
    } while (lexer_.accept("+"));
    if (divided) {
      lexer_.expect(")");
      lexer_.expect("/");
      expr.divisor = lexer_.integer("a divisor");
    }
    return expr;
  }

  Access access(int rank) {
    Access access;
    access.buffer = numbered('b', "a buffer such as b0");
    lexer_.expect("[");
    while (!lexer_.accept("]")) {
      access.index.push_back(affine(rank));
      if (!lexer_.next_is("]")) lexer_.expect(",");
    }
    access.guarded = lexer_.accept("guarded");
    if (lexer_.accept("outside")) access.outside = lexer_.number("a number");
    while (lexer_.accept("indirect")) {
      int dim = small_integer("a dimension");
      access.indirect.push_back({dim, numbered('n', "a node such as n0")});
    }
    return access;
  }

  ScalarNode node() {
    ScalarNode node;
    size_t at = lexer_.position();
    std::string word = lexer_.identifier("a scalar op");
    size_t op = 0;
    while (op < scalar_ops.size() && name(static_cast<ScalarOp>(op)) != word) ++op;
    if (op == scalar_ops.size()) lexer_.fail_at(at, fmt::format("there is no scalar op '{}'", word));
    node.op = static_cast<ScalarOp>(op);
    node.dtype = parse_dtype(lexer_);
    if (node.op == ScalarOp::constant) {
      if (is_floating(node.dtype))
        node.number = lexer_.number();
      else
        node.integer = lexer_.integer();
    } else if (has_slot(node.op)) {
      node.slot = small_integer("a number");
    } else {
      for (int i = 0; i < operand_count(node.op); ++i) node.operands[i] = numbered('n', "a node such as n0");
    }
    return node;
  }

  ScalarBody body() {
    ScalarBody body;
    lexer_.expect("{");
    while (!lexer_.accept("}")) {
      size_t at = lexer_.position();
      if (numbered('n', "a node such as n0") != static_cast<int>(body.size()))
        lexer_.fail_at(at, fmt::format("nodes are numbered in order: expected n{}", body.size()));
      lexer_.expect("=");
      body.push_back(node());
    }
    return body;
  }

  Store store() {
    Store store;
    store.add = lexer_.accept("add");
    store.access = numbered('a', "an access such as a0");
    store.node = numbered('n', "a node such as n0");
    return store;
  }

  Reduction reduction() {
    Reduction reduction;
    reduction.kind = static_cast<Reduction::Kind>(one_of(reductions, "sum, prod, min, max, any, all or custom"));
    lexer_.expect("{");
    while (lexer_.accept("state")) {
      reduction.dtypes.push_back(parse_dtype(lexer_));
      reduction.values.push_back(numbered('n', "a node such as n0"));
      lexer_.expect("from");
      reduction.init.push_back(node());
    }
    if (lexer_.accept("combine")) reduction.combine = body();
    while (lexer_.accept("gives")) reduction.combined.push_back(numbered('n', "a node such as n0"));
    if (lexer_.accept("in")) {
      lexer_.expect("order");
      reduction.split.partials = 1;
    } else if (lexer_.accept("split")) {
      reduction.split.dim = numbered('d', "a dimension such as d0");
      reduction.split.partials = lexer_.integer("a number of partial states");
    }
    if (lexer_.accept("precision"))
      reduction.precision = static_cast<Precision>(one_of(precisions, "f32, tf32 or bf16"));
    if (!lexer_.accept("}")) lexer_.fail("state, combine, gives, in order or split, precision (in this order) or }");
    return reduction;
  }

  Lexer lexer_;
};

}  // namespace

std::string_view name(ScalarOp op) { return info_of(op).name; }
std::string_view name(Precision precision) { return precisions[static_cast<size_t>(precision)]; }

std::optional<Precision> try_parse_precision(std::string_view name) {
  for (size_t i = 0; i < precisions.size(); ++i)
    if (precisions[i] == name) return static_cast<Precision>(i);
  return std::nullopt;
}

int operand_count(ScalarOp op) { return info_of(op).operands; }

std::string print_kernel(const StructuredKernel& kernel) { return Printer().print(kernel); }
StructuredKernel parse_kernel(std::string_view text) { return Parser(text).kernel(); }

}  // namespace placewright
