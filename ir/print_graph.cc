#include <cmath>

#include <fmt/core.h>

#include "graph_text.h"
#include "placewright/base/join.h"
#include "placewright/base/lexer.h"
#include "placewright/ir/graph.h"
#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

std::string element_text(const HostTensor& tensor, int64_t i) {
  if (tensor.dtype() == DType::boolean) return tensor.integer(i) ? "true" : "false";
  if (tensor.dtype() == DType::f32) return fmt::format("{}", tensor.data<float>()[static_cast<size_t>(i)]);
  if (is_floating(tensor.dtype())) return fmt::format("{}", tensor.number(i));
  return std::to_string(tensor.integer(i));
}

// A NaN's payload and sign are bits that decimal text would lose.
bool survives_decimal(const HostTensor& tensor) {
  if (!is_floating(tensor.dtype())) return true;
  for (int64_t i = 0; i < tensor.elements(); ++i)
    if (std::isnan(tensor.number(i))) return false;
  return true;
}

bool is_splat(const HostTensor& tensor) {
  int64_t count = tensor.elements(), size = tensor.bytes() / std::max<int64_t>(count, 1);
  for (int64_t i = 1; i < count; ++i)
    if (std::memcmp(tensor.raw(), tensor.raw() + i * size, static_cast<size_t>(size)) != 0) return false;
  return count > 1;
}

std::string tensor_text(const HostTensor& tensor) {
  std::string text = fmt::format("{}{}", name(tensor.dtype()), to_string(tensor.sizes()));
  if (!survives_decimal(tensor) || (tensor.elements() > largest_decimal_constant && !is_splat(tensor))) {
    std::string hex;
    for (int64_t i = 0; i < tensor.bytes(); ++i) hex += fmt::format("{:02x}", tensor.raw()[i]);
    return text + fmt::format("(hex \"{}\")", hex);
  }
  if (is_splat(tensor)) return text + fmt::format("(splat {})", element_text(tensor, 0));
  std::vector<std::string> elements;
  for (int64_t i = 0; i < tensor.elements(); ++i) elements.push_back(element_text(tensor, i));
  return text + fmt::format("({})", join(elements, ", "));
}

struct AttributeText {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return fmt::format("{}", value); }
  std::string operator()(const std::string& value) const { return quote(value); }
  std::string operator()(DType value) const { return std::string(name(value)); }
  std::string operator()(const Sizes& value) const { return to_string(value); }
  std::string operator()(const Shape& value) const { return to_string(value); }
  std::string operator()(const HostTensor& value) const { return tensor_text(value); }
};

class Printer {
 public:
  explicit Printer(const Graph& graph) : graph_(graph) { find_origins(); }

  std::string run() {
    std::string functions;
    for (const Function& function : graph_.functions) functions += "\n" + function_text(function);
    std::string origins;
    for (size_t i = 0; i < used_.size(); ++i) origins += origin_text(used_[i], static_cast<int>(i) + 1);
    std::string rules;
    for (const PlacementRule& rule : graph_.rules)
      rules += fmt::format("{}rule {}\n", rules.empty() ? "\n" : "", print_placement_rule(rule));
    return "graph v1\n" + (origins.empty() ? "" : "\norigins {\n" + origins + "}\n") + rules + functions;
  }

 private:
  // As they stand in the table, so that a parsed one has them in the same order. Merged ones stand behind their parts.
  void find_origins() {
    std::vector<bool> is_used(static_cast<size_t>(graph_.origins.size()), false);
    for (const Function& function : graph_.functions)
      for (const Op& op : function.ops) is_used[static_cast<size_t>(op.origin)] = true;
    for (OriginId id = graph_.origins.size(); id-- > 0;)
      if (is_used[static_cast<size_t>(id)])
        for (OriginId merged : graph_.origins[id].merged) is_used[static_cast<size_t>(merged)] = true;
    numbers_.assign(is_used.size(), 0);
    for (OriginId id = 1; id < graph_.origins.size(); ++id) {
      if (!is_used[static_cast<size_t>(id)]) continue;
      used_.push_back(id);
      numbers_[static_cast<size_t>(id)] = static_cast<int>(used_.size());
    }
  }

  int number_of(OriginId id) const { return numbers_[static_cast<size_t>(id)]; }

  std::string origin_text(OriginId id, int number) {
    const Origin& origin = graph_.origins[id];
    std::string text = fmt::format("  #{} = {}", number, name(origin.role));
    text += fmt::format(" {}", origin.ordinal);
    if (!origin.module_path.empty()) text += " in " + quote(origin.module_path);
    for (size_t i = 0; i < origin.frames.size(); ++i)
      text += fmt::format("{} {}:{}", i == 0 ? " from" : "", quote(origin.frames[i].file), origin.frames[i].line);
    if (!origin.merged.empty()) {
      std::vector<std::string> merged;
      for (OriginId other : origin.merged) merged.push_back(fmt::format("#{}", number_of(other)));
      text += fmt::format(" with {}", join(merged, ", "));
    }
    return text + "\n";
  }

  std::string value_text(const Function& function, Value value) const {
    return function.ops[value.op].results.size() == 1 ? fmt::format("%{}", value.op)
                                                      : fmt::format("%{}.{}", value.op, value.result);
  }

  std::string values_text(const Function& function, const std::vector<Value>& values) const {
    std::vector<std::string> texts;
    for (Value value : values) texts.push_back(value_text(function, value));
    return join(texts, ", ");
  }

  std::string op_text(const Function& function, int32_t number) {
    const Op& op = function.ops[number];
    std::string text = fmt::format("  %{} = {}", number, op.name());
    if (!op.functions.empty()) {
      std::vector<std::string> functions;
      for (FunctionId id : op.functions) functions.push_back("@" + std::to_string(id));
      text += fmt::format(" {}", join(functions, ", "));
    }
    text += fmt::format("({})", values_text(function, op.operands));
    std::vector<std::string> attributes;
    for (const auto& [key, value] : op.attributes) attributes.push_back(key + "=" + std::visit(AttributeText{}, value));
    if (!attributes.empty()) text += fmt::format(" {{{}}}", join(attributes, ", "));
    std::vector<std::string> types;
    for (const Type& type : op.results) types.push_back(type.to_string());
    text += fmt::format(" : {}", types.size() == 1 ? types[0] : fmt::format("({})", join(types, ", ")));
    if (op.pin)
      text +=
          fmt::format(" pin({} from {}:{})", op.pin->device.to_string(), quote(op.pin->site.file), op.pin->site.line);
    if (op.origin != 0) {
      text += fmt::format(" #{}", number_of(op.origin));
      if (!graph_.origins[op.origin].frames.empty()) text += "  // " + graph_.origins[op.origin].site();
    }
    return text + "\n";
  }

  std::string function_text(const Function& function) {
    std::string text =
        fmt::format("function {}({}) {{\n", quote(function.name), values_text(function, function.inputs));
    for (int32_t i = 0; i < static_cast<int32_t>(function.ops.size()); ++i) text += op_text(function, i);
    for (const Update& update : function.updates)
      text += fmt::format("  update {} = {}\n", value_text(function, update.state), value_text(function, update.value));
    text += "  return";
    if (!function.results.empty()) text += " " + values_text(function, function.results);
    return text + "\n}\n";
  }

  const Graph& graph_;
  std::vector<OriginId> used_;
  std::vector<int> numbers_;  // of each origin
};

}  // namespace

std::string print_graph(const Graph& graph) { return Printer(graph).run(); }

}  // namespace placewright
