#include <algorithm>
#include <functional>
#include <queue>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "placewright/base/lexer.h"
#include "placewright/ir/graph.h"
#include "placewright/ir/op_table.h"
#include "placewright/ir/parse_type.h"

namespace placewright {
namespace {

// A damaged file must not make us allocate what no constant in text could hold.
constexpr int64_t largest_splat_bytes = int64_t{1} << 32;

class Parser {
 public:
  Parser(std::string_view text, std::string_view name) : name_(name), lexer_(text, name_) {}

  Graph run() {
    lexer_.expect("graph");
    lexer_.expect("v1");
    if (lexer_.accept("origins")) parse_origins();
    while (lexer_.accept("rule")) graph_.rules.push_back(parse_placement_rule(lexer_));
    while (!lexer_.at_end()) parse_function();
    try {
      verify_graph(graph_);
    } catch (const Error& error) {
      throw Error(fmt::format("{}: {}", name_, error.what()));
    }
    return std::move(graph_);
  }

 private:
  struct PendingOrigin {
    Origin origin;
    std::vector<int64_t> merged;  // numbers in the text
    size_t at = 0;
  };

  void parse_origins() {
    std::vector<PendingOrigin> pending;
    lexer_.expect("{");
    while (!lexer_.accept("}")) pending.push_back(parse_origin(static_cast<int64_t>(pending.size()) + 1));
    intern(pending);
  }

  // An origin may name later ones as merged: each is interned behind those.
  void intern(std::vector<PendingOrigin>& pending) {
    std::vector<std::vector<size_t>> followers(pending.size());
    std::vector<size_t> waits(pending.size(), 0);
    std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;  // as the text has them, where that may be
    for (size_t i = 0; i < pending.size(); ++i) {
      for (int64_t number : pending[i].merged) {
        if (number < 1 || number > static_cast<int64_t>(pending.size()))
          lexer_.fail_at(pending[i].at, fmt::format("origin #{} is not in the table", number));
        followers[static_cast<size_t>(number) - 1].push_back(i);
        ++waits[i];
      }
      if (waits[i] == 0) ready.push(i);
    }
    origins_.assign(pending.size() + 1, 0);
    while (!ready.empty()) {
      const size_t i = ready.top();
      ready.pop();
      for (int64_t number : pending[i].merged) pending[i].origin.merged.push_back(origins_[number]);
      std::sort(pending[i].origin.merged.begin(), pending[i].origin.merged.end());
      origins_[i + 1] = graph_.origins.intern(std::move(pending[i].origin));
      for (size_t follower : followers[i])
        if (--waits[follower] == 0) ready.push(follower);
    }
    for (size_t i = 0; i < pending.size(); ++i)
      if (waits[i] > 0) lexer_.fail_at(pending[i].at, fmt::format("origin #{} is merged into itself", i + 1));
  }

  PendingOrigin parse_origin(int64_t number) {
    PendingOrigin pending;
    pending.at = lexer_.position();
    lexer_.expect("#");
    if (lexer_.integer() != number) lexer_.fail_at(pending.at, fmt::format("expected origin #{}", number));
    lexer_.expect("=");
    bool known = false;
    for (Role role : {Role::forward, Role::backward, Role::update, Role::transfer})
      if (!known && lexer_.accept(name(role))) {
        pending.origin.role = role;
        known = true;
      }
    if (!known) lexer_.fail("forward, backward, update or transfer");
    pending.origin.ordinal = static_cast<int32_t>(lexer_.integer("an ordinal"));
    if (lexer_.accept("in")) pending.origin.module_path = lexer_.string("a module path");
    if (lexer_.accept("from")) do
        pending.origin.frames.push_back(parse_site(lexer_));
      while (lexer_.next_is("\""));
    if (lexer_.accept("with")) do {
        lexer_.expect("#");
        pending.merged.push_back(lexer_.integer("an origin's number"));
      } while (lexer_.accept(","));
    return pending;
  }

  Value parse_value(const Function& function) {
    size_t at = lexer_.position();
    lexer_.expect("%");
    Value value{static_cast<int32_t>(lexer_.integer("a value number")), 0};
    if (lexer_.accept(".")) value.result = static_cast<int32_t>(lexer_.integer("a result number"));
    if (value.op < 0 || value.op >= static_cast<int32_t>(function.ops.size()) || value.result < 0 ||
        value.result >= static_cast<int32_t>(function.ops[value.op].results.size()))
      lexer_.fail_at(at, fmt::format("value %{}.{} does not stand before its use", value.op, value.result));
    return value;
  }

  HostTensor parse_tensor() {
    size_t at = lexer_.position();
    DType dtype = parse_dtype(lexer_);
    Sizes sizes = parse_sizes(lexer_);
    for (int64_t size : sizes)
      if (size < 0) lexer_.fail_at(at, "a constant has a negative size");
    if (byte_size(dtype, element_count(sizes)) > largest_splat_bytes) lexer_.fail_at(at, "a constant is too large");
    lexer_.expect("(");
    if (lexer_.accept("hex")) {
      std::string digits = lexer_.string("hexadecimal bytes");
      int64_t bytes = byte_size(dtype, element_count(sizes));
      if (static_cast<int64_t>(digits.size()) != 2 * bytes)
        lexer_.fail_at(at, fmt::format("found {} hexadecimal digits, expected {}", digits.size(), 2 * bytes));
      HostTensor tensor(dtype, sizes);
      for (int64_t i = 0; i < bytes; ++i) {
        auto digit = [&](char c) {
          if (c >= '0' && c <= '9') return c - '0';
          if (c >= 'a' && c <= 'f') return c - 'a' + 10;
          lexer_.fail_at(at, "found a character that is no hexadecimal digit");
        };
        tensor.raw()[i] = static_cast<uint8_t>(digit(digits[2 * i]) * 16 + digit(digits[2 * i + 1]));
      }
      lexer_.expect(")");
      return tensor;
    }
    HostTensor tensor(dtype, sizes);
    bool splat = lexer_.accept("splat");
    int64_t count = splat ? 1 : tensor.elements();
    for (int64_t i = 0; i < count; ++i) {
      if (i > 0) lexer_.expect(",");
      parse_element(tensor, i);
    }
    lexer_.expect(")");
    int64_t size = tensor.elements() ? tensor.bytes() / tensor.elements() : 0;
    for (int64_t i = 1; splat && i < tensor.elements(); ++i)
      std::memcpy(tensor.raw() + i * size, tensor.raw(), static_cast<size_t>(size));
    return tensor;
  }

  void parse_element(HostTensor& tensor, int64_t i) {
    if (tensor.dtype() == DType::boolean) {
      bool value = lexer_.accept("true");
      if (!value) lexer_.expect("false");
      tensor.set_integer(i, value);
    } else if (is_floating(tensor.dtype())) {
      tensor.set_number(i, lexer_.number());
    } else {
      tensor.set_integer(i, lexer_.integer());
    }
  }

  Attribute parse_attribute(AttributeKind kind) {
    switch (kind) {
      case AttributeKind::boolean: {
        bool value = lexer_.accept("true");
        if (!value) lexer_.expect("false");
        return value;
      }
      case AttributeKind::integer:
        return lexer_.integer();
      case AttributeKind::number:
        return lexer_.number();
      case AttributeKind::string:
        return lexer_.string();
      case AttributeKind::dtype:
        return parse_dtype(lexer_);
      case AttributeKind::sizes:
        return parse_sizes(lexer_);
      case AttributeKind::shape:
        return parse_shape(lexer_);
      case AttributeKind::tensor:
        return parse_tensor();
    }
    lexer_.fail("an attribute");
  }

  void parse_attributes(Op& op) {
    while (!lexer_.accept("}")) {
      if (!op.attributes.empty()) lexer_.expect(",");
      size_t at = lexer_.position();
      std::string key = lexer_.identifier("an attribute's name");
      const AttributeSpec* spec = nullptr;
      for (const AttributeSpec& candidate : op.entry->signature.attributes)
        if (candidate.name == key) spec = &candidate;
      if (!spec) lexer_.fail_at(at, fmt::format("{} has no attribute '{}'", op.name(), key));
      if (op.attributes.has(key)) lexer_.fail_at(at, fmt::format("attribute '{}' stands twice", key));
      lexer_.expect("=");
      op.attributes.set(key, parse_attribute(spec->kind));
    }
  }

  Op parse_op(const Function& function) {
    Op op;
    size_t at = lexer_.position();
    std::string name = lexer_.identifier("an op");
    op.entry = try_find_op(name);
    if (!op.entry) lexer_.fail_at(at, fmt::format("there is no op '{}'", name));
    while (lexer_.accept("@")) {
      op.functions.push_back(static_cast<FunctionId>(lexer_.integer("a function number")));
      lexer_.accept(",");
    }
    lexer_.expect("(");
    while (!lexer_.accept(")")) {
      if (!op.operands.empty()) lexer_.expect(",");
      op.operands.push_back(parse_value(function));
    }
    if (lexer_.accept("{")) parse_attributes(op);
    op.attributes = complete_attributes(*op.entry, op.attributes);
    lexer_.expect(":");
    if (lexer_.accept("(")) {
      while (!lexer_.accept(")")) {
        if (!op.results.empty()) lexer_.expect(",");
        op.results.push_back(parse_type(lexer_));
      }
    } else {
      op.results.push_back(parse_type(lexer_));
    }
    if (lexer_.accept("pin")) {
      lexer_.expect("(");
      Pin pin;
      pin.device = parse_device(lexer_);
      lexer_.expect("from");
      pin.site = parse_site(lexer_);
      lexer_.expect(")");
      op.pin = pin;
    }
    if (lexer_.accept("#")) {
      size_t origin_at = lexer_.position();
      int64_t number = lexer_.integer("an origin's number");
      if (number < 1 || number >= static_cast<int64_t>(origins_.size()))
        lexer_.fail_at(origin_at, fmt::format("origin #{} is not in the table", number));
      op.origin = origins_[number];
    }
    return op;
  }

  void parse_function() {
    Function function;
    lexer_.expect("function");
    function.name = lexer_.string("a function's name");
    lexer_.expect("(");
    std::vector<std::pair<int64_t, size_t>> inputs;  // numbers of ops that follow
    while (!lexer_.accept(")")) {
      if (!inputs.empty()) lexer_.expect(",");
      size_t at = lexer_.position();
      lexer_.expect("%");
      inputs.emplace_back(lexer_.integer("a value number"), at);
    }
    lexer_.expect("{");
    while (lexer_.accept("%")) {
      size_t at = lexer_.position();
      if (lexer_.integer("a value number") != static_cast<int64_t>(function.ops.size()))
        lexer_.fail_at(at, fmt::format("expected value %{}: ops are numbered from 0", function.ops.size()));
      lexer_.expect("=");
      function.ops.push_back(parse_op(function));
    }
    for (auto [number, at] : inputs) {
      if (number < 0 || number >= static_cast<int64_t>(function.ops.size()))
        lexer_.fail_at(at, fmt::format("input %{} is no op of the function", number));
      function.inputs.push_back({static_cast<int32_t>(number), 0});
    }
    while (lexer_.accept("update")) {
      Update update;
      update.state = parse_value(function);
      lexer_.expect("=");
      update.value = parse_value(function);
      function.updates.push_back(update);
    }
    lexer_.expect("return");
    while (!lexer_.accept("}")) {
      if (!function.results.empty()) lexer_.expect(",");
      function.results.push_back(parse_value(function));
    }
    graph_.functions.push_back(std::move(function));
  }

  const std::string name_;
  Lexer lexer_;
  Graph graph_;
  std::vector<OriginId> origins_{0};
};

}  // namespace

Graph parse_graph(std::string_view text, std::string_view name) { return Parser(text, name).run(); }

}  // namespace placewright
